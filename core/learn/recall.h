/* How often what belongs together is found: recall at 1, 5 and 10, for judging heads
 * while they are trained, in any of the distances that they are trained in.
 *
 * (learn/retrieval.h measures a finished model, with intervals.) A query is found
 * at the rank of the best item of its group; equal scores rank by position.
 */
#ifndef OSPREY_LEARN_RECALL_H
#define OSPREY_LEARN_RECALL_H

#include "base/err.h"
#include "learn/losses.h"

struct recall {
    double r1, r5, r10; /* percent of queries */
    int    n;           /* queries */
};

/* a as queries among b, and b among a, both from the same scores. scores: (na, nb)
 * scratch. Queries of which no item shares the group are left out. */
int recall_both(struct compute *c, enum distance distance, const struct loss_sets_f32 *sets,
                float *scores, struct recall *a_among_b, struct recall *b_among_a, struct err *err);

/* The mean of the three. */
double recall_mean(const struct recall *r);

#endif
