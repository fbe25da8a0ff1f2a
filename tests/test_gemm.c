/* Unit tests of core/nn's matrix product: every kernel that this processor has
 * against a product in double precision, over odd sizes, with each epilogue and
 * with rows that lie further apart than they are long.
 */
#include "base/mem.h"
#include "nn/gemm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>

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

static double activated(double x, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return fmax(x, 0);
    case ACT_RELU6:
        return fmin(fmax(x, 0), 6);
    case ACT_GELU:
        return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    case ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ACT_TANH:
        return tanh(x);
    case ACT_NONE:
    default:
        return x;
    }
}

struct shape {
    int m, n, k;
};

#define UNTOUCHED 12345.0f

struct member {
    gemm_kernel        kernel;
    const struct gemm *g;
    struct team_member m;
};

static void *run_member(void *arg)
{
    struct member *member = arg;
    gemm_shared(member->kernel, member->g, &member->m);
    return NULL;
}

static void run(gemm_kernel kernel, const struct gemm *g, int threads)
{
    struct team   team;
    struct member members[4];
    pthread_t     thread[4];
    if (threads > 0) {
        gemm_run(kernel, g, threads);
        return;
    }
    team_init(&team);
    for (int i = 0; i < -threads; i++) {
        members[i] = (struct member){kernel, g, team_join(&team, i, -threads)};
        assert_int_equal(pthread_create(&thread[i], NULL, run_member, &members[i]), 0);
    }
    for (int i = 0; i < -threads; i++)
        (void)pthread_join(thread[i], NULL);
}

/* One product against doubles; pad floats lie between rows and must survive.
 * threads below 0: a team of so many. */
static void check(gemm_kernel kernel, struct shape s, enum act act, int with_bias,
                  int with_residual, int threads, int pad)
{
    int    lda = s.k + pad, ldc = s.n + pad;
    float *a      = random_floats((size_t)s.m * (size_t)lda, 1);
    float *w      = random_floats((size_t)s.n * (size_t)s.k, 2);
    float *packed = mem_aligned(gemm_packed_size(s.n, s.k), sizeof(float));
    float *bias   = random_floats((size_t)s.n, 3);
    float *c      = mem_aligned((size_t)s.m * (size_t)ldc, sizeof(float));
    float *res    = random_floats((size_t)s.m * (size_t)ldc, 3);
    assert_non_null(packed);
    assert_non_null(c);
    gemm_pack(w, s.n, s.k, packed);
    for (size_t i = 0; i < (size_t)s.m * (size_t)ldc; i++)
        c[i] = with_residual == 2 ? res[i] : UNTOUCHED; /* 2: the residual is c itself */
    struct gemm g = {.m        = s.m,
                     .n        = s.n,
                     .k        = s.k,
                     .a        = a,
                     .lda      = lda,
                     .w        = packed,
                     .bias     = with_bias ? bias : NULL,
                     .residual = with_residual == 2   ? c
                                 : with_residual == 1 ? res
                                                      : NULL,
                     .ldr      = ldc,
                     .c        = c,
                     .ldc      = ldc,
                     .act      = act};
    run(kernel, &g, threads);
    for (int i = 0; i < s.m; i++) {
        for (int j = 0; j < ldc; j++) {
            size_t at = (size_t)i * (size_t)ldc + (size_t)j;
            if (j >= s.n) {
                assert_true(c[at] == (with_residual == 2 ? res[at] : UNTOUCHED));
                continue;
            }
            double sum = 0, size = 4;
            for (int k = 0; k < s.k; k++) {
                double p = (double)a[(size_t)i * (size_t)lda + (size_t)k] *
                           (double)w[(size_t)j * (size_t)s.k + (size_t)k];
                sum += p;
                size += fabs(p);
            }
            if (with_bias)
                sum += (double)bias[j];
            if (with_residual)
                sum += (double)res[at];
            double want = activated(sum, act), off = fabs((double)c[at] - want);
            if (!(off <= 3e-7 * size))
                fail_msg("m=%d n=%d k=%d act=%d bias=%d residual=%d threads=%d: c[%d][%d] is "
                         "%.9g, not %.9g",
                         s.m, s.n, s.k, (int)act, with_bias, with_residual, threads, i, j,
                         (double)c[at], want);
        }
    }
    free(a);
    free(w);
    free(packed);
    free(bias);
    free(c);
    free(res);
}

static gemm_kernel kernels[CPU_AVX512 + 1];

static int find_kernels(void **state)
{
    (void)state;
    for (int level = CPU_PORTABLE; level <= (int)cpu_detect().level; level++)
        kernels[level] = gemm_kernel_for((struct cpu){.level = (enum cpu_level)level});
    assert_ptr_equal(kernels[CPU_PORTABLE], gemm_ref);
    return 0;
}

/* Every height and width of a register tile, alone and with a remainder. */
static void tiles_of_every_size(void **state)
{
    (void)state;
    for (int level = 0; level <= CPU_AVX512 && kernels[level]; level++) {
        for (int m = 1; m <= 60; m++) {
            for (int n = 1; n <= 97; n += m % 7 + 5)
                check(kernels[level], (struct shape){m, n, 1 + (m * n) % 23}, ACT_NONE, m % 2,
                      n % 3, 1, m % 4);
        }
    }
}

static void epilogues(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{3, 37, 5}, {17, 33, 40}, {30, 16, 12}, {29, 300, 260}};
    for (int level = 0; level <= CPU_AVX512 && kernels[level]; level++) {
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
            for (int act = ACT_NONE; act <= ACT_TANH; act++) {
                for (int how = 0; how < 6; how++)
                    check(kernels[level], shapes[i], (enum act)act, how % 2, how / 2, 1, how);
            }
        }
    }
}

/* Blocks of k and of rows, whole and not; both ways of sharing among threads. */
static void blocks_and_threads(void **state)
{
    (void)state;
    static const struct shape shapes[] = {{10, 1536, 384}, {113, 257, 385}, {8, 384, 1536},
                                          {225, 259, 771}, {1, 1000, 1280}, {300, 24, 96},
                                          {700, 20, 144},  {49, 320, 1152}, {900, 300, 260}};
    for (int level = 0; level <= CPU_AVX512 && kernels[level]; level++) {
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
            for (int threads = 1; threads <= 3; threads++)
                check(kernels[level], shapes[i], threads == 2 ? ACT_GELU : ACT_RELU6, 1,
                      threads - 1, threads, threads == 3 ? 5 : 0);
            check(kernels[level], shapes[i], ACT_QUICK_GELU, 1, 0, -1, 0);
            check(kernels[level], shapes[i], ACT_NONE, 1, 2, -3, 3);
        }
    }
}

/* The vector kernels' own exp, erf and tanh over the whole range that matters. */
static void activations_follow_the_c_library(void **state)
{
    (void)state;
    enum { N = 4001 };
    static float w[N], packed[N + GEMM_PANEL], c[N];
    const float  one = 1;
    for (int i = 0; i < N; i++)
        w[i] = (float)(i - N / 2) * 0.05f;
    gemm_pack(w, N, 1, packed);
    for (int level = 0; level <= CPU_AVX512 && kernels[level]; level++) {
        for (int act = ACT_GELU; act <= ACT_TANH; act++) {
            struct gemm g = {.m   = 1,
                             .n   = N,
                             .k   = 1,
                             .a   = &one,
                             .lda = 1,
                             .w   = packed,
                             .c   = c,
                             .ldc = N,
                             .act = (enum act)act};
            kernels[level](&g);
            for (int i = 0; i < N; i++) {
                double want = activated((double)w[i], (enum act)act);
                if (!(fabs((double)c[i] - want) <= 1e-6 * fmax(1, fabs(want))))
                    fail_msg("%s, activation %d at %g: %.9g, not %.9g",
                             cpu_level_name((enum cpu_level)level), act, (double)w[i], (double)c[i],
                             want);
            }
        }
    }
}

static void a_nan_is_not_hidden(void **state)
{
    (void)state;
    float a[2] = {NAN, 1}, w[GEMM_PANEL * 2], packed[GEMM_PANEL * 2], c[2 * GEMM_PANEL];
    for (int i = 0; i < GEMM_PANEL * 2; i++)
        w[i] = 1;
    gemm_pack(w, GEMM_PANEL, 2, packed);
    for (int level = CPU_AVX2; level <= CPU_AVX512 && kernels[level]; level++) {
        struct gemm g = {.m   = 1,
                         .n   = GEMM_PANEL,
                         .k   = 2,
                         .a   = a,
                         .lda = 2,
                         .w   = packed,
                         .c   = c,
                         .ldc = GEMM_PANEL,
                         .act = ACT_RELU6};
        kernels[level](&g);
        assert_true(isnan(c[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_of_every_size), cmocka_unit_test(epilogues),
        cmocka_unit_test(blocks_and_threads),  cmocka_unit_test(activations_follow_the_c_library),
        cmocka_unit_test(a_nan_is_not_hidden),
    };
    return cmocka_run_group_tests_name("gemm", tests, find_kernels, NULL);
}
