/* Tests of core/image/resize: equal to Pillow byte for byte, with and without
 * AVX2, whole and in windows. */
#include "base/cpu.h"
#include "image/resize.h"
#include "image/resize_kernels.h"
#include "tests/picture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every case of the file, under the instruction set given by $OSPREY_CPU. */
static void check_goldens(void)
{
    FILE *file = fopen(TEST_DATA "/resize.txt", "r");
    assert_non_null(file);
    int          iw, ih, ow, oh, resample, cases = 0;
    unsigned int seed, crc;
    while (fscanf(file, "%d %d %d %d %d %u %x", &iw, &ih, &ow, &oh, &resample, &seed, &crc) == 7) {
        struct err   err = ERR_INIT;
        struct image out, in = picture_new(iw, ih, seed);
        assert_non_null(in.data);
        assert_int_equal(image_resize(&in, ow, oh, (enum resample)resample, &out, &err), 0);
        assert_int_equal(out.width, ow);
        assert_int_equal(out.height, oh);
        if (picture_crc(out.data, (size_t)ow * (size_t)oh * 3) != crc)
            fail_msg("%d x %d to %d x %d, resampling %d, seed %u", iw, ih, ow, oh, resample, seed);
        image_free(&out);
        image_free(&in);
        cases++;
    }
    (void)fclose(file);
    assert_int_equal(cases, 336);
}

static void equals_pillow(void **state)
{
    (void)state;
    check_goldens();
}

static void equals_pillow_without_vectors(void **state)
{
    (void)state;
    assert_int_equal(setenv("OSPREY_CPU", "portable", 1), 0);
    check_goldens();
    assert_int_equal(unsetenv("OSPREY_CPU"), 0);
}

static void windows_equal_the_whole(void **state)
{
    (void)state;
    uint32_t rng = 12345;
    for (int i = 0; i < 400; i++) {
        int n[6];
        for (int k = 0; k < 6; k++) {
            rng  = rng * 1664525u + 1013904223u;
            n[k] = (int)(rng >> 16);
        }
        struct err    err = ERR_INIT;
        struct image  in  = picture_new(1 + n[0] % 97, 1 + n[1] % 83, (uint32_t)i);
        int           ow = 1 + n[2] % 90, oh = 1 + n[3] % 110;
        enum resample resample = i % 3 == 0   ? RESAMPLE_NEAREST
                                 : i % 3 == 1 ? RESAMPLE_BILINEAR
                                              : RESAMPLE_BICUBIC;
        struct image  whole;
        assert_int_equal(image_resize(&in, ow, oh, resample, &whole, &err), 0);
        struct resize_window window = {.x = n[4] % ow, .y = n[5] % oh};
        window.width                = 1 + n[0] % (ow - window.x);
        window.height               = 1 + n[1] % (oh - window.y);
        size_t   stride             = (size_t)window.width * 3 + 5;
        uint8_t *part               = malloc(stride * (size_t)window.height);
        assert_non_null(part);
        memset(part, 0xA5, stride * (size_t)window.height);
        assert_int_equal(image_resize_window(&in, ow, oh, resample, &window, part, stride, &err),
                         0);
        for (int y = 0; y < window.height; y++) {
            const uint8_t *row = part + (size_t)y * stride;
            assert_memory_equal(
                row, whole.data + ((size_t)(window.y + y) * (size_t)ow + (size_t)window.x) * 3,
                (size_t)window.width * 3);
            for (size_t k = stride - 5; k < stride; k++) /* between the rows: untouched */
                assert_int_equal(row[k], 0xA5);
        }
        free(part);
        image_free(&whole);
        image_free(&in);
    }
}

static void extreme_shapes_stay_small(void **state)
{
    (void)state;
    /* Whole, this would be 224 x 44,800,000 pixels. */
    struct err           err    = ERR_INIT;
    struct image         in     = picture_new(1, 200000, 1);
    struct resize_window window = {.x = 0, .y = 22399888, .width = 224, .height = 224};
    uint8_t             *out    = malloc((size_t)224 * 224 * 3);
    assert_non_null(in.data);
    assert_non_null(out);
    assert_int_equal(image_resize_window(&in, 224, 44800000, RESAMPLE_BICUBIC, &window, out,
                                         (size_t)224 * 3, &err),
                     0);
    /* Enlarged 224 times, the middle row is row 100,000's, between its neighbours. */
    for (int c = 0; c < 3; c++)
        assert_int_equal(out[(size_t)224 * 3 * 223 + (size_t)c],
                         out[(size_t)224 * 3 * 223 + 3 * 223 + (size_t)c]);
    free(out);
    image_free(&in);
}

static void senseless_requests_are_errors(void **state)
{
    (void)state;
    struct err   err = ERR_INIT;
    struct image out, in = picture_new(4, 4, 1);
    uint8_t      bytes[48];
    assert_int_equal(image_resize(&in, 0, 4, RESAMPLE_BICUBIC, &out, &err), ERR_USAGE);
    assert_int_equal(image_resize(&in, 4, -1, RESAMPLE_BICUBIC, &out, &err), ERR_USAGE);
    assert_int_equal(image_resize(&in, 4, 4, (enum resample)1, &out, &err), ERR_UNSUPPORTED);
    assert_null(out.data);
    struct resize_window window = {.x = 3, .y = 0, .width = 2, .height = 2};
    assert_int_equal(image_resize_window(&in, 4, 4, RESAMPLE_BICUBIC, &window, bytes, 12, &err),
                     ERR_USAGE);
    assert_non_null(strstr(err.msg, "not inside 4 x 4"));
    image_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),
        cmocka_unit_test(equals_pillow_without_vectors),
        cmocka_unit_test(windows_equal_the_whole),
        cmocka_unit_test(extreme_shapes_stay_small),
        cmocka_unit_test(senseless_requests_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
