/* Unit tests of core/base/half: every half, rounding, and the fast paths against
 * the reference. */
#include "base/cpu.h"
#include "base/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_half_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t in = (uint16_t)h, out;
        float    f;
        half_to_float(&f, &in, 1);
        half_from_float(&out, &f, 1);
        if (isnan(f))
            assert_int_equal(out, in | 0x200);
        else
            assert_int_equal(out, in);
    }
}

static void one_that_is_no_number_is_found(void **state)
{
    (void)state;
    enum { MANY = 37 };
    static const uint16_t odd[] = {0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFFFF};
    uint16_t              x[MANY];
    for (size_t i = 0; i < MANY; i++)
        x[i] = (uint16_t)(i % 2 ? 0x7BFF : 0x83FF); /* the largest, and a subnormal one */
    assert_true(half_finite(x, MANY));
    assert_true(half_finite(x, 0));
    for (size_t i = 0; i < MANY; i++) {
        uint16_t was = x[i];
        x[i]         = odd[i % 5];
        assert_false(half_finite(x, MANY));
        assert_true(half_finite(x, i));
        x[i] = was;
    }
}

static uint16_t rounded(float f)
{
    uint16_t h;
    half_from_float(&h, &f, 1);
    return h;
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(rounded(1.0f), 0x3c00);
    assert_int_equal(rounded(1.0f + 0x1p-11f), 0x3c00);     /* a tie, to even */
    assert_int_equal(rounded(1.0f + 3 * 0x1p-11f), 0x3c02); /* a tie, to even */
    assert_int_equal(rounded(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
    assert_int_equal(rounded(65519.0f), 0x7bff);
    assert_int_equal(rounded(65520.0f), 0x7c00); /* infinity */
    assert_int_equal(rounded(-65536.0f), 0xfc00);
    assert_int_equal(rounded(0x1p-24f), 1);
    assert_int_equal(rounded(0x1p-25f), 0); /* a tie, to even */
    assert_int_equal(rounded(0x1p-25f * 1.001f), 1);
    assert_int_equal(rounded(0x1p-14f - 0x1p-26f), 0x0400); /* carries into the normals */
    assert_int_equal(rounded(-0.0f), 0x8000);
}

#if defined(__x86_64__)
static void avx2_equals_the_reference(void **state)
{
    (void)state;
    if (cpu_detect().level < CPU_AVX2)
        skip();
    static float    in[4096], back_a[4096], back_b[4096];
    static uint16_t a[4096], b[4096];
    uint32_t        s = 1;
    for (int round = 0; round < 200; round++) {
        size_t   n     = (size_t)(round < 80 ? round : 4096);
        uint32_t range = round % 2 ? 41 : 45; /* the latter: beyond the largest half, too */
        for (size_t i = 0; i < n; i++) {
            s             = s * 1664525u + 1013904223u;
            uint32_t bits = (s & 0x807fffffu) | ((100 + (s >> 9) % range) << 23);
            memcpy(&in[i], &bits, 4);
        }
        half_from_float(a, in, n);
        half_from_float_avx2(b, in, n);
        assert_memory_equal(a, b, n * 2);
        half_to_float(back_a, a, n);
        half_to_float_avx2(back_b, a, n);
        assert_memory_equal(back_a, back_b, n * 4);
        if (range > 41)
            continue;
        double exact = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            double term = (double)in[i] * (double)back_a[i];
            exact += term;
            size += fabs(term);
        }
        assert_true(fabs((double)half_dot(in, a, n) - exact) <= 1e-5 * size);
        assert_true(fabs((double)half_dot_avx2(in, a, n) - exact) <= 1e-5 * size);
        double apart = 0;
        for (size_t i = 0; i < n; i++)
            apart += fabs((double)in[i] - (double)back_a[n - 1 - i]);
        for (size_t i = 0; i < n; i++)
            b[i] = a[n - 1 - i]; /* of itself the distance is next to nothing */
        assert_true(fabs((double)half_manhattan(in, b, n) - apart) <= 1e-5 * apart);
        assert_true(fabs((double)half_manhattan_avx2(in, b, n) - apart) <= 1e-5 * apart);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(one_that_is_no_number_is_found),
        cmocka_unit_test(rounding_is_to_nearest_even),
#if defined(__x86_64__)
        cmocka_unit_test(avx2_equals_the_reference),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
