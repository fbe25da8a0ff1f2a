/* The inner loops of resizing in plain C, for every processor, and what the
 * vectorised ones are tested against: see resize_kernels.h. */
#include "image/resize_kernels.h"

#define BLOCK 128 /* bytes of a row whose sums are held at once */

void resize_across_portable(const uint8_t *row, size_t available, const struct resize_taps *taps,
                            int n_out, uint8_t *out)
{
    (void)available;
    for (int x = 0; x < n_out; x++, out += 3) {
        const uint8_t *p = row + 3 * (size_t)taps[x].first;
        const int32_t *k = taps[x].k;
        int32_t        r = RESIZE_HALF, g = RESIZE_HALF, b = RESIZE_HALF;
        for (int i = 0; i < taps[x].n; i++, p += 3) {
            r += p[0] * k[i];
            g += p[1] * k[i];
            b += p[2] * k[i];
        }
        out[0] = resize_clip(r);
        out[1] = resize_clip(g);
        out[2] = resize_clip(b);
    }
}

void resize_down_portable(const uint8_t *const *rows, const struct resize_taps *taps, size_t n,
                          uint8_t *out)
{
    int32_t sums[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t m = n - at < BLOCK ? n - at : BLOCK;
        for (size_t i = 0; i < m; i++)
            sums[i] = RESIZE_HALF;
        for (int j = 0; j < taps->n; j++) {
            const uint8_t *row = rows[j] + at;
            int32_t        k   = taps->k[j];
            for (size_t i = 0; i < m; i++)
                sums[i] += row[i] * k;
        }
        for (size_t i = 0; i < m; i++)
            out[at + i] = resize_clip(sums[i]);
    }
}
