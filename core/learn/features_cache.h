/* One shard of features on disk: see features.h. Only features.c includes this. */
#ifndef OSPREY_LEARN_FEATURES_CACHE_H
#define OSPREY_LEARN_FEATURES_CACHE_H

#include "base/buf.h"
#include "base/err.h"
#include "model/safetensors.h"

#include <stddef.h>
#include <stdint.h>

#define FEATURES_KEY 33 /* 32 hex digits and a NUL */

struct shard {
    size_t          n;      /* items */
    const uint16_t *rows;   /* (n, views, width) */
    const uint8_t  *usable; /* (n) 1 or 0 */

    struct safetensors *st;       /* mapped, or NULL */
    uint16_t           *computed; /* owned rows, or NULL */
    uint8_t            *computed_usable;
};

/* The folder for shards: cache, or the default one where it is NULL, made if
 * missing. *out is NULL where there is none ("" asks for none); freed by the
 * caller. */
int  features_cache_dir(const char *cache, char **out, struct err *err);
/* The digest of what a shard depends on, as hex digits. */
void features_cache_key(const struct buf *depends, char key[FEATURES_KEY]);
/* Maps a shard; ERR_NOTFOUND when there is none that is whole and the one asked
 * for. */
int  features_cache_open(const char *dir, const char *key, size_t n, int views, int width,
                         struct shard *out);
/* Keeps a computed shard. */
int  features_cache_write(const char *dir, const char *key, const struct shard *shard, int views,
                          int width, struct err *err);
void shard_release(struct shard *shard); /* NULL-safe */

#endif
