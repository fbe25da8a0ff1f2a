/* What the loading and the encoding halves of the byte-pair encoder share, and
 * nobody else.
 */
#ifndef OSPREY_TEXT_BPE_TABLE_H
#define OSPREY_TEXT_BPE_TABLE_H

#include "text/bpe.h"

#include <stdbool.h>

#define BPE_MAX_ADDED 64

struct bpe_merge {
    uint64_t pair; /* left id << 32 | right id */
    int32_t  rank; /* the smallest is merged first; -1: an empty slot */
    int32_t  id;   /* what the two become */
};

/* A token that is found in the text before anything is split. */
struct bpe_added {
    int32_t *text; /* (len) code points, without white space */
    size_t   len;
    int32_t  id;
    bool     normalized; /* looked for in the normalised text, else in the raw one */
};

struct bpe {
    int32_t           start, end, unknown; /* ids; unknown is -1 where there is none */
    int32_t           vocabulary;
    int32_t           byte_id[2][256]; /* [1]: with "</w>"; -1 where the vocabulary has none */
    struct bpe_merge *merges;          /* (mask + 1) open addressing */
    uint32_t          mask;
    struct bpe_added  added[BPE_MAX_ADDED];
    int               n_added;
};

static inline uint32_t bpe_slot(uint64_t pair, uint32_t mask)
{
    return (uint32_t)((pair * 0x9E3779B97F4A7C15u) >> 32) & mask;
}

static inline uint64_t bpe_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

#endif
