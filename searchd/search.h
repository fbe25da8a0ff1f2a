/* One search of one library: from terms to hits. */
#ifndef OSPREY_SEARCHD_SEARCH_H
#define OSPREY_SEARCHD_SEARCH_H

#include "searchd/answers.h"
#include "searchd/terms.h"
#include "storage/library_hybrid.h"
#include "storage/library_match.h"
#include "storage/library_rerank.h"

struct search {
    const struct terms        *terms;
    const float               *vector; /* instead of terms: (dim), normalised */
    size_t                     vector_dim;
    const struct filter_input *filter; /* with fields; or NULL */
    const struct fields       *fields;
    size_t                     k;
    bool                       has_min_score;
    float                      min_score;
    bool                       has_min_match;
    double                     min_match;
    size_t                     rerank;     /* hits that are looked at again; 0: none */
    bool                       every_page; /* a hit for each page or frame that is near */
    bool                       hybrid;     /* the texts' words count, too (library_hybrid.h) */

    /* What came of it. */
    struct library_match  match; /* what scores mean; not known for a vector */
    struct library       *lib;   /* still taken, so that hits can be looked up */
    struct library_hit   *hits;
    struct rerank_result *reranked; /* (n) with the same hits; NULL without rerank */
    struct library_fused *fused;    /* likewise; NULL without hybrid */
    size_t                n;
};

/* Counts as the encode, decode, search, rerank stages. */
int  search_run(struct call *call, struct search *search, struct err *err);
/* Gives the library back, frees the hits. */
void search_release(struct call *call, struct search *search);

#endif
