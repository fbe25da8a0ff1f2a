/* Resizing that equals Pillow's Image.resize byte for byte.
 *
 * Antialiased convolution resampling in two 8-bit passes, horizontal then
 * vertical, with 22-bit fixed-point coefficients, as in Pillow's Resample.c
 * (learned from, not copied). Works for pictures of any size; the result of a
 * shrinking is antialiased (the kernel's support grows with the scale).
 */
#ifndef OSPREY_IMAGE_RESIZE_H
#define OSPREY_IMAGE_RESIZE_H

#include "image/image.h"

enum resample {
    RESAMPLE_NEAREST  = 0,
    RESAMPLE_BILINEAR = 2,
    RESAMPLE_BICUBIC  = 3
}; /* Pillow's codes */

int image_resize(const struct image *in, int width, int height, enum resample resample,
                 struct image *out, struct err *err);

#endif
