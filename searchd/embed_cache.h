/* The embeddings of texts asked for lately: those used longest ago go first. For
 * any number of threads. */
#ifndef OSPREY_SEARCHD_EMBED_CACHE_H
#define OSPREY_SEARCHD_EMBED_CACHE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EMBED_CACHE_MAX_TEXT 1024 /* bytes; longer texts are not kept */

struct embed_cache;

/* Room for so many texts, 0 for none, each with (dim) floats. */
int    embed_cache_new(size_t capacity, int dim, struct embed_cache **out, struct err *err);
void   embed_cache_free(struct embed_cache *cache); /* NULL-safe */
/* out: (dim), filled when the text is known. */
bool   embed_cache_get(struct embed_cache *cache, const char *text, float *out);
/* Keeps it if there is memory. */
void   embed_cache_put(struct embed_cache *cache, const char *text, const float *embedding);
size_t embed_cache_count(struct embed_cache *cache);

#endif
