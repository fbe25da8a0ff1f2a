/* A linear probe: labels of pictures learned from a few examples of each, on ready
 * embeddings.
 *
 * Multinomial logistic regression with an L2 penalty on the weights, fitted by L-BFGS
 * (Radford et al., "Learning transferable visual models from natural language
 * supervision", 2021, section 3.2 and appendix A.3):
 *
 *     mean over examples of -log softmax(W x + b)[label] + decay / 2 * |W|^2
 *
 * Departures: the weight of the penalty is chosen among a few by cross-validation on the
 * examples, not on a set kept aside, since there are so few; biases are not penalised.
 * The same cross-validation tells how far out pictures lie that the probe has not seen.
 */
#ifndef OSPREY_LEARN_PROBE_H
#define OSPREY_LEARN_PROBE_H

#include "learn/compute.h"

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "learn/probe_decl.h"

#include "learn/real_f64.h"

#include "learn/probe_decl.h"

#include "learn/real_end.h"

struct probe_examples {
    const float *x;      /* (n, dim) embeddings */
    const int   *labels; /* (n) below n_labels, each of which has one at least */
    int          n, dim, n_labels;
    const float *background; /* (n_background, dim) embeddings of any pictures, or NULL */
    int          n_background;
};

struct probe {
    int     n_labels, dim;
    float  *weights; /* (n_labels, dim + 1): the last number of a row is its bias */
    double  decay;
    int     folds;    /* of the cross-validation; 0: too few examples for one */
    double  accuracy; /* of held-out examples, with folds */
    /* The median, over held-out examples, of their own label's logit over the mean of all
     * logits, in deviations of such logits over the background; 0: unknown. */
    double  typical;
    double *typical_of; /* (n_labels) the same over each label's own ones; with folds */
};

int  probe_fit(struct compute *c, const struct probe_examples *e, struct probe *out,
               struct err *err);
void probe_release(struct probe *p);

#endif
