/* The kernels that are compiled for one instruction set each. Only gemm.c and
 * conv.c, which choose among them, and tests include this.
 */
#ifndef OSPREY_NN_KERNELS_H
#define OSPREY_NN_KERNELS_H

#include "nn/conv.h"
#include "nn/gemm.h"

void depthwise_ref(const struct depthwise *d);
void stem_ref(const struct stem *s);
void pixels_ref(const uint8_t *pixels, const float *scale, const float *shift, int n, float *out);

#if defined(__x86_64__)
void gemm_avx2(const struct gemm *g);
void depthwise_avx2(const struct depthwise *d);
void stem_avx2(const struct stem *s);
void pixels_avx2(const uint8_t *pixels, const float *scale, const float *shift, int n, float *out);

void gemm_avx512(const struct gemm *g);
void depthwise_avx512(const struct depthwise *d);
void stem_avx512(const struct stem *s);
void pixels_avx512(const uint8_t *pixels, const float *scale, const float *shift, int n,
                   float *out);
#endif

/* An activation with the C library's functions: of the reference products. */
float act_ref(float x, enum act act);

#endif
