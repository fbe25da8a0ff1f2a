/* The colour that most of a picture has: what stands in its place until it is seen. */
#ifndef OSPREY_IMAGE_COLOUR_H
#define OSPREY_IMAGE_COLOUR_H

#include <stddef.h>
#include <stdint.h>

#define COLOUR_KNOWN 0x1000000u /* set in a colour that is known; 0 is none */

/* pixels: (n, 3) RGB. COLOUR_KNOWN | 0xRRGGBB: the mean of the fullest cell of a grid
 * of 4 x 4 x 4, of which each pixel belongs to one; 0 for no pixels. Every fourth pixel
 * is looked at. */
uint32_t colour_dominant(const uint8_t *pixels, size_t n);

#endif
