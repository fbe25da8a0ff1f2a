/* Tests of core/image/fingerprint.h and alike.h: versions of a picture are the same, other
 * pictures of its scene are not. */
#include "image/alike.h"
#include "image/fingerprint.h"
#include "image/resize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A scene seen through a window: smooth shapes at several scales, told by a seed, and a disc. */
struct view {
    double   x, y, w, h; /* of the scene, which is 0 0 1 1 */
    double   gain, lift; /* of its light */
    double   disc_x, disc_y;
    uint32_t seed;
    bool     grey;
};

static const struct view plain = {0, 0, 1, 1, 1, 0, 0.3, 0.4, 1, false};

static double wave(uint32_t seed, int i)
{
    uint32_t h = seed * 2654435761u + (uint32_t)i * 2246822519u;
    h ^= h >> 15;
    h *= 3266489917u;
    h ^= h >> 13;
    return (double)(h & 0xffff) / 65536;
}

static double scene(const struct view *v, double x, double y)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        double f = 1 + i, a = 6.28 * wave(v->seed, 2 * i);
        sum += sin(f * 3.1 * (x * cos(a) + y * sin(a)) + 6.28 * wave(v->seed, 2 * i + 1)) /
               (1 + 0.35 * i);
    }
    double dx = x - v->disc_x, dy = y - v->disc_y;
    return 118 + 26 * sum + (dx * dx + dy * dy < 0.012 ? 70 : 0);
}

static struct image look(const struct view *v, int width, int height)
{
    struct image img = {.width = width, .height = height};
    img.data         = malloc((size_t)width * (size_t)height * 3);
    assert_non_null(img.data);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double light =
                scene(v, v->x + (x + 0.5) / width * v->w, v->y + (y + 0.5) / height * v->h);
            for (int c = 0; c < 3; c++) {
                double p = v->lift + v->gain * (light + (v->grey ? 0 : 25 * (c - 1)));
                img.data[(y * width + x) * 3 + c] = (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
            }
        }
    return img;
}

static void print_of(const struct view *v, int width, int height, uint8_t *out)
{
    struct err   err = ERR_INIT;
    struct image img = look(v, width, height);
    assert_int_equal(fingerprint_make(&img, out, &err), 0);
    image_free(&img);
}

static struct alike compare(const struct view *a, const struct view *b)
{
    uint8_t      pa[FINGERPRINT_BYTES], pb[FINGERPRINT_BYTES];
    struct alike out;
    print_of(a, 240, 180, pa);
    print_of(b, 240, 180, pb);
    alike_compare(pa, pb, 0.96f, &out);
    return out;
}

static void assert_same(const struct alike *a)
{
    if (!(a->score >= 0.98f && a->within && a->worst < 0.6f))
        fail_msg("score %g, within %d, worst %g", (double)a->score, a->within, (double)a->worst);
}

static void a_picture_is_itself(void **state)
{
    (void)state;
    struct alike a = compare(&plain, &plain);
    assert_true(a.score > 0.9999f && a.within && a.worst < 0.001f && a.turns == 0);
    assert_float_equal(a.gain, 1, 1e-3);
}

static void light_and_colour_do_not_matter(void **state)
{
    (void)state;
    struct view bright = plain, dark = plain, grey = plain;
    bright.gain    = 1.2;
    dark.gain      = 0.6;
    dark.lift      = 15;
    grey.grey      = true;
    struct alike a = compare(&plain, &bright);
    assert_same(&a);
    assert_true(a.gain > 1.1f);
    a = compare(&plain, &dark);
    assert_same(&a);
    assert_float_equal(a.gain, 0.6, 0.02);
    a = compare(&plain, &grey);
    assert_same(&a);
}

static void colour_is_noticed(void **state)
{
    (void)state;
    uint8_t     a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
    struct view grey = plain;
    grey.grey        = true;
    print_of(&plain, 64, 64, a);
    print_of(&grey, 64, 64, b);
    assert_true(fingerprint_has_colour(a));
    assert_false(fingerprint_has_colour(b));
    assert_true(fingerprint_is_sound(a, sizeof a));
    assert_false(fingerprint_is_sound(a, sizeof a - 1));
    a[0] = FINGERPRINT_VERSION + 1;
    assert_false(fingerprint_is_sound(a, sizeof a));
}

static void size_does_not_matter(void **state)
{
    (void)state;
    uint8_t      a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
    struct alike out;
    print_of(&plain, 1200, 900, a);
    print_of(&plain, 150, 112, b);
    alike_compare(a, b, 0.96f, &out);
    assert_same(&out);
}

/* The frame that was cut is found, in whichever order the two come. */
static void cuts_are_the_same(void **state)
{
    (void)state;
    const double cuts[][4] = {{0.025, 0.025, 0.95, 0.95},
                              {0, 0, 0.95, 0.95},
                              {0.05, 0, 0.95, 1},
                              {0.08, 0.06, 0.9, 0.92},
                              {0, 0.1, 1, 0.9}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        for (uint32_t seed = 1; seed < 9; seed++) {
            struct view whole = plain, cut = plain;
            whole.seed = cut.seed = seed;
            cut.x                 = cuts[i][0];
            cut.y                 = cuts[i][1];
            cut.w                 = cuts[i][2];
            cut.h                 = cuts[i][3];
            struct alike a        = compare(&whole, &cut);
            assert_same(&a);
            assert_float_equal(a.x, cut.x, 0.012);
            assert_float_equal(a.y, cut.y, 0.012);
            assert_float_equal(a.w, cut.w, 0.02);
            assert_float_equal(a.h, cut.h, 0.02);
            a = compare(&cut, &whole);
            assert_same(&a);
            assert_true(a.w > 1 - 0.012f && a.h > 1 - 0.012f);
        }
}

static void turn_image(struct image *img)
{
    struct image out = {.width = img->height, .height = img->width};
    out.data         = malloc((size_t)out.width * (size_t)out.height * 3);
    assert_non_null(out.data);
    for (int y = 0; y < img->height; y++)
        for (int x = 0; x < img->width; x++)
            memcpy(out.data + (x * out.width + (img->height - 1 - y)) * 3,
                   img->data + (y * img->width + x) * 3, 3);
    image_free(img);
    *img = out;
}

static void turns_are_told(void **state)
{
    (void)state;
    uint8_t      a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
    struct image img = look(&plain, 240, 180);
    struct err   err = ERR_INIT;
    float        shape[FINGERPRINT_SHAPE], turned[FINGERPRINT_SHAPE];
    print_of(&plain, 240, 180, a);
    for (int turns = 1; turns < 4; turns++) {
        struct alike out;
        turn_image(&img);
        assert_int_equal(fingerprint_make(&img, b, &err), 0);
        alike_compare(a, b, 0.96f, &out);
        assert_same(&out);
        assert_int_equal(out.turns, 4 - turns);
        /* The shape turns as the picture does. */
        float dot = 0;
        fingerprint_shape(a, turns, shape);
        fingerprint_shape(b, 0, turned);
        for (int i = 0; i < FINGERPRINT_SHAPE; i++)
            dot += shape[i] * turned[i];
        assert_true(dot > 0.999f);
    }
    image_free(&img);
}

static void other_pictures_are_not_the_same(void **state)
{
    (void)state;
    for (uint32_t seed = 2; seed < 60; seed++) {
        struct view other  = plain;
        other.seed         = seed;
        struct alike found = compare(&plain, &other);
        assert_true(found.score < 0.9f);
    }
}

/* The next picture of a burst: the frame has moved on, or something in it has. */
static void the_next_of_a_burst_is_not_the_same(void **state)
{
    (void)state;
    struct view beside = plain, moved = plain;
    beside.x       = 0.06;
    beside.y       = -0.04;
    struct alike a = compare(&plain, &beside);
    assert_true(a.score > 0.9f);
    assert_false(a.within);
    moved.disc_x = 0.38;
    a            = compare(&plain, &moved);
    assert_true(a.within);
    assert_true(a.worst > 1);
}

static void pictures_of_nothing_are_not_compared(void **state)
{
    (void)state;
    uint8_t      a[FINGERPRINT_BYTES] = {FINGERPRINT_VERSION}, b[FINGERPRINT_BYTES];
    struct alike out;
    float        shape[FINGERPRINT_SHAPE];
    memset(a + 2, 250, FINGERPRINT_PIXELS);
    a[2 + 70] = 249;
    alike_compare(a, a, 0.96f, &out);
    assert_true(out.score == 0 && !out.within);
    print_of(&plain, 64, 64, b);
    alike_compare(a, b, 0.96f, &out);
    assert_true(out.score == 0);
    memset(a + 2, 250, FINGERPRINT_PIXELS);
    fingerprint_shape(a, 0, shape);
    for (int i = 0; i < FINGERPRINT_SHAPE; i++)
        assert_true(shape[i] == 0);
}

/* Whatever bytes come: finite numbers, no trap. */
static void noise_is_survived(void **state)
{
    (void)state;
    uint8_t  a[FINGERPRINT_BYTES], b[FINGERPRINT_BYTES];
    uint32_t h = 7;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < FINGERPRINT_BYTES; i++) {
            h    = h * 1664525u + 1013904223u;
            a[i] = (uint8_t)(h >> 24);
            b[i] = round % 3 ? (uint8_t)(h >> 16) : (uint8_t)(a[i] ^ (h >> 29));
        }
        struct alike out;
        alike_compare(a, b, 0.96f, &out);
        assert_true(isfinite(out.score) && out.score >= 0 && out.score <= 1.0001f);
        assert_true(isfinite(out.x) && isfinite(out.w));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_itself),
        cmocka_unit_test(light_and_colour_do_not_matter),
        cmocka_unit_test(colour_is_noticed),
        cmocka_unit_test(size_does_not_matter),
        cmocka_unit_test(cuts_are_the_same),
        cmocka_unit_test(turns_are_told),
        cmocka_unit_test(other_pictures_are_not_the_same),
        cmocka_unit_test(the_next_of_a_burst_is_not_the_same),
        cmocka_unit_test(pictures_of_nothing_are_not_compared),
        cmocka_unit_test(noise_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
