/* One shard of features on disk: see features_cache.h. */
#include "learn/features_cache.h"

#include "base/cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS     "features"
#define USABLE   "usable"
#define KEY      "key"
#define CHECKSUM "checksum"

int features_cache_dir(const char *cache, char **out, struct err *err)
{
    *out = cache ? mem_strdup(cache) : cache_dir("features");
    if (cache && !*out)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (cache && (!*cache || file_mkdirs(*out, NULL))) {
        free(*out);
        *out = NULL;
    }
    return 0;
}

void features_cache_key(const struct buf *depends, char key[FEATURES_KEY])
{
    uint8_t hash[HASH_BYTES];
    hash_bytes(depends->data, depends->len, hash);
    hash_hex(hash, key);
}

static char *shard_path(const char *dir, const char *key)
{
    char name[FEATURES_KEY + 16];
    (void)snprintf(name, sizeof name, "%s.safetensors", key);
    return path_join(dir, name);
}

/* Over rows and marks: what was written whole may still be damaged later. */
static void checksum(const void *rows, size_t bytes, const uint8_t *usable, size_t n,
                     char out[FEATURES_KEY])
{
    uint8_t both[2 * HASH_BYTES], hash[HASH_BYTES];
    hash_bytes(rows, bytes, both);
    hash_bytes(usable, n, both + HASH_BYTES);
    hash_bytes(both, sizeof both, hash);
    hash_hex(hash, out);
}

static int check(const struct safetensors *st, const char *key, struct shard *s, int views,
                 int width)
{
    const int64_t        dims[]   = {(int64_t)s->n, views, width};
    const char          *kept_key = safetensors_metadata(st, KEY);
    const char          *kept     = safetensors_metadata(st, CHECKSUM);
    const struct tensor *rows, *usable;
    char                 sum[FEATURES_KEY];
    if (!kept_key || !kept || strcmp(kept_key, key) != 0 ||
        safetensors_require(st, ROWS, 3, dims, &rows, NULL) ||
        safetensors_require(st, USABLE, 1, dims, &usable, NULL) || rows->dtype != DTYPE_F16 ||
        usable->dtype != DTYPE_U8 || (uintptr_t)rows->data % sizeof(uint16_t) != 0)
        return ERR_NOTFOUND;
    checksum(rows->data, rows->bytes, usable->data, s->n, sum);
    if (strcmp(sum, kept) != 0)
        return ERR_NOTFOUND;
    s->rows   = rows->data;
    s->usable = usable->data;
    return 0;
}

int features_cache_open(const char *dir, const char *key, size_t n, int views, int width,
                        struct shard *out)
{
    struct shard s    = {.n = n};
    char        *path = shard_path(dir, key);
    int          rc   = path ? safetensors_open(path, &s.st, NULL) : ERR_NOMEM;
    if (!rc)
        rc = check(s.st, key, &s, views, width);
    if (!rc)
        cache_touch(path);
    free(path);
    if (rc) {
        shard_release(&s);
        return ERR_NOTFOUND;
    }
    *out = s;
    return 0;
}

int features_cache_write(const char *dir, const char *key, const struct shard *s, int views,
                         int width, struct err *err)
{
    size_t rows_bytes = s->n * (size_t)views * (size_t)width * sizeof *s->rows;
    char   sum[FEATURES_KEY];
    checksum(s->rows, rows_bytes, s->usable, s->n, sum);
    struct tensor tensors[] = {{.name   = ROWS,
                                .dtype  = DTYPE_F16,
                                .n_dims = 3,
                                .dims   = {(int64_t)s->n, views, width},
                                .data   = s->rows,
                                .bytes  = rows_bytes},
                               {.name   = USABLE,
                                .dtype  = DTYPE_U8,
                                .n_dims = 1,
                                .dims   = {(int64_t)s->n},
                                .data   = s->usable,
                                .bytes  = s->n}};
    const char   *pairs[]   = {KEY, key, CHECKSUM, sum};
    char         *path      = shard_path(dir, key);
    int           rc        = path ? safetensors_write(path, tensors, 2, pairs, 2, err)
                                   : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        cache_remove_unused(dir);
    free(path);
    return rc;
}

void shard_release(struct shard *s)
{
    if (!s)
        return;
    safetensors_close(s->st);
    free(s->computed);
    free(s->computed_usable);
    *s = (struct shard){0};
}
