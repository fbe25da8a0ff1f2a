/* Reduced products for AVX2 and FMA: see linear.h.
 *
 * bfloat16: weights are widened as they are read; activations are floats that
 * were rounded. It saves memory, not arithmetic.
 *
 * 8 bits: pairs of 16-bit products (vpmaddwd), which cannot overflow as the
 * faster vpmaddubsw can, so that sums are those of every other kernel. Weights
 * are widened as they are read, activations lie in 16 bits. A register holds four
 * outputs, two partial sums each; a tile is 6 rows by half a panel.
 */
#include "nn/act_inl.h"
#include "nn/linear_low.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

#define A_BLOCK 262144 /* bytes of A that stay in the second-level cache */

/* Rows of a tile. */
#define BF16_ROWS 6
#define INT8_ROWS 6

/* Bias, residual and activation of some outputs of one row. */
static void finish(const struct low *p, int row, int col, int cols, const float *sums)
{
    cols             = p->n - col < cols ? p->n - col : cols;
    float       *c   = p->c + (ptrdiff_t)row * p->ldc + col;
    const float *add = p->residual ? p->residual + (ptrdiff_t)row * p->ldr + col : NULL;
    float        low = act_low(p->act), high = act_high(p->act);
    for (int j = 0; j < cols; j++) {
        float x = sums[j];
        if (p->bias)
            x += p->bias[col + j];
        if (add)
            x += add[j];
        x    = x < low ? low : x;
        c[j] = x > high ? high : x;
    }
    if (!act_is_clamp(p->act))
        act_run(c, cols, p->act);
}

void low_bf16_convert_avx2(const float *a, int lda, int rows, int k, void *to, size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        float *x = to;
        for (int i = 0; i < k; i++) {
            uint32_t u;
            memcpy(&u, a + i, sizeof u);
            uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
            rounded          = (u & 0x7fffffff) > 0x7f800000 ? u | 0x400000 : rounded;
            memcpy(x + i, &rounded, sizeof rounded);
        }
        x[k] = 0;
    }
}

INLINE void bf16_tile(const struct low *p, int row, int col, const char *w, const int mr)
{
    __m256       sum[2 * BF16_ROWS];
    const char  *a   = p->a + (size_t)row * p->lda;
    __m256i      top = _mm256_set1_epi32((int)0xffff0000);
    const size_t ld  = p->lda;
#pragma GCC unroll 12
    for (int i = 0; i < 2 * mr; i++)
        sum[i] = _mm256_setzero_ps();
    for (int k = 0; k < p->k; k += LOW_BF16, w += LOW_STEP, a += LOW_BF16 * sizeof(float)) {
#pragma GCC unroll 2
        for (int odd = 0; odd < 2; odd++) {
            __m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
            __m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32));
            __m256  b0 =
                _mm256_castsi256_ps(odd ? _mm256_and_si256(w0, top) : _mm256_slli_epi32(w0, 16));
            __m256 b1 =
                _mm256_castsi256_ps(odd ? _mm256_and_si256(w1, top) : _mm256_slli_epi32(w1, 16));
#pragma GCC unroll 6
            for (int i = 0; i < mr; i++) {
                const char *at = a + (size_t)i * ld + (size_t)odd * sizeof(float);
                __m256      x  = _mm256_broadcast_ss((const float *)(const void *)at);
                sum[2 * i]     = _mm256_fmadd_ps(x, b0, sum[2 * i]);
                sum[2 * i + 1] = _mm256_fmadd_ps(x, b1, sum[2 * i + 1]);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) {
        float sums[GEMM_PANEL];
        _mm256_storeu_ps(sums, sum[2 * i]);
        _mm256_storeu_ps(sums + 8, sum[2 * i + 1]);
        finish(p, row + i, col, GEMM_PANEL, sums);
    }
}

/* Each row's 16-bit activations follow its struct low_row. */
void low_int8_convert_avx2(const float *a, int lda, int rows, int k, void *to, size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        __m256   least8 = _mm256_setzero_ps(), most8 = least8;
        float    lanes[16], least = 0, most = 0;
        int16_t *x = (int16_t *)(void *)((char *)to + LOW_ROW_AT);
        int      i = 0;
        for (; i + 8 <= k; i += 8) {
            least8 = _mm256_min_ps(_mm256_loadu_ps(a + i), least8);
            most8  = _mm256_max_ps(_mm256_loadu_ps(a + i), most8);
        }
        _mm256_storeu_ps(lanes, least8);
        _mm256_storeu_ps(lanes + 8, most8);
        for (int j = 0; j < 8; j++) {
            least = lanes[j] < least ? lanes[j] : least;
            most  = lanes[8 + j] > most ? lanes[8 + j] : most;
        }
        for (; i < k; i++) {
            least = a[i] < least ? a[i] : least;
            most  = a[i] > most ? a[i] : most;
        }
        struct low_row r       = low_row_of(least, most);
        float          inverse = low_inverse(r);
        memcpy(to, &r, sizeof r);
        for (i = 0; i + 8 <= k; i += 8) {
            __m256  v = _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_set1_ps(inverse));
            __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(r.zero));
            q         = _mm256_max_epi32(q, _mm256_setzero_si256());
            q         = _mm256_min_epi32(q, _mm256_set1_epi32(255));
            _mm_storeu_si128(
                (__m128i *)(void *)(x + i),
                _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1)));
        }
        for (; i < k; i++) {
            float q = nearbyintf(a[i] * inverse) + (float)r.zero;
            x[i]    = (int16_t)(q > 255 ? 255 : q > 0 ? q : 0);
        }
        for (; i % LOW_INT8; i++)
            x[i] = 0;
    }
}

/* By hand, since compilers keep these sums in memory. */
INLINE void add_pairs(__m256i *sum, __m256i a, __m256i w)
{
    __m256i pairs;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(*sum), "=&x"(pairs) : "x"(a), "x"(w));
}

/* Half of a panel: 8 outputs. */
INLINE void int8_tile(const struct low *p, int row, int col, const char *panel, const int half,
                      const int mr)
{
    __m256i      sum[2 * INT8_ROWS];
    const char  *a0 = p->a + (size_t)row * p->lda + LOW_ROW_AT, *a3 = a0 + 3 * p->lda;
    const char  *w  = panel + LOW_INT8_AT + 32 * half;
    const size_t ld = p->lda;
#pragma GCC unroll 12
    for (int i = 0; i < 2 * mr; i++)
        sum[i] = _mm256_setzero_si256();
    for (int k = p->k; k > 0; k -= LOW_INT8) {
        __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w));
        __m256i b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + 16)));
#pragma GCC unroll 6
        for (int i = 0; i < mr; i++) {
            const char *at = i < 3 ? a0 + (size_t)i * ld : a3 + (size_t)(i - 3) * ld;
            __m256i     x  = _mm256_castpd_si256(
                     _mm256_broadcast_sd((const double *)(const void *)at)); /* four activations */
            add_pairs(&sum[2 * i], x, b0);
            add_pairs(&sum[2 * i + 1], x, b1);
        }
        w += LOW_STEP;
        a0 += LOW_INT8 * sizeof(int16_t);
        a3 += LOW_INT8 * sizeof(int16_t);
        __asm__("" : "+r"(a0), "+r"(a3)); /* keeps one pointer from becoming one for each row */
    }
    __m256i all = _mm256_load_si256((const __m256i *)(const void *)(panel + LOW_STEP + 32 * half));
    __m256  scale = _mm256_load_ps((const float *)(const void *)(panel + 32 * half));
#pragma GCC unroll 6
    for (int i = 0; i < mr; i++) {
        float          sums[8];
        struct low_row r;
        memcpy(&r, p->a + (size_t)(row + i) * ld, sizeof r);
        /* (0 1 4 5 | 2 3 6 7) to order */
        __m256i s = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[2 * i], sum[2 * i + 1]), 0xd8);
        s         = _mm256_sub_epi32(s, _mm256_mullo_epi32(_mm256_set1_epi32(r.zero), all));
        __m256 x =
            _mm256_mul_ps(_mm256_cvtepi32_ps(s), _mm256_mul_ps(_mm256_set1_ps(r.scale), scale));
        _mm256_storeu_ps(sums, x);
        finish(p, row + i, col + 8 * half, 8, sums);
    }
}

INLINE void int8_rows(const struct low *p, int row, int col, const char *w, const int mr)
{
    int8_tile(p, row, col, w, 0, mr);
    if (p->n - col > 8)
        int8_tile(p, row, col, w, 1, mr);
}

/* rows rows of A against all panels. */
static void int8_block(const struct low *p, int row, int rows)
{
    const char *w = p->w;
    for (int col = 0; col < p->n; col += GEMM_PANEL, w += p->panel) {
        int i = row, end = row + rows;
        for (; i + INT8_ROWS <= end; i += INT8_ROWS)
            int8_rows(p, i, col, w, INT8_ROWS);
        for (; i + 2 <= end; i += 2)
            int8_rows(p, i, col, w, 2);
        for (; i < end; i++)
            int8_rows(p, i, col, w, 1);
    }
}

static void bf16_block(const struct low *p, int row, int rows)
{
    const char *w = p->w;
    for (int col = 0; col < p->n; col += GEMM_PANEL, w += p->panel) {
        int i = row, end = row + rows;
        for (; i + BF16_ROWS <= end; i += BF16_ROWS)
            bf16_tile(p, i, col, w, BF16_ROWS);
        for (; i + 2 <= end; i += 2)
            bf16_tile(p, i, col, w, 2);
        for (; i < end; i++)
            bf16_tile(p, i, col, w, 1);
    }
}

static void run(const struct low *p, void (*block_of)(const struct low *, int, int))
{
    int block = (int)(A_BLOCK / p->lda) / BF16_ROWS * BF16_ROWS;
    if (block < BF16_ROWS)
        block = BF16_ROWS;
    for (int row = 0; row < p->m; row += block)
        block_of(p, row, p->m - row < block ? p->m - row : block);
}

void low_bf16_avx2(const struct low *p)
{
    run(p, bf16_block);
}

void low_int8_avx2(const struct low *p)
{
    run(p, int8_block);
}
