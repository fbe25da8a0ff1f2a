/* bfloat16 products for AVX-512 BF16: see linear.h. */
#include <immintrin.h>
#include <string.h>

#define SUM                   __m512
#define ZERO()                _mm512_setzero_ps()
#define DOT(s, a, w)          _mm512_dpbf16_ps(s, (__m512bh)(a), (__m512bh)(w))
#define A_AT                  0
#define W_AT                  0
#define EACH                  LOW_BF16
#define FLOATS(s, row, panel) (s)
#include "nn/linear_avx512_inl.h"

void low_bf16_convert_avx512bf16(const float *a, int lda, int rows, int k, void *to,
                                 size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        uint16_t *x = to;
        int       i = 0;
        for (; i + 32 <= k; i += 32) {
            __m512bh pair =
                _mm512_cvtne2ps_pbh(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(a + i));
            _mm512_storeu_si512(x + i, (__m512i)pair);
        }
        for (; i < k; i += 16) { /* rows have room for a line more than they need */
            __mmask16 mask = (__mmask16)(k - i < 16 ? (1u << (k - i)) - 1 : 0xffffu);
            __m256bh  half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, a + i));
            _mm256_storeu_si256((__m256i *)(void *)(x + i), (__m256i)half);
        }
    }
}

void low_bf16_avx512bf16(const struct low *p)
{
    run(p);
}
