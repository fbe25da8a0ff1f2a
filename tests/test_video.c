/* Tests of videos: every fixture of tools/goldens/videos.py against the times of its
 * scenes and ffmpeg's own pixels; limits, truncation, broken bytes. */
#include "base/file.h"
#include "image/formats.h"
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VIDEOS    TEST_DATA "/videos/"
#define GRID      4 /* blocks a side */
#define MEANS     (3 * GRID * GRID)
#define TOLERANCE 3 /* of a block's mean: another FFmpeg may round otherwise */
#define MOST      8 /* frames */

/* One film of videos.txt. */
struct film {
    char      name[64], kind[16];
    int       width, height, frames, ms[MOST];
    long long taken_at;
    char      means[MOST][2 * MEANS + 1];
    uint8_t  *data;
    size_t    n;
};

static uint8_t *load(const char *name, size_t *n)
{
    char       path[512];
    uint8_t   *data = NULL;
    struct err err  = ERR_INIT;
    (void)snprintf(path, sizeof path, VIDEOS "%s", name);
    if (file_read(path, 1 << 20, &data, n, &err))
        fail_msg("%s", err.msg);
    return data;
}

static bool film_read(FILE *list, struct film *f)
{
    if (fscanf(list, "%63s %15s %d %d %lld %d", f->name, f->kind, &f->width, &f->height,
               &f->taken_at, &f->frames) != 6)
        return false;
    assert_in_range(f->frames, 1, MOST);
    for (int i = 0; i < f->frames; i++)
        assert_int_equal(fscanf(list, "%d %96s", &f->ms[i], f->means[i]), 2);
    f->data = load(f->name, &f->n);
    return true;
}

static void check_means(const struct film *f, int frame, const struct image *img)
{
    for (int b = 0; b < MEANS; b++) {
        int      block = b / 3, c = b % 3;
        int      x0 = img->width * (block % GRID) / GRID, y0 = img->height * (block / GRID) / GRID;
        int      x1     = img->width * (block % GRID + 1) / GRID;
        int      y1     = img->height * (block / GRID + 1) / GRID;
        double   sum    = 0;
        unsigned wanted = 0;
        for (int y = y0; y < y1; y++) {
            for (int x = x0; x < x1; x++)
                sum += img->data[((size_t)y * (size_t)img->width + (size_t)x) * 3 + (size_t)c];
        }
        assert_int_equal(sscanf(f->means[frame] + 2 * b, "%2x", &wanted), 1);
        double mean = sum / ((x1 - x0) * (y1 - y0));
        if (mean > wanted + TOLERANCE + 0.5 || mean < (double)wanted - TOLERANCE - 0.5)
            fail_msg("%s at %d ms: block %d, channel %d has %.1f, not %u", f->name, f->ms[frame],
                     block, c, mean, wanted);
    }
}

static void check_film(const struct film *f)
{
    struct err        err  = ERR_INIT;
    struct image_part part = {.frames = MOST, .time_ms = IMAGE_ANY_TIME};
    struct image_info info, header;
    struct image      img;
    if (image_probe(f->data, f->n, &header, &err) ||
        image_decode_part(f->data, f->n, &part, 0, NULL, &img, &info, &err))
        fail_msg("%s: %s", f->name, err.msg);
    assert_string_equal(image_kind_name(info.kind), f->kind);
    assert_int_equal(header.width, f->width);
    assert_int_equal(header.height, f->height);
    assert_int_equal(info.width, f->width);
    assert_int_equal(info.taken_at, f->taken_at);
    if (info.pages != f->frames)
        fail_msg("%s has %d scenes", f->name, info.pages);
    for (int i = 0; i < f->frames; i++) {
        if (info.times_ms[i] != f->ms[i])
            fail_msg("%s: scene %d is at %d ms, not %d", f->name, i, info.times_ms[i], f->ms[i]);
    }
    check_means(f, 0, &img);
    image_free(&img);
    for (int i = 0; i < f->frames; i++) {
        part.time_ms = f->ms[i];
        if (image_decode_part(f->data, f->n, &part, 0, NULL, &img, &info, &err))
            fail_msg("%s at %d ms: %s", f->name, f->ms[i], err.msg);
        assert_int_equal(img.width, f->width);
        assert_int_equal(img.height, f->height);
        check_means(f, i, &img);
        image_free(&img);
    }
}

static void scenes_equal_ffmpeg(void **state)
{
    struct film f;
    FILE       *list  = fopen(VIDEOS "videos.txt", "r");
    int         films = 0;
    (void)state;
    assert_non_null(list);
    for (; film_read(list, &f); films++) {
        check_film(&f);
        free(f.data);
    }
    (void)fclose(list);
    assert_true(films >= 10);
}

static void frames_are_as_many_as_wanted(void **state)
{
    static const int wanted[][3] = {{500}, {500, 4000}, {500, 2500, 4000}}; /* far apart */
    struct err       err         = ERR_INIT;
    size_t           n;
    uint8_t         *data = load("h264.mp4", &n);
    (void)state;
    for (int frames = 1; frames <= 3; frames++) {
        struct image_part part = {.frames = frames, .time_ms = IMAGE_ANY_TIME};
        struct image_info info;
        struct image      img;
        assert_int_equal(image_decode_part(data, n, &part, 0, NULL, &img, &info, &err), 0);
        assert_int_equal(info.pages, frames);
        for (int i = 0; i < frames; i++)
            assert_int_equal(info.times_ms[i], wanted[frames - 1][i]);
        image_free(&img);
    }
    free(data);
}

static void check_fails(const char *name, enum err_code code, const char *why)
{
    struct err   err = ERR_INIT;
    struct image img;
    size_t       n;
    uint8_t     *data = load(name, &n);
    assert_int_equal(image_decode(data, n, 0, NULL, &img, NULL, &err), code);
    if (!strstr(err.msg, why))
        fail_msg("%s: %s", name, err.msg);
    assert_null(img.data);
    free(data);
}

static void what_is_no_film_is_told(void **state)
{
    (void)state;
    check_fails("sound.mp4", ERR_FORMAT, "no moving pictures, only sound");
    check_fails("cut-header.mp4", ERR_FORMAT, "corrupt or truncated in its header");
}

static void limits_hold(void **state)
{
    struct image_limits few = {.max_pixels = 64 * 48 - 1, .max_bytes = 1 << 30};
    struct image_limits low = {.max_pixels = 1 << 20, .max_bytes = 64 * 48};
    struct err          err = ERR_INIT;
    struct image        img;
    size_t              n;
    uint8_t            *data = load("h264.mp4", &n);
    (void)state;
    assert_int_equal(image_decode(data, n, 0, &few, &img, NULL, &err), ERR_LIMIT);
    assert_int_equal(image_decode(data, n, 0, &low, &img, NULL, &err), ERR_LIMIT);
    free(data);
}

/* Whatever it comes to, it comes to an end, with a picture or an error. */
static int try_all(const uint8_t *data, size_t n)
{
    struct image_part part = {.frames = MOST, .time_ms = IMAGE_ANY_TIME};
    struct image_info info;
    struct image      img;
    struct err        err = ERR_INIT;
    int               rc  = image_decode_part(data, n, &part, 0, NULL, &img, &info, &err);
    assert_true(rc ? !img.data && err.msg[0] != '\0' : img.data && info.pages >= 1);
    image_free(&img);
    return rc;
}

static void broken_ones_do_no_harm(void **state)
{
    static const char *const names[] = {"h264.mp4", "vp9.webm", "mpeg4.mkv", "mjpeg.avi"};
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t   n;
        uint8_t *data   = load(names[k], &n);
        int      failed = 0;
        for (size_t cut = 16; cut < n; cut += n / 24) {
            uint8_t *part = malloc(cut); /* exactly, so that reads beyond are seen */
            assert_non_null(part);
            memcpy(part, data, cut);
            failed += try_all(part, cut) != 0;
            free(part);
        }
        assert_true(failed > 0);
        for (size_t at = 12; at < n; at += n / 40) {
            data[at] ^= 0xFF;
            (void)try_all(data, n);
        }
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes_equal_ffmpeg),     cmocka_unit_test(frames_are_as_many_as_wanted),
        cmocka_unit_test(what_is_no_film_is_told), cmocka_unit_test(limits_hold),
        cmocka_unit_test(broken_ones_do_no_harm),
    };
    if (!format_of(IMAGE_MP4)->built) {
        puts("without FFmpeg: nothing to test");
        return 0;
    }
    return cmocka_run_group_tests_name("video", tests, NULL, NULL);
}
