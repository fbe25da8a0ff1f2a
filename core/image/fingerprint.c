/* A picture's fingerprint: see fingerprint.h. */
#include "image/fingerprint.h"

#include "image/resize.h"

#include <math.h>
#include <stdlib.h>

#define COLOUR 6 /* mean distance of channels that JPEG's rounding of a grey picture stays below   \
                  */
#define CELLS  8 /* of the coarse shape, each way */

static int spread(const uint8_t *p)
{
    int most  = p[0] > p[1] ? p[0] : p[1];
    int least = p[0] < p[1] ? p[0] : p[1];
    return (most > p[2] ? most : p[2]) - (least < p[2] ? least : p[2]);
}

int fingerprint_make(const struct image *img, uint8_t out[FINGERPRINT_BYTES], struct err *err)
{
    struct image small = {0};
    int          sum   = 0;
    int rc = image_resize(img, FINGERPRINT_SIDE, FINGERPRINT_SIDE, RESAMPLE_BILINEAR, &small, err);
    if (rc)
        return rc;
    for (int i = 0; i < FINGERPRINT_PIXELS; i++) {
        const uint8_t *p = small.data + 3 * i;
        out[2 + i]       = (uint8_t)((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
        sum += spread(p);
    }
    out[0] = FINGERPRINT_VERSION;
    out[1] = (uint8_t)(sum / FINGERPRINT_PIXELS);
    image_free(&small);
    return 0;
}

bool fingerprint_is_sound(const uint8_t *bytes, size_t n)
{
    return n == FINGERPRINT_BYTES && bytes[0] == FINGERPRINT_VERSION;
}

bool fingerprint_has_colour(const uint8_t fingerprint[FINGERPRINT_BYTES])
{
    return fingerprint[1] >= COLOUR;
}

void fingerprint_shape(const uint8_t fingerprint[FINGERPRINT_BYTES], int turns,
                       float out[FINGERPRINT_SHAPE])
{
    const uint8_t *luma                = fingerprint_luma(fingerprint);
    int            sums[CELLS * CELLS] = {0}, total = 0;
    const int      wide    = FINGERPRINT_SIDE / CELLS;
    double         squares = 0;
    for (int y = 0; y < FINGERPRINT_SIDE; y++)
        for (int x = 0; x < FINGERPRINT_SIDE; x++) {
            sums[y / wide * CELLS + x / wide] += luma[y * FINGERPRINT_SIDE + x];
            total += luma[y * FINGERPRINT_SIDE + x];
        }
    for (int y = 0; y < CELLS; y++)
        for (int x = 0; x < CELLS; x++) {
            int from_x = x, from_y = y;
            for (int t = 0; t < (turns & 3); t++) { /* clockwise: the left column becomes the top */
                int was = from_x;
                from_x  = from_y;
                from_y  = CELLS - 1 - was;
            }
            double v           = sums[from_y * CELLS + from_x] - (double)total / (CELLS * CELLS);
            out[y * CELLS + x] = (float)v;
            squares += v * v;
        }
    float scale = squares > 1 ? (float)(1 / sqrt(squares)) : 0;
    for (int i = 0; i < FINGERPRINT_SHAPE; i++)
        out[i] *= scale;
}
