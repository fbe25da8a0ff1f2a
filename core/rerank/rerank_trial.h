/* What a re-ranker is worth on captioned pictures: each query's best items are
 * scored once, and then ranked with any weight of those scores beside the first
 * stage's, as library_rerank (storage) would order them.
 *
 *     task -> rerank_trial_score -> rerank_trial_rank(weight) -> ranks (learn/retrieval.h)
 *
 * Not for searching: it needs everything in memory.
 */
#ifndef OSPREY_RERANK_RERANK_TRIAL_H
#define OSPREY_RERANK_RERANK_TRIAL_H

#include "base/err.h"
#include "learn/retrieval.h"
#include "model/encoder.h"
#include "rerank/rerank.h"

#include <stddef.h>
#include <stdint.h>

enum rerank_direction { RERANK_T2I, RERANK_I2T, RERANK_DIRECTIONS };

struct rerank_trial {
    struct retrieval_task  task[RERANK_DIRECTIONS]; /* captions ask pictures, and back */
    struct retrieval_lists lists[RERANK_DIRECTIONS];
    float                 *scores[RERANK_DIRECTIONS]; /* (n, top) the re-ranker's, as the lists */
};

struct rerank_captioned {
    const struct encoder  *enc;
    const struct reranker *reranker;
    const char *const     *texts; /* as many as the first task has queries */
    const uint8_t         *kept;  /* (n_images, kept_bytes) of reranker_pictures */
};

/* Takes the best `top` of each query and scores them. task: (RERANK_DIRECTIONS), of
 * the same pictures and captions; what they point to must outlive the trial. */
int  rerank_trial_score(const struct rerank_captioned *of, const struct retrieval_task *task,
                        size_t top, int threads, struct rerank_trial *out, struct err *err);
void rerank_trial_release(struct rerank_trial *trial); /* NULL-safe */

/* Ranks by the first stage's score + weight * the re-ranker's. */
int rerank_trial_rank(const struct rerank_trial *trial, enum rerank_direction which, float weight,
                      int threads, struct retrieval_ranks *out, struct err *err);

#endif
