/* Tests of the formats beside JPEG and PNG, and of colour profiles: every fixture of
 * tools/goldens/formats.py against Pillow's pixels, limits, truncation at every
 * length, broken bytes. */
#include "base/file.h"
#include "image/colour.h"
#include "image/formats.h"
#include "image/image.h"
#include "image/modules.h"
#include "tests/broken_picture.h"
#include "tests/picture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FORMATS TEST_DATA "/formats/"
#define GRID    8 /* blocks a side */
#define MOST    160

/* One line of formats.txt. */
struct fixture {
    char     name[64], kind[16];
    int      width, height, pages, colours, tolerance;
    char     pixels[2 * 3 * GRID * GRID + 1]; /* hexadecimal: a CRC-32, or means of blocks */
    uint8_t *data;
    size_t   n;
};

struct fixtures {
    struct fixture items[MOST];
    int            n;
};

static int load_fixtures(void **state)
{
    struct fixtures *all  = calloc(1, sizeof *all);
    FILE            *list = fopen(FORMATS "formats.txt", "r");
    assert_non_null(all);
    assert_non_null(list);
    struct fixture *f = all->items;
    while (all->n < MOST &&
           fscanf(list, "%63s %15s %d %d %d %d %d %384s", f->name, f->kind, &f->width, &f->height,
                  &f->pages, &f->colours, &f->tolerance, f->pixels) == 8) {
        char       path[512];
        struct err err = ERR_INIT;
        (void)snprintf(path, sizeof path, FORMATS "%s", f->name);
        if (file_read(path, 1 << 20, &f->data, &f->n, &err))
            fail_msg("%s", err.msg);
        for (char *c = f->kind; *c; c++) /* "JPEG_XL" */
            *c = *c == '_' ? ' ' : *c;
        f = &all->items[++all->n];
    }
    (void)fclose(list);
    *state = all;
    return 0;
}

static int free_fixtures(void **state)
{
    struct fixtures *all = *state;
    for (int i = 0; i < all->n; i++)
        free(all->items[i].data);
    free(all);
    return 0;
}

static bool is_built(const struct fixture *f)
{
    return format_of(image_kind_of(f->data, f->n))->built;
}

/* ---- Against Pillow ---- */

static void check_blocks(const struct fixture *f, const struct image *img)
{
    for (int b = 0; b < GRID * GRID; b++) {
        int x0 = img->width * (b % GRID) / GRID, x1 = img->width * (b % GRID + 1) / GRID;
        int y0 = img->height * (b / GRID) / GRID, y1 = img->height * (b / GRID + 1) / GRID;
        x1 = x1 > x0 ? x1 : x0 + 1;
        y1 = y1 > y0 ? y1 : y0 + 1;
        for (int c = 0; c < 3; c++) {
            unsigned wanted = 0;
            double   sum    = 0;
            for (int y = y0; y < y1; y++) {
                for (int x = x0; x < x1; x++)
                    sum += img->data[((size_t)y * (size_t)img->width + (size_t)x) * 3 + (size_t)c];
            }
            assert_int_equal(sscanf(f->pixels + 2 * (3 * b + c), "%2x", &wanted), 1);
            double mean = sum / ((x1 - x0) * (y1 - y0));
            if (mean > wanted + f->tolerance + 0.5 || mean < (double)wanted - f->tolerance - 0.5)
                fail_msg("%s: block %d, channel %d has %.1f, not %u", f->name, b, c, mean, wanted);
        }
    }
}

/* How far a lossy decoder or a colour conversion may be off is in formats.txt, with
 * the reasons in formats.py; everything else is exact. */
static void pictures_equal_pillow(void **state)
{
    const struct fixtures *all                  = *state;
    int                    of_kind[IMAGE_KINDS] = {0};
    for (int i = 0; i < all->n; i++) {
        const struct fixture *f   = &all->items[i];
        struct err            err = ERR_INIT;
        struct image          img;
        struct image_info     info, header;
        if (!is_built(f))
            continue;
        if (image_decode(f->data, f->n, 0, NULL, &img, &info, &err))
            fail_msg("%s: %s", f->name, err.msg);
        if (image_probe(f->data, f->n, &header, &err))
            fail_msg("%s: %s", f->name, err.msg);
        assert_string_equal(image_kind_name(info.kind), f->kind);
        if (img.width != f->width || img.height != f->height)
            fail_msg("%s has %d x %d pixels", f->name, img.width, img.height);
        if (info.kind != IMAGE_RAW) {
            assert_int_equal(info.width, img.width);
            assert_int_equal(info.height, img.height);
        }
        assert_int_equal(header.width, info.width);
        assert_int_equal(header.height, info.height);
        assert_int_equal(header.orientation, info.orientation);
        assert_int_equal(header.taken_at, info.taken_at);
        assert_string_equal(header.camera, info.camera);
        assert_int_equal(info.pages, f->pages);
        bool as_told = colour_is_built() ? (int)info.colours == f->colours
                                         : info.colours != IMAGE_COLOURS_CONVERTED;
        if (!as_told)
            fail_msg("%s: its colours were %d", f->name, (int)info.colours);
        if (f->tolerance && (colour_is_built() || f->colours != 1))
            check_blocks(f, &img);
        else if (!f->tolerance && picture_crc(img.data, (size_t)img.width * (size_t)img.height *
                                                            3) != strtoul(f->pixels, NULL, 16))
            fail_msg("%s has other pixels", f->name);
        image_free(&img);
        of_kind[info.kind]++;
    }
    for (int kind = IMAGE_WEBP; kind < IMAGE_KINDS; kind++) {
        if (format_of((enum image_kind)kind)->built && !format_is_video((enum image_kind)kind))
            assert_true(of_kind[kind] >= 10);
    }
}

static const struct fixture *fixture_of(const struct fixtures *all, const char *name)
{
    for (int i = 0; i < all->n; i++) {
        if (!strcmp(all->items[i].name, name))
            return &all->items[i];
    }
    fail_msg("there is no %s", name);
    return NULL;
}

static void check_taken(const struct fixture *f, const struct image_info *info, int64_t wanted)
{
    if (info->taken_at != wanted)
        fail_msg("%s was taken at %lld", f->name, (long long)info->taken_at);
}

static void metadata_is_read_from_each(void **state)
{
    /* written by exif_of(full) of tools/goldens/image.py, with its offset */
    static const struct {
        const char *name;
        int         orientation, width, height;
    } cases[] = {{"orient-6.webp", 6, 18, 29},     {"orient-6.tif", 6, 18, 29},
                 {"exif.heic", 1, 46, 30},         {"turned.heic", 1, 30, 46},
                 {"turned.avif", 1, 30, 46},       {"exif.jxl", 1, 46, 30},
                 {"exif-bare.jxl", 1, 46, 30},     {"dated.dng", 1, 48, 36},
                 {"preview-turned.dng", 6, 36, 48}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fixture *f   = fixture_of(*state, cases[i].name);
        struct err            err = ERR_INIT;
        struct image_info     info;
        if (!is_built(f))
            continue;
        assert_int_equal(image_probe(f->data, f->n, &info, &err), 0);
        if (info.orientation != cases[i].orientation || info.width != cases[i].width ||
            info.height != cases[i].height)
            fail_msg("%s: orientation %d, %d x %d", f->name, info.orientation, info.width,
                     info.height);
        if (strcmp(info.camera, "Osprey Optics Talon 3") != 0)
            fail_msg("%s: '%s', %lld", f->name, info.camera, (long long)info.taken_at);
        if (!strstr(f->name, ".dng"))
            check_taken(f, &info, 1709242198); /* 2024-02-29T21:29:58Z */
        else if (!strcmp(f->name, "dated.dng"))
            check_taken(f, &info, 1709251198); /* without an offset: as UTC */
    }
}

static void pages_are_read_one_by_one(void **state)
{
    static const int      sizes[3][2] = {{40, 30}, {30, 40}, {40, 30}};
    const struct fixture *f           = fixture_of(*state, "pages.tif");
    struct err            err         = ERR_INIT;
    struct image          first, img;
    struct image_info     info;
    struct image_part     part = {.time_ms = IMAGE_ANY_TIME};
    if (!is_built(f))
        skip();
    assert_int_equal(image_decode(f->data, f->n, 0, NULL, &first, NULL, &err), 0);
    for (int page = 0; page < 3; page++) {
        part.page = page;
        if (image_decode_part(f->data, f->n, &part, 0, NULL, &img, &info, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(img.width, sizes[page][0]);
        assert_int_equal(img.height, sizes[page][1]);
        if (page == 0)
            assert_int_equal(info.pages, 3);
        if (page != 1)
            assert_int_equal(
                !memcmp(img.data, first.data, (size_t)img.width * (size_t)img.height * 3),
                page == 0);
        image_free(&img);
    }
    part.page = 3;
    assert_int_equal(image_decode_part(f->data, f->n, &part, 0, NULL, &img, &info, &err),
                     ERR_NOTFOUND);
    assert_string_equal(err.msg, "it has no page 4, only 3");
    image_free(&first);
}

static void a_raw_preview_must_be_large_enough(void **state)
{
    const struct fixture *f   = fixture_of(*state, "small-preview.dng");
    struct err            err = ERR_INIT;
    struct image          img;
    if (!is_built(f))
        skip();
    /* 48 x 36 on the sensor, 24 x 18 developed, 16 x 12 in the preview. */
    if (image_decode(f->data, f->n, 6, NULL, &img, NULL, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(img.width, 16);
    image_free(&img);
    assert_int_equal(image_decode(f->data, f->n, 7, NULL, &img, NULL, &err), 0);
    assert_int_equal(img.width, 24);
    image_free(&img);
}

/* ---- Names and kinds ---- */

static void files_are_chosen_by_their_endings(void **state)
{
    (void)state;
    static const char *const yes[] = {"a.jpg",  "a.JPEG", "b.Webp",    "c.gif", "d.TIFF", "e.tif",
                                      "f.heic", "f.HIF",  "x.y.avif",  "g.jxl", "h.cr2",  "h.CR3",
                                      "i.3fr",  "j.bmp",  "dir/k.ppm", ".png",  "l.jfif", "m.dng"};
    static const char *const no[]  = {"jpg",    "a.jp",       "a.jpgx", "a.",       "a",
                                      ".",      "a. jpg ",    "a.txt",  "a.tar",    "",
                                      "a.jpg.", "a.heicheic", "a. ",    "a.  .jpg "};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!format_is_candidate(yes[i]))
            fail_msg("%s is no candidate", yes[i]);
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        if (format_is_candidate(no[i]))
            fail_msg("'%s' is a candidate", no[i]);
    }
}

static void names_tell_what_has_parts(void **state)
{
    (void)state;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        const char *name = format_of((enum image_kind)kind)->name;
        assert_int_equal(format_names_video(name), format_is_video((enum image_kind)kind));
        assert_int_equal(format_has_parts(name), kind == IMAGE_TIFF || format_names_video(name));
        assert_string_equal(format_mime(name), format_of((enum image_kind)kind)->mime);
    }
    assert_true(format_names_video("mp4"));
    assert_false(format_names_video("unknown") || format_has_parts("unknown"));
    assert_string_equal(format_mime("unknown"), "application/octet-stream");
}

static void kinds_are_told_by_the_first_bytes(void **state)
{
    (void)state;
    static const struct {
        const char     *bytes;
        size_t          n;
        enum image_kind kind;
    } cases[] = {
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1avif",
         24, IMAGE_AVIF},
        {"\0\0\0\x18"
         "ftypmif1\0\0\0\0mif1heic",
         24, IMAGE_HEIC},
        {"\0\0\0\x14"
         "ftypavif\0\0\0\0mif1",
         20, IMAGE_AVIF},
        {"\0\0\0\x18"
         "ftypcrx \0\0\0\1crx isom",
         24, IMAGE_RAW},
        {"\0\0\0\x18"
         "ftypisom\0\0\0\1mp42isom",
         24, IMAGE_MP4},
        {"\0\0\0\x18"
         "ftypM4A \0\0\0\1M4A nope",
         24, IMAGE_UNKNOWN},
        {"\0\0\0\x18"
         "ftypisom\0\0\0\1heicisom",
         24, IMAGE_HEIC},
        {"\0\0\0\x14"
         "ftypqt  \0\0\2\0qt  ",
         20, IMAGE_MOV},
        {"\0\0\0\x08"
         "wide\0\0\0\0mdat",
         16, IMAGE_MOV},
        {"\x1A\x45\xDF\xA3\x84\x42\x82\x84webm", 12, IMAGE_WEBM},
        {"\x1A\x45\xDF\xA3\x84\x42\x82\x88matroska", 16, IMAGE_MATROSKA},
        {"RIFF\0\0\0\0AVI LIST", 16, IMAGE_AVI},
        {"\xFF\xFF\xFF\xFF"
         "ftypheic",
         12, IMAGE_HEIC},
        {"II*\0\x10\0\0\0CR\2\0", 12, IMAGE_RAW},
        {"II*\0\x08\0\0\0", 8, IMAGE_TIFF},
        {"II*\0\xFF\xFF\xFF\xFF", 8, IMAGE_TIFF},
        {"II*\0", 4, IMAGE_TIFF},
        {"FUJIFILMCCD-RAW 0201", 20, IMAGE_RAW},
        {"\xFF\x0A", 2, IMAGE_JXL},
        {"P6\n", 3, IMAGE_PNM},
        {"P7\n", 3, IMAGE_UNKNOWN},
        {"PK\3\4", 4, IMAGE_UNKNOWN},
        {"BMW is a car", 12, IMAGE_UNKNOWN},
        {"RIFF\0\0\0\0WAVE", 12, IMAGE_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum image_kind kind = image_kind_of((const uint8_t *)cases[i].bytes, cases[i].n);
        if (kind != cases[i].kind)
            fail_msg("case %zu is taken for %s", i, image_kind_name(kind));
    }
}

/* A TIFF whose directory leads back to itself must end the search for a RAW's tags. */
static void directories_that_run_in_circles(void **state)
{
    (void)state;
    uint8_t tiff[8 + 2 + 12 + 4] = "II*\0\x08\0\0\0\1\0\x4A\1\4\0\1\0\0\0\x08\0\0\0\x08\0\0";
    assert_int_equal(image_kind_of(tiff, sizeof tiff), IMAGE_TIFF);
}

/* ---- What is broken ---- */

static void truncation_is_told(void **state)
{
    static const char *const told[][2] = {{"lossy.webp", "truncated after "},
                                          {"lossless.webp", "truncated after "},
                                          {"plain.gif", "truncated after "},
                                          {"rgb-raw.tif", "truncated after "},
                                          {"strips.tif", "truncated"},
                                          {"420.heic", "truncated"},
                                          {"420.avif", "truncated"},
                                          {"lossless.jxl", "truncated before all"},
                                          {"rgb.bmp", "truncated after "},
                                          {"rle8.bmp", "truncated after "},
                                          {"bytes.ppm", "truncated after 13 of 20 rows"},
                                          {"text.pgm", "truncated after "},
                                          {"plain.dng", "truncated"}};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        const struct fixture *f   = fixture_of(*state, told[i][0]);
        struct err            err = ERR_INIT;
        struct image          img;
        if (!is_built(f))
            continue;
        /* TIFF's directory may be at its end: then nothing of it can be read. */
        int rc = image_decode(f->data, f->n * 2 / 3, 0, NULL, &img, NULL, &err);
        if (rc != ERR_FORMAT || !strstr(err.msg, told[i][1]))
            fail_msg("%s: %d '%s'", f->name, rc, err.msg);
        assert_null(img.data);
    }
}

/* Returns what standard error was. */
static int quiet_stderr(void)
{
    int said = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    assert_true(said >= 0 && nowhere >= 0);
    (void)dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    return said;
}

static void broken_files_do_no_harm(void **state)
{
    const struct fixtures *all  = *state;
    uint32_t               rng  = 2463534242u;
    int                    good = 0, bad = 0;
    int                    said = quiet_stderr(); /* libjxl and dav1d tell much of such files */
    for (int i = 0; i < all->n; i++) {
        const struct fixture *f = &all->items[i];
        for (size_t n = 1; n < f->n; n += f->n / 12 + 1) {
            uint8_t *copy = malloc(n); /* exactly as long, so that a read beyond is seen */
            assert_non_null(copy);
            memcpy(copy, f->data, n);
            try_broken(copy, n, &good, &bad);
            free(copy);
        }
        uint8_t *copy = malloc(f->n);
        assert_non_null(copy);
        for (int k = 0; k < 24; k++) {
            memcpy(copy, f->data, f->n);
            for (int flips = 0; flips <= k % 4; flips++) {
                rng       = rng * 1664525u + 1013904223u;
                size_t at = (rng >> 8) % (k % 2 ? f->n : f->n < 200 ? f->n : 200);
                copy[at] ^= (uint8_t)(1u << (rng & 7));
            }
            try_broken(copy, f->n, &good, &bad);
        }
        free(copy);
    }
    (void)dup2(said, STDERR_FILENO);
    close(said);
    assert_true(bad > 1000);
    assert_true(good > 300);
}

static void limits_hold_for_each(void **state)
{
    const struct fixtures *all = *state;
    for (int i = 0; i < all->n; i++) {
        const struct fixture *f   = &all->items[i];
        struct image_limits   few = {.max_pixels = (uint64_t)(f->width * f->height) - 1,
                                     .max_bytes  = 1 << 30};
        struct err            err = ERR_INIT;
        struct image          img;
        if (!is_built(f) || !few.max_pixels)
            continue;
        int rc = image_decode(f->data, f->n, 0, &few, &img, NULL, &err);
        if (rc != ERR_LIMIT || !strstr(err.msg, "more than the limit of "))
            fail_msg("%s: %d '%s'", f->name, rc, err.msg);
        assert_null(img.data);
    }
    static const char *const costly[] = {"lossy.webp", "plain.gif", "tiled.tif", "420.heic",
                                         "lossy.jxl",  "plain.dng", "rle8.bmp"};
    for (size_t i = 0; i < sizeof costly / sizeof costly[0]; i++) {
        const struct fixture *f   = fixture_of(all, costly[i]);
        struct image_limits   low = {.max_pixels = 1 << 20, .max_bytes = 500};
        struct err            err = ERR_INIT;
        struct image          img;
        if (!is_built(f))
            continue;
        int rc = image_decode(f->data, f->n, 0, &low, &img, NULL, &err);
        if (rc != ERR_LIMIT || !strstr(err.msg, "memory") + !strstr(err.msg, "limit of 500") > 1)
            fail_msg("%s: %d '%s'", f->name, rc, err.msg);
    }
}

/* Sizes in headers that no file behind them could fill. */
static void headers_that_promise_too_much(void **state)
{
    static const struct {
        const char *name;
        size_t      at;
        const char *bytes;
        size_t      n;
    } cases[] = {{"plain.gif", 6, "\xFF\xFF\xFF\xFF", 4},
                 {"rgb.bmp", 18, "\xFF\xFF\xFF\x7F\xFF\xFF\xFF\x7F", 8},
                 {"text.pbm", 15, "99999 9999", 10}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fixture *f   = fixture_of(*state, cases[i].name);
        struct err            err = ERR_INIT;
        struct image          img;
        uint8_t              *copy = malloc(f->n);
        assert_non_null(copy);
        memcpy(copy, f->data, f->n);
        memcpy(copy + cases[i].at, cases[i].bytes, cases[i].n);
        if (is_built(f))
            image_decode(copy, f->n, 0, NULL, &img, NULL, &err);
        if (is_built(f) && err.code != ERR_LIMIT)
            fail_msg("%s: %d '%s'", f->name, err.code, err.msg);
        free(copy);
    }
}

static void what_is_not_built_is_named(void **state)
{
    const struct fixtures *all = *state;
    for (int i = 0; i < all->n; i++) {
        const struct fixture *f      = &all->items[i];
        const struct format  *format = format_of(image_kind_of(f->data, f->n));
        struct err            err    = ERR_INIT;
        struct image_info     info;
        if (format->built)
            continue;
        assert_int_equal(image_probe(f->data, f->n, &info, &err), ERR_UNSUPPORTED);
        assert_non_null(strstr(err.msg, format->library));
        assert_non_null(strstr(err.msg, "which this build of Osprey lacks"));
    }
    unsigned able = modules_load(~0u);
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++)
        assert_int_equal((able & format_bit((enum image_kind)kind)) != 0,
                         format_of((enum image_kind)kind)->built);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_equal_pillow),
        cmocka_unit_test(metadata_is_read_from_each),
        cmocka_unit_test(pages_are_read_one_by_one),
        cmocka_unit_test(a_raw_preview_must_be_large_enough),
        cmocka_unit_test(files_are_chosen_by_their_endings),
        cmocka_unit_test(names_tell_what_has_parts),
        cmocka_unit_test(kinds_are_told_by_the_first_bytes),
        cmocka_unit_test(directories_that_run_in_circles),
        cmocka_unit_test(truncation_is_told),
        cmocka_unit_test(broken_files_do_no_harm),
        cmocka_unit_test(limits_hold_for_each),
        cmocka_unit_test(headers_that_promise_too_much),
        cmocka_unit_test(what_is_not_built_is_named),
    };
    return cmocka_run_group_tests(tests, load_fixtures, free_fixtures);
}
