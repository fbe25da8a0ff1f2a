/* What a run of the trainer is made of; trainer*.c alone include this. */
#ifndef OSPREY_LEARN_TRAINER_STATE_H
#define OSPREY_LEARN_TRAINER_STATE_H

#include "base/half.h"
#include "learn/adamw.h"
#include "learn/random.h"
#include "learn/trainer.h"
#include "learn/training_file.h"

/* A row that goes from half precision to float, perhaps mixed from two. */
struct trainer_copy {
    const uint16_t *from, *with; /* with NULL: from alone */
    float           share;       /* of from */
    float          *to;
};

/* One step's pictures and texts, as numbers. */
struct trainer_batch {
    int                  n;        /* pictures */
    int                  captions; /* how many of them, the first ones, have a text here */
    int                 *images;   /* (n) */
    struct trainer_copy *rows;     /* (2 n) while they are copied */
    int                 *groups;   /* (2 n) of pictures; again for the second views */
    float               *x; /* (2 n, image_dim): a view of each; then, where views are compared,
                               another */
    float *t; /* (captions + classes, text_dim): then the names of classes, to distil */
    float *p; /* (n, classes) logits of the pictures as they are; then their softmax */
    float *s; /* (2 n, classes) scratch */
};

struct trainer {
    const struct trainer_options *o;
    const struct trainer_part    *train, *dev;
    struct compute               *compute;
    struct half_ops               half;
    struct heads                  heads;
    struct adamw                  adamw;
    struct schedule               schedule;
    struct random                 random;
    int                           steps; /* of an epoch */
    int                           epoch; /* from 0 */
    int                           step;  /* of the epoch, from 0 */
    double                        loss;  /* summed over the epoch's steps so far */
    double                        spent; /* seconds of this epoch before it was resumed */
    int                          *order; /* (train->n) pictures, shuffled for this epoch */
    struct trainer_batch          batch;
    float                        *y[2]; /* (2 * batch, dim) embeddings of pictures; of texts */
    float                 *dy[4]; /* their gradients; of the views' loss, as queries and as items */
    float                 *scores;     /* (2 * batch, 2 * batch) */
    float                **best;       /* the heads of the best epoch */
    int                    best_epoch; /* -1: none yet */
    struct trainer_epoch  *history;    /* (epochs) */
    struct training_traits traits;     /* where there is a checkpoint */
};

/* ---- trainer_start.c ---- */

/* Sets the linear layer of the pictures' head to their principal directions; rows
 * beyond the number of inputs stay. */
int trainer_start_principal(struct trainer *t, struct err *err);

/* ---- trainer_batch.c ---- */

/* Where in the order step s begins; step steps is its end. */
int  trainer_step_at(const struct trainer *t, int step);
/* Shuffles the order of the epoch. */
void trainer_shuffle(struct trainer *t);
/* Draws the batch of the step. */
void trainer_draw(struct trainer *t);

/* ---- trainer_distill.c ---- */

/* The loss; sets the gradients of the names, behind the captions', and adds to those of
 * the pictures. */
double trainer_distil(struct trainer *t);

/* ---- trainer_judge.c ---- */

/* Measures the heads as they are, averaged, on the dev set. */
int trainer_judge(struct trainer *t, struct trainer_dev *out, struct err *err);

/* ---- trainer_checkpoint.c ---- */

void trainer_traits(const struct trainer *t, struct training_traits *out);
int  trainer_checkpoint_write(struct trainer *t, struct err *err);
/* Errors are those of training_file_open. */
int  trainer_checkpoint_read(struct trainer *t, struct err *err);

#endif
