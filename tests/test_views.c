/* Unit tests of core/learn/views: crops lie inside, keep their area, and mirror. */
#include "learn/views.h"

#include "base/splitmix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Each pixel tells where it is: (x low, y low, x and y high). */
static struct image make_picture(int width, int height)
{
    struct image img = {
        .width = width, .height = height, .data = malloc((size_t)width * (size_t)height * 3)};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *p = img.data + ((size_t)y * (size_t)width + (size_t)x) * 3;
            p[0]       = (uint8_t)x;
            p[1]       = (uint8_t)y;
            p[2]       = (uint8_t)(x >> 8 << 4 | y >> 8);
        }
    return img;
}

static int x_at(const struct image *v, int x, int y)
{
    const uint8_t *p = v->data + ((size_t)y * (size_t)v->width + (size_t)x) * 3;
    return p[0] | p[2] >> 4 << 8;
}

static int y_at(const struct image *v, int x, int y)
{
    const uint8_t *p = v->data + ((size_t)y * (size_t)v->width + (size_t)x) * 3;
    return p[1] | (p[2] & 15) << 8;
}

/* A view is a rectangle of its picture, mirrored or not. */
static bool assert_is_part(const struct image *in, const struct image *v)
{
    bool mirrored = v->width > 1 && x_at(v, 0, 0) > x_at(v, 1, 0);
    int  x0 = x_at(v, mirrored ? v->width - 1 : 0, 0), y0 = y_at(v, 0, 0);
    assert_true(x0 + v->width <= in->width && y0 + v->height <= in->height);
    for (int y = 0; y < v->height; y++)
        for (int x = 0; x < v->width; x++) {
            assert_int_equal(x_at(v, x, y), x0 + (mirrored ? v->width - 1 - x : x));
            assert_int_equal(y_at(v, x, y), y0 + y);
        }
    return mirrored;
}

static void views_are_parts_of_the_area_asked_for(void **state)
{
    (void)state;
    struct image      in    = make_picture(300, 200);
    const struct view view  = {.area_low = 0.2, .area_high = 0.6, .mirrored = 0.5};
    uint64_t          seed  = 1;
    int               turns = 0;
    double            least = 1, most = 0, x_sum = 0;
    for (int i = 0; i < 400; i++) {
        struct image v;
        struct err   err = ERR_INIT;
        assert_int_equal(view_make(&in, &view, &seed, &v, &err), 0);
        bool   mirrored = assert_is_part(&in, &v);
        double share    = (double)v.width * v.height / (300 * 200);
        double ratio    = (double)v.width / v.height;
        turns += mirrored;
        least = fmin(least, share);
        most  = fmax(most, share);
        x_sum += x_at(&v, v.width / 2, 0);
        assert_true(share > 0.19 && share < 0.61);
        assert_true(ratio > 0.73 && ratio < 1.36);
        image_free(&v);
    }
    assert_true(least < 0.22 && most > 0.55);
    assert_in_range(turns, 150, 250);
    assert_float_equal(x_sum / 400, 150, 8); /* no side is preferred */
    image_free(&in);
}

static void one_state_makes_one_view(void **state)
{
    (void)state;
    struct image      in   = make_picture(64, 48);
    const struct view view = {.area_low = 0.1, .area_high = 1, .mirrored = 1};
    uint64_t          a = 7, b = 7, c = 8;
    struct image      u, v, w;
    struct err        err = ERR_INIT;
    assert_int_equal(view_make(&in, &view, &a, &u, &err), 0);
    assert_int_equal(view_make(&in, &view, &b, &v, &err), 0);
    assert_int_equal(view_make(&in, &view, &c, &w, &err), 0);
    assert_true(a == b && u.width == v.width && u.height == v.height);
    assert_memory_equal(u.data, v.data, (size_t)u.width * (size_t)u.height * 3);
    assert_true(u.width != w.width || u.height != w.height || x_at(&u, 0, 0) != x_at(&w, 0, 0));
    assert_true(assert_is_part(&in, &u));
    image_free(&u);
    image_free(&v);
    image_free(&w);
    image_free(&in);
}

static void narrow_pictures_have_views(void **state)
{
    (void)state;
    const int         sizes[][2] = {{1, 1}, {1, 500}, {500, 1}, {2, 3}, {900, 20}};
    const struct view view       = {.area_low = 0.1, .area_high = 1, .mirrored = 0.5};
    uint64_t          seed       = 3;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct image in = make_picture(sizes[i][0], sizes[i][1]);
        for (int n = 0; n < 50; n++) {
            struct image v;
            struct err   err = ERR_INIT;
            assert_int_equal(view_make(&in, &view, &seed, &v, &err), 0);
            assert_is_part(&in, &v);
            image_free(&v);
        }
        image_free(&in);
    }
    struct image empty = {0}, v;
    struct err   err   = ERR_INIT;
    assert_int_equal(view_make(&empty, &view, &seed, &v, &err), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_parts_of_the_area_asked_for),
        cmocka_unit_test(one_state_makes_one_view),
        cmocka_unit_test(narrow_pictures_have_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
