/* Pixels back to a file: JPEG, for thumbnails. */
#ifndef OSPREY_IMAGE_ENCODE_JPEG_H
#define OSPREY_IMAGE_ENCODE_JPEG_H

#include "image/image.h"

/* Baseline, 4:2:0, quality 1..100, no metadata. *out is freed by the caller. */
int image_encode_jpeg(const struct image *img, int quality, uint8_t **out, size_t *n,
                      struct err *err);

#endif
