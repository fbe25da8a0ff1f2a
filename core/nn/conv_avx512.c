/* Depthwise convolution for AVX-512: see conv.h.
 *
 * A tile is 14, 7, or 1 outputs side by side for 16 channels. Each input pixel is loaded
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
    __m512    sum[14];
    __m512    bias = _mm512_loadu_ps(d->bias + lane);
    ptrdiff_t ld   = d->channels;
#pragma GCC unroll 14
    for (int x = 0; x < width; x++)
        sum[x] = bias;
    for (int i = 0; i < k; i++) {
        const float *in = d->rows[i] + at;
        __m512       tap[CONV_MAX_K];
#pragma GCC unroll 5
        for (int j = 0; j < k; j++)
            tap[j] = _mm512_loadu_ps(w + j * CONV_PANEL);
#pragma GCC unroll 31
        for (int x = 0; x < (width - 1) * stride + k; x++) {
            __m512 v = _mm512_loadu_ps(in);
            in += ld;
#pragma GCC unroll 5
            for (int j = 0; j < k; j++) {
                if (x >= j && (x - j) % stride == 0 && (x - j) / stride < width)
                    sum[(x - j) / stride] = _mm512_fmadd_ps(v, tap[j], sum[(x - j) / stride]);
            }
        }
        w += k * CONV_PANEL;
    }
    __m512 zero = _mm512_setzero_ps(), six = _mm512_set1_ps(6.0f);
#pragma GCC unroll 14
    for (int x = 0; x < width; x++, out += d->ldo)
        _mm512_storeu_ps(out, _mm512_min_ps(six, _mm512_max_ps(zero, sum[x])));
}

INLINE void row(const struct depthwise *d, const int k, const int stride)
{
    for (int p = 0; p < d->channels; p += 16) {
        const float *w = d->w + (ptrdiff_t)(p / CONV_PANEL) * k * k * CONV_PANEL;
        for (int x = 0; x < d->out_w;) {
            ptrdiff_t at   = (ptrdiff_t)x * stride * d->channels + p;
            float    *out  = d->out + x * d->ldo + p;
            int       left = d->out_w - x;
            if (left >= 14) {
                tile(d, at, p, w, out, k, stride, 14);
                x += 14;
            } else if (left >= 7) {
                tile(d, at, p, w, out, k, stride, 7);
                x += 7;
            } else {
                tile(d, at, p, w, out, k, stride, 1);
                x += 1;
            }
        }
    }
}

void depthwise_avx512(const struct depthwise *d)
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

/* width outputs of np panels; np * width sums stay in registers. */
INLINE void stem_tile(const struct stem *s, int x, int p, const int width, const int np)
{
    __m512 sum[28];
#pragma GCC unroll 2
    for (int j = 0; j < np; j++) {
        __m512 bias = _mm512_loadu_ps(s->bias + p + j * CONV_PANEL);
#pragma GCC unroll 14
        for (int i = 0; i < width; i++)
            sum[i * np + j] = bias;
    }
#pragma GCC unroll 1
    for (int row = 0; row < STEM_K; row++) {
        const float *in = s->rows[row] + (ptrdiff_t)x * STEM_STEP;
        const float *w  = s->w[row] + (ptrdiff_t)p * STEM_RUN;
#pragma GCC unroll 1
        for (int k = 0; k < STEM_RUN; k++, in++, w += CONV_PANEL) {
            __m512 b[2];
#pragma GCC unroll 2
            for (int j = 0; j < np; j++)
                b[j] = _mm512_loadu_ps(w + j * STEM_RUN * CONV_PANEL);
#pragma GCC unroll 14
            for (int i = 0; i < width; i++) {
                __m512 a = _mm512_set1_ps(in[i * STEM_STEP]);
#pragma GCC unroll 2
                for (int j = 0; j < np; j++)
                    sum[i * np + j] = _mm512_fmadd_ps(a, b[j], sum[i * np + j]);
            }
        }
    }
    __m512 zero = _mm512_setzero_ps(), six = _mm512_set1_ps(6.0f);
    float *out = s->out + (ptrdiff_t)x * s->channels + p;
#pragma GCC unroll 14
    for (int i = 0; i < width; i++, out += s->channels) {
#pragma GCC unroll 2
        for (int j = 0; j < np; j++)
            _mm512_storeu_ps(out + j * CONV_PANEL,
                             _mm512_min_ps(six, _mm512_max_ps(zero, sum[i * np + j])));
    }
}

void stem_avx512(const struct stem *s)
{
    for (int p = 0; p < s->channels; p += 2 * CONV_PANEL) {
        int pair = s->channels - p > CONV_PANEL, x = 0;
        for (; x + 14 <= s->out_w; x += 14) {
            if (pair)
                stem_tile(s, x, p, 14, 2);
            else
                stem_tile(s, x, p, 14, 1);
        }
        for (; x < s->out_w; x++) {
            if (pair)
                stem_tile(s, x, p, 1, 2);
            else
                stem_tile(s, x, p, 1, 1);
        }
    }
}

void pixels_avx512(const uint8_t *pixels, const float *scale, const float *shift, int n, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)pixels[i] * scale[i] + shift[i];
}
