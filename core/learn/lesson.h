/* From a few pictures of each label to a tagger's rows: a linear probe (probe.h) fitted on
 * their embeddings, calibrated over a background (tagger.h).
 *
 * A single label has nothing to be told from; it gets a second one, "none of it", whose
 * examples are those that a person said so of (label -1) and reliable negatives, as in
 * learning from positive and unlabelled examples (Liu et al., "Partially supervised
 * classification of text documents", 2002). Departure: negatives are those pictures of
 * the background which lie further from the mean of the examples than every example lies
 * from the mean of the others, and the farther half in any case, but never an
 * example itself. It is calibrated by where held-out examples and those negatives lie.
 */
#ifndef OSPREY_LEARN_LESSON_H
#define OSPREY_LEARN_LESSON_H

#include "learn/tagger.h"

struct lesson_examples {
    const float *x;      /* (n, dim) embeddings, of length 1 */
    const int   *labels; /* (n) below n_labels, each of which has one at least; with a
                            single label also -1 */
    size_t       n, dim, n_labels;
    const struct tagger_background *background;
};

struct lesson {
    struct tagger_rows rows;     /* (n_labels, dim), all known */
    int                folds;    /* of the cross-validation; 0: too few examples for one */
    double             accuracy; /* of held-out examples, with folds */
};

/* threads: of the fit. ERR_USAGE where a single label has no picture to be told from.
 * Released also after a failure. */
int lesson_learn(const struct lesson_examples *e, int threads, struct lesson *out, struct err *err);
void lesson_release(struct lesson *l); /* NULL-safe inside */

#endif
