/* The reduced products behind linear.h. Only linear.c, the kernels and tests
 * include this.
 */
#ifndef OSPREY_NN_LINEAR_LOW_H
#define OSPREY_NN_LINEAR_LOW_H

#include "nn/linear.h"

#include <stdint.h>

#define LOW_STEP    64 /* bytes of a panel that one step reads */
#define LOW_BF16    2  /* inputs of a step */
#define LOW_INT8    4
#define LOW_INT8_AT 128 /* bytes before an int8 panel's first step: scales and sums */
#define LOW_ROW_AT  64  /* bytes before an int8 row's first activation: struct low_row */

/* What an int8 row begins with. */
struct low_row {
    float   scale;
    int32_t zero;
};

/* A reduced product; a has been converted by the same kernel. */
struct low {
    int          m, n, k;
    const char  *a;
    size_t       lda;   /* bytes */
    const char  *w;     /* first panel */
    size_t       panel; /* bytes */
    const float *bias, *residual;
    int          ldr;
    float       *c;
    int          ldc;
    enum act     act;
};

/* The scale and zero point of a row whose least and largest element are given. */
static inline struct low_row low_row_of(float least, float most)
{
    least             = least < 0 ? least : 0.0f;
    most              = most > 0 ? most : 0.0f;
    struct low_row r  = {.scale = (most - least) * (1.0f / 255)};
    float          at = r.scale > 0 ? -least / r.scale : 0.0f;
    r.zero            = at >= 0 && at <= 255 ? (int32_t)(at + 0.5f) : 0;
    return r;
}

static inline float low_inverse(struct low_row r)
{
    return r.scale > 0 ? 1.0f / r.scale : 0.0f;
}

void low_bf16_convert_ref(const float *a, int lda, int rows, int k, void *to, size_t row_bytes);
void low_bf16_ref(const struct low *p);
void low_int8_convert_ref(const float *a, int lda, int rows, int k, void *to, size_t row_bytes);
void low_int8_ref(const struct low *p);

#if defined(__x86_64__)
void low_bf16_convert_avx2(const float *a, int lda, int rows, int k, void *to, size_t row_bytes);
void low_bf16_avx2(const struct low *p);
void low_int8_convert_avx2(const float *a, int lda, int rows, int k, void *to, size_t row_bytes);
void low_int8_avx2(const struct low *p);

void low_bf16_convert_avx512bf16(const float *a, int lda, int rows, int k, void *to,
                                 size_t row_bytes);
void low_bf16_avx512bf16(const struct low *p);
void low_int8_convert_avx512vnni(const float *a, int lda, int rows, int k, void *to,
                                 size_t row_bytes);
void low_int8_avx512vnni(const struct low *p);
#endif

#endif
