/* Unit tests of linear layers in every precision: kernels against the portable
 * reference over odd sizes, the reference against doubles, and the ways in which
 * products are shared.
 */
#include "base/mem.h"
#include "nn/linear.h"
#include "nn/linear_low.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#define UNTOUCHED 12345.0f

static uint32_t seed = 1;

/* In [-1, 1). */
static float next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static float *random_floats(size_t n, float scale)
{
    float *x = mem_aligned(n, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * next();
    return x;
}

/* A layer and a call of it, with rows further apart than they are long. */
struct fixture {
    struct linear      layer;
    struct linear_call call;
    float             *a, *w, *bias, *residual, *c;
    void              *packed, *scratch;
};

static void make(struct fixture *f, enum precision precision, int m, int n, int k)
{
    size_t lda = (size_t)k + 3, ldc = (size_t)n + 2, bytes = linear_packed_bytes(precision, n, k);
    memset(f, 0, sizeof *f);
    f->a        = random_floats((size_t)m * lda, 1);
    f->w        = random_floats((size_t)n * (size_t)k, 1);
    f->bias     = random_floats((size_t)n, 1);
    f->residual = random_floats((size_t)m * ldc, 1);
    f->c        = random_floats((size_t)m * ldc, 1);
    f->packed   = mem_aligned(bytes, 1);
    /* enough for every kernel's form: four bytes an activation and two lines */
    f->scratch  = mem_aligned((size_t)m * ((size_t)k * 4 + 256), 1);
    assert_true(f->packed && f->scratch && bytes % 64 == 0);
    for (int i = 0; i < k; i++) /* a row of zeros, and one of a single sign */
        f->a[i] = 0;
    for (int i = 0; i < k && m > 1; i++)
        f->a[lda + (size_t)i] = 3 + f->a[lda + (size_t)i];
    linear_pack(precision, f->w, n, k, f->packed);
    f->layer = (struct linear){.weight = f->packed, .bias = f->bias, .n = n, .k = k};
    f->call  = (struct linear_call){.rows     = m,
                                    .a        = f->a,
                                    .lda      = (int)lda,
                                    .residual = f->residual,
                                    .ldr      = (int)ldc,
                                    .c        = f->c,
                                    .ldc      = (int)ldc,
                                    .scratch  = f->scratch};
}

static void unmake(struct fixture *f)
{
    free(f->a);
    free(f->w);
    free(f->bias);
    free(f->residual);
    free(f->c);
    free(f->packed);
    free(f->scratch);
}

/* c, and what lies between its rows, must be as wanted. */
static void compare(const struct fixture *f, const float *want, float tolerance, const char *what)
{
    int ldc = f->call.ldc;
    for (int i = 0; i < f->call.rows; i++) {
        for (int j = 0; j < ldc; j++) {
            float got = f->c[i * ldc + j], wanted = want[i * ldc + j];
            float most = j < f->layer.n ? tolerance * (1 + fabsf(wanted)) : 0;
            if (!(fabsf(got - wanted) <= most))
                fail_msg("%s, %d x %d x %d, act %d: c[%d][%d] is %.9g, not %.9g", what,
                         f->call.rows, f->layer.n, f->layer.k, (int)f->call.act, i, j, (double)got,
                         (double)wanted);
        }
    }
}

static void clear(struct fixture *f)
{
    for (size_t i = 0; i < (size_t)f->call.rows * (size_t)f->call.ldc; i++)
        f->c[i] = UNTOUCHED;
}

static float *copy_of_c(const struct fixture *f)
{
    size_t n    = (size_t)f->call.rows * (size_t)f->call.ldc;
    float *copy = mem_aligned(n, sizeof(float));
    assert_non_null(copy);
    memcpy(copy, f->c, n * sizeof(float));
    return copy;
}

/* The processors whose kernels can run here. */
static int variants(struct cpu out[4])
{
    struct cpu here = cpu_detect();
    int        n    = 0;
    for (int level = CPU_PORTABLE; level <= (int)here.level; level++)
        out[n++] = (struct cpu){.level = (enum cpu_level)level};
    out[n++] = here;
    return n;
}

static void check_variants(enum precision precision, int m, int n, int k, enum act act)
{
    struct cpu     cpus[4];
    struct fixture f;
    int            count = variants(cpus);
    make(&f, precision, m, n, k);
    f.call.act = act;
    if (m % 3 == 0)
        f.call.residual = NULL;
    if (m % 4 == 0)
        f.layer.bias = NULL;
    struct linear_kernel kernel = linear_kernel_for(cpus[0], precision);
    clear(&f);
    linear_one(&kernel, &f.layer, &f.call);
    float *want = copy_of_c(&f);
    for (int i = 1; i < count; i++) {
        char what[64];
        kernel = linear_kernel_for(cpus[i], precision);
        assert_true(kernel.precision == precision);
        assert_true(linear_scratch(&kernel, m, k) <= (size_t)m * ((size_t)k * 4 + 256));
        clear(&f);
        linear_one(&kernel, &f.layer, &f.call);
        snprintf(what, sizeof what, "%s, variant %d", precision_name(precision), i);
        compare(&f, want, precision == PRECISION_INT8 ? 2e-6f : 2e-5f, what);
    }
    free(want);
    unmake(&f);
}

static void kernels_agree_with_the_reference(void **state)
{
    (void)state;
    for (int p = PRECISION_F32; p <= PRECISION_INT8; p++) {
        for (int m = 1; m <= 60; m++)
            check_variants((enum precision)p, m, 1 + m * 7 % 83, 1 + m * 5 % 71, ACT_NONE);
        check_variants((enum precision)p, 50, 64, 768, ACT_QUICK_GELU);
        check_variants((enum precision)p, 31, 70, 129, ACT_GELU);
        check_variants((enum precision)p, 5, 33, 130, ACT_RELU6);
        check_variants((enum precision)p, 113, 40, 3001, ACT_NONE); /* more rows than a block */
    }
}

/* With bias and residual, the product of the numbers that were rounded. */
static void references_compute_what_they_say(void **state)
{
    (void)state;
    for (int p = PRECISION_F32; p <= PRECISION_INT8; p++) {
        struct fixture       f;
        struct linear_kernel kernel =
            linear_kernel_for((struct cpu){.level = CPU_PORTABLE}, (enum precision)p);
        double worst = 0;
        make(&f, (enum precision)p, 9, 21, 77);
        clear(&f);
        linear_one(&kernel, &f.layer, &f.call);
        for (int i = 0; i < 9; i++) {
            for (int j = 0; j < 21; j++) {
                double sum = (double)f.bias[j] + (double)f.residual[i * f.call.ldr + j];
                for (int k = 0; k < 77; k++)
                    sum += (double)f.a[i * f.call.lda + k] * (double)f.w[j * 77 + k];
                worst = fmax(worst, fabs(sum - (double)f.c[i * f.call.ldc + j]));
            }
            if (i == 0) /* a row of zeros stays exact, whatever the zero point */
                assert_true(worst < 1e-6);
        }
        /* 77 products of numbers below 4: rounding errors of 2^-9, and of 1/255 of 4 */
        assert_true(worst < (p == PRECISION_F32 ? 1e-5 : p == PRECISION_BF16 ? 0.1 : 0.2));
        assert_true(p == PRECISION_F32 || worst > 1e-4); /* it did round */
        unmake(&f);
    }
}

static void sharing_changes_nothing(void **state)
{
    (void)state;
    static const int shapes[][3] = {{50, 768, 192}, {3, 500, 300}, {700, 96, 64}, {1, 1, 1}};
    for (int p = PRECISION_F32; p <= PRECISION_INT8; p++) {
        struct linear_kernel kernel = linear_kernel_for(cpu_detect(), (enum precision)p);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            struct fixture f;
            make(&f, (enum precision)p, shapes[s][0], shapes[s][1], shapes[s][2]);
            f.call.act = ACT_QUICK_GELU;
            clear(&f);
            linear_one(&kernel, &f.layer, &f.call);
            float *want = copy_of_c(&f);
            for (int threads = 1; threads <= 3; threads++) {
                clear(&f);
                linear_run(&kernel, &f.layer, &f.call, threads);
                compare(&f, want, 1e-6f, "linear_run");
                struct team_member alone = team_join(NULL, 0, 1);
                clear(&f);
                linear_shared(&kernel, &f.layer, &f.call, &alone);
                compare(&f, want, 1e-6f, "linear_shared");
            }
            free(want);
            unmake(&f);
        }
    }
}

/* Some outputs alone are those of the whole layer; the residual may be c. */
static void outputs_can_be_picked(void **state)
{
    (void)state;
    for (int p = PRECISION_F32; p <= PRECISION_INT8; p++) {
        struct linear_kernel kernel = linear_kernel_for(cpu_detect(), (enum precision)p);
        struct fixture       f;
        make(&f, (enum precision)p, 17, 75, 40);
        clear(&f);
        linear_one(&kernel, &f.layer, &f.call);
        float *want = copy_of_c(&f);
        memcpy(f.c, f.residual, (size_t)17 * (size_t)f.call.ldc * sizeof *f.c);
        for (int i = 0; i < 17; i++) {
            want[i * f.call.ldc + 75] = f.c[i * f.call.ldc + 75];
            want[i * f.call.ldc + 76] = f.c[i * f.call.ldc + 76];
        }
        linear_convert(&kernel, 40, &f.call);
        for (int from = 0; from < 75; from += 32) {
            int                n    = 75 - from < 32 ? 75 - from : 32;
            struct linear      part = linear_outputs((enum precision)p, &f.layer, from, n);
            struct linear_call call = f.call;
            call.c                  = f.c + from;
            call.residual           = f.c + from;
            linear_converted(&kernel, &part, &call);
        }
        compare(&f, want, 1e-6f, "outputs");
        free(want);
        unmake(&f);
    }
}

/* The largest sums that 8 bits can make: a kernel that saturates would show. */
static void int8_sums_do_not_saturate(void **state)
{
    (void)state;
    enum { K = 4096 };
    struct cpu cpus[4];
    int        count = variants(cpus);
    float     *x = random_floats(K, 1), *w = random_floats(K, 1), got = 0;
    void      *packed  = mem_aligned(linear_packed_bytes(PRECISION_INT8, 1, K), 1);
    void      *scratch = mem_aligned(K * 2 + 256, 1);
    assert_true(packed && scratch);
    for (int i = 0; i < K; i++)
        x[i] = w[i] = 1;
    linear_pack(PRECISION_INT8, w, 1, K, packed);
    for (int i = 0; i < count; i++) {
        struct linear_kernel kernel = linear_kernel_for(cpus[i], PRECISION_INT8);
        struct linear        l      = {.weight = packed, .n = 1, .k = K};
        struct linear_call   call   = {
                .rows = 1, .a = x, .lda = K, .c = &got, .ldc = 1, .scratch = scratch};
        linear_one(&kernel, &l, &call);
        assert_true(fabsf(got - K) < 0.01f);
    }
    free(x);
    free(w);
    free(packed);
    free(scratch);
}

/* Activations and weights that are not finite harm the results alone. */
static void other_numbers_do_no_harm(void **state)
{
    (void)state;
    for (int p = PRECISION_F32; p <= PRECISION_INT8; p++) {
        struct cpu     cpus[4];
        struct fixture f;
        int            count = variants(cpus);
        make(&f, (enum precision)p, 4, 20, 33);
        f.a[0]          = NAN;
        f.a[7]          = INFINITY;
        f.w[3]          = -INFINITY;
        f.w[40]         = NAN;
        f.a[f.call.lda] = 1e38f;
        linear_pack((enum precision)p, f.w, 20, 33, f.packed);
        for (int i = 0; i < count; i++) {
            struct linear_kernel kernel = linear_kernel_for(cpus[i], (enum precision)p);
            linear_one(&kernel, &f.layer, &f.call);
            assert_true(isfinite(f.c[3 * f.call.ldc + 5])); /* of finite numbers alone */
        }
        unmake(&f);
    }
}

static void precisions_have_names(void **state)
{
    (void)state;
    for (int p = PRECISION_F32; p <= PRECISION_AUTO; p++) {
        enum precision found = PRECISION_AUTO;
        assert_true(precision_of(precision_name((enum precision)p), &found));
        assert_int_equal(found, p);
    }
    enum precision left = PRECISION_BF16;
    assert_false(precision_of("fp16", &left));
    assert_int_equal(left, PRECISION_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precisions_have_names),
        cmocka_unit_test(kernels_agree_with_the_reference),
        cmocka_unit_test(references_compute_what_they_say),
        cmocka_unit_test(sharing_changes_nothing),
        cmocka_unit_test(outputs_can_be_picked),
        cmocka_unit_test(int8_sums_do_not_saturate),
        cmocka_unit_test(other_numbers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
