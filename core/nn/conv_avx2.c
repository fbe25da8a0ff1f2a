/* Depthwise convolution for AVX2: see conv.h.
 *
 * A tile is 7 or 1 outputs side by side for 8 channels. Each input pixel is loaded
 * once for each row of the window and added to every output that it reaches, so
 * that multiply-adds and not loads are the bound.
 */
#include "nn/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* width outputs from in (one pointer for each row of the window), all sizes known
 * to the compiler. */
INLINE void tile(const struct depthwise *d, ptrdiff_t at, ptrdiff_t lane, const float *w,
                 float *out, const int k, const int stride, const int width)
{
    __m256    sum[7];
    __m256    bias = _mm256_loadu_ps(d->bias + lane);
    ptrdiff_t ld   = d->channels;
#pragma GCC unroll 7
    for (int x = 0; x < width; x++)
        sum[x] = bias;
    for (int i = 0; i < k; i++) {
        const float *in = d->rows[i] + at;
        __m256       tap[CONV_MAX_K];
#pragma GCC unroll 5
        for (int j = 0; j < k; j++)
            tap[j] = _mm256_loadu_ps(w + j * CONV_PANEL);
#pragma GCC unroll 17
        for (int x = 0; x < (width - 1) * stride + k; x++) {
            __m256 v = _mm256_loadu_ps(in);
            in += ld;
#pragma GCC unroll 5
            for (int j = 0; j < k; j++) {
                if (x >= j && (x - j) % stride == 0 && (x - j) / stride < width)
                    sum[(x - j) / stride] = _mm256_fmadd_ps(v, tap[j], sum[(x - j) / stride]);
            }
        }
        w += k * CONV_PANEL;
    }
    __m256 zero = _mm256_setzero_ps(), six = _mm256_set1_ps(6.0f);
#pragma GCC unroll 7
    for (int x = 0; x < width; x++, out += d->ldo)
        _mm256_storeu_ps(out, _mm256_min_ps(six, _mm256_max_ps(zero, sum[x])));
}

INLINE void row(const struct depthwise *d, const int k, const int stride)
{
    for (int p = 0; p < d->channels; p += 8) {
        const float *w = d->w + (ptrdiff_t)(p / CONV_PANEL) * k * k * CONV_PANEL + p % CONV_PANEL;
        for (int x = 0; x < d->out_w;) {
            ptrdiff_t at   = (ptrdiff_t)x * stride * d->channels + p;
            float    *out  = d->out + x * d->ldo + p;
            int       left = d->out_w - x;
            if (left >= 7) {
                tile(d, at, p, w, out, k, stride, 7);
                x += 7;
            } else {
                tile(d, at, p, w, out, k, stride, 1);
                x += 1;
            }
        }
    }
}

void depthwise_avx2(const struct depthwise *d)
{
    if (d->k == 3 && d->stride == 1)
        row(d, 3, 1);
    else if (d->k == 3)
        row(d, 3, 2);
    else if (d->stride == 1)
        row(d, 5, 1);
    else
        row(d, 5, 2);
}

/* width outputs of one panel: two registers each. */
INLINE void stem_tile(const struct stem *s, int x, int p, const int width)
{
    __m256 sum[12];
#pragma GCC unroll 6
    for (int i = 0; i < width; i++) {
        sum[2 * i]     = _mm256_loadu_ps(s->bias + p);
        sum[2 * i + 1] = _mm256_loadu_ps(s->bias + p + 8);
    }
#pragma GCC unroll 1
    for (int row = 0; row < STEM_K; row++) {
        const float *in = s->rows[row] + (ptrdiff_t)x * STEM_STEP;
        const float *w  = s->w[row] + (ptrdiff_t)p * STEM_RUN;
#pragma GCC unroll 1
        for (int k = 0; k < STEM_RUN; k++, in++, w += CONV_PANEL) {
            __m256 b0 = _mm256_loadu_ps(w), b1 = _mm256_loadu_ps(w + 8);
#pragma GCC unroll 6
            for (int i = 0; i < width; i++) {
                __m256 a       = _mm256_broadcast_ss(in + i * STEM_STEP);
                sum[2 * i]     = _mm256_fmadd_ps(a, b0, sum[2 * i]);
                sum[2 * i + 1] = _mm256_fmadd_ps(a, b1, sum[2 * i + 1]);
            }
        }
    }
    __m256 zero = _mm256_setzero_ps(), six = _mm256_set1_ps(6.0f);
    float *out = s->out + (ptrdiff_t)x * s->channels + p;
#pragma GCC unroll 6
    for (int i = 0; i < width; i++, out += s->channels) {
        _mm256_storeu_ps(out, _mm256_min_ps(six, _mm256_max_ps(zero, sum[2 * i])));
        _mm256_storeu_ps(out + 8, _mm256_min_ps(six, _mm256_max_ps(zero, sum[2 * i + 1])));
    }
}

void stem_avx2(const struct stem *s)
{
    for (int p = 0; p < s->channels; p += CONV_PANEL) {
        int x = 0;
        for (; x + 6 <= s->out_w; x += 6)
            stem_tile(s, x, p, 6);
        for (; x < s->out_w; x++)
            stem_tile(s, x, p, 1);
    }
}

void pixels_avx2(const uint8_t *pixels, const float *scale, const float *shift, int n, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)pixels[i] * scale[i] + shift[i];
}
