/* How well a joint space retrieves: recall@k, median rank, mean average
 * precision, with bootstrap intervals.
 *
 * Pictures and captions as in captions.h. Text to image: a caption's one right
 * answer is its picture. Image to text: any of a picture's captions is right;
 * the rank is that of the best (the convention of Karpathy and Fei-Fei 2015).
 * Equal scores rank by position, as a search lists them.
 *
 * Intervals are percentile bootstraps (Efron 1979) that draw pictures, not
 * captions: the captions of a picture are not independent.
 */
#ifndef OSPREY_LEARN_RETRIEVAL_H
#define OSPREY_LEARN_RETRIEVAL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct retrieval_interval {
    double low, high; /* of the central 95% */
};

struct retrieval_metrics {
    double                    r1, r5, r10; /* percent of queries */
    struct retrieval_interval r1_ci, r5_ci, r10_ci;
    double                    median_rank; /* 1 is best */
    double                    map;         /* 0 to 1 */
    size_t                    n;           /* queries */
};

/* images: (n_images, dim), texts: (n_texts, dim), rows normalised. image_of:
 * (n_texts). The same seed gives the same intervals. */
int retrieval_evaluate(const float *images, size_t n_images, const float *texts, size_t n_texts,
                       const int *image_of, int dim, uint64_t seed, int threads,
                       struct retrieval_metrics *t2i, struct retrieval_metrics *i2t,
                       struct err *err);

#endif
