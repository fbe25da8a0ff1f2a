/* The matrix product at the sizes of CLIP's towers, as a share of what the
 * processor's multiply-add units can do at all: a loop that only multiplies and
 * adds in registers, timed in the same run, on one thread and on all.
 *
 *     bench_gemm [THREADS]
 *
 * One JSON line for each size and number of threads. Runs of the loop and of the
 * product alternate, and the best of each counts, so that both see the machine at
 * its best.
 */
#include "base/mem.h"
#include "nn/gemm.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ROUNDS    12
#define LOOP_RUNS (1 << 20) /* turns of the register loop, 10 to 12 multiply-adds each */
#define RUN_S     0.02      /* a timed stretch of products */

struct size {
    const char *what;
    int         m, n, k;
};

static const struct size sizes[] = {
    {"ViT-B/32 qkv, 1 picture", 50, 2304, 768},
    {"ViT-B/32 qkv, 8 pictures", 400, 2304, 768},
    {"ViT-B/32 mlp up, 8 pictures", 400, 3072, 768},
    {"ViT-B/32 mlp down, 8 pictures", 400, 768, 3072},
    {"ViT-B/32 mlp up, 32 pictures", 1600, 3072, 768},
    {"TinyCLIP qkv, 1 picture", 197, 768, 256},
    {"TinyCLIP mlp up, 8 pictures", 1576, 1024, 256},
    {"ViT-B/32 text mlp up, 8 tokens", 8, 2048, 512},
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Multiply-adds in registers: the flops done, so that nothing is left out ---- */

static volatile float sink;

static double loop_portable(void)
{
    float a[8] = {0};
    for (int i = 0; i < LOOP_RUNS; i++)
        for (int j = 0; j < 8; j++)
            a[j] = a[j] * 0.999f + 1e-3f;
    sink = a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
    return 2.0 * 8 * LOOP_RUNS;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static double loop_avx2(void)
{
    __m256 a[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    for (int j = 0; j < 12; j++)
        a[j] = _mm256_set1_ps((float)j);
    for (int i = 0; i < LOOP_RUNS; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, y);
    }
    for (int j = 1; j < 12; j++)
        a[0] = _mm256_add_ps(a[0], a[j]);
    sink = _mm256_cvtss_f32(a[0]);
    return 2.0 * 8 * 12 * LOOP_RUNS;
}

__attribute__((target("avx512f"))) static double loop_avx512(void)
{
    __m512 a[12], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int j = 0; j < 12; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < LOOP_RUNS; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, y);
    }
    for (int j = 1; j < 12; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    sink = _mm512_cvtss_f32(a[0]);
    return 2.0 * 16 * 12 * LOOP_RUNS;
}
#endif

typedef double (*register_loop)(void);

static register_loop loop_for(enum cpu_level level)
{
#if defined(__x86_64__)
    if (level == CPU_AVX512)
        return loop_avx512;
    if (level == CPU_AVX2)
        return loop_avx2;
#endif
    (void)level;
    return loop_portable;
}

/* GFLOP/s of the loop, on every thread at once. */
static double time_loop(register_loop loop, int threads)
{
    double flops = 0, start = now_s();
#pragma omp parallel num_threads(threads) reduction(+ : flops)
    flops += loop();
    return flops / (now_s() - start) * 1e-9;
}

/* ---- The product ---- */

struct operands {
    float *a, *w, *packed, *bias, *c;
};

static float *noise(size_t n, unsigned seed)
{
    float *x = mem_aligned(n, sizeof *x);
    for (size_t i = 0; x && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-24f - 0.5f;
    }
    return x;
}

static double time_product(gemm_kernel kernel, const struct size *s, const struct operands *o,
                           int threads)
{
    struct gemm g     = {.m    = s->m,
                         .n    = s->n,
                         .k    = s->k,
                         .a    = o->a,
                         .lda  = s->k,
                         .w    = o->packed,
                         .bias = o->bias,
                         .c    = o->c,
                         .ldc  = s->n};
    double      start = now_s(), t;
    int         runs  = 0;
    do {
        gemm_run(kernel, &g, threads);
        runs++;
        t = now_s();
    } while (t - start < RUN_S);
    return 2.0 * s->m * s->n * s->k * runs / (t - start) * 1e-9;
}

static int measure(const struct size *s, int threads)
{
    struct cpu      cpu    = cpu_detect();
    gemm_kernel     kernel = gemm_kernel_for(cpu);
    register_loop   loop   = loop_for(cpu.level);
    size_t          n = (size_t)s->n, k = (size_t)s->k, m = (size_t)s->m;
    struct operands o      = {.a      = noise(m * k, 1),
                              .w      = noise(n * k, 2),
                              .packed = mem_aligned(gemm_packed_size(s->n, s->k), sizeof(float)),
                              .bias   = noise(n, 3),
                              .c      = mem_aligned(m * n, sizeof(float))};
    int             failed = !o.a || !o.w || !o.packed || !o.bias || !o.c;
    double          peak = 0, best = 0;
    if (!failed) {
        gemm_pack(o.w, s->n, s->k, o.packed);
        for (int i = 0; i < ROUNDS; i++) {
            double p = time_loop(loop, threads), b = time_product(kernel, s, &o, threads);
            peak = p > peak ? p : peak;
            best = b > best ? b : best;
        }
        printf("{\"bench\":\"gemm\",\"what\":\"%s\",\"m\":%d,\"n\":%d,\"k\":%d,\"threads\":%d,"
               "\"kernels\":\"%s\",\"gflops\":%.1f,\"register_loop_gflops\":%.1f,\"ratio\":%.3f}\n",
               s->what, s->m, s->n, s->k, threads, cpu_level_name(cpu.level), best, peak,
               best / peak);
        fflush(stdout);
    }
    free(o.a);
    free(o.w);
    free(o.packed);
    free(o.bias);
    free(o.c);
    return failed;
}

int main(int argc, char **argv)
{
    int all = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    for (int threads = 1; threads <= all; threads += all > 1 ? all - 1 : 1) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            if (measure(&sizes[i], threads)) {
                fputs("bench_gemm: out of memory\n", stderr);
                return 3;
            }
        }
    }
    return 0;
}
