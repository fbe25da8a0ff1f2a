/* The fast attention of attention.h, compiled for the instruction set of the file
 * that includes this and built on that set's matrix product.
 *
 * A head's keys and values are packed as weights are, once; then its queries go
 * in groups: scores by one product, softmax, means by another. The division by
 * the sum of the weights comes last, since an answer is shorter than its weights.
 * One query alone is not worth the packing and reads keys and values in place.
 */
#ifndef OSPREY_NN_ATTENTION_INL_H
#define OSPREY_NN_ATTENTION_INL_H

#include "nn/act_inl.h"
#include "nn/attention.h"

#include <immintrin.h>
#include <string.h>

#define LANES 16

_Static_assert(LANES == GEMM_PANEL, "scores are padded to whole panels");

/* Keys to (panels, head_dim, 16); the padding's scores are never looked at. */
static inline void pack_keys(const struct attention *a, const float *k, float *to)
{
    for (int j = 0; j < a->tokens; j += LANES, to += (ptrdiff_t)LANES * a->head_dim) {
        for (int l = 0; l < LANES; l += 4) {
            const float *row[4];
            for (int r = 0; r < 4; r++) /* past the end: the last one again */
                row[r] = k + (ptrdiff_t)(j + l + r < a->tokens ? j + l + r : a->tokens - 1) * a->ld;
            int d = 0;
            for (; d + 4 <= a->head_dim; d += 4) {
                __m128 x0 = _mm_loadu_ps(row[0] + d), x1 = _mm_loadu_ps(row[1] + d);
                __m128 x2 = _mm_loadu_ps(row[2] + d), x3 = _mm_loadu_ps(row[3] + d);
                _MM_TRANSPOSE4_PS(x0, x1, x2, x3);
                _mm_storeu_ps(to + (ptrdiff_t)(d + 0) * LANES + l, x0);
                _mm_storeu_ps(to + (ptrdiff_t)(d + 1) * LANES + l, x1);
                _mm_storeu_ps(to + (ptrdiff_t)(d + 2) * LANES + l, x2);
                _mm_storeu_ps(to + (ptrdiff_t)(d + 3) * LANES + l, x3);
            }
            for (; d < a->head_dim; d++) {
                for (int r = 0; r < 4; r++)
                    to[(ptrdiff_t)d * LANES + l + r] = row[r][d];
            }
        }
    }
}

/* Values to (panels of head_dim, tokens, 16). */
static inline void pack_values(const struct attention *a, const float *v, float *to)
{
    for (int d = 0; d < a->head_dim; d += LANES) {
        int n = a->head_dim - d < LANES ? a->head_dim - d : LANES;
        for (int j = 0; j < a->tokens; j++, to += LANES) {
            const float *from = v + (ptrdiff_t)j * a->ld + d;
            if (n == LANES) {
                memcpy(to, from, LANES * sizeof *to);
                continue;
            }
            for (int l = 0; l < LANES; l++)
                to[l] = l < n ? from[l] : 0.0f;
        }
    }
}

/* Turns n scores into weights that still lack the division by their sum, which
 * it returns; those from n to padded, a multiple of LANES, become zero. */
static inline float soften(float *s, int n, int padded, float scale)
{
    float lanes[LANES], most = s[0], sum = 0;
    int   used = (n + LANES - 1) / LANES * LANES;
    for (int j = n; j < used; j++)
        s[j] = s[0];
    for (int l = 0; l < LANES; l++)
        lanes[l] = s[l];
    for (int j = LANES; j < used; j += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] = lanes[l] > s[j + l] ? lanes[l] : s[j + l];
    }
    for (int l = 0; l < LANES; l++)
        most = most > lanes[l] ? most : lanes[l];
    for (int j = 0; j < used; j++)
        s[j] = act_exp((s[j] - most) * scale);
    for (int j = n; j < padded; j++)
        s[j] = 0.0f;
    for (int l = 0; l < LANES; l++)
        lanes[l] = 0.0f;
    for (int j = 0; j < used; j += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += s[j + l];
    }
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* The product of two rows of n floats. */
static inline float dot(const float *x, const float *y, int n)
{
    float lanes[LANES] = {0}, sum = 0;
    int   i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += x[i] * y[i];
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* q, k, v: the head's first floats; s: scratch for the scores. */
static inline void attend_alone(const struct attention *a, const float *q, const float *k,
                                const float *v, int padded, float scale, float *s, float *out)
{
    int seen = a->causal ? a->first + 1 : a->tokens;
    q += (ptrdiff_t)a->first * a->ld;
    for (int j = 0; j < seen; j++)
        s[j] = dot(q, k + (ptrdiff_t)j * a->ld, a->head_dim);
    float inverse = 1.0f / soften(s, seen, padded, scale);
    for (int d = 0; d < a->head_dim; d++)
        out[d] = 0.0f;
    for (int j = 0; j < seen; j++, v += a->ld) {
        float weight = s[j] * inverse;
        for (int d = 0; d < a->head_dim; d++)
            out[d] += weight * v[d];
    }
}

static inline void attention_inl(const struct attention *a, gemm_kernel gemm, int head,
                                 float *scratch)
{
    const int    dim    = a->heads * a->head_dim;
    const int    padded = (a->tokens + LANES - 1) / LANES * LANES;
    const float *q      = a->qkv + (ptrdiff_t)head * a->head_dim;
    const float  scale  = 1.0f / sqrtf((float)a->head_dim);
    const int    first  = a->queries ? a->first : 0;
    const int    last   = a->queries ? a->first + a->queries : a->tokens;
    float       *s      = scratch; /* (ATTENTION_ROWS, padded) */
    float       *keys   = s + (ptrdiff_t)ATTENTION_ROWS * padded;
    float       *values = keys + (ptrdiff_t)padded * a->head_dim;
    float       *out    = a->out + (ptrdiff_t)head * a->head_dim;
    if (a->queries == 1) {
        attend_alone(a, q, q + dim, q + 2 * dim, padded, scale, s, out);
        return;
    }
    pack_keys(a, q + dim, keys);
    pack_values(a, q + 2 * dim, values);
    for (int i = first; i < last; i += ATTENTION_ROWS) {
        int         rows = last - i < ATTENTION_ROWS ? last - i : ATTENTION_ROWS;
        float       inverse[ATTENTION_ROWS];
        struct gemm scores = {.m   = rows,
                              .n   = a->causal ? i + rows : padded, /* keys that any of them sees */
                              .k   = a->head_dim,
                              .a   = q + (ptrdiff_t)i * a->ld,
                              .lda = a->ld,
                              .w   = keys,
                              .c   = s,
                              .ldc = padded};
        gemm(&scores);
        for (int r = 0; r < rows; r++)
            inverse[r] = 1.0f / soften(s + (ptrdiff_t)r * padded, a->causal ? i + r + 1 : a->tokens,
                                       padded, scale);
        struct gemm means = {.m   = rows,
                             .n   = a->head_dim,
                             .k   = a->tokens,
                             .a   = s,
                             .lda = padded,
                             .w   = values,
                             .c   = out + (ptrdiff_t)(i - first) * a->ldo,
                             .ldc = a->ldo};
        gemm(&means);
        for (int r = 0; r < rows; r++) {
            float *row = means.c + (ptrdiff_t)r * a->ldo;
            for (int d = 0; d < a->head_dim; d++)
                row[d] *= inverse[r];
        }
    }
}

#endif
