/* Groups in which every one resembles every other: agglomerative clustering with complete
 * linkage, nearest pairs first, so that chains do not join. The same result for the same
 * pairs in any order.
 */
#ifndef OSPREY_STORAGE_DUPLICATES_GROUP_H
#define OSPREY_STORAGE_DUPLICATES_GROUP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct duplicate_edge {
    uint32_t a, b; /* a < b */
    int      kind; /* lower ones join first */
    float    score;
};

/* Whether two resemble one another that no edge says so of: 1, 0 or a negative error. */
typedef int (*duplicate_alike)(void *ctx, uint32_t a, uint32_t b, struct err *err);

/* groups: (n), for each node the least node of its group. edges (n_edges) are sorted; each is
 * taken for alike. A group grows no larger than most nodes. */
int duplicates_group(struct duplicate_edge *edges, size_t n_edges, size_t n, size_t most,
                     duplicate_alike alike, void *ctx, uint32_t *groups, struct err *err);

#endif
