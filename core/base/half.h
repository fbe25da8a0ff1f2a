/* IEEE half precision: what embeddings are stored in.
 *
 * Conversion rounds to nearest, ties to even; values beyond the range become
 * infinite. The dot product and the Manhattan distance take the query in full
 * precision and accumulate in float.
 */
#ifndef OSPREY_BASE_HALF_H
#define OSPREY_BASE_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The functions that suit this processor; chosen once, when a library opens. */
struct half_ops {
    void (*from_float)(uint16_t *out, const float *in, size_t n);
    void (*to_float)(float *out, const uint16_t *in, size_t n);
    float (*dot)(const float *a, const uint16_t *b, size_t n);
    float (*manhattan)(const float *a, const uint16_t *b, size_t n); /* sum |a - b| */
};
struct half_ops half_ops_choose(void);

/* The reference: plain C. */
void  half_from_float(uint16_t *out, const float *in, size_t n);
void  half_to_float(float *out, const uint16_t *in, size_t n);
float half_dot(const float *a, const uint16_t *b, size_t n);
float half_manhattan(const float *a, const uint16_t *b, size_t n);

/* Whether there is neither an infinity nor a NaN among them. */
bool half_finite(const uint16_t *x, size_t n);

/* With F16C and FMA; only where cpu_detect() says at least CPU_AVX2. */
void  half_from_float_avx2(uint16_t *out, const float *in, size_t n);
void  half_to_float_avx2(float *out, const uint16_t *in, size_t n);
float half_dot_avx2(const float *a, const uint16_t *b, size_t n);
float half_manhattan_avx2(const float *a, const uint16_t *b, size_t n);

#endif
