/* The one place where searchd decodes pictures: those that are uploaded, and the
 * library's for thumbnails. */
#ifndef OSPREY_SEARCHD_PICTURE_H
#define OSPREY_SEARCHD_PICTURE_H

#include "image/image.h"
#include "model/encoder.h"

#define THUMBNAIL_QUALITY 82

/* A picture's file to what the model's image tower takes: *pixels is freed by the
 * caller. info may be NULL. */
int picture_to_pixels(const struct encoder *enc, const uint8_t *bytes, size_t n,
                      uint64_t max_pixels, uint8_t **pixels, struct image_info *info,
                      struct err *err);
/* To a JPEG whose longer side has at most `side` pixels, upright; a smaller picture
 * is not enlarged. *out is freed by the caller. */
int picture_to_thumbnail(const uint8_t *bytes, size_t n, int side, uint8_t **out, size_t *len,
                         struct err *err);

#endif
