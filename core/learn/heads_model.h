/* Trained heads as a model folder: config.json, heads.safetensors, what else the
 * base model has beside its towers, a card for people, the curves of the training.
 * The towers stay where they are; the folder names them (model/dual_files.h).
 *
 * The folder is written aside and renamed when it is complete, so that half a
 * model never lies under the name.
 */
#ifndef OSPREY_LEARN_HEADS_MODEL_H
#define OSPREY_LEARN_HEADS_MODEL_H

#include "base/err.h"
#include "base/json.h"
#include "learn/head_data.h"
#include "learn/heads.h"
#include "learn/trainer.h"
#include "model/encoder.h"

#include <stdbool.h>

struct heads_model {
    const struct encoder *base;
    const struct trained *trained;
    struct head_inputs    inputs;
    enum distance         distance;
    double                trained_weight, class_weight, visual_weight; /* of the space's parts */
    const char           *card;                                        /* README.md */
};

/* Whether heads can be trained for the model: whether its joint space is apart from
 * its towers. */
int heads_model_check_base(const struct encoder *base, struct err *err);

/* ERR_USAGE when dir exists and replace is not set, or is no model of ours. */
int heads_model_check_output(const char *dir, bool replace, struct err *err);
int heads_model_write(const char *dir, bool replace, const struct heads_model *model,
                      struct err *err);

#endif
