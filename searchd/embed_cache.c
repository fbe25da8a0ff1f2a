/* A hash table with a list from the latest used to the longest unused: see
 * embed_cache.h. The hash is keyed at random, so that nobody can choose texts that
 * share a bucket. */
#include "searchd/embed_cache.h"

#include "base/hash.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct entry {
    struct entry *newer, *older; /* a ring through cache->ring */
    struct entry *next;          /* of the bucket */
    uint64_t      hash;
    char         *text;
    float         embedding[]; /* (dim) */
};

struct embed_cache {
    pthread_mutex_t lock;
    size_t          capacity, count, n_buckets;
    int             dim;
    uint64_t        key;
    struct entry  **buckets;
    struct entry    ring; /* older: the latest used; newer: the longest unused */
};

static uint64_t hash_of(const struct embed_cache *cache, const char *text, size_t n)
{
    uint8_t  keyed[EMBED_CACHE_MAX_TEXT + sizeof cache->key], digest[HASH_BYTES];
    uint64_t hash;
    memcpy(keyed, &cache->key, sizeof cache->key);
    memcpy(keyed + sizeof cache->key, text, n);
    hash_bytes(keyed, n + sizeof cache->key, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

int embed_cache_new(size_t capacity, int dim, struct embed_cache **out, struct err *err)
{
    struct embed_cache *cache = mem_zeroed(1, sizeof *cache);
    if (cache) {
        cache->capacity   = capacity;
        cache->dim        = dim;
        cache->n_buckets  = capacity + capacity / 2 + 1;
        cache->buckets    = mem_zeroed(cache->n_buckets, sizeof *cache->buckets);
        cache->ring.newer = cache->ring.older = &cache->ring;
    }
    if (!cache || !cache->buckets) {
        free(cache);
        return err_set(err, ERR_NOMEM, "out of memory for a cache of %zu texts", capacity);
    }
    if (getrandom(&cache->key, sizeof cache->key, 0) != sizeof cache->key)
        cache->key = (uint64_t)(uintptr_t)cache;
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return 0;
}

static void unlink_entry(struct entry *e)
{
    e->newer->older = e->older;
    e->older->newer = e->newer;
}

static void make_latest(struct embed_cache *cache, struct entry *e)
{
    e->newer          = &cache->ring;
    e->older          = cache->ring.older;
    e->older->newer   = e;
    cache->ring.older = e;
}

static void free_entry(struct entry *e)
{
    free(e->text);
    free(e);
}

void embed_cache_free(struct embed_cache *cache)
{
    if (!cache)
        return;
    for (struct entry *e = cache->ring.older, *next; e != &cache->ring; e = next) {
        next = e->older;
        free_entry(e);
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache->buckets);
    free(cache);
}

static struct entry *find(struct embed_cache *cache, uint64_t hash, const char *text)
{
    for (struct entry *e = cache->buckets[hash % cache->n_buckets]; e; e = e->next)
        if (e->hash == hash && !strcmp(e->text, text))
            return e;
    return NULL;
}

bool embed_cache_get(struct embed_cache *cache, const char *text, float *out)
{
    size_t n = strlen(text);
    if (n > EMBED_CACHE_MAX_TEXT || cache->capacity == 0)
        return false;
    uint64_t hash = hash_of(cache, text, n);
    pthread_mutex_lock(&cache->lock);
    struct entry *e = find(cache, hash, text);
    if (e) {
        unlink_entry(e);
        make_latest(cache, e);
        memcpy(out, e->embedding, (size_t)cache->dim * sizeof *out);
    }
    pthread_mutex_unlock(&cache->lock);
    return e != NULL;
}

static void drop_oldest(struct embed_cache *cache)
{
    struct entry  *e  = cache->ring.newer;
    struct entry **at = &cache->buckets[e->hash % cache->n_buckets];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_entry(e);
    free_entry(e);
    cache->count--;
}

void embed_cache_put(struct embed_cache *cache, const char *text, const float *embedding)
{
    size_t n     = strlen(text);
    size_t bytes = (size_t)cache->dim * sizeof *embedding;
    if (n > EMBED_CACHE_MAX_TEXT || cache->capacity == 0)
        return;
    struct entry *e = mem_array(sizeof *e + bytes, 1);
    if (!e || !(e->text = mem_strndup(text, n))) {
        free(e);
        return;
    }
    e->hash = hash_of(cache, text, n);
    memcpy(e->embedding, embedding, bytes);
    pthread_mutex_lock(&cache->lock);
    if (find(cache, e->hash, text)) {
        free_entry(e);
    } else {
        if (cache->count == cache->capacity)
            drop_oldest(cache);
        struct entry **bucket = &cache->buckets[e->hash % cache->n_buckets];
        e->next               = *bucket;
        *bucket               = e;
        make_latest(cache, e);
        cache->count++;
    }
    pthread_mutex_unlock(&cache->lock);
}

size_t embed_cache_count(struct embed_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t n = cache->count;
    pthread_mutex_unlock(&cache->lock);
    return n;
}
