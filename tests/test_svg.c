/* Unit tests of core/base/svg: where points land, what is left out, and texts. */
#include "base/svg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

/* Tags must nest and close: what a browser needs at least. */
static void assert_well_formed(const char *text)
{
    char stack[16][16];
    int  depth = 0;
    for (const char *at = text; (at = strchr(at, '<')); at++) {
        const char *end = strchr(at, '>');
        assert_non_null(end);
        size_t n = strcspn(at + 1, " />");
        if (at[1] == '/') {
            assert_true(depth > 0);
            depth--;
            n = strcspn(at + 2, ">");
            assert_int_equal(n, strlen(stack[depth]));
            assert_memory_equal(at + 2, stack[depth], n);
        } else if (end[-1] != '/') {
            assert_true(depth < 16 && n < 16);
            memcpy(stack[depth], at + 1, n);
            stack[depth++][n] = '\0';
        }
    }
    assert_int_equal(depth, 0);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
}

static void draw(const struct svg_chart *chart, const struct svg_series *series, size_t n,
                 struct buf *out)
{
    struct err err = ERR_INIT;
    buf_init(out, SVG_CEILING);
    assert_int_equal(svg_line_chart(chart, series, n, out, &err), 0);
    assert_well_formed(buf_str(out));
}

static void points_land_on_their_values(void **state)
{
    (void)state;
    const double            x[] = {0, 5, 10}, y[] = {0, 50, 100};
    const struct svg_series s     = {.name = "s", .x = x, .y = y, .n = 3};
    const struct svg_chart  chart = {.title = "t", .y_low = 0, .y_high = 100};
    struct buf              out;
    draw(&chart, &s, 1, &out);
    /* The corners and the middle of the plot: 64 to 696, 364 down to 44. */
    assert_non_null(strstr(out.data, "points=\"64.0,364.0 380.0,204.0 696.0,44.0\""));
    assert_int_equal(count(out.data, "<circle"), 3);
    assert_non_null(strstr(out.data, ">100</text>"));
    buf_release(&out);
}

static void a_logarithmic_axis_spaces_decades_equally(void **state)
{
    (void)state;
    const double            x[] = {1, 10, 100}, y[] = {0, 1, 2};
    const struct svg_series s     = {.x = x, .y = y, .n = 3};
    const struct svg_chart  chart = {.log_x = true};
    struct buf              out;
    draw(&chart, &s, 1, &out);
    assert_non_null(strstr(out.data, "points=\"64.0,364.0 380.0,204.0 696.0,44.0\""));
    assert_non_null(strstr(out.data, ">50</text>")); /* a tick between the decades */
    buf_release(&out);
}

static void what_cannot_be_drawn_breaks_the_line(void **state)
{
    (void)state;
    const double            y[]   = {1, 2, NAN, 3, INFINITY, 1e301, 4, 5};
    const struct svg_series s[]   = {{.name = "a", .y = y, .n = 8}, {.name = "b", .y = y, .n = 0}};
    const struct svg_chart  chart = {0};
    struct buf              out;
    draw(&chart, s, 2, &out);
    assert_int_equal(count(out.data, "<polyline"), 3);
    assert_int_equal(count(out.data, "<circle"), 5);
    assert_int_equal(count(out.data, "class=\"line s1\""), 1); /* in the legend alone */
    buf_release(&out);
    const double            z[]      = {0, -1, 10, 1000};
    const struct svg_series positive = {.y = z, .n = 4};
    const struct svg_chart  log_y    = {.log_y = true};
    draw(&log_y, &positive, 1, &out);
    assert_int_equal(count(out.data, "<circle"), 2);
    buf_release(&out);
}

static void hard_ranges_are_drawn(void **state)
{
    (void)state;
    static const double cases[][2] = {{0, 0},          {7, 7},           {1e16, 1e16 + 2},
                                      {-1e300, 1e300}, {1e-310, 2e-310}, {-3, -3},
                                      {1e-12, 1e12},   {5e-324, 1e300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int log = 0; log < 2; log++) {
            const struct svg_series s     = {.y = cases[i], .n = 2};
            const struct svg_chart  chart = {.log_y = log};
            struct buf              out;
            draw(&chart, &s, 1, &out);
            assert_in_range(count(out.data, "class=\"grid\""), 1, 24);
            buf_release(&out);
        }
    struct buf out;
    draw(&(struct svg_chart){0}, NULL, 0, &out);
    assert_int_equal(count(out.data, "<polyline"), 0);
    buf_release(&out);
}

static void texts_are_escaped(void **state)
{
    (void)state;
    const double            y[]   = {1, 2};
    const struct svg_series s[]   = {{.name = "a<b>&\"c", .y = y, .n = 2}, {.y = y, .n = 2}};
    const struct svg_chart  chart = {.title = "\x01 \xff", .x_label = "\xc3\xa9", .y_label = "y"};
    struct buf              out;
    draw(&chart, s, 2, &out);
    assert_non_null(strstr(out.data, "a&lt;b>&amp;\"c"));
    assert_non_null(strstr(out.data, "<title>\xef\xbf\xbd \xef\xbf\xbd</title>"));
    assert_non_null(strstr(out.data, ">\xc3\xa9</text>"));
    buf_release(&out);
}

static void a_histogram_counts(void **state)
{
    (void)state;
    const double           values[] = {0, 0.5, 1, 2.5, 9.9, 10, NAN};
    const struct svg_chart chart    = {.x_label = "value"};
    struct buf             out;
    struct err             err = ERR_INIT;
    buf_init(&out, SVG_CEILING);
    assert_int_equal(svg_histogram(&chart, values, 7, 10, &out, &err), 0);
    assert_well_formed(out.data);
    /* Bins 0, 1, 2 and 9 with 2, 1, 1 and 2 values; axes 0 to 10 and 0 to 2. */
    assert_int_equal(count(out.data, "class=\"f0\""), 4);
    assert_int_equal(count(out.data, "height=\"320.0\""), 2);
    assert_int_equal(count(out.data, "height=\"160.0\""), 2);
    buf_release(&out);
    buf_init(&out, SVG_CEILING);
    assert_int_equal(svg_histogram(&chart, values, 0, 0, &out, &err), 0);
    assert_well_formed(out.data);
    buf_release(&out);
}

static void a_full_buffer_is_an_error(void **state)
{
    (void)state;
    const double            y[] = {1, 2};
    const struct svg_series s   = {.y = y, .n = 2};
    for (size_t max = 0; max < 3000; max += 97) {
        struct buf out;
        struct err err = ERR_INIT;
        buf_init(&out, max);
        int rc = svg_line_chart(&(struct svg_chart){.title = "t"}, &s, 1, &out, &err);
        assert_true(rc == ERR_LIMIT || (rc == 0 && max > 1500));
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_land_on_their_values),
        cmocka_unit_test(a_logarithmic_axis_spaces_decades_equally),
        cmocka_unit_test(what_cannot_be_drawn_breaks_the_line),
        cmocka_unit_test(hard_ranges_are_drawn),
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(a_histogram_counts),
        cmocka_unit_test(a_full_buffer_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
