/* Re-ranking what a search found: the first few looked at again, picture and text
 * together.
 *
 * The score that orders is that of the first stage plus the re-ranker's, weighed as
 * the re-ranker says. What it needs of a picture comes from the library, where
 * `osprey index --regions` kept it, else from the picture's file. Pictures of which
 * neither is to be had keep their places.
 */
#ifndef OSPREY_STORAGE_LIBRARY_RERANK_H
#define OSPREY_STORAGE_LIBRARY_RERANK_H

#include "base/err.h"
#include "model/encoder.h"
#include "rerank/rerank.h"
#include "storage/library.h"
#include "storage/query.h"

#include <stdbool.h>
#include <stddef.h>

#define RERANK_DEFAULT 50   /* hits that are looked at again */
#define RERANK_MAX     1000 /* at most: a thousand pictures are decoded in seconds */

/* What re-ranking works with. */
struct rerank {
    struct library         *lib;
    const struct encoder   *enc;
    struct encoder_scratch *scratch; /* for the texts */
    const struct reranker  *reranker;
    int                     threads;
};

/* What became of a hit. */
struct rerank_result {
    struct library_hit hit;
    bool               scored;
    float              rerank; /* with scored: the re-ranker's score, summed over the texts by
                                  their weights' share among all terms */
};

/* Whether a query has a text, without which there is nothing to re-rank by. */
bool rerank_has_text(const struct query_term *terms, size_t n);

/* Re-orders the first `top` of n hits, best first, of a query with these terms; those
 * after them follow as they are. out: (n). ERR_USAGE for a query without a text. */
int library_rerank(const struct rerank *r, const struct query_term *terms, size_t n_terms,
                   const struct library_hit *hits, size_t n, size_t top, struct rerank_result *out,
                   struct err *err);

#endif
