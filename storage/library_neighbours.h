/* Which pictures of a library look alike to its model: for each picture its nearest ones,
 * from the vector index, not all pairs.
 */
#ifndef OSPREY_STORAGE_LIBRARY_NEIGHBOURS_H
#define OSPREY_STORAGE_LIBRARY_NEIGHBOURS_H

#include "base/err.h"
#include "storage/go_on.h"
#include "storage/library.h"
#include "storage/library_match.h"

#include <stddef.h>
#include <stdint.h>

/* Two of the pictures asked about, by their places in the list. */
struct library_pair {
    uint32_t a, b;  /* a < b */
    float    score; /* distance_score of their embeddings, as exact as the index has it */
};

/* The k nearest of each of n pictures (ids, ascending) among themselves, each pair once, by a
 * and b. What the index approximates, this does, too; what came since is compared exactly, and
 * so are a few (ids) of many.
 * matches, (n) or NULL: what scores mean for each picture as a query; unknown where it has no
 * embedding. go_on may be NULL. *pairs is freed by the caller. */
int library_neighbours(struct library *lib, const int64_t *ids, size_t n, size_t k,
                       struct library_pair **pairs, size_t *n_pairs, struct library_match *matches,
                       const struct go_on *go_on, struct err *err);

/* distance_score of two pictures' embeddings; ERR_NOTFOUND where one has none. */
int library_nearness(struct library *lib, int64_t a, int64_t b, float *score, struct err *err);

#endif
