/* Captions ask pictures and pictures ask captions: the figures of both ways, and what
 * a re-ranker changes in them; as a table and as fields of JSON.
 */
#ifndef OSPREY_CLI_EVAL_BOTH_H
#define OSPREY_CLI_EVAL_BOTH_H

#include "base/err.h"
#include "base/json.h"
#include "learn/captions.h"
#include "model/encoder.h"
#include "rerank/rerank_trial.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct eval_way {
    struct retrieval_ranks   ranks, again; /* again: re-ranked */
    struct retrieval_metrics metrics, metrics_again;
    struct retrieval_change  change;
};

struct eval_both {
    struct eval_way way[RERANK_DIRECTIONS];
    size_t          top; /* items of each query that were looked at again; 0: none */
    float           weight;
    uint64_t        seed; /* of bootstraps */
};

/* What asks what. images: (n_images, dim), texts: (n_captions, dim). tasks:
 * (RERANK_DIRECTIONS). */
void eval_both_tasks(const struct encoder *enc, const struct captions *set, const float *images,
                     const float *texts, struct retrieval_task *tasks);

/* both->seed is set, the rest zero. */
int  eval_both_measure(struct eval_both *both, const struct retrieval_task *tasks, struct err *err);
/* Once measured: the same with the re-ranker's scores. */
int  eval_both_rerank(struct eval_both *both, const struct rerank_trial *trial, size_t top,
                      float weight, struct err *err);
void eval_both_release(struct eval_both *both);

/* "t2i" and "i2t", and "reranked". A setter as those of json.h. */
int  eval_both_set(struct jnode *o, const struct eval_both *both);
void eval_both_print(const struct eval_both *both);

#endif
