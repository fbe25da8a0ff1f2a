/* Choosing a matrix kernel and sharing one product among threads: see gemm.h.
 *
 * A product is split over rows, or over whole panels of W when that makes the
 * threads read less: a transformer over ten tokens has few rows but many
 * panels, and each thread then streams only its part of the weights.
 */
#include "nn/gemm.h"
#include "nn/kernels.h"

#include <stdint.h>

#define MIN_WORK   100000 /* multiply-adds for which waking a thread pays */
#define SHARE_W    400000 /* bytes of W in an item of a team: they stay in the second-level cache */
#define SHARE_ROWS 420    /* rows in an item */
#define ITEMS_EACH 4      /* items for each thread at least, so that a late one leaves few undone */

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

/* Part i of n of the columns, in whole groups of that many panels. */
static void run_panels(gemm_kernel kernel, const struct gemm *g, int group, int i, int n)
{
    struct gemm part  = *g;
    int         width = group * GEMM_PANEL, from, to;
    share((g->n + width - 1) / width, i, n, &from, &to);
    from *= width;
    to     = to * width < g->n ? to * width : g->n;
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

/* Of n rows or panels, how many parts of about size each. */
static int parts_of(int n, int size)
{
    int parts = (n + size / 2) / size;
    return parts < 1 ? 1 : parts;
}

struct gemm_parts gemm_parts_for(int m, int n, int k, size_t panel, int members)
{
    struct gemm_parts p    = {.group = m <= 7 ? 4 : 2};
    int               few  = ITEMS_EACH * members, groups;
    int64_t           most = (int64_t)m * n * k / MIN_WORK;
    groups                 = (n + p.group * GEMM_PANEL - 1) / (p.group * GEMM_PANEL);
    p.across               = parts_of(groups, (int)(SHARE_W / (panel * (size_t)p.group)) + 1);
    p.down                 = parts_of(m, SHARE_ROWS);
    if (p.across * p.down < few)
        p.across = (few + p.down - 1) / p.down < groups ? (few + p.down - 1) / p.down : groups;
    if (members == 1) /* no one to share with: parts for the caches' sake alone */
        most = TEAM_ITEMS;
    if (p.across > most)
        p.across = most < 1 ? 1 : (int)most;
    if (p.across > TEAM_ITEMS)
        p.across = TEAM_ITEMS;
    if (p.down > TEAM_ITEMS / p.across)
        p.down = TEAM_ITEMS / p.across;
    return p;
}

void gemm_item(gemm_kernel kernel, const struct gemm *g, struct gemm_parts p, int i)
{
    struct gemm part = *g; /* neighbours share panels of W */
    int         from = team_share(g->m, i % p.down, p.down);
    part.m           = team_share(g->m, i % p.down + 1, p.down) - from;
    part.a += (ptrdiff_t)from * g->lda;
    part.c += (ptrdiff_t)from * g->ldc;
    if (part.residual)
        part.residual += (ptrdiff_t)from * g->ldr;
    run_panels(kernel, &part, p.group, i / p.down, p.across);
}

void gemm_shared(gemm_kernel kernel, const struct gemm *g, struct team_member *m)
{
    size_t            panel = (size_t)g->k * GEMM_PANEL * sizeof *g->w;
    struct gemm_parts p     = gemm_parts_for(g->m, g->n, g->k, panel, m->n);
    for (int i = team_start(m, p.across * p.down); i >= 0; i = team_next(m))
        gemm_item(kernel, g, p, i);
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
    int by_panels = g->n > g->m && panels >= 4 * threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < threads; i++) {
        if (by_panels)
            run_panels(kernel, g, 2, i, threads);
        else
            run_rows(kernel, g, i, threads);
    }
}
