/* The matrix product for AVX2 with FMA: see gemm.h.
 *
 * Register tiles of 6 rows by 1 panel, 3 by 2 or 1 by 4: at most 12 of the 16
 * registers hold sums. Long products go in blocks of k, with the rows of A
 * packed, as in gemm_avx512.c.
 */
#include "nn/act_inl.h"
#include "nn/kernels.h"

#include <immintrin.h>
#include <stdalign.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))

#define MR      6
#define KC      384   /* depth of a block of packed A */
#define MC      96    /* rows of a block of packed A */
#define A_BLOCK 65536 /* floats of unpacked A that stay in the second-level cache */
#define W_SMALL 4096  /* floats of W that stay in the first-level cache */

/* One register tile's operands. */
struct tile {
    const float *a; /* (rows, k), or packed (k, rows) */
    ptrdiff_t    lda;
    const float *w;     /* first panel, at this block's first k */
    ptrdiff_t    panel; /* floats from one panel to the next */
    int          k;
    const float *bias; /* at the first column, or NULL */
    const float *add;  /* residual, or the sums so far; or NULL */
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

INLINE void tile_run(const struct tile *t, const int mr, const int np, const bool packed)
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
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            __m256 x = _mm256_broadcast_ss(packed  ? a0 + i
                                           : i < 3 ? a0 + i * ld
                                                   : a3 + (i - 3) * ld);
#pragma GCC unroll 8
            for (int j = 0; j < np * 2; j++)
                sum[i * np * 2 + j] = _mm256_fmadd_ps(x, b[j], sum[i * np * 2 + j]);
        }
        w += GEMM_PANEL;
        if (packed) {
            a0 += mr;
        } else {
            a0++;
            a3++;
            __asm__("" : "+r"(a0), "+r"(a3)); /* keeps one pointer from becoming one for each row */
        }
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
        tile_run(t, mr, np, false);                                                                \
    }
#define PACKED_TILE(mr)                                                                            \
    static void packed_##mr(const struct tile *t)                                                  \
    {                                                                                              \
        tile_run(t, mr, 1, true);                                                                  \
    }

TILE(1, 1)
TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(1, 4)
    PACKED_TILE(1) PACKED_TILE(2) PACKED_TILE(3) PACKED_TILE(4) PACKED_TILE(5) PACKED_TILE(6)

        static const tile_fn tiles_1[6] = {tile_1_1, tile_2_1, tile_3_1,
                                           tile_4_1, tile_5_1, tile_6_1};
static const tile_fn tiles_2[3]         = {tile_1_2, tile_2_2, tile_3_2};
static const tile_fn tiles_4[1]         = {tile_1_4};
static const tile_fn packed_fns[6] = {packed_1, packed_2, packed_3, packed_4, packed_5, packed_6};

/* Part i of n nearly equal parts of total. */
static int part(int total, int i, int n)
{
    return total / n + (i < total % n);
}

/* The epilogue's operands for rows from row on, columns from col on, of a block
 * of k that is the first, the last, or both. */
static void tile_target(struct tile *t, const struct gemm *g, int row, int col, bool first,
                        bool last)
{
    t->c     = g->c + (ptrdiff_t)row * g->ldc + col;
    t->ldc   = g->ldc;
    t->bias  = first && g->bias ? g->bias + col : NULL;
    t->add   = NULL;
    t->ldadd = 0;
    if (!first) {
        t->add   = t->c;
        t->ldadd = g->ldc;
    } else if (g->residual) {
        t->add   = g->residual + (ptrdiff_t)row * g->ldr + col;
        t->ldadd = g->ldr;
    }
    t->low  = last ? act_low(g->act) : -INFINITY;
    t->high = last ? act_high(g->act) : INFINITY;
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
                           .cols  = cols};
    for (int i = 0; i < n; i++) {
        int mr = part(rows, i, n);
        t.a    = g->a + (ptrdiff_t)row * g->lda;
        tile_target(&t, g, row, col, true, true);
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

static void gemm_unpacked(const struct gemm *g)
{
    int block = g->m;
    if ((int64_t)g->n * g->k <= W_SMALL)
        block = MR; /* W stays near: pass over A once */
    else if ((int64_t)g->m * g->k > A_BLOCK)
        block = A_BLOCK / g->k > MR ? A_BLOCK / g->k / MR * MR : MR;
    for (int row = 0; row < g->m; row += block)
        columns(g, row, g->m - row < block ? g->m - row : block);
}

/* Rows of A, k values of each, to (k, rows). */
static void pack_rows(const float *a, ptrdiff_t lda, int rows, int k, float *out)
{
    for (int kk = 0; kk < k; kk++) {
        for (int i = 0; i < rows; i++)
            *out++ = a[i * lda + kk];
    }
}

static void packed_block(const struct gemm *g, const float *block, int row, int rows, int k0, int k)
{
    bool first = k0 == 0, last = k0 + k == g->k;
    int  n = (rows + MR - 1) / MR;
    for (int col = 0; col < g->n; col += GEMM_PANEL) {
        int         cols = g->n - col < GEMM_PANEL ? g->n - col : GEMM_PANEL, done = 0;
        struct tile t = {
            .w = g->w + (ptrdiff_t)col * g->k + (ptrdiff_t)k0 * GEMM_PANEL, .k = k, .cols = cols};
        for (int i = 0; i < n; i++) {
            int mr = part(rows, i, n);
            t.a    = block + (ptrdiff_t)done * k;
            tile_target(&t, g, row + done, col, first, last);
            packed_fns[mr - 1](&t);
            if (last && !act_is_clamp(g->act))
                activate(g, row + done, mr, col, cols);
            done += mr;
        }
    }
}

static void gemm_packed(const struct gemm *g)
{
    alignas(64) float block[MC * KC];
    int               depths = (g->k + KC - 1) / KC, blocks = (g->m + MC - 1) / MC;
    for (int d = 0, k0 = 0; d < depths; d++) {
        int k = part(g->k, d, depths);
        for (int b = 0, row = 0; b < blocks; b++) {
            int rows = part(g->m, b, blocks), tiles = (rows + MR - 1) / MR, done = 0;
            for (int i = 0; i < tiles; i++) {
                int mr = part(rows, i, tiles);
                pack_rows(g->a + (ptrdiff_t)(row + done) * g->lda + k0, g->lda, mr, k,
                          block + (ptrdiff_t)done * k);
                done += mr;
            }
            packed_block(g, block, row, rows, k0, k);
            row += rows;
        }
        k0 += k;
    }
}

void gemm_avx2(const struct gemm *g)
{
    if (g->m > MR && g->n >= 256 && g->k >= 256)
        gemm_packed(g);
    else
        gemm_unpacked(g);
}
