/* Thumbnails, made on demand: see thumbnail.h. The store is derived: it may be
 * deleted at any time, and a library that cannot be written does without. */
#include "searchd/thumbnail.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "searchd/beneath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE  ((int64_t)256 << 20) /* bytes of a picture */
#define MAX_SMALL ((size_t)8 << 20)    /* and of a thumbnail */

int thumbnail_side(int64_t asked)
{
    int side = 160;
    while (side < asked && side < THUMBNAIL_MAX_SIDE)
        side *= 2;
    return side;
}

static void hex_of(const uint8_t hash[LIBRARY_HASH_BYTES], char out[2 * LIBRARY_HASH_BYTES + 1])
{
    for (int i = 0; i < LIBRARY_HASH_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void thumbnail_etag(const struct library_image *image, int side, char out[64])
{
    char hex[2 * LIBRARY_HASH_BYTES + 1];
    hex_of(image->hash, hex);
    snprintf(out, 64, "\"%s-%d\"", hex, side);
}

/* "DIR/thumbnails/ab/HASH-SIDE.jpg", and where its folder's part ends. */
static char *place_of(const char *dir, const struct library_image *image, int side, size_t *folder)
{
    char   hex[2 * LIBRARY_HASH_BYTES + 1];
    size_t n   = strlen(dir) + 80;
    char  *out = mem_array(n, 1);
    hex_of(image->hash, hex);
    if (out) {
        *folder = (size_t)snprintf(out, n, "%s/thumbnails/%.2s", dir, hex);
        snprintf(out + *folder, n - *folder, "/%s-%d.jpg", hex, side);
    }
    return out;
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

static void keep(char *place, size_t folder, const uint8_t *jpeg, size_t len)
{
    char slash    = place[folder];
    place[folder] = '\0';
    int rc        = file_mkdirs(place, NULL);
    place[folder] = slash;
    if (!rc)
        (void)file_replace(place, jpeg, len, NULL);
}

int thumbnail_get(struct darkroom *room, double deadline_ms, const char *library_dir,
                  const struct library_image *image, int side, uint8_t **jpeg, size_t *len,
                  bool *stale, struct err *err)
{
    uint8_t     hash[HASH_BYTES], *file = NULL;
    size_t      n = 0, folder = 0;
    int         fd;
    struct stat st;
    char       *place = place_of(library_dir, image, side, &folder);
    *stale            = false;
    if (!place)
        return err_set(err, ERR_NOMEM, "out of memory for a thumbnail");
    int rc = file_read(place, MAX_SMALL, jpeg, len, NULL);
    if (!rc && *len > 0)
        goto out;
    if (!rc)
        free(*jpeg);
    rc = beneath_open(image->folder, image->path, &fd, &st, err);
    if (!rc) {
        rc = read_all(fd, &st, &file, &n, err);
        close(fd);
    }
    if (!rc)
        rc = picture_to_thumbnail(room, deadline_ms, file, n, side, jpeg, len, err);
    if (!rc) {
        hash_bytes(file, n, hash);
        *stale = memcmp(hash, image->hash, HASH_BYTES) != 0;
        if (!*stale)
            keep(place, folder, *jpeg, *len);
    }
out:
    free(file);
    free(place);
    return rc;
}
