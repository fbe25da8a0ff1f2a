/* Thumbnails, made on demand: see thumbnail.h. */
#include "searchd/thumbnail.h"

#include "base/hash.h"
#include "base/mem.h"
#include "searchd/beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE ((int64_t)256 << 20) /* bytes of a picture */

int thumbnail_side(int64_t asked)
{
    int side = 160;
    while (side < asked && side < THUMBNAIL_MAX_SIDE)
        side *= 2;
    return side;
}

void thumbnail_etag(const struct library_image *image, const struct image_part *part, int side,
                    char out[THUMBNAIL_ETAG])
{
    char name[THUMBNAIL_NAME];
    thumbnail_name(image->hash, part, side, name);
    snprintf(out, THUMBNAIL_ETAG, "\"%s\"", name);
}

/* Read, not mapped: a file that shrinks while it is read must not kill us. */
static int read_all(int fd, const struct stat *st, uint8_t **out, size_t *n, struct err *err)
{
    if (st->st_size > MAX_FILE)
        return err_set(err, ERR_LIMIT, "the picture's file is too large for a thumbnail");
    size_t   size = (size_t)st->st_size, have = 0;
    uint8_t *data = mem_array(size + 1, 1);
    if (!data)
        return err_set(err, ERR_NOMEM, "out of memory for a picture of %zu bytes", size);
    while (have < size) {
        ssize_t got = read(fd, data + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(data);
            return err_set(err, ERR_IO, "cannot read a picture: %s", strerror(errno));
        }
        if (got == 0)
            break;
        have += (size_t)got;
    }
    *out = data;
    *n   = have;
    return 0;
}

int thumbnail_get(struct darkroom *room, double deadline_ms, struct thumbnail_store *store,
                  const struct library_image *image, const struct image_part *part, int side,
                  uint8_t **jpeg, size_t *len, bool *stale, struct err *err)
{
    uint8_t     hash[HASH_BYTES], *file = NULL;
    char        name[THUMBNAIL_NAME];
    size_t      n = 0;
    int         fd;
    struct stat st;
    *stale = false;
    thumbnail_name(image->hash, part, side, name);
    if (!thumbnail_store_get(store, name, jpeg, len))
        return 0;
    int rc = beneath_open(image->folder, image->path, &fd, &st, err);
    if (!rc) {
        rc = read_all(fd, &st, &file, &n, err);
        close(fd);
    }
    if (!rc)
        rc = picture_to_thumbnail(room, deadline_ms, file, n, part, side, jpeg, len, err);
    if (!rc) {
        hash_bytes(file, n, hash);
        *stale = memcmp(hash, image->hash, HASH_BYTES) != 0;
        if (!*stale)
            thumbnail_store_put(store, name, *jpeg, *len);
    }
    free(file);
    return rc;
}
