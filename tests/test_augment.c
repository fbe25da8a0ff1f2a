/* Unit tests of core/learn/augment: views of pictures, drawn from seeds. */
#include "learn/augment.h"
#include "learn/views.h"

#include "tests/picture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIDE  32
#define BYTES (SIDE * SIDE * 3)

static const struct preprocess square = {
    .resize_w = SIDE, .resize_h = SIDE, .resample = RESAMPLE_BICUBIC, .out_w = SIDE, .out_h = SIDE};

static void view(enum augment_kind kind, const struct augment *a, const struct image *in,
                 uint64_t seed, uint8_t out[BYTES])
{
    struct err err = ERR_INIT;
    if (augment_image(kind, a, &square, in, seed, out, &err))
        fail_msg("%s", err.msg);
}

static void test_flip_is_the_mirror_image(void **state)
{
    (void)state;
    struct image picture = picture_new(50, 41, 2);
    uint8_t      plain[BYTES], flipped[BYTES], expected[BYTES];
    assert_non_null(picture.data);
    view(AUGMENT_NONE, NULL, &picture, 0, plain);
    view(AUGMENT_FLIP, NULL, &picture, 0, flipped);
    assert_int_equal(preprocess_image(&square, &picture, expected, NULL), 0);
    assert_memory_equal(plain, expected, BYTES);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++)
            assert_memory_equal(flipped + (y * SIDE + x) * 3, plain + (y * SIDE + SIDE - 1 - x) * 3,
                                3);
    }
    assert_memory_not_equal(flipped, plain, BYTES);
    image_free(&picture);
}

static void test_seeds_decide(void **state)
{
    (void)state;
    struct augment a       = {.min_area = 0.5, .jitter = 0.2};
    struct image   picture = picture_new(70, 40, 1);
    uint8_t        first[BYTES], again[BYTES], other[BYTES];
    view(AUGMENT_CROP, &a, &picture, 7, first);
    view(AUGMENT_CROP, &a, &picture, 7, again);
    view(AUGMENT_CROP, &a, &picture, 8, other);
    assert_memory_equal(first, again, BYTES);
    assert_memory_not_equal(first, other, BYTES);
    image_free(&picture);
}

/* Without jitter, a crop of the whole of an evenly coloured picture changes
 * nothing; with it, colours move by at most their factors. */
static void test_jitter_moves_colours_a_little(void **state)
{
    (void)state;
    struct image picture = picture_new(40, 40, 2);
    uint8_t      out[BYTES];
    int          moved = 0;
    for (int i = 0; i < 40 * 40; i++) {
        picture.data[3 * i]     = 120;
        picture.data[3 * i + 1] = 60;
        picture.data[3 * i + 2] = 200;
    }
    struct augment still = {.min_area = 0.3}, lively = {.min_area = 1, .jitter = 0.2};
    view(AUGMENT_CROP, &still, &picture, 3, out);
    for (int i = 0; i < SIDE * SIDE; i++)
        assert_memory_equal(out + 3 * i, picture.data, 3);
    for (uint64_t seed = 0; seed < 50; seed++) {
        view(AUGMENT_CROP, &lively, &picture, seed, out);
        for (int i = 1; i < SIDE * SIDE; i++)
            assert_memory_equal(out, out + 3 * i, 3); /* everywhere alike */
        for (int c = 0; c < 3; c++) {
            int was = picture.data[c], is = out[c];
            moved += was != is;
            assert_true(abs(was - is) <= 0.2 * was + 0.2 * 255 + 2);
        }
    }
    assert_true(moved > 100);
    image_free(&picture);
}

static void test_mirrors_about_half(void **state)
{
    (void)state;
    struct augment a       = {.min_area = 1};
    struct image   picture = picture_new(SIDE, SIDE, 0);
    uint8_t        out[BYTES];
    int            mirrored = 0;
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++)
            memset(picture.data + (y * SIDE + x) * 3, x * 8, 3);
    }
    for (uint64_t seed = 0; seed < 400; seed++) {
        view(AUGMENT_CROP, &a, &picture, seed, out);
        mirrored += out[0] > out[(SIDE - 1) * 3];
    }
    assert_true(mirrored > 150 && mirrored < 250);
    image_free(&picture);
}

static void test_seeds_go_by_name_and_number(void **state)
{
    (void)state;
    const struct image small = {.width = 40, .height = 30}, large = {.width = 80, .height = 60};
    uint64_t           one = augment_seed("a.jpg", &small, 1, 0);
    assert_true(one == augment_seed("a.jpg", &small, 1, 0));
    assert_true(one != augment_seed("b.jpg", &small, 1, 0));
    assert_true(one != augment_seed("a.jpg", &large, 1, 0));
    assert_true(one != augment_seed("a.jpg", &small, 2, 0));
    assert_true(one != augment_seed("a.jpg", &small, 1, 1));
}

/* A picture decoded to the side that is asked for has parts that fill the square; one
 * much smaller has not. */
static void test_small_parts_fill_the_square(void **state)
{
    (void)state;
    const struct augment *a    = &augment_part;
    const struct view     view = {.area_low = a->min_area, .area_high = a->min_area};
    int                   side = augment_min_side(a, &square), least[2] = {1000, 1000};
    struct image          picture[2] = {picture_new(side, side, 2), picture_new(side / 2, side, 2)};
    for (int i = 0; i < 2; i++) {
        uint64_t random = 3;
        for (int n = 0; n < 200; n++) {
            struct image cut;
            assert_int_equal(view_make(&picture[i], &view, &random, &cut, NULL), 0);
            least[i] = cut.width < least[i] ? cut.width : least[i];
            least[i] = cut.height < least[i] ? cut.height : least[i];
            image_free(&cut);
        }
        image_free(&picture[i]);
    }
    assert_in_range(least[0], SIDE, SIDE + 2);
    assert_true(least[1] < SIDE - 4);
    assert_int_equal(augment_min_side(&(struct augment){0}, &square), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flip_is_the_mirror_image),
        cmocka_unit_test(test_seeds_decide),
        cmocka_unit_test(test_jitter_moves_colours_a_little),
        cmocka_unit_test(test_mirrors_about_half),
        cmocka_unit_test(test_seeds_go_by_name_and_number),
        cmocka_unit_test(test_small_parts_fill_the_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
