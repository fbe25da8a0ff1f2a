/* Principal directions: those in which data vary most, of their covariance matrix (or
 * any symmetric matrix without negative eigenvalues).
 *
 * By orthogonal iteration (Golub and Van Loan, Matrix Computations, 8.2.4) on the
 * products of product.h, a fixed number of rounds from a fixed start: the same matrix
 * gives the same directions on any number of threads. Departure: nothing waits for
 * convergence. Directions of nearly the same variance may still be turned among
 * themselves; the space that they span together is there long before.
 */
#ifndef OSPREY_LEARN_PRINCIPAL_H
#define OSPREY_LEARN_PRINCIPAL_H

#include "base/err.h"
#include "learn/compute.h"

/* covariance: (dim, dim). directions: (n, dim), n at most dim, rows of length 1 at right
 * angles, most variance first; zeros where there is none left: less than a millionth of
 * the first one's. */
int principal_directions(struct compute *c, const float *covariance, int dim, int n,
                         float *directions, struct err *err);

#endif
