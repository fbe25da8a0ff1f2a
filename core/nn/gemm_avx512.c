/* The matrix product for AVX-512: see gemm.h.
 *
 * Register tiles of 14 rows by 2 panels, 28 rows by 1, or 7 rows by 4: 28 sums
 * in each case, which hide the multiply-adds' latency and leave loads below
 * half of the ports. Blocked as in Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication" (2008), with one departure: A is
 * neither packed nor split over k. Measured on all the towers' shapes, packing
 * it cost more than it gained; W, packed once and for all, is fetched ahead.
 */
#include "nn/act_inl.h"
#include "nn/kernels.h"

#include <immintrin.h>

#define AHEAD 96 /* k steps that W is fetched ahead: it comes from far, and panels end */

#define INLINE static inline __attribute__((always_inline))

#define A_BLOCK 65536 /* floats of A that stay in the second-level cache */
#define W_SMALL 8192  /* floats of W that stay in the first-level cache */

/* One register tile's operands. */
struct tile {
    const float *a; /* (rows, k) */
    ptrdiff_t    lda;
    const float *w;     /* first panel */
    ptrdiff_t    panel; /* floats from one panel to the next */
    int          k;
    const float *bias; /* at the first column, or NULL */
    const float *add;  /* residual, or NULL */
    ptrdiff_t    ldadd;
    float       *c;
    ptrdiff_t    ldc;
    __mmask16    last; /* columns of the last panel that exist */
    float        low, high;
};

typedef void (*tile_fn)(const struct tile *t);

/* Rows are reached from one pointer for each five, so that 28 of them need
 * eight registers and no pointer is spilled. */
#define GROUP      5
#define GROUPS(mr) (((mr) + GROUP - 1) / GROUP)

INLINE void tile_run(const struct tile *t, const int mr, const int np)
{
    __m512       sum[28];
    const float *w     = t->w;
    ptrdiff_t    panel = t->panel, ld = t->lda;
    const float *a[6];
#pragma GCC unroll 4
    for (int j = 0; j < np; j++) {
        __m512 bias = _mm512_setzero_ps();
        if (t->bias)
            bias = _mm512_maskz_loadu_ps(j == np - 1 ? t->last : (__mmask16)0xffff,
                                         t->bias + j * GEMM_PANEL);
#pragma GCC unroll 28
        for (int i = 0; i < mr; i++)
            sum[i * np + j] = bias;
    }
#pragma GCC unroll 6
    for (int i = 0; i < GROUPS(mr); i++)
        a[i] = t->a + i * GROUP * ld;
    for (int k = t->k; k > 0; k--) {
        __m512 b[4];
#pragma GCC unroll 4
        for (int j = 0; j < np; j++)
            b[j] = _mm512_loadu_ps(w + j * panel);
        if (np > 1) {
#pragma GCC unroll 4
            for (int j = 0; j < np; j++)
                _mm_prefetch((const char *)(w + j * panel + AHEAD * GEMM_PANEL), _MM_HINT_T0);
        }
#pragma GCC unroll 28
        for (int i = 0; i < mr; i++) {
            __m512 x = _mm512_set1_ps(a[i / GROUP][(i % GROUP) * ld]);
#pragma GCC unroll 4
            for (int j = 0; j < np; j++)
                sum[i * np + j] = _mm512_fmadd_ps(x, b[j], sum[i * np + j]);
        }
        w += GEMM_PANEL;
#pragma GCC unroll 6
        for (int i = 0; i < GROUPS(mr); i++) {
            a[i]++;
            __asm__("" : "+r"(a[i])); /* keeps the compiler from making a pointer of each row */
        }
    }
    __m512 low = _mm512_set1_ps(t->low), high = _mm512_set1_ps(t->high);
#pragma GCC unroll 4
    for (int j = 0; j < np; j++) {
        __mmask16 mask = j == np - 1 ? t->last : (__mmask16)0xffff;
        if (t->add) {
            const float *add = t->add + j * GEMM_PANEL;
#pragma GCC unroll 28
            for (int i = 0; i < mr; i++, add += t->ldadd)
                sum[i * np + j] = _mm512_add_ps(sum[i * np + j], _mm512_maskz_loadu_ps(mask, add));
        }
        float *c = t->c + j * GEMM_PANEL;
#pragma GCC unroll 28
        for (int i = 0; i < mr; i++, c += t->ldc) {
            /* The second operand is what a NaN in it yields. */
            __m512 x = _mm512_max_ps(low, sum[i * np + j]);
            _mm512_mask_storeu_ps(c, mask, _mm512_min_ps(high, x));
        }
    }
}

#define TILE(mr, np)                                                                               \
    static void tile_##mr##_##np(const struct tile *t)                                             \
    {                                                                                              \
        tile_run(t, mr, np);                                                                       \
    }
/* clang-format off */
#define TO_7(X, np)  X(1, np) X(2, np) X(3, np) X(4, np) X(5, np) X(6, np) X(7, np)
#define TO_14(X, np) TO_7(X, np)                                                                   \
    X(8, np) X(9, np) X(10, np) X(11, np) X(12, np) X(13, np) X(14, np)
#define TO_28(X, np) TO_14(X, np)                                                                  \
    X(15, np) X(16, np) X(17, np) X(18, np) X(19, np) X(20, np) X(21, np)                          \
    X(22, np) X(23, np) X(24, np) X(25, np) X(26, np) X(27, np) X(28, np)
/* clang-format on */

TO_28(TILE, 1)
TO_14(TILE, 2)
TO_7(TILE, 3)
TO_7(TILE, 4)

#define NAME(mr, np) tile_##mr##_##np,
static const tile_fn tiles_1[28] = {TO_28(NAME, 1)};
static const tile_fn tiles_2[14] = {TO_14(NAME, 2)};
static const tile_fn tiles_3[7]  = {TO_7(NAME, 3)};
static const tile_fn tiles_4[7]  = {TO_7(NAME, 4)};

/* Part i of n nearly equal parts of total. */
static int part(int total, int i, int n)
{
    return total / n + (i < total % n);
}

static void activate(const struct gemm *g, int row, int rows, int col, int cols)
{
    for (int i = 0; i < rows; i++)
        act_run(g->c + (ptrdiff_t)(row + i) * g->ldc + col, cols, g->act);
}

static __mmask16 last_mask(int cols)
{
    int tail = cols % GEMM_PANEL;
    return (__mmask16)(tail ? (1u << tail) - 1 : 0xffff);
}

/* rows rows of A against np panels. */
static void strip(const struct gemm *g, int row, int rows, int col, int np)
{
    const tile_fn *fns  = np == 4 ? tiles_4 : np == 3 ? tiles_3 : np == 2 ? tiles_2 : tiles_1;
    int            most = np == 4 || np == 3 ? 7 : np == 2 ? 14 : 28;
    int            cols = g->n - col < np * GEMM_PANEL ? g->n - col : np * GEMM_PANEL;
    int            n    = (rows + most - 1) / most;
    struct tile    t    = {.lda   = g->lda,
                           .w     = g->w + (ptrdiff_t)col * g->k,
                           .panel = (ptrdiff_t)g->k * GEMM_PANEL,
                           .k     = g->k,
                           .bias  = g->bias ? g->bias + col : NULL,
                           .ldadd = g->ldr,
                           .ldc   = g->ldc,
                           .last  = last_mask(cols),
                           .low   = act_low(g->act),
                           .high  = act_high(g->act)};
    for (int i = 0; i < n; i++) {
        int mr = part(rows, i, n);
        t.a    = g->a + (ptrdiff_t)row * g->lda;
        t.c    = g->c + (ptrdiff_t)row * g->ldc + col;
        t.add  = g->residual ? g->residual + (ptrdiff_t)row * g->ldr + col : NULL;
        fns[mr - 1](&t);
        if (!act_is_clamp(g->act))
            activate(g, row, mr, col, cols);
        row += mr;
    }
}

static void columns(const struct gemm *g, int row, int rows)
{
    int panels = (g->n + GEMM_PANEL - 1) / GEMM_PANEL, wide = rows <= 7 ? 4 : 2;
    for (int p = 0; p < panels; p += wide)
        strip(g, row, rows, p * GEMM_PANEL, panels - p < wide ? panels - p : wide);
}

void gemm_avx512(const struct gemm *g)
{
    int block = g->m;
    if ((int64_t)g->n * g->k <= W_SMALL)
        block = 28; /* W stays near: pass over A once */
    else if ((int64_t)g->m * g->k > A_BLOCK)
        block = A_BLOCK / g->k > 28 ? A_BLOCK / g->k / 28 * 28 : 28;
    for (int row = 0; row < g->m; row += block)
        columns(g, row, g->m - row < block ? g->m - row : block);
}
