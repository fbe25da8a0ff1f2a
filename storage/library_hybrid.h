/* Hybrid search: what is seen in a picture and what is written about it, in one order.
 *
 * Two rankings, of embeddings and of words (names, folders, tags and captions, by BM25),
 * are fused by their ranks alone, since their scores have nothing in common: reciprocal
 * rank fusion (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet
 * and individual Rank Learning Methods", SIGIR 2009), with their k = 60:
 *
 *     fused(d) = sum over rankings that have d of 1 / (60 + rank(d))
 *
 * Each ranking is read to a depth of 4 k, 200 at least.
 */
#ifndef OSPREY_STORAGE_LIBRARY_HYBRID_H
#define OSPREY_STORAGE_LIBRARY_HYBRID_H

#include "storage/library.h"

#define LIBRARY_RRF_K 60

struct library_fused {
    struct library_hit hit;         /* score: the similarity, as library_search gives it */
    double             fused;       /* what they are ordered by */
    size_t             vector_rank; /* from 1 on; 0: not found that way */
    size_t             words_rank;
};

/* The k best of both for query (dim) and words, best first. words: any text; the commonest
 * words count only where there are no others. Otherwise as library_search; images that
 * have no embedding yet are not found. out is freed with free(). */
int library_search_hybrid(struct library *lib, const float *query, const char *words, size_t k,
                          const struct library_filter *filter, struct library_fused **out,
                          size_t *n, struct err *err);

#endif
