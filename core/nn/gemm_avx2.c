/* The matrix product for AVX2 with FMA: see gemm.h.
 *
 * Register tiles of 6 rows by 1 panel, 3 by 2 or 1 by 4: at most 12 of the 16
 * registers hold sums. Blocked as gemm_avx512.c is, A as it lies.
 */
#include "nn/act_inl.h"
#include "nn/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

#define AHEAD   96 /* k steps that W is fetched ahead: see gemm_avx512.c */
#define MR      6
#define A_BLOCK 65536 /* floats of A that stay in the second-level cache */
#define W_SMALL 4096  /* floats of W that stay in the first-level cache */

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
    int          cols; /* that exist */
    float        low, high;
};

typedef void (*tile_fn)(const struct tile *t);

static __m256i mask_of(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE void tile_run(const struct tile *t, const int mr, const int np)
{
    __m256       sum[12];
    const float *w = t->w, *a0 = t->a, *a3 = t->a + 3 * t->lda;
    ptrdiff_t    panel = t->panel, ld = t->lda;
#pragma GCC unroll 12
    for (int i = 0; i < mr * np * 2; i++)
        sum[i] = _mm256_setzero_ps();
    for (int k = t->k; k > 0; k--) {
        __m256 b[8];
#pragma GCC unroll 8
        for (int j = 0; j < np * 2; j++)
            b[j] = _mm256_loadu_ps(w + (j / 2) * panel + (j % 2) * 8);
#pragma GCC unroll 4
        for (int j = 0; j < np; j++)
            _mm_prefetch((const char *)(w + j * panel + AHEAD * GEMM_PANEL), _MM_HINT_T0);
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            __m256 x = _mm256_broadcast_ss(i < 3 ? a0 + i * ld : a3 + (i - 3) * ld);
#pragma GCC unroll 8
            for (int j = 0; j < np * 2; j++)
                sum[i * np * 2 + j] = _mm256_fmadd_ps(x, b[j], sum[i * np * 2 + j]);
        }
        w += GEMM_PANEL;
        a0++;
        a3++;
        __asm__("" : "+r"(a0), "+r"(a3)); /* keeps one pointer from becoming one for each row */
    }
    __m256 low = _mm256_set1_ps(t->low), high = _mm256_set1_ps(t->high);
#pragma GCC unroll 8
    for (int j = 0; j < np * 2; j++) {
        int cols = t->cols - j * 8;
        if (cols <= 0)
            break;
        __m256i mask = mask_of(cols);
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            __m256 x = sum[i * np * 2 + j];
            if (t->bias)
                x = _mm256_add_ps(x, _mm256_maskload_ps(t->bias + j * 8, mask));
            if (t->add)
                x = _mm256_add_ps(x, _mm256_maskload_ps(t->add + i * t->ldadd + j * 8, mask));
            /* The second operand is what a NaN in it yields. */
            x = _mm256_min_ps(high, _mm256_max_ps(low, x));
            if (cols >= 8)
                _mm256_storeu_ps(t->c + i * t->ldc + j * 8, x);
            else
                _mm256_maskstore_ps(t->c + i * t->ldc + j * 8, mask, x);
        }
    }
}

#define TILE(mr, np)                                                                               \
    static void tile_##mr##_##np(const struct tile *t)                                             \
    {                                                                                              \
        tile_run(t, mr, np);                                                                       \
    }

/* clang-format off */
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
TILE(1, 2) TILE(2, 2) TILE(3, 2)
TILE(1, 4)
    /* clang-format on */

    static const tile_fn tiles_1[6] = {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1};
static const tile_fn tiles_2[3]     = {tile_1_2, tile_2_2, tile_3_2};
static const tile_fn tiles_4[1]     = {tile_1_4};

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

/* rows rows of A against np panels. */
static void strip(const struct gemm *g, int row, int rows, int col, int np)
{
    const tile_fn *fns  = np == 4 ? tiles_4 : np == 2 ? tiles_2 : tiles_1;
    int            most = np == 4 ? 1 : np == 2 ? 3 : MR;
    int            n    = (rows + most - 1) / most;
    int            cols = g->n - col < np * GEMM_PANEL ? g->n - col : np * GEMM_PANEL;
    struct tile    t    = {.lda   = g->lda,
                           .w     = g->w + (ptrdiff_t)col * g->k,
                           .panel = (ptrdiff_t)g->k * GEMM_PANEL,
                           .k     = g->k,
                           .bias  = g->bias ? g->bias + col : NULL,
                           .ldadd = g->ldr,
                           .ldc   = g->ldc,
                           .cols  = cols,
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
    int panels = (g->n + GEMM_PANEL - 1) / GEMM_PANEL, wide = rows == 1 ? 4 : rows <= 3 ? 2 : 1;
    for (int p = 0; p < panels; p += wide) {
        while (wide > panels - p)
            wide /= 2;
        strip(g, row, rows, p * GEMM_PANEL, wide);
    }
}

void gemm_avx2(const struct gemm *g)
{
    int block = g->m;
    if ((int64_t)g->n * g->k <= W_SMALL)
        block = MR; /* W stays near: pass over A once */
    else if ((int64_t)g->m * g->k > A_BLOCK)
        block = A_BLOCK / g->k > MR ? A_BLOCK / g->k / MR * MR : MR;
    for (int row = 0; row < g->m; row += block)
        columns(g, row, g->m - row < block ? g->m - row : block);
}
