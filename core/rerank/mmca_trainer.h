/* Training a re-ranker of the MMCA form (mmca_fit.h) on mmca_data.h: groups of
 * neighbours, AdamW, a moving average of the weights, which is what is kept.
 *
 * The same seed gives the same bits, on any number of threads, and whether or not the
 * run was stopped and resumed.
 */
#ifndef OSPREY_RERANK_MMCA_TRAINER_H
#define OSPREY_RERANK_MMCA_TRAINER_H

#include "base/err.h"
#include "rerank/mmca_data.h"
#include "rerank/mmca_fit.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct mmca_trainer_options {
    int                     steps, groups, size; /* groups of so many pictures in a step */
    double                  rate, weight_decay, clip, ema, smoothing;
    int                     warmup; /* steps */
    struct mmca_fit_dropout dropout;
    uint64_t                seed;
    int                     threads;
    const char             *checkpoint;       /* a file (learn/training_file.h), or NULL */
    int                     checkpoint_every; /* steps; 0: only when stopped and at the end */
    bool                    resume;           /* from the checkpoint */
    const char *model; /* whose regions and words they are, as a checkpoint is to say it; or NULL */
};

struct mmca_trainer_listener {
    void *ctx;
    /* step: from 1; loss: the mean since the last call. */
    void (*step)(void *ctx, int step, int steps, double loss, double seconds);
};

/* Whether the checkpoint is one of such a run, as far as that can be told without the
 * data, which take long to make. Errors are those of training_file_open. */
int mmca_trainer_check(const struct mmca_config *config, const struct mmca_trainer_options *options,
                       struct err *err);

/* *out is freed by the caller; its values are the averages. ERR_CANCELLED when *stop is
 * set: the checkpoint was written then; ERR_USAGE for too few pictures, or of one class;
 * ERR_FAILED when the loss is no number. */
int mmca_trainer_run(const struct mmca_config *config, const struct mmca_trainer_options *options,
                     const struct mmca_data *data, const struct mmca_trainer_listener *listener,
                     const volatile sig_atomic_t *stop, struct mmca_fit_f32 **out, struct err *err);

#endif
