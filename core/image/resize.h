/* Resizing that equals Pillow's Image.resize (13.0) byte for byte.
 *
 * Antialiased convolution resampling in two 8-bit passes, horizontal then
 * vertical (the other way round where height shrinks much more), with 22-bit fixed-point
 * coefficients, as in Pillow's Resample.c (learned from, not copied). Works for pictures of any
 * size; the result of a shrinking is antialiased (the kernel's support grows with the scale).
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

/* A rectangle of the picture that image_resize would make, without making the
 * rest of it. */
struct resize_window {
    int x, y, width, height; /* pixels of the resized picture; inside it */
};

/* Into out: rows of window.width * 3 bytes, stride bytes apart. Identical to
 * cutting the window out of image_resize's result, at the window's cost; the
 * scratch memory does not grow with the resized picture. */
int image_resize_window(const struct image *in, int width, int height, enum resample resample,
                        const struct resize_window *window, uint8_t *out, size_t stride,
                        struct err *err);

#endif
