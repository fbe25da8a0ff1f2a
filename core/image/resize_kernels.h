/* The two inner loops of resize.c, in plain C and in AVX2; for core/image alone.
 *
 * Both give identical bytes: all arithmetic is in 32-bit integers, where the
 * order of additions does not matter.
 */
#ifndef OSPREY_IMAGE_RESIZE_KERNELS_H
#define OSPREY_IMAGE_RESIZE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define RESIZE_BITS      22 /* of fraction in a coefficient */
#define RESIZE_HALF      (1 << (RESIZE_BITS - 1))
#define RESIZE_GROUP     4 /* taps are padded with zeros to a multiple of this */
#define RESIZE_LOW_BITS  11
#define RESIZE_LOW_RANGE (1 << RESIZE_LOW_BITS)

/* The coefficients of one output pixel (or row). */
struct resize_taps {
    int            first; /* first input pixel (or row) */
    int            n;     /* how many, without padding */
    const int32_t *k;     /* (n) coefficients, RESIZE_BITS of fraction */
    /* The same, split as k = high * 2^RESIZE_LOW_BITS + low for 16-bit multiplies,
     * padded; each group of 4 taps is 4 highs, then 4 lows. */
    const int16_t *split;
};

/* One row of pixels through n_out taps. Of row, available bytes may be read. */
typedef void resize_across_fn(const uint8_t *row, size_t available, const struct resize_taps *taps,
                              int n_out, uint8_t *out);
/* One output row of n bytes from the taps->n rows given (one pointer more, the
 * last repeated, when that is odd). */
typedef void resize_down_fn(const uint8_t *const *rows, const struct resize_taps *taps, size_t n,
                            uint8_t *out);

static inline uint8_t resize_clip(int32_t sum)
{
    int32_t value = sum >> RESIZE_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

resize_across_fn resize_across_portable;
resize_down_fn   resize_down_portable;
#if defined(__x86_64__)
resize_across_fn resize_across_avx2;
resize_down_fn   resize_down_avx2;
#endif

#endif
