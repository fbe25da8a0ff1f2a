/* What came or went since the base of the vector index: an exact index in memory.
 *
 * An id that is in the delta is hidden in the base: it has a newer embedding
 * here, or none any more (a tombstone).
 */
#ifndef OSPREY_STORAGE_DELTA_H
#define OSPREY_STORAGE_DELTA_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct delta_entry {
    int64_t id;   /* 0: free */
    int64_t slot; /* of the vector; -1: a tombstone */
};

struct delta {
    int                 dim;
    struct delta_entry *table; /* open addressing, linear probing */
    size_t              table_size, count;
    int64_t            *ids;     /* (live) */
    uint16_t           *vectors; /* (live, dim) halves */
    size_t              live, cap;
};

void delta_init(struct delta *delta, int dim);
void delta_release(struct delta *delta);
/* vector: (dim) halves, or NULL for a tombstone. id > 0. */
int  delta_put(struct delta *delta, int64_t id, const uint16_t *vector, struct err *err);
bool delta_has(const struct delta *delta, int64_t id);

#endif
