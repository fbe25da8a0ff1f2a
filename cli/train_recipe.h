/* How heads are trained: the recipe of the heads that osprey-small comes with, or where
 * there are no captions one of its own, as far as the command line does not say
 * otherwise; for all that `osprey train` trains.
 */
#ifndef OSPREY_CLI_TRAIN_RECIPE_H
#define OSPREY_CLI_TRAIN_RECIPE_H

#include "base/err.h"
#include "cli/train_data.h"
#include "learn/trainer.h"
#include "model/encoder.h"

#include <stdbool.h>
#include <stddef.h>

struct train_recipe {
    const char            *what, *whose; /* for messages: "train heads", "new model's" */
    const char            *output;
    const char            *loss, *distance, *supervision;
    bool                   linear, resume, hardest;
    size_t                 views, parts; /* of each picture; 0: as it suits */
    size_t                 dim, hidden, epochs, batch, patience, seed, threads, every;
    double                 margin, temperature;
    double                 class_weight, visual_weight, distil; /* distil below 0: as it suits */
    char                  *class_names;                         /* owned, or NULL */
    struct train_sources   sources;
    struct trainer_options options;
    char                  *checkpoint; /* owned */
    char                   model[160]; /* "osprey-small 0123456789abcdef": a checkpoint says it */
};

/* What depends on the supervision is not set yet: NAN, or 0. */
extern const struct train_recipe train_recipe_default;

/* Checks what was given, and turns it into what the trainer takes. */
int   train_recipe_settle(struct train_recipe *r, struct err *err);
/* A file beside the output, "OUTPUT" and the suffix; freed by the caller, NULL when out of
 * memory. */
char *train_recipe_beside(const struct train_recipe *r, const char *suffix);
/* Names the model for checkpoints. */
void  train_recipe_model(struct train_recipe *r, const struct encoder *enc);
/* The names of the image tower's classes: those given, else the model's, or the
 * default one's, where these lie beside it. */
int   train_recipe_class_names(struct train_recipe *r, const struct encoder *enc, struct err *err);
/* What depends on the data: batches of what is there, enough steps. */
void  train_recipe_fit(struct train_recipe *r, const struct train_data *data);
/* A training that was stopped: says what goes on with it. ERR_CANCELLED. */
int   train_recipe_stopped(const struct train_recipe *r, struct err *err);
void  train_recipe_release(struct train_recipe *r);

#endif
