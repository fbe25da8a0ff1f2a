/* The colour that most of a picture has: see colour.h. */
#include "image/colour.h"

#define STEP  4
#define CELLS 64 /* two bits of each channel */

struct cell {
    uint32_t n, sum[3];
};

uint32_t colour_dominant(const uint8_t *pixels, size_t n)
{
    struct cell cells[CELLS] = {{0}};
    size_t      best         = 0;
    size_t      step         = n > ((size_t)1 << 24) ? n >> 22 : STEP; /* sums stay below 2^32 */
    for (size_t i = 0; i < n; i += step) {
        const uint8_t *p    = pixels + i * 3;
        struct cell   *cell = &cells[(p[0] >> 6) << 4 | (p[1] >> 6) << 2 | p[2] >> 6];
        cell->n++;
        cell->sum[0] += p[0];
        cell->sum[1] += p[1];
        cell->sum[2] += p[2];
    }
    for (size_t i = 1; i < CELLS; i++)
        best = cells[i].n > cells[best].n ? i : best;
    const struct cell *c = &cells[best];
    if (c->n == 0)
        return 0;
    return COLOUR_KNOWN | (c->sum[0] / c->n) << 16 | (c->sum[1] / c->n) << 8 | c->sum[2] / c->n;
}
