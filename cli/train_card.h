/* The card of trained heads, README.md of their folder: what they were made from,
 * how, and how well they do, for whoever finds the folder later.
 */
#ifndef OSPREY_CLI_TRAIN_CARD_H
#define OSPREY_CLI_TRAIN_CARD_H

#include "base/err.h"
#include "cli/train_data.h"
#include "learn/heads_model.h"
#include "learn/trainer.h"

struct train_card {
    const char                   *output, *base;
    const char                   *loss, *distance, *supervision;
    const struct train_sources   *sources;
    const struct trainer_options *options;
    const struct heads_model     *model;
    const struct train_data      *data;
    double                        features_seconds, seconds;
};

/* *text is freed by the caller. */
int train_card_text(const struct train_card *card, char **text, struct err *err);

#endif
