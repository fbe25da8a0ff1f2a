/* What the user sees while something is trained: how far the features are, on a
 * terminal or in plain lines, and one line an epoch; JSON with --json, or nothing.
 */
#ifndef OSPREY_CLI_TRAIN_PROGRESS_H
#define OSPREY_CLI_TRAIN_PROGRESS_H

#include "cli/options.h"
#include "learn/features.h"
#include "learn/trainer.h"

#include <signal.h>
#include <stdbool.h>

struct train_progress {
    const struct common     *common;
    const char              *what; /* "features of pictures" */
    bool                     terminal, drawn;
    double                   began, shown; /* seconds */
    size_t                   broken;       /* pictures that could not be read, so far */
    char                     first_broken[512];
    int                      epochs; /* in all */
    struct features_listener features;
    struct trainer_listener  trainer;
};

void train_progress_init(struct train_progress *p, const struct common *common);
/* A new round of features begins. */
void train_progress_start(struct train_progress *p, const char *what);
/* Some steps of a training without epochs are over. */
void train_progress_step(struct train_progress *p, int step, int steps, double loss,
                         double seconds);
/* Leaves the terminal clean. */
void train_progress_finish(struct train_progress *p);

/* Set by SIGINT and SIGTERM once this was called; the second signal ends the program
 * at once. */
const volatile sig_atomic_t *train_stop_on_signals(void);

/* {"t2i": {...}, ...}: what counted; NULL when out of memory. */
struct jnode *train_dev_json(const struct trainer_dev *dev);

#endif
