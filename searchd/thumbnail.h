/* Small versions of a library's pictures, made on demand and kept (thumbnail_store.h) by
 * the hash of the picture's contents: what changes gets another name, what moves keeps
 * it. */
#ifndef OSPREY_SEARCHD_THUMBNAIL_H
#define OSPREY_SEARCHD_THUMBNAIL_H

#include "base/err.h"
#include "searchd/picture.h"
#include "searchd/thumbnail_store.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stdint.h>

#define THUMBNAIL_MAX_SIDE 1280
#define THUMBNAIL_ETAG     (THUMBNAIL_NAME + 2)

/* The longer side that is kept for one asked for: 160, 320, 640 or 1280 pixels. */
int  thumbnail_side(int64_t asked);
/* The name (thumbnail_store.h) in quotes. */
void thumbnail_etag(const struct library_image *image, const struct image_part *part, int side,
                    char out[THUMBNAIL_ETAG]);
/* The JPEG, from the store or made now; *jpeg is freed by the caller. part: a page or a frame,
 * or NULL for what the image itself is shown by.
 * *stale: the file is no longer the one that the library knows, so that the tag is
 * not its. ERR_NOTFOUND when it is not there. */
int  thumbnail_get(struct darkroom *room, double deadline_ms, struct thumbnail_store *store,
                   const struct library_image *image, const struct image_part *part, int side,
                   uint8_t **jpeg, size_t *len, bool *stale, struct err *err);

#endif
