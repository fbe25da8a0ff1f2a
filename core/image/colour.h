/* From a picture's own colours to sRGB, through littlecms: ICC profiles, and what
 * takes their place elsewhere (code points, a gamma and primaries). For
 * core/image's decoders.
 *
 * What is sRGB anyway is recognised by the numbers in the profile, not by its
 * name, and costs nothing further. The rendering intent is the perceptual one, as
 * Pillow's. High dynamic range (PQ, HLG) is cut at the white of text, 203 cd/m2
 * (ITU-R BT.2408), without any tone mapping.
 *
 * Profiles of three curves and a matrix, as cameras' and phones' are, are read by
 * littlecms and applied by tables of ours, within a level of what it does and in a
 * third of its time: a Display P3 JPEG of 12 megapixels, decoded for a tower of 224
 * pixels, took 14.3 ms, without its profile 11.8 (littlecms alone: 18.9).
 *
 * A build without littlecms converts nothing and calls every profile ignored.
 */
#ifndef OSPREY_IMAGE_COLOUR_H
#define OSPREY_IMAGE_COLOUR_H

#include "image/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct colour;

/* Pixels as they come in; what comes out is RGB, and RGBA for RGBA. Grey profiles
 * go with RGB whose channels are equal. */
enum colour_layout {
    COLOUR_RGB,
    COLOUR_RGBA,         /* alpha stays */
    COLOUR_CMYK,         /* 0: no ink */
    COLOUR_CMYK_INVERTED /* 255: no ink */
};

/* *out is NULL unless the answer is IMAGE_COLOURS_CONVERTED. */
enum image_colours colour_from_icc(const void *icc, size_t n, enum colour_layout layout,
                                   struct colour **out);
/* Code points of ITU-T H.273; 2: unspecified. */
enum image_colours colour_from_cicp(int primaries, int transfer, enum colour_layout layout,
                                    struct colour **out);
/* xy: of white, red, green, blue (x, y each), NULL: sRGB's. decoding: the exponent
 * that leads from samples to light. */
enum image_colours colour_from_gamma(const double xy[8], double decoding, enum colour_layout layout,
                                     struct colour **out);
void               colour_free(struct colour *c); /* NULL-safe */

/* n pixels; in place is fine where the layouts have one size, or out's is smaller. */
void colour_row(const struct colour *c, const uint8_t *in, uint8_t *out, int n);

/* Whether this build can convert. */
bool colour_is_built(void);

#endif
