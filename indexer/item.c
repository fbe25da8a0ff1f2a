/* Items and the contents in flight: see item.h. */
#include "indexer/item.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct item *item_new(enum item_state state, const char *path)
{
    struct item *item = mem_zeroed(1, sizeof *item);
    if (!item)
        return NULL;
    item->state   = state;
    item->root_fd = -1;
    item->path    = mem_strdup(path);
    if (item->path)
        return item;
    free(item);
    return NULL;
}

void item_free(struct item *item)
{
    if (!item)
        return;
    free(item->path);
    free(item->reason);
    free(item->embedding);
    free(item->regions);
    metadata_release(&item->said);
    free(item->fingerprint);
    item_forget_parts(item);
    free(item);
}

void item_forget_parts(struct item *item)
{
    free(item->part_pages);
    free(item->part_times);
    free(item->part_embeddings);
    item->part_pages      = NULL;
    item->part_times      = NULL;
    item->part_embeddings = NULL;
    item->n_parts         = 0;
}

void item_fail(struct item *item, const char *reason)
{
    item->state = ITEM_ERROR;
    free(item->reason);
    item->reason = mem_strdup(reason);
}

/* Few enough (the queues' bounds and one batch) for a plain list. */
struct flight {
    pthread_mutex_t lock;
    uint8_t (*hashes)[LIBRARY_HASH_BYTES];
    size_t n, room;
};

struct flight *flight_new(void)
{
    struct flight *f = mem_zeroed(1, sizeof *f);
    if (f && pthread_mutex_init(&f->lock, NULL)) {
        free(f);
        f = NULL;
    }
    return f;
}

void flight_free(struct flight *f)
{
    if (!f)
        return;
    pthread_mutex_destroy(&f->lock);
    free(f->hashes);
    free(f);
}

/* Its place, or n. */
static size_t flight_find(const struct flight *f, const uint8_t *hash)
{
    size_t i = 0;
    while (i < f->n && memcmp(f->hashes[i], hash, LIBRARY_HASH_BYTES) != 0)
        i++;
    return i;
}

bool flight_add(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES])
{
    pthread_mutex_lock(&f->lock);
    bool added = flight_find(f, hash) == f->n;
    if (added && f->n == f->room) {
        size_t more   = f->room ? f->room * 2 : 256;
        void  *hashes = mem_regrow(f->hashes, more, sizeof *f->hashes);
        if (hashes) {
            f->hashes = hashes;
            f->room   = more;
        }
    }
    if (added && f->n < f->room)
        memcpy(f->hashes[f->n++], hash, LIBRARY_HASH_BYTES);
    pthread_mutex_unlock(&f->lock);
    return added;
}

bool flight_has(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES])
{
    pthread_mutex_lock(&f->lock);
    bool has = flight_find(f, hash) < f->n;
    pthread_mutex_unlock(&f->lock);
    return has;
}

void flight_remove(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES])
{
    pthread_mutex_lock(&f->lock);
    size_t i = flight_find(f, hash);
    if (i < f->n)
        memmove(f->hashes[i], f->hashes[--f->n], LIBRARY_HASH_BYTES);
    pthread_mutex_unlock(&f->lock);
}
