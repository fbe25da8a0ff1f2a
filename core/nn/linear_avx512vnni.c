/* 8-bit products for AVX-512 VNNI: see linear.h. */
#include <immintrin.h>
#include <string.h>

#define SUM                   __m512i
#define ZERO()                _mm512_setzero_si512()
#define DOT(s, a, w)          dot(s, a, w)
#define A_AT                  LOW_ROW_AT
#define W_AT                  LOW_INT8_AT
#define EACH                  LOW_INT8
#define FLOATS(s, row, panel) floats_of(s, row, panel)

/* By hand, since compilers copy the sums of _mm512_dpbusd_epi32 around. */
static inline __attribute__((always_inline)) __m512i dot(__m512i sum, __m512i a, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}

static inline __attribute__((always_inline)) __m512 floats_of(__m512i sum, const char *row,
                                                              const char *panel);

#include "nn/linear_avx512_inl.h"

/* What a row and a panel begin with turns sums into floats. */
INLINE __m512 floats_of(__m512i sum, const char *row, const char *panel)
{
    struct low_row r;
    memcpy(&r, row, sizeof r);
    __m512i all   = _mm512_load_si512(panel + LOW_STEP);
    __m512  scale = _mm512_mul_ps(_mm512_set1_ps(r.scale), _mm512_load_ps(panel));
    __m512i x     = _mm512_sub_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(r.zero), all));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(x), scale);
}

INLINE __mmask16 mask_of(int left)
{
    return (__mmask16)(left < 16 ? (1u << left) - 1 : 0xffffu);
}

void low_int8_convert_avx512vnni(const float *a, int lda, int rows, int k, void *to,
                                 size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        __m512 least = _mm512_setzero_ps(), most = least;
        char  *x = (char *)to + LOW_ROW_AT;
        for (int i = 0; i < k; i += 16) {
            __m512 v = _mm512_maskz_loadu_ps(mask_of(k - i), a + i);
            least    = _mm512_min_ps(v, least);
            most     = _mm512_max_ps(v, most);
        }
        struct low_row r = low_row_of(_mm512_reduce_min_ps(least), _mm512_reduce_max_ps(most));
        __m512         inverse = _mm512_set1_ps(low_inverse(r));
        __m512i        zero    = _mm512_set1_epi32(r.zero);
        memcpy(to, &r, sizeof r);
        for (int i = 0; i < k; i += 16) { /* rows have room for a line more than they need */
            __mmask16 mask = mask_of(k - i);
            __m512    v    = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, a + i), inverse);
            __m512i   q    = _mm512_add_epi32(_mm512_cvtps_epi32(v), zero);
            q              = _mm512_maskz_max_epi32(mask, q, _mm512_setzero_si512());
            _mm_storeu_si128((__m128i *)(void *)(x + i), _mm512_cvtusepi32_epi8(q));
        }
    }
}

void low_int8_avx512vnni(const struct low *p)
{
    run(p);
}
