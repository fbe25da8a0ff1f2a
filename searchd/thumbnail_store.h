/* Thumbnails as they are kept: the folder `thumbnails` of a library, named by the hash
 * of the picture's contents, the part and the side, no more than a number of bytes of them. What
 * was made first goes first: what is looked at again is made again. The folder is
 * derived: it may be deleted at any time, and a library that cannot be written does
 * without. Any number of threads, and of daemons.
 */
#ifndef OSPREY_SEARCHD_THUMBNAIL_STORE_H
#define OSPREY_SEARCHD_THUMBNAIL_STORE_H

#include "base/err.h"
#include "image/image.h"
#include "storage/library.h"

#include <stddef.h>
#include <stdint.h>

#define THUMBNAIL_NAME 64 /* bytes of a name */

struct thumbnail_store;

/* limit: bytes; 0 keeps none. */
int  thumbnail_store_new(const char *library_dir, int64_t limit, struct thumbnail_store **out,
                         struct err *err);
void thumbnail_store_free(struct thumbnail_store *store); /* NULL-safe */

/* "HASH-SIDE", of a page of a scan "HASH-pPAGE-SIDE", of a frame of a film "HASH-tMS-SIDE".
 * part: NULL for what the image itself is shown by. */
void thumbnail_name(const uint8_t hash[LIBRARY_HASH_BYTES], const struct image_part *part, int side,
                    char out[THUMBNAIL_NAME]);

/* *jpeg is freed by the caller; ERR_NOTFOUND. */
int  thumbnail_store_get(const struct thumbnail_store *store, const char *name, uint8_t **jpeg,
                         size_t *len);
void thumbnail_store_put(struct thumbnail_store *store, const char *name, const uint8_t *jpeg,
                         size_t len);
/* Removes the oldest when there may be too many; otherwise costs nothing. For one thread,
 * now and then. */
void thumbnail_store_trim(struct thumbnail_store *store);

#endif
