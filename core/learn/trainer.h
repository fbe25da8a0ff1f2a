/* Fitting two projection heads to one another, between locked towers (LiT, Zhai et
 * al. 2022): the loop of epochs and steps, early stopping, checkpoints.
 *
 * Supervised: each picture, in one of its views, against a caption of its own, or a
 * random mixture of two of them (mixup, Zhang et al. 2018, of captions alone).
 * Self-supervised: two views of each picture against each other, as in SimCLR (Chen
 * et al. 2020), among all views of the batch. Semi-supervised: both, the second with
 * a weight; pictures without captions take part in the second alone.
 *
 * The heads that are kept are those, averaged over steps, of the epoch that found
 * most on the dev set. A run draws all it draws from its seed; neither threads nor
 * being stopped and resumed change a bit of what comes out.
 */
#ifndef OSPREY_LEARN_TRAINER_H
#define OSPREY_LEARN_TRAINER_H

#include "base/err.h"
#include "learn/head_data.h"
#include "learn/heads.h"
#include "learn/losses.h"
#include "learn/recall.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum supervision { SUPERVISED, SELF_SUPERVISED, SEMI_SUPERVISED };

struct trainer_options {
    struct loss      loss;            /* hardest: once hardest_after epochs are over */
    double           log_scale, bias; /* where they start; 1 / temperature is exp(log_scale) */
    double           log_scale_most;
    enum supervision supervision;
    double           semi_weight;     /* of the views' loss beside the captions' */
    int              hardest_after;   /* epochs with the sum over negatives: from a cold start
                                         the hardest ones alone collapse */
    int              epochs, batch;   /* pictures */
    int              patience;        /* epochs without a better dev recall; 0: all epochs */
    double           rate, last_rate; /* of the peak, at the end */
    int              warmup;          /* steps; at most a third of all */
    double           weight_decay, clip, ema;
    int              dim, hidden;
    bool             layer_norm;
    bool             principal; /* the pictures' linear layer begins at their principal
                                   directions, not at random */
    double      image_dropout, text_dropout, hidden_dropout; /* of inputs; of the MLP's layer */
    double      mix;          /* share of pictures whose caption is a mixture */
    double      class_weight; /* of the class part beside the trained one, 0 to 1, when
                                 judging; needs the input */
    double      distil;       /* weight of what the image tower's classifier knows; 0 where
                                 the data have no names of classes */
    double      distil_scale; /* of similarities there; 0: the learned one */
    uint64_t    seed;
    int         threads;
    const char *checkpoint;       /* a file, or NULL */
    int         checkpoint_every; /* epochs; 0: only when stopped */
    bool        resume;           /* from the checkpoint */
    const char *model; /* whose features they are, as a checkpoint is to say it; or NULL */
};

/* Some pictures of a data set, with their texts. */
struct trainer_part {
    const struct head_data *data;
    const int              *images; /* (n) */
    size_t                  n;
};

/* Recall on the dev set. With captions t2i and i2t count, without i2i: views found
 * by the picture as it is. */
struct trainer_dev {
    struct recall t2i, i2t, i2i;
    double        score; /* what decides: the mean of those that count */
};

struct trainer_epoch {
    int                epoch; /* from 1 */
    double             loss, rate, seconds;
    struct trainer_dev dev;
    bool               best;
};

struct trainer_listener {
    void *ctx;
    /* After each epoch; history: all (n) so far, this one last. */
    void (*epoch)(void *ctx, const struct trainer_epoch *history, int n);
};

struct trained {
    struct heads          heads; /* as of the best epoch */
    struct trainer_epoch *history;
    int                   n_epochs, best; /* history[best] */
    bool                  early;          /* stopped before its last epoch for want of progress */
};

/* ERR_CANCELLED when *stop was set: the checkpoint was written then, if one is
 * wanted. A loss that is not finite is ERR_FAILED. */
int  trainer_run(const struct trainer_options *options, const struct trainer_part *train,
                 const struct trainer_part *dev, const struct trainer_listener *listener,
                 const volatile sig_atomic_t *stop, struct trained *out, struct err *err);
void trained_release(struct trained *trained); /* NULL-safe */

#endif
