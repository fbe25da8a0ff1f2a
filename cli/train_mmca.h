/* Training the cross-attention re-ranker (rerank/mmca_trainer.h) on what the command
 * line's data are. */
#ifndef OSPREY_CLI_TRAIN_MMCA_H
#define OSPREY_CLI_TRAIN_MMCA_H

#include "base/err.h"
#include "cli/train_data.h"
#include "cli/train_progress.h"
#include "rerank/mmca_trainer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct train_mmca {
    size_t      steps, groups, size; /* steps of so many groups of so many pictures */
    uint64_t    seed;
    int         threads;
    const char *checkpoint; /* a file */
    size_t      every;      /* steps from one to the next */
    bool        resume;
    const char *model; /* as a checkpoint is to say it */
};

/* The recipe's. */
#define TRAIN_MMCA_STEPS  1500
#define TRAIN_MMCA_GROUPS 16
#define TRAIN_MMCA_SIZE   8
#define TRAIN_MMCA_EVERY  100

/* Whether the checkpoint fits, before what is learned from is made: that takes long. */
int train_mmca_check(const struct encoder *enc, const struct train_mmca *options, struct err *err);

/* *net is freed by the caller. config: what it is made of. */
int train_mmca(const struct encoder *enc, const struct train_data *data,
               const struct train_mmca *options, struct train_progress *progress,
               const volatile sig_atomic_t *stop, struct mmca_config *config,
               struct mmca_fit_f32 **net, struct err *err);

#endif
