/* Half precision with F16C conversions and FMA (compiled with -mavx2 -mfma
 * -mf16c). Equal to half.c bit for bit in conversions; the dot product differs
 * in its last bits, because FMA rounds once; sums of distances, because of their
 * order. Tails go through the reference.
 */
#if defined(__x86_64__)

#include "base/half.h"

#include <immintrin.h>

void half_from_float_avx2(uint16_t *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(out + i), h);
    }
    half_from_float(out + i, in + i, n - i);
}

static inline __m256 load8(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

void half_to_float_avx2(float *out, const uint16_t *in, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, load8(in + i));
    half_to_float(out + i, in + i, n - i);
}

static inline float add_up(__m256 s)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q        = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q        = _mm_add_ss(q, _mm_movehdup_ps(q));
    return _mm_cvtss_f32(q);
}

float half_dot_avx2(const float *a, const uint16_t *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), load8(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), load8(b + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), load8(b + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), load8(b + i + 24), s3);
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), load8(b + i), s0);
    return add_up(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3))) +
           half_dot(a + i, b + i, n - i);
}

/* |a - b| of eight components. */
static inline __m256 apart8(const float *a, const uint16_t *b)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_andnot_ps(sign, _mm256_sub_ps(_mm256_loadu_ps(a), load8(b)));
}

float half_manhattan_avx2(const float *a, const uint16_t *b, size_t n)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_add_ps(s0, apart8(a + i, b + i));
        s1 = _mm256_add_ps(s1, apart8(a + i + 8, b + i + 8));
    }
    for (; i + 8 <= n; i += 8)
        s0 = _mm256_add_ps(s0, apart8(a + i, b + i));
    return add_up(_mm256_add_ps(s0, s1)) + half_manhattan(a + i, b + i, n - i);
}

#endif
