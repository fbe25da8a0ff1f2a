/* How well a space retrieves: recall@k, median rank, mean average precision,
 * with bootstrap intervals; and whether a second stage makes it better.
 *
 * A task asks items for queries; an item is right for a query when both belong
 * to the same group: a picture and its captions, a class and its pictures. Of
 * several right items the best one's rank counts (the convention of Karpathy and
 * Fei-Fei 2015 for image to text); average precision takes all of them. Equal
 * scores rank by position, as a search lists them.
 *
 *     task -> retrieval_rank -> ranks of each query -> retrieval_measure
 *
 * A re-ranker stands in between: retrieval_top lists each query's best items
 * with their scores, the re-ranker writes other scores into the lists,
 * retrieval_rank takes these into account, and retrieval_compare tells what
 * changed, query by query, with intervals of the difference.
 */
#ifndef OSPREY_LEARN_RETRIEVAL_H
#define OSPREY_LEARN_RETRIEVAL_H

#include "base/err.h"
#include "learn/bootstrap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retrieval_task {
    const float *queries; /* (n_queries, dim), rows normalised */
    size_t       n_queries;
    const float *items; /* (n_items, dim), rows normalised */
    size_t       n_items;
    int          dim;
    const int   *query_group; /* (n_queries) below n_groups, or NULL: its own number */
    const int   *item_group;  /* (n_items) likewise */
    size_t       n_groups;
    bool         without_self; /* queries are the items: none is its own answer */
    bool         draw_queries; /* the bootstrap draws single queries, not groups */
};

/* Captions as in captions.h: image_of (n_texts). A caption's one right answer is
 * its picture; any of a picture's captions is right. */
struct retrieval_task retrieval_texts_to_images(const float *images, size_t n_images,
                                                const float *texts, size_t n_texts,
                                                const int *image_of, int dim);
struct retrieval_task retrieval_images_to_texts(const float *images, size_t n_images,
                                                const float *texts, size_t n_texts,
                                                const int *image_of, int dim);

/* Each query's best items, best first. */
struct retrieval_lists {
    size_t n;      /* queries */
    size_t top;    /* items of each */
    int   *items;  /* (n, top) */
    float *scores; /* (n, top) */
};

/* top is lowered to the number of items that there are. */
int  retrieval_top(const struct retrieval_task *task, size_t top, int threads,
                   struct retrieval_lists *out, struct err *err);
void retrieval_lists_release(struct retrieval_lists *lists); /* NULL-safe */

/* What came of each query. */
struct retrieval_ranks {
    size_t  n;         /* queries */
    int    *best;      /* (n) of the best right item; 1 is best, 0: it has no right item */
    double *precision; /* (n) average precision, 0 to 1 */
    int    *cluster;   /* (n) what the bootstrap draws together */
    size_t  n_clusters;
};

/* lists: NULL, or those of retrieval_top with other scores: each list is sorted
 * by them (equal ones stay in their order), and what is in no list stays behind.
 * A score that is not a number is ERR_FORMAT. */
int  retrieval_rank(const struct retrieval_task *task, const struct retrieval_lists *lists,
                    int threads, struct retrieval_ranks *out, struct err *err);
void retrieval_ranks_release(struct retrieval_ranks *ranks); /* NULL-safe */

struct retrieval_metrics {
    double          r1, r5, r10; /* percent of queries */
    struct interval r1_ci, r5_ci, r10_ci;
    double          median_rank; /* 1 is best */
    double          map;         /* 0 to 1 */
    struct interval map_ci;
    size_t          n; /* queries that have a right item */
};

/* The same seed gives the same intervals. */
int    retrieval_measure(const struct retrieval_ranks *ranks, uint64_t seed,
                         struct retrieval_metrics *out, struct err *err);
/* Percent of queries with a right item among the k best. */
double retrieval_recall(const struct retrieval_ranks *ranks, size_t k);

/* After minus before: recalls in points of a percent, precision 0 to 1. An
 * interval above 0 is an improvement that is not chance. */
struct retrieval_change {
    double          r1, r5, r10, map;
    struct interval r1_ci, r5_ci, r10_ci, map_ci;
};

/* Both of the same task: the queries are paired. */
int retrieval_compare(const struct retrieval_ranks *before, const struct retrieval_ranks *after,
                      uint64_t seed, struct retrieval_change *out, struct err *err);

/* Both directions of captioned pictures in one call. */
int retrieval_evaluate(const float *images, size_t n_images, const float *texts, size_t n_texts,
                       const int *image_of, int dim, uint64_t seed, int threads,
                       struct retrieval_metrics *t2i, struct retrieval_metrics *i2t,
                       struct err *err);

#endif
