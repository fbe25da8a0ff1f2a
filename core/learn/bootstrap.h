/* Intervals of a mean by resampling (Efron, "Bootstrap methods: another look at
 * the jackknife", 1979): percentile bootstraps of 1,000 resamples.
 *
 * What is drawn are clusters, not single values: the captions of one picture are
 * not independent of each other. For two systems measured with the same queries,
 * resample the differences query by query; that pairs them.
 */
#ifndef OSPREY_LEARN_BOOTSTRAP_H
#define OSPREY_LEARN_BOOTSTRAP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct interval {
    double low, high; /* of the central 95% */
};

/* values: (n), NaN where there is none. cluster: (n) below n_clusters, or NULL:
 * each value is one. Clusters without values are not drawn. The same seed gives
 * the same interval; without any value it is 0 to 0. */
int bootstrap_mean(const double *values, const int *cluster, size_t n, size_t n_clusters,
                   uint64_t seed, struct interval *out, struct err *err);

#endif
