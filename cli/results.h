/* From a query's vector to lines of results: what search and similar share. */
#ifndef OSPREY_CLI_RESULTS_H
#define OSPREY_CLI_RESULTS_H

#include "base/err.h"
#include "cli/filters.h"
#include "cli/session.h"
#include "storage/library_match.h"
#include "storage/query.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULTS_DEFAULT_K 20

struct results_request {
    const float       *vector; /* (dim), L2-normalised; NULL: whatever the filters let pass, by
                                  date */
    size_t             k;      /* 0: RESULTS_DEFAULT_K */
    struct filters     filters;
    const char        *words; /* searched for beside the vector (library_hybrid.h), or NULL */
    bool               has_min_score;
    double             min_score;
    bool               has_min_match;
    double             min_match;
    enum library_query kind;
    const char        *preview;     /* --preview's value, or NULL */
    bool               every_page;  /* each page that is near, not each picture once */
    const uint8_t     *not_hash;    /* leaves out pictures with this content, or NULL */
    size_t             rerank;      /* how many to re-rank, with the session's re-ranker; 0: none */
    const struct query_term *terms; /* (n_terms) with rerank: what vector was made of */
    size_t                   n_terms;
};

/* Prints the results, best first; *shown counts them. */
int results_show(struct session *s, const struct results_request *request, size_t *shown,
                 struct err *err);

/* One line of results, whoever found it. */
struct results_line {
    size_t      rank;
    bool        listed; /* no score: nothing was searched for */
    float       score;
    bool        hybrid; /* the results are of a hybrid search: library_hybrid.h */
    double      fused;
    size_t      vector_rank, words_rank; /* 0: not found that way */
    bool        matched;                 /* match is known */
    double      match;                   /* 0 to 1: storage/library_match.h */
    bool        reranked;                /* the results were re-ranked, and this one if scored */
    bool        scored;
    float       rerank; /* where scored */
    int64_t     id;
    const char *path;          /* absolute */
    int         width, height; /* 0: unknown */
    int64_t     taken_at;      /* 0: unknown */
    int         page;          /* of a file with several, from 1; else 0 */
    bool        timed;         /* a frame of a video, at */
    int64_t     time_ms;
    int         pages; /* of the file; below 2: it has no others */
    bool        film;
};
/* As JSON or as text; width: of the rank (results_width). */
int results_print(const struct common *common, const struct results_line *line, int width,
                  struct err *err);
/* The digits of the last rank of n results. */
int results_width(size_t n);

#endif
