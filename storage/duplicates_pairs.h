/* Pairs of contents that resemble one another: candidates, and what confirms them. For
 * duplicates.c alone.
 */
#ifndef OSPREY_STORAGE_DUPLICATES_PAIRS_H
#define OSPREY_STORAGE_DUPLICATES_PAIRS_H

#include "storage/duplicates.h"
#include "storage/duplicates_group.h"
#include "storage/library_match.h"

/* The share of all the work that is done before it. */
#define DUPLICATE_PAIRS_BEGIN 0.1

struct duplicate_pairs {
    struct library                  *lib;
    const struct duplicates_options *options;
    size_t                           n;       /* contents */
    int64_t                         *ids;     /* (n) ascending: of a picture that has it */
    uint8_t                         *prints;  /* (n, FINGERPRINT_BYTES) */
    bool                            *sees;    /* (n): has a fingerprint */
    struct library_match            *matches; /* (n): what the model's scores mean beside it */
};

/* Which kind of resemblance two contents have: DUPLICATE_SAME or DUPLICATE_NEAR with its
 * score, DUPLICATE_KINDS for none that the options ask for; negative: failed. */
int duplicate_pair_kind(const struct duplicate_pairs *p, uint32_t a, uint32_t b, float *score,
                        struct err *err);

/* Candidates that were confirmed, each once; fills p->matches. *edges is freed by the caller. */
int duplicate_pairs_find(struct duplicate_pairs *p, struct duplicate_edge **edges, size_t *n,
                         struct err *err);

#endif
