/* The fast attention of attention.h, in vectors of sixteen floats that the
 * compiler maps to the instruction set of the file that includes this.
 *
 * Four queries share each pass over the keys (transposed once a head, so that
 * scores of neighbouring keys are neighbours) and over the values.
 */
#ifndef OSPREY_NN_ATTENTION_INL_H
#define OSPREY_NN_ATTENTION_INL_H

#include "nn/act_inl.h"
#include "nn/attention.h"

#define LANES 16
#define ROWS  4 /* queries at a time */

typedef float vec __attribute__((vector_size(64), aligned(4)));

/* kt: (head_dim, padded), the padding zero. */
static inline void transpose_keys(const struct attention *a, const float *k, int padded, float *kt)
{
    for (int d = 0; d < a->head_dim; d++) {
        float *row = kt + (ptrdiff_t)d * padded;
        for (int j = 0; j < a->tokens; j++)
            row[j] = k[(ptrdiff_t)j * a->ld + d];
        for (int j = a->tokens; j < padded; j++)
            row[j] = 0.0f;
    }
}

/* s: (ROWS, padded), of which the first seen columns are filled. q: the queries'
 * first elements; absent ones repeat one. */
static inline void scores_of(const float *const q[ROWS], const float *kt, int head_dim, int padded,
                             int seen, float *s)
{
    for (int j = 0; j < seen; j += LANES) {
        vec sum[ROWS] = {{0}};
        for (int d = 0; d < head_dim; d++) {
            vec k = *(const vec *)(kt + (ptrdiff_t)d * padded + j);
            for (int r = 0; r < ROWS; r++)
                sum[r] += q[r][d] * k;
        }
        for (int r = 0; r < ROWS; r++)
            *(vec *)(s + (ptrdiff_t)r * padded + j) = sum[r];
    }
}

/* Turns n scores into weights that still lack the division by their sum, which
 * it returns. s has room up to a multiple of LANES. */
static inline float soften(float *s, int n, int padded, float scale)
{
    float lanes[LANES], most = s[0], sum = 0;
    for (int j = n; j < padded; j++)
        s[j] = s[0];
    for (int l = 0; l < LANES; l++)
        lanes[l] = s[l];
    for (int j = LANES; j < padded; j += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] = lanes[l] > s[j + l] ? lanes[l] : s[j + l];
    }
    for (int l = 0; l < LANES; l++)
        most = most > lanes[l] ? most : lanes[l];
    for (int j = 0; j < padded; j++)
        s[j] = act_exp((s[j] - most) * scale);
    for (int j = n; j < padded; j++)
        s[j] = 0.0f;
    for (int l = 0; l < LANES; l++)
        lanes[l] = 0.0f;
    for (int j = 0; j < padded; j += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += s[j + l];
    }
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* out[r] = weighted mean of the first seen values, for the first rows queries. */
static inline void mix_values(const struct attention *a, const float *v, const float *s, int padded,
                              int seen, const float *inverse, int rows, float *out)
{
    int d = 0;
    for (; d + LANES <= a->head_dim; d += LANES) {
        vec sum[ROWS] = {{0}};
        for (int j = 0; j < seen; j++) {
            vec x = *(const vec *)(v + (ptrdiff_t)j * a->ld + d);
            for (int r = 0; r < ROWS; r++)
                sum[r] += s[(ptrdiff_t)r * padded + j] * x;
        }
        for (int r = 0; r < rows; r++)
            *(vec *)(out + (ptrdiff_t)r * a->ldo + d) = sum[r] * inverse[r];
    }
    for (; d < a->head_dim; d++) {
        for (int r = 0; r < rows; r++) {
            float sum = 0;
            for (int j = 0; j < seen; j++)
                sum += s[(ptrdiff_t)r * padded + j] * v[(ptrdiff_t)j * a->ld + d];
            out[(ptrdiff_t)r * a->ldo + d] = sum * inverse[r];
        }
    }
}

static inline void attention_inl(const struct attention *a, int head, float *scratch)
{
    const int    dim    = a->heads * a->head_dim;
    const int    padded = (a->tokens + LANES - 1) / LANES * LANES;
    const float *base   = a->qkv + (ptrdiff_t)head * a->head_dim;
    const float  scale  = 1.0f / sqrtf((float)a->head_dim);
    float       *kt     = scratch;
    float       *s      = scratch + (ptrdiff_t)padded * a->head_dim; /* (ROWS, padded) */
    const int    first  = a->queries ? a->first : 0;
    const int    last   = a->queries ? a->first + a->queries : a->tokens;
    transpose_keys(a, base + dim, padded, kt);
    for (int i = first; i < last; i += ROWS) {
        int          rows = last - i < ROWS ? last - i : ROWS;
        int          most = a->causal ? i + rows : a->tokens; /* keys that any of them sees */
        int          seen = (most + LANES - 1) / LANES * LANES;
        const float *q[ROWS];
        float        inverse[ROWS];
        for (int r = 0; r < ROWS; r++)
            q[r] = base + (ptrdiff_t)(i + (r < rows ? r : 0)) * a->ld;
        scores_of(q, kt, a->head_dim, padded, seen, s);
        for (int r = 0; r < ROWS; r++) {
            int n      = a->causal && r < rows ? i + r + 1 : most;
            inverse[r] = 1.0f / soften(s + (ptrdiff_t)r * padded, n, seen, scale);
        }
        mix_values(a, base + 2 * dim, s, padded, most, inverse, rows,
                   a->out + (ptrdiff_t)(i - first) * a->ldo + (ptrdiff_t)head * a->head_dim);
    }
}

#endif
