/* The one place where searchd has pictures decoded: those that are uploaded, and the
 * library's for thumbnails.
 *
 * They are decoded in worker processes that can do nothing else (image/decoder.h);
 * a few are kept, and requests take turns.
 */
#ifndef OSPREY_SEARCHD_PICTURE_H
#define OSPREY_SEARCHD_PICTURE_H

#include "image/image.h"
#include "model/encoder.h"

#define THUMBNAIL_QUALITY 82

struct darkroom;

/* So many pictures at a time, each for at most ms milliseconds. No worker is started
 * before the first picture. */
int  darkroom_open(int places, int ms, struct darkroom **out, struct err *err);
void darkroom_close(struct darkroom *room); /* NULL-safe; nobody may be inside */

/* A picture's file to what the model's image tower takes: *pixels is freed by the
 * caller. info may be NULL. ERR_BUSY when there is no place until deadline_ms. */
int picture_to_pixels(struct darkroom *room, double deadline_ms, const struct encoder *enc,
                      const uint8_t *bytes, size_t n, uint64_t max_pixels, uint8_t **pixels,
                      struct image_info *info, struct err *err);
/* To a JPEG whose longer side has at most `side` pixels, upright; a smaller picture
 * is not enlarged. part: one page or frame; NULL: the first. *out is freed by the caller. */
int picture_to_thumbnail(struct darkroom *room, double deadline_ms, const uint8_t *bytes, size_t n,
                         const struct image_part *part, int side, uint8_t **out, size_t *len,
                         struct err *err);

#endif
