/* The dominant colour of pictures made for it. */
#include "image/colour.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 10000

static void fill(uint8_t *pixels, size_t from, size_t to, uint32_t rgb)
{
    for (size_t i = from; i < to; i++) {
        pixels[i * 3]     = (uint8_t)(rgb >> 16);
        pixels[i * 3 + 1] = (uint8_t)(rgb >> 8);
        pixels[i * 3 + 2] = (uint8_t)rgb;
    }
}

static void most_of_it(void **state)
{
    (void)state;
    static uint8_t pixels[N * 3];
    assert_int_equal(colour_dominant(pixels, 0), 0);
    fill(pixels, 0, N, 0x000000); /* black is a colour, too */
    assert_int_equal(colour_dominant(pixels, N), COLOUR_KNOWN);
    assert_int_equal(colour_dominant(pixels, 1), COLOUR_KNOWN);
    fill(pixels, 0, N * 6 / 10, 0xd02010);
    fill(pixels, N * 6 / 10, N, 0x1040f0);
    assert_int_equal(colour_dominant(pixels, N), COLOUR_KNOWN | 0xd02010); /* not a mixture */
    fill(pixels, 0, N, 0xffffff);
    assert_int_equal(colour_dominant(pixels, N), COLOUR_KNOWN | 0xffffff);
    /* shades of one colour: their mean */
    fill(pixels, 0, N / 2, 0x508050);
    fill(pixels, N / 2, N, 0x608860);
    assert_int_equal(colour_dominant(pixels, N), COLOUR_KNOWN | 0x588458);
}

/* More bright pixels than a sum of 32 bits could hold one by one. */
static void large_pictures(void **state)
{
    (void)state;
    size_t   n      = (size_t)20 << 20;
    uint8_t *pixels = malloc(n * 3);
    assert_non_null(pixels);
    memset(pixels, 0xfe, n * 3);
    assert_int_equal(colour_dominant(pixels, n), COLOUR_KNOWN | 0xfefefe);
    free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(most_of_it),
                                       cmocka_unit_test(large_pictures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
