/* The reduced products for AVX-512, in the register tiles of gemm_avx512.c; a
 * file that includes this says first what the sums are and how a step is added:
 *
 *     SUM       their type
 *     ZERO()    none of them
 *     DOT(s, a, w)
 *               s plus the products of a step: a is the row's four bytes, in all
 *               lanes, w the weights of 16 outputs
 *     A_AT, W_AT
 *               bytes before a row's and a panel's first step
 *     EACH      inputs of a step
 *     FLOATS(s, row, panel)
 *               sums as floats; row and panel are where both begin
 */
#include "nn/act_inl.h"
#include "nn/linear_low.h"

#define INLINE static inline __attribute__((always_inline))

#define AHEAD   (64 * LOW_STEP) /* bytes that W is fetched ahead: see gemm_avx512.c */
#define A_BLOCK 262144          /* bytes of A that stay in the second-level cache */
#define W_SMALL 32768           /* bytes of W that stay in the first-level cache */

/* One register tile's operands. */
struct tile {
    const char  *a; /* rows */
    size_t       lda;
    const char  *w; /* first panel */
    size_t       panel;
    int          steps;
    const float *bias; /* at the first column, or NULL */
    const float *add;  /* residual, or NULL */
    ptrdiff_t    ldadd;
    float       *c;
    ptrdiff_t    ldc;
    __mmask16    last; /* columns of the last panel that exist */
    float        low, high;
};

typedef void (*tile_fn)(const struct tile *t);

/* Rows are reached from one pointer for each five, as in gemm_avx512.c. */
#define GROUP      5
#define GROUPS(mr) (((mr) + GROUP - 1) / GROUP)

INLINE void tile_store(const struct tile *t, const SUM *sum, const int mr, const int np)
{
    __m512 low = _mm512_set1_ps(t->low), high = _mm512_set1_ps(t->high);
#pragma GCC unroll 4
    for (int j = 0; j < np; j++) {
        __mmask16    mask = j == np - 1 ? t->last : (__mmask16)0xffff;
        __m512       bias = _mm512_setzero_ps();
        const char  *row  = t->a;
        const float *add  = t->add + j * GEMM_PANEL;
        float       *c    = t->c + j * GEMM_PANEL;
        if (t->bias)
            bias = _mm512_maskz_loadu_ps(mask, t->bias + j * GEMM_PANEL);
#pragma GCC unroll 28
        for (int i = 0; i < mr; i++, row += t->lda, c += t->ldc) {
            __m512 x = FLOATS(sum[i * np + j], row, t->w + (size_t)j * t->panel);
            x        = _mm512_add_ps(x, bias);
            if (t->add) {
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, add));
                add += t->ldadd;
            }
            /* The second operand is what a NaN in it yields. */
            x = _mm512_min_ps(high, _mm512_max_ps(low, x));
            _mm512_mask_storeu_ps(c, mask, x);
        }
    }
}

INLINE void tile_run(const struct tile *t, const int mr, const int np)
{
    SUM         sum[28];
    const char *w  = t->w + W_AT;
    size_t      ld = t->lda, panel = t->panel;
    const char *a[6];
#pragma GCC unroll 28
    for (int i = 0; i < mr * np; i++)
        sum[i] = ZERO();
#pragma GCC unroll 6
    for (int i = 0; i < GROUPS(mr); i++)
        a[i] = t->a + A_AT + (size_t)(i * GROUP) * ld;
    for (int step = t->steps; step > 0; step--) {
        __m512i b[4];
#pragma GCC unroll 4
        for (int j = 0; j < np; j++)
            b[j] = _mm512_loadu_si512(w + (size_t)j * panel);
        if (np > 1) {
#pragma GCC unroll 4
            for (int j = 0; j < np; j++)
                _mm_prefetch(w + (size_t)j * panel + AHEAD, _MM_HINT_T0);
        }
#pragma GCC unroll 28
        for (int i = 0; i < mr; i++) {
            int four;
            memcpy(&four, a[i / GROUP] + (size_t)(i % GROUP) * ld, sizeof four);
            __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 4
            for (int j = 0; j < np; j++)
                sum[i * np + j] = DOT(sum[i * np + j], x, b[j]);
        }
        w += LOW_STEP;
#pragma GCC unroll 6
        for (int i = 0; i < GROUPS(mr); i++) {
            a[i] += 4;
            __asm__("" : "+r"(a[i])); /* keeps the compiler from making a pointer of each row */
        }
    }
    tile_store(t, sum, mr, np);
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
/* clang-format on */

TO_14(TILE, 1)
TO_14(TILE, 2)
TO_7(TILE, 3)
TO_7(TILE, 4)

#define NAME(mr, np) tile_##mr##_##np,
static const tile_fn tiles_1[14] = {TO_14(NAME, 1)};
static const tile_fn tiles_2[14] = {TO_14(NAME, 2)};
static const tile_fn tiles_3[7]  = {TO_7(NAME, 3)};
static const tile_fn tiles_4[7]  = {TO_7(NAME, 4)};

/* Part i of n nearly equal parts of total. */
static int part(int total, int i, int n)
{
    return total / n + (i < total % n);
}

static __mmask16 last_mask(int cols)
{
    int tail = cols % GEMM_PANEL;
    return (__mmask16)(tail ? (1u << tail) - 1 : 0xffff);
}

/* rows rows of A against np panels. */
static void strip(const struct low *p, int row, int rows, int col, int np)
{
    const tile_fn *fns  = np == 4 ? tiles_4 : np == 3 ? tiles_3 : np == 2 ? tiles_2 : tiles_1;
    int            most = np == 4 || np == 3 ? 7 : 14;
    int            cols = p->n - col < np * GEMM_PANEL ? p->n - col : np * GEMM_PANEL;
    int            n    = (rows + most - 1) / most;
    struct tile    t    = {.lda   = p->lda,
                           .w     = p->w + (size_t)(col / GEMM_PANEL) * p->panel,
                           .panel = p->panel,
                           .steps = (p->k + EACH - 1) / EACH,
                           .bias  = p->bias ? p->bias + col : NULL,
                           .ldadd = p->ldr,
                           .ldc   = p->ldc,
                           .last  = last_mask(cols),
                           .low   = act_low(p->act),
                           .high  = act_high(p->act)};
    for (int i = 0; i < n; i++) {
        int mr = part(rows, i, n);
        t.a    = p->a + (size_t)row * p->lda;
        t.c    = p->c + (ptrdiff_t)row * p->ldc + col;
        t.add  = p->residual ? p->residual + (ptrdiff_t)row * p->ldr + col : NULL;
        fns[mr - 1](&t);
        for (int r = 0; r < mr && !act_is_clamp(p->act); r++)
            act_run(t.c + r * t.ldc, cols, p->act);
        row += mr;
    }
}

static void columns(const struct low *p, int row, int rows)
{
    int panels = (p->n + GEMM_PANEL - 1) / GEMM_PANEL, wide = rows <= 7 ? 4 : 2;
    for (int at = 0; at < panels; at += wide)
        strip(p, row, rows, at * GEMM_PANEL, panels - at < wide ? panels - at : wide);
}

static void run(const struct low *p)
{
    size_t panels = ((size_t)p->n + GEMM_PANEL - 1) / GEMM_PANEL;
    int    block = p->m, fit = (int)(A_BLOCK / p->lda) / 14 * 14;
    if (panels * p->panel <= W_SMALL)
        block = 28; /* W stays near: pass over A once */
    else if (block > fit)
        block = fit > 28 ? fit : 28;
    for (int row = 0; row < p->m; row += block)
        columns(p, row, p->m - row < block ? p->m - row : block);
}
