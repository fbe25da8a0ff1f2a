/* Choosing a matrix kernel and sharing one product among threads: see gemm.h.
 *
 * A product is split over rows, or over whole panels of W when that makes the
 * threads read less: a transformer over ten tokens has few rows but many
 * panels, and each thread then streams only its part of the weights.
 */
#include "nn/gemm.h"
#include "nn/kernels.h"

#include <stdint.h>

#define MIN_WORK 100000 /* multiply-adds for which waking a thread pays */

gemm_kernel gemm_kernel_for(struct cpu cpu)
{
#if defined(__x86_64__)
    if (cpu.level == CPU_AVX512)
        return gemm_avx512;
    if (cpu.level == CPU_AVX2)
        return gemm_avx2;
#endif
    (void)cpu;
    return gemm_ref;
}

/* Part i of n of the range [0, total). */
static void share(int total, int i, int n, int *from, int *to)
{
    *from = (int)((int64_t)total * i / n);
    *to   = (int)((int64_t)total * (i + 1) / n);
}

static void run_rows(gemm_kernel kernel, const struct gemm *g, int i, int n)
{
    struct gemm part = *g;
    int         from, to;
    share(g->m, i, n, &from, &to);
    part.m = to - from;
    part.a += (ptrdiff_t)from * g->lda;
    part.c += (ptrdiff_t)from * g->ldc;
    if (part.residual)
        part.residual += (ptrdiff_t)from * g->ldr;
    if (part.m > 0)
        kernel(&part);
}

static void run_panels(gemm_kernel kernel, const struct gemm *g, int i, int n)
{
    struct gemm part   = *g;
    int         panels = (g->n + GEMM_PANEL - 1) / GEMM_PANEL, from, to;
    share(panels, i, n, &from, &to);
    from *= GEMM_PANEL;
    to     = to * GEMM_PANEL < g->n ? to * GEMM_PANEL : g->n;
    part.n = to - from;
    part.w += (ptrdiff_t)from * g->k;
    part.c += from;
    if (part.bias)
        part.bias += from;
    if (part.residual)
        part.residual += from;
    if (part.n > 0)
        kernel(&part);
}

void gemm_run(gemm_kernel kernel, const struct gemm *g, int threads)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    int64_t most = (int64_t)g->m * g->n * g->k / MIN_WORK;
    if (threads > most)
        threads = (int)most;
    if (threads <= 1) {
        kernel(g);
        return;
    }
    int panels    = (g->n + GEMM_PANEL - 1) / GEMM_PANEL;
    int by_panels = g->n > g->m && panels >= 2 * threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < threads; i++) {
        if (by_panels)
            run_panels(kernel, g, i, threads);
        else
            run_rows(kernel, g, i, threads);
    }
}
