/* A picture's fingerprint: its luma on a small square, whatever its own shape, by which
 * copies of a picture are told from other pictures (alike.h).
 *
 * Made once from the decoded picture and kept: a kilobyte of plain bytes, the same on
 * every machine. Turning the picture by a quarter turns the square, up to rounding.
 */
#ifndef OSPREY_IMAGE_FINGERPRINT_H
#define OSPREY_IMAGE_FINGERPRINT_H

#include "image/image.h"

#include <stdbool.h>

#define FINGERPRINT_SIDE    32
#define FINGERPRINT_PIXELS  (FINGERPRINT_SIDE * FINGERPRINT_SIDE)
#define FINGERPRINT_BYTES   (2 + FINGERPRINT_PIXELS)
#define FINGERPRINT_VERSION 1

/* out[0]: FINGERPRINT_VERSION; out[1]: the mean distance of the colour channels, 0: grey;
 * then the luma, row by row (Rec. 601 weights). img: at least one pixel. */
int fingerprint_make(const struct image *img, uint8_t out[FINGERPRINT_BYTES], struct err *err);

/* Whether n bytes are a fingerprint of this version. */
bool fingerprint_is_sound(const uint8_t *bytes, size_t n);
/* Whether the picture has colours worth keeping. */
bool fingerprint_has_colour(const uint8_t fingerprint[FINGERPRINT_BYTES]);

static inline const uint8_t *fingerprint_luma(const uint8_t *fingerprint)
{
    return fingerprint + 2;
}

/* The coarse shape of a fingerprint: the means of 8 x 8 squares, of mean 0 and length 1;
 * all zero for a picture without contrast. Near for copies, so that a vector index finds
 * them; turns: clockwise quarter turns of the picture, 0 to 3. */
#define FINGERPRINT_SHAPE 64
void fingerprint_shape(const uint8_t fingerprint[FINGERPRINT_BYTES], int turns,
                       float out[FINGERPRINT_SHAPE]);

#endif
