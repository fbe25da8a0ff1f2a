/* AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019,
 * algorithm 2, with the decay multiplied by the learning rate as PyTorch does), its
 * schedule, clipping by the norm of all gradients, and a moving average of weights.
 *
 * Works on a list of parameters (layers.h); its state is arrays in that order, which
 * checkpoints keep. Numbers are float; sums of squares are double.
 */
#ifndef OSPREY_LEARN_ADAMW_H
#define OSPREY_LEARN_ADAMW_H

#include "base/err.h"
#include "learn/layers.h"

#include <stdint.h>

struct adamw_options {
    double beta1, beta2, eps;
    double weight_decay; /* of the parameters that say decay */
    double clip;         /* of the gradients' norm; 0: none */
    double ema;          /* decay of the moving average, 0.99 say; 0: none is kept. In
                            the first steps s (from 1) it is s / (s + 9) if that is less */
};

#define ADAMW_DEFAULT                                                                              \
    {                                                                                              \
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01                            \
    }

struct adamw {
    struct adamw_options o;
    int                  n;      /* parameters */
    struct param_f32    *params; /* (n), the list as it was given */
    int64_t              steps;  /* done */
    float              **m, **v; /* (n) first and second moments, each as its parameter */
    float              **ema;    /* (n) averages, or NULL */
};

/* The arrays that params points to must outlive it. */
int  adamw_init(struct adamw *a, const struct adamw_options *o, const struct param_f32 *params,
                int n, struct err *err);
void adamw_release(struct adamw *a); /* NULL-safe, and safe after a failed init */

/* One step at that learning rate, from the gradients in the list, which are set to 0
 * afterwards. Returns their norm before clipping; one that is not finite changes
 * nothing but the gradients and is the caller's to report. */
double adamw_step(struct adamw *a, struct compute *c, double rate);
/* Exchanges the parameters with their averages: to judge and to export. Does nothing
 * without them. Twice is as before. */
void   adamw_swap_ema(struct adamw *a);

/* A cosine from peak down to last * peak over all steps (Loshchilov and Hutter 2017,
 * SGDR, without restarts), times a linear warm-up over the first of them. */
struct schedule {
    double  peak, last;
    int64_t warmup, total; /* steps */
};

/* The rate of step i, 0 <= i < total. */
double schedule_rate(const struct schedule *s, int64_t step);

#endif
