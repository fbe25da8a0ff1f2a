/* The inner loops of resizing in AVX2: see resize_kernels.h.
 *
 * A pixel is 8 bits, a coefficient 24: too wide for the 16-bit multiply-add
 * (vpmaddwd) that does two taps at once. So each coefficient is split into two
 * 16-bit halves, k = high * 2^11 + low, both sums are taken, and put together
 * at the end. The sums may wrap around; the total, which fits, does not care.
 */
#include "image/resize_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#define LOAD_BYTES 16 /* read for a group of 4 pixels, which are 12 */

static inline __m128i round_sums(__m128i high, __m128i low)
{
    __m128i sum = _mm_add_epi32(_mm_slli_epi32(high, RESIZE_LOW_BITS), low);
    sum         = _mm_add_epi32(sum, _mm_set1_epi32(RESIZE_HALF));
    return _mm_srai_epi32(sum, RESIZE_BITS);
}

/* One output pixel. groups is how many groups of 4 taps may be read with
 * LOAD_BYTES each; the taps after them are done one by one. */
static inline void across_pixel(const uint8_t *p, const struct resize_taps *taps, int groups,
                                uint8_t *out)
{
    /* Pixels 0 and 1 into the lower lane, 2 and 3 into the upper, as 16-bit
     * pairs r0 r1, g0 g1, b0 b1. */
    const __m256i spread =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* */
                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const __m256i highs = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, /* */
                                           4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    const __m256i lows  = _mm256_add_epi8(highs, _mm256_set1_epi8(8));
    __m256i       high = _mm256_setzero_si256(), low = _mm256_setzero_si256();
    for (int g = 0; g < groups; g++) {
        __m256i pixels =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(p + 12 * (size_t)g)));
        __m256i k = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const void *)(taps->split + 8 * (size_t)g)));
        pixels = _mm256_shuffle_epi8(pixels, spread);
        high   = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, _mm256_shuffle_epi8(k, highs)));
        low    = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, _mm256_shuffle_epi8(k, lows)));
    }
    __m128i high4 = _mm_add_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    __m128i low4  = _mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    if (RESIZE_GROUP * groups < taps->n) {
        int32_t rest[4] = {0};
        for (int i = RESIZE_GROUP * groups; i < taps->n; i++) {
            for (int c = 0; c < 3; c++)
                rest[c] += p[3 * (size_t)i + (size_t)c] * taps->k[i];
        }
        low4 = _mm_add_epi32(low4, _mm_loadu_si128((const void *)rest));
    }
    __m128i  sum   = round_sums(high4, low4);
    uint32_t bytes = (uint32_t)_mm_cvtsi128_si32(
        _mm_packus_epi16(_mm_packs_epi32(sum, sum), _mm_setzero_si128()));
    out[0] = (uint8_t)bytes;
    out[1] = (uint8_t)(bytes >> 8);
    out[2] = (uint8_t)(bytes >> 16);
}

void resize_across_avx2(const uint8_t *row, size_t available, const struct resize_taps *taps,
                        int n_out, uint8_t *out)
{
    for (int x = 0; x < n_out; x++) {
        size_t at     = 3 * (size_t)taps[x].first;
        int    groups = (taps[x].n + RESIZE_GROUP - 1) / RESIZE_GROUP;
        while (groups && at + 12 * (size_t)(groups - 1) + LOAD_BYTES > available)
            groups--;
        across_pixel(row + at, &taps[x], groups, out + 3 * (size_t)x);
    }
}

/* 16 bytes of an output row. */
static inline void down_block(const uint8_t *const *rows, const struct resize_taps *taps, size_t at,
                              uint8_t *out)
{
    __m256i high0 = _mm256_setzero_si256(), low0 = _mm256_setzero_si256();
    __m256i high1 = _mm256_setzero_si256(), low1 = _mm256_setzero_si256();
    for (int j = 0; j < taps->n; j += 2) {
        const int16_t *split = taps->split + 8 * (size_t)(j / 4) + (size_t)(j % 4);
        int32_t        pair_high, pair_low;
        memcpy(&pair_high, split, sizeof pair_high);
        memcpy(&pair_low, split + 4, sizeof pair_low);
        __m256i k_high = _mm256_set1_epi32(pair_high), k_low = _mm256_set1_epi32(pair_low);
        __m128i a  = _mm_loadu_si128((const void *)(rows[j] + at));
        __m128i b  = _mm_loadu_si128((const void *)(rows[j + 1] + at));
        __m256i p0 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
        __m256i p1 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
        high0      = _mm256_add_epi32(high0, _mm256_madd_epi16(p0, k_high));
        low0       = _mm256_add_epi32(low0, _mm256_madd_epi16(p0, k_low));
        high1      = _mm256_add_epi32(high1, _mm256_madd_epi16(p1, k_high));
        low1       = _mm256_add_epi32(low1, _mm256_madd_epi16(p1, k_low));
    }
    __m128i s0 = round_sums(_mm256_castsi256_si128(high0), _mm256_castsi256_si128(low0));
    __m128i s1 = round_sums(_mm256_extracti128_si256(high0, 1), _mm256_extracti128_si256(low0, 1));
    __m128i s2 = round_sums(_mm256_castsi256_si128(high1), _mm256_castsi256_si128(low1));
    __m128i s3 = round_sums(_mm256_extracti128_si256(high1, 1), _mm256_extracti128_si256(low1, 1));
    _mm_storeu_si128((void *)(out + at),
                     _mm_packus_epi16(_mm_packs_epi32(s0, s1), _mm_packs_epi32(s2, s3)));
}

void resize_down_avx2(const uint8_t *const *rows, const struct resize_taps *taps, size_t n,
                      uint8_t *out)
{
    size_t at = 0;
    for (; at + 16 <= n; at += 16)
        down_block(rows, taps, at, out);
    if (at < n && n >= 16) /* the last block overlaps the one before */
        down_block(rows, taps, n - 16, out);
    else if (at < n)
        resize_down_portable(rows, taps, n, out);
}
#endif
