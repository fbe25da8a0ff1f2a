/* Minimising a smooth function of many variables: L-BFGS (Nocedal and Wright, Numerical
 * Optimization, 2nd edition, algorithms 7.4 and 7.5).
 *
 * Departures: the step is found by halving (algorithm 3.1) instead of by Wolfe's
 * conditions, and a pair of differences whose curvature is not positive is not kept;
 * convex functions need no more. Sums are taken in double precision and in order.
 */
#ifndef OSPREY_LEARN_LBFGS_H
#define OSPREY_LEARN_LBFGS_H

#include "base/err.h"

#include <stddef.h>

#define LBFGS_MEMORY 10 /* pairs of differences that are kept */

/* Sets gradient (n) and returns the value at x (n). */
typedef double (*lbfgs_function)(void *ctx, const float *x, float *gradient);

struct lbfgs {
    size_t         n;
    lbfgs_function function;
    void          *ctx;
    int            most_steps;
    double         tolerance; /* done where no component of the gradient is larger */
};

/* x (n): where to begin, then the minimum that was found; *steps (may be NULL) counts
 * the way. ERR_FAILED where the function is not finite at the beginning. */
int lbfgs_minimise(const struct lbfgs *l, float *x, int *steps, struct err *err);

#endif
