/* Depthwise convolution: packing, the reference kernel, the choice among
 * kernels. See conv.h.
 */
#include "nn/conv.h"
#include "nn/kernels.h"

size_t depthwise_packed_size(int channels, int k)
{
    return (size_t)channels * (size_t)k * (size_t)k;
}

void depthwise_pack(const float *w, int channels, int k, float *packed)
{
    int taps = k * k;
    for (int p = 0; p < channels; p += CONV_PANEL) {
        for (int tap = 0; tap < taps; tap++) {
            for (int c = 0; c < CONV_PANEL; c++)
                *packed++ = w[(p + c) * taps + tap];
        }
    }
}

int conv_same(int size, int k, int stride, int *before, int *after)
{
    int out   = (size + stride - 1) / stride;
    int total = (out - 1) * stride + k - size;
    if (total < 0)
        total = 0;
    *before = total / 2;
    *after  = total - total / 2;
    return out;
}

void depthwise_ref(const struct depthwise *d)
{
    for (int p = 0; p < d->channels; p += CONV_PANEL) {
        const float *w = d->w + (ptrdiff_t)p * d->k * d->k;
        for (int x = 0; x < d->out_w; x++) {
            float sum[CONV_PANEL];
            for (int c = 0; c < CONV_PANEL; c++)
                sum[c] = d->bias[p + c];
            for (int i = 0; i < d->k; i++) {
                const float *in = d->rows[i] + (ptrdiff_t)x * d->stride * d->channels + p;
                for (int j = 0; j < d->k; j++, in += d->channels) {
                    const float *tap = w + (i * d->k + j) * CONV_PANEL;
                    for (int c = 0; c < CONV_PANEL; c++)
                        sum[c] += in[c] * tap[c];
                }
            }
            float *out = d->out + x * d->ldo + p;
            for (int c = 0; c < CONV_PANEL; c++)
                out[c] = sum[c] < 0 ? 0 : sum[c] > 6 ? 6 : sum[c];
        }
    }
}

void stem_ref(const struct stem *s)
{
    for (int p = 0; p < s->channels; p += CONV_PANEL) {
        for (int x = 0; x < s->out_w; x++) {
            float sum[CONV_PANEL];
            for (int c = 0; c < CONV_PANEL; c++)
                sum[c] = s->bias[p + c];
            for (int i = 0; i < STEM_K; i++) {
                const float *in = s->rows[i] + (ptrdiff_t)x * STEM_STEP;
                const float *w  = s->w[i] + (ptrdiff_t)p * STEM_RUN;
                for (int j = 0; j < STEM_RUN; j++, w += CONV_PANEL) {
                    for (int c = 0; c < CONV_PANEL; c++)
                        sum[c] += in[j] * w[c];
                }
            }
            float *out = s->out + (ptrdiff_t)x * s->channels + p;
            for (int c = 0; c < CONV_PANEL; c++)
                out[c] = sum[c] < 0 ? 0 : sum[c] > 6 ? 6 : sum[c];
        }
    }
}

void pixels_ref(const uint8_t *pixels, const float *scale, const float *shift, int n, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)pixels[i] * scale[i] + shift[i];
}

struct conv_kernels conv_kernels_for(struct cpu cpu)
{
#if defined(__x86_64__)
    if (cpu.level == CPU_AVX512)
        return (struct conv_kernels){depthwise_avx512, stem_avx512, pixels_avx512};
    if (cpu.level == CPU_AVX2)
        return (struct conv_kernels){depthwise_avx2, stem_avx2, pixels_avx2};
#endif
    (void)cpu;
    return (struct conv_kernels){depthwise_ref, stem_ref, pixels_ref};
}
