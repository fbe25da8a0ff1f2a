/* The MMCA re-ranker of the form "pooled" (mmca.h), as it is trained: forward,
 * loss, and a backward pass written by hand from the layers of learn/layers.h.
 *
 * A batch is some groups of as many pictures as texts: text i of a group belongs to
 * its picture i, the others of the group are its neighbours, hard negatives. The loss
 * is the mean both ways of
 *
 *     infonce(i0 . c0), over the whole batch                         (learn/losses.h)
 *     cross-entropy of the match, inside each group
 *     cross-entropy of the whole score, inside each group
 *
 * each with a learned temperature, with label smoothing. Wei et al. (CVPR 2020) have a
 * triplet loss with the hardest negative instead; from a cold start that collapses.
 *
 * Modules have one layer each. Dropout is of single inputs, and of what each
 * residual branch yields.
 */
#ifndef OSPREY_RERANK_MMCA_FIT_H
#define OSPREY_RERANK_MMCA_FIT_H

#include "base/err.h"
#include "learn/layers.h"
#include "learn/random.h"
#include "rerank/mmca_config.h"

#define MMCA_FIT_PARAMS 64 /* the most that there are */
#define MMCA_FIT_SCALES 3  /* logarithms of 1 / temperature, of the three losses */

struct mmca_fit_dropout {
    double region, word, hidden;
};

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "rerank/mmca_fit_decl.h"

#include "learn/real_f64.h"

#include "rerank/mmca_fit_decl.h"

#include "learn/real_end.h"

#endif
