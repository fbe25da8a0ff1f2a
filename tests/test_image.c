/* Tests of core/image's decoding: every kind of JPEG and PNG against references,
 * EXIF, limits, scaled decoding, and thousands of broken files. */
#include "base/file.h"
#include "image/image.h"
#include "tests/broken_picture.h"
#include "tests/picture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IMAGES TEST_DATA "/images/"

struct bytes {
    uint8_t *data;
    size_t   n;
};

static struct bytes load(const char *name)
{
    char         path[512];
    struct err   err = ERR_INIT;
    struct bytes out = {0};
    (void)snprintf(path, sizeof path, IMAGES "%s", name);
    if (file_read(path, 1 << 20, &out.data, &out.n, &err))
        fail_msg("%s", err.msg);
    return out;
}

static struct image decoded(const char *name, int min_side, struct image_info *info)
{
    struct bytes file = load(name);
    struct err   err  = ERR_INIT;
    struct image img;
    if (image_decode(file.data, file.n, min_side, NULL, &img, info, &err))
        fail_msg("%s: %s", name, err.msg);
    free(file.data);
    return img;
}

static const char *const jpegs[] = {
    "baseline-420.jpg",  "baseline-422.jpg", "baseline-444.jpg", "restart.jpg",
    "progressive.jpg",   "rgb.jpg",          "grey.jpg",         "grey-progressive.jpg",
    "one.jpg",           "thin.jpg",         "cmyk.jpg",         "cmyk-progressive.jpg",
    "cmyk-no-adobe.jpg", "ycck.jpg",         "orient-1.jpg",     "orient-2.jpg",
    "orient-3.jpg",      "orient-4.jpg",     "orient-5.jpg",     "orient-6.jpg",
    "orient-7.jpg",      "orient-8.jpg",     "exif.jpg",         "trailing-junk.jpg",
    "extraneous.jpg",    "arithmetic.jpg",
};
#define JPEGS (sizeof jpegs / sizeof jpegs[0])

/* Pillow brings its own libjpeg-turbo, newer than the system's. The two give
 * the same bytes here; another release may round a pixel otherwise, hence a
 * level of 2 on one sample in a hundred. */
static void jpegs_equal_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < JPEGS; i++) {
        char              ref_name[128];
        struct image_info info;
        (void)snprintf(ref_name, sizeof ref_name, "%s.ref.png", jpegs[i]);
        struct image img = decoded(jpegs[i], 0, &info), ref = decoded(ref_name, 0, NULL);
        assert_int_equal(info.kind, IMAGE_JPEG);
        assert_int_equal(img.width, ref.width);
        assert_int_equal(img.height, ref.height);
        assert_int_equal(info.width, ref.width);
        assert_int_equal(info.height, ref.height);
        size_t n = (size_t)img.width * (size_t)img.height * 3, off = 0;
        for (size_t k = 0; k < n; k++) {
            int gap = abs(img.data[k] - ref.data[k]);
            off += gap != 0;
            if (gap > 2)
                fail_msg("%s: byte %zu is off by %d", jpegs[i], k, gap);
        }
        if (off * 100 > n)
            fail_msg("%s: %zu of %zu bytes are off", jpegs[i], off, n);
        image_free(&img);
        image_free(&ref);
    }
}

static void pngs_equal_their_samples(void **state)
{
    (void)state;
    FILE *list = fopen(IMAGES "png.txt", "r");
    assert_non_null(list);
    char     name[128];
    int      width, height, count = 0;
    unsigned crc;
    while (fscanf(list, "%127s %d %d %x", name, &width, &height, &crc) == 4) {
        struct image_info info;
        struct image      img = decoded(name, 224, &info);
        assert_int_equal(info.kind, IMAGE_PNG);
        assert_int_equal(info.orientation, strstr(name, "exif") ? 6 : 1);
        assert_int_equal(img.width, width);
        assert_int_equal(img.height, height);
        if (picture_crc(img.data, (size_t)width * (size_t)height * 3) != crc)
            fail_msg("%s has other pixels", name);
        image_free(&img);
        count++;
    }
    (void)fclose(list);
    assert_int_equal(count, 58);
}

static void exif_is_read(void **state)
{
    (void)state;
    struct bytes      file = load("exif.jpg");
    struct err        err  = ERR_INIT;
    struct image_info info;
    assert_int_equal(image_probe(file.data, file.n, &info, &err), 0);
    assert_int_equal(info.orientation, 6);
    assert_int_equal(info.width, 16); /* 24 x 16, on its side */
    assert_int_equal(info.height, 24);
    assert_int_equal(info.taken_at, 1709242198); /* 2024-02-29T21:29:58Z */
    assert_string_equal(info.camera, "Osprey Optics Talon 3");

    /* The same file with senseless values: as if they were absent. */
    static const struct {
        const char *from, *to;
    } edits[] = {{"2024:02:29", "2023:02:29"}, {"Talon\t 3", "\xFF\xFE\x01lon 3"}};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *at = memmem(file.data, file.n, edits[i].from, strlen(edits[i].from));
        assert_non_null(at);
        memcpy(at, edits[i].to, strlen(edits[i].to));
    }
    assert_int_equal(image_probe(file.data, file.n, &info, &err), 0);
    assert_int_equal(info.taken_at, 0);
    assert_string_equal(info.camera, "Osprey Optics \xEF\xBF\xBD\xEF\xBF\xBD lon 3");
    free(file.data);

    file = load("orient-8.jpg");
    assert_int_equal(image_probe(file.data, file.n, &info, &err), 0);
    assert_int_equal(info.orientation, 8);
    assert_int_equal(info.taken_at, 0);
    assert_string_equal(info.camera, "");
    free(file.data);
}

static void probing_needs_the_header_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"baseline-420.jpg", "progressive.jpg", "rgba16-adam7.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bytes      file = load(names[i]);
        struct err        err  = ERR_INIT;
        struct image_info info;
        assert_int_equal(image_probe(file.data, file.n * 2 / 3, &info, &err), 0);
        assert_int_equal(info.width, i < 2 ? 61 : 37);
        assert_int_equal(info.height, i < 2 ? 45 : 21);
        free(file.data);
    }
}

static void kinds_go_by_content(void **state)
{
    (void)state;
    static const uint8_t gif[] = "GIF88a";
    struct err           err   = ERR_INIT;
    struct image         img;
    struct image_info    info;
    assert_string_equal(image_kind_name(IMAGE_JPEG), "JPEG");
    assert_string_equal(image_kind_name(IMAGE_PNG), "PNG");
    assert_string_equal(image_kind_name(IMAGE_UNKNOWN), "unknown");
    assert_int_equal(image_kind_of(gif, 6), IMAGE_UNKNOWN);
    assert_int_equal(image_kind_of(gif, 0), IMAGE_UNKNOWN);
    assert_int_equal(image_decode(gif, 6, 0, NULL, &img, &info, &err), ERR_FORMAT);
    assert_string_equal(err.msg, "not a picture of any known format");
    assert_int_equal(image_decode(gif, 0, 0, NULL, &img, NULL, &err), ERR_FORMAT);
    assert_string_equal(err.msg, "the file is empty");
    assert_null(img.data);
}

static void scaled_decoding_keeps_enough(void **state)
{
    (void)state;
    /* 61 x 45: the shorter side stays at least twice what is asked for. */
    static const struct {
        int min_side, width, height;
    } cases[] = {{0, 61, 45},  {1, 16, 12},  {3, 8, 6},    {5, 16, 12},         {11, 31, 23},
                 {12, 39, 29}, {22, 61, 45}, {23, 61, 45}, {1000000000, 61, 45}};
    for (size_t i = 1; i < sizeof cases / sizeof cases[0]; i++) {
        struct image_info info;
        struct image      img = decoded("baseline-420.jpg", cases[i].min_side, &info);
        assert_int_equal(info.width, 61);
        assert_int_equal(info.height, 45);
        int shorter = img.height;
        if (shorter < 45)
            assert_true(shorter >= 2 * cases[i].min_side);
        if (i > 1) {
            assert_int_equal(img.width, cases[i].width);
            assert_int_equal(img.height, cases[i].height);
        } else {
            assert_int_equal(img.width, 8); /* one eighth is the least there is */
        }
        image_free(&img);
    }
    /* Turned pictures too. */
    struct image img = decoded("orient-6.jpg", 4, NULL); /* 29 x 18 on its side, at 4/8 */
    assert_int_equal(img.width, 9);
    assert_int_equal(img.height, 15);
    image_free(&img);
}

/* Decodes and wants an error of this code that says this. */
static void refused(const uint8_t *bytes, size_t n, const struct image_limits *limits, int code,
                    const char *says)
{
    struct err   err = ERR_INIT;
    struct image img;
    int          rc = image_decode(bytes, n, 0, limits, &img, NULL, &err);
    if (rc != code || !strstr(err.msg, says))
        fail_msg("wanted %d \"%s\", got %d \"%s\"", code, says, rc, err.msg);
    assert_int_equal(err.code, code);
    assert_null(img.data);
}

static void truncation_says_how_far(void **state)
{
    (void)state;
    struct bytes file = load("baseline-444.jpg");
    refused(file.data, 20, NULL, ERR_FORMAT, "truncated in its header");
    refused(file.data, file.n * 3 / 4, NULL, ERR_FORMAT, " of 45 rows");
    refused(file.data, file.n - 2, NULL, ERR_FORMAT, "truncated after 40 of 45 rows");
    free(file.data);
    file = load("progressive.jpg");
    refused(file.data, file.n * 3 / 4, NULL, ERR_FORMAT, "truncated in scan ");
    free(file.data);
    file = load("rgb8.png");
    refused(file.data, 30, NULL, ERR_FORMAT, "truncated in its header");
    refused(file.data, file.n * 2 / 3, NULL, ERR_FORMAT, " of 21 rows");
    struct err   err = ERR_INIT;
    struct image img; /* without the end chunk: every row is there */
    assert_int_equal(image_decode(file.data, file.n - 12, 0, NULL, &img, NULL, &err), 0);
    image_free(&img);
    refused(file.data, file.n - 13, NULL, ERR_FORMAT, "truncated after 20 of 21 rows");
    file.data[file.n - 13] ^= 1; /* a wrong checksum */
    refused(file.data, file.n, NULL, ERR_FORMAT, "CRC error");
    free(file.data);
    file = load("rgb8-adam7.png");
    refused(file.data, file.n * 2 / 3, NULL, ERR_FORMAT, "truncated in pass ");
    free(file.data);
}

static void lost_entropy_data_is_an_error(void **state)
{
    (void)state;
    struct bytes file = load("baseline-444.jpg");
    /* An end marker amid the data: no more follow. */
    memcpy(file.data + file.n * 3 / 4, "\xFF\xD9", 2);
    refused(file.data, file.n, NULL, ERR_FORMAT, "the data end too soon");
    free(file.data);
    file        = load("restart.jpg");
    uint8_t *at = memmem(file.data, file.n, "\xFF\xD1", 2);
    assert_non_null(at);
    at[1] = 0xD5;
    refused(file.data, file.n, NULL, ERR_FORMAT, "a piece is missing");
    free(file.data);
}

static void limits_come_before_memory(void **state)
{
    (void)state;
    struct image_limits few    = {.max_pixels = 61 * 45 - 1, .max_bytes = 1 << 30};
    struct image_limits narrow = {.max_pixels = 1 << 20, .max_bytes = 1000};
    struct bytes        file   = load("baseline-420.jpg");
    refused(file.data, file.n, &few, ERR_LIMIT, "61 x 45 pixels are more than the limit of 2,744");
    /* 60,000 x 60,000 in the frame header, which is where the sizes are. */
    uint8_t *frame = memmem(file.data, file.n, "\xFF\xC0\x00\x11\x08", 5);
    assert_non_null(frame);
    memcpy(frame + 5, "\xEA\x60\xEA\x60", 4);
    refused(file.data, file.n, NULL, ERR_LIMIT, "60,000 x 60,000 pixels");
    free(file.data);

    file = load("progressive.jpg");
    refused(file.data, file.n, &narrow, ERR_LIMIT, "more than the limit of 1,000");
    free(file.data);
    file = load("rgba8-adam7.png");
    refused(file.data, file.n, &narrow, ERR_LIMIT, "more than the limit of 1,000");
    free(file.data);

    file = load("grey1.png");
    static const struct {
        uint32_t    side[2];
        const char *says;
    } sizes[] = {{{60000, 60000}, "60,000 x 60,000"},
                 {{0x7FFFFFFF, 0x7FFFFFFF}, "pixels are more"},
                 {{1, 2000000}, "longer than 1000000"}};
    for (size_t i = 0; i < 3; i++) {
        uint8_t *head = file.data + 8;
        for (int k = 0; k < 8; k++)
            head[8 + k] = (uint8_t)(sizes[i].side[k / 4] >> (24 - 8 * (k % 4)));
        uint32_t crc = picture_crc(head + 4, 17);
        for (int k = 0; k < 4; k++)
            head[21 + k] = (uint8_t)(crc >> (24 - 8 * k));
        refused(file.data, file.n, NULL, ERR_LIMIT, sizes[i].says);
    }
    free(file.data);
}

static void scan_bombs_are_stopped(void **state)
{
    (void)state;
    /* The first scan of a progressive file again and again. */
    struct bytes file  = load("grey-progressive.jpg");
    uint8_t     *first = memmem(file.data, file.n, "\xFF\xDA", 2);
    assert_non_null(first);
    uint8_t *next = first + 2;
    while (next[0] != 0xFF || next[1] == 0)
        next++;
    size_t   head = (size_t)(next - file.data), scan = (size_t)(next - first);
    uint8_t *bomb = malloc(head + 200 * scan + 2);
    assert_non_null(bomb);
    size_t n = head;
    memcpy(bomb, file.data, head);
    for (int i = 0; i < 200; i++, n += scan)
        memcpy(bomb + n, first, scan);
    memcpy(bomb + n, "\xFF\xD9", 2);
    refused(bomb, n + 2, NULL, ERR_LIMIT, "more than 100 scans");
    free(bomb);
    free(file.data);
}

static void break_file(const char *name, uint32_t *rng, int *good, int *bad)
{
    struct bytes file = load(name);
    /* Exactly as long as it says, so that a read beyond is seen. */
    for (size_t n = 0; n < file.n; n += 97) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, file.data, n);
        try_broken(copy, n, good, bad);
        free(copy);
    }
    uint8_t *copy = malloc(file.n);
    assert_non_null(copy);
    for (int i = 0; i < 60; i++) {
        memcpy(copy, file.data, file.n);
        for (int flips = 0; flips <= i % 4; flips++) {
            *rng = *rng * 1664525u + 1013904223u;
            copy[(*rng >> 8) % file.n] ^= (uint8_t)(1u << (*rng & 7));
        }
        if (i % 5 == 0) { /* and a hole of zeros */
            *rng      = *rng * 1664525u + 1013904223u;
            size_t at = (*rng >> 8) % file.n, len = (*rng & 31) + 1;
            memset(copy + at, 0, at + len > file.n ? file.n - at : len);
        }
        try_broken(copy, file.n, good, bad);
    }
    free(copy);
    free(file.data);
}

static void broken_files_do_no_harm(void **state)
{
    (void)state;
    DIR *dir = opendir(IMAGES);
    assert_non_null(dir);
    const struct dirent *entry;
    uint32_t             rng  = 2463534242u;
    int                  good = 0, bad = 0;
    while ((entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);
        if (n > 4 && !strstr(entry->d_name, ".ref.") &&
            (!strcmp(entry->d_name + n - 4, ".jpg") || !strcmp(entry->d_name + n - 4, ".png")))
            break_file(entry->d_name, &rng, &good, &bad);
    }
    (void)closedir(dir);
    assert_true(good + bad > 5000);
    assert_true(bad > 2000);
}

/* EXIF alone, broken harder: it must neither fail the decoding nor crash. */
static void broken_exif_is_none(void **state)
{
    (void)state;
    struct bytes file = load("exif.jpg");
    uint8_t     *at   = memmem(file.data, file.n, "Exif\0", 6);
    assert_non_null(at);
    size_t   from = (size_t)(at - file.data) + 6;
    size_t   size = ((size_t)at[-2] << 8 | at[-1]) - 8;
    uint32_t rng  = 88172645u;
    uint8_t *copy = malloc(file.n);
    assert_non_null(copy);
    for (int i = 0; i < 3000; i++) {
        struct err        err = ERR_INIT;
        struct image      img;
        struct image_info info;
        memcpy(copy, file.data, file.n);
        for (int k = 0; k <= i % 7; k++) {
            rng                            = rng * 1664525u + 1013904223u;
            copy[from + (rng >> 8) % size] = i % 2 ? (uint8_t)(rng >> 20) : 0xFF;
        }
        assert_int_equal(image_decode(copy, file.n, 0, NULL, &img, &info, &err), 0);
        assert_true(info.orientation >= 1 && info.orientation <= 8);
        assert_non_null(memchr(info.camera, 0, sizeof info.camera));
        image_free(&img);
    }
    free(copy);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_equal_pillow),
        cmocka_unit_test(pngs_equal_their_samples),
        cmocka_unit_test(exif_is_read),
        cmocka_unit_test(probing_needs_the_header_alone),
        cmocka_unit_test(kinds_go_by_content),
        cmocka_unit_test(scaled_decoding_keeps_enough),
        cmocka_unit_test(truncation_says_how_far),
        cmocka_unit_test(lost_entropy_data_is_an_error),
        cmocka_unit_test(limits_come_before_memory),
        cmocka_unit_test(scan_bombs_are_stopped),
        cmocka_unit_test(broken_files_do_no_harm),
        cmocka_unit_test(broken_exif_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
