/* The losses of training a joint space, over two sets of embeddings.
 *
 * In three steps, each usable alone: similarities S (na, nb) of all pairs; a loss of
 * S, with its gradient; the gradient of the embeddings. Rows a[i] and b[j] belong
 * together where their group ids are equal: a picture and its captions, two views of
 * a picture, members of a class.
 *
 * similarity: cosine a . b (rows are expected to have length 1, as the last layer of
 * a head leaves them), euclidean -sqrt(|a - b|^2 + 1e-6) (the constant keeps the
 * gradient of equal rows finite), manhattan -sum |a - b|.
 *
 *   infonce      symmetric cross-entropy of exp(log_scale) S (van den Oord et al. 2018;
 *                CLIP's form), with several positives a row as in Khosla et al. 2020,
 *                "Supervised Contrastive Learning", eq. 2 (the mean over positives
 *                outside the logarithm), and label smoothing: a share of the target is
 *                spread evenly over all candidates.
 *   triplet      [margin - S_ip + S_in]+ for each positive pair, both ways, summed over
 *                the negatives, or for the hardest alone (VSE++, Faghri et al. 2018).
 *   siglip       -log sigmoid(z (exp(log_scale) S + bias)), z = 1 for positive pairs and
 *                -1 for others (Zhai et al. 2023).
 *   contrastive  positive pairs D^2 / 2, others max(0, margin - D)^2 / 2 (Hadsell et al.
 *                2006, eq. 4), D = -S, or 1 - S with cosine.
 *
 * Departures: triplet is divided by the number of positive pairs times two (ways), so
 * that it does not grow with the batch; contrastive is the mean over positive pairs
 * plus the mean over negative ones, which outnumber them by far. Rows without a
 * positive (infonce) are left out of its mean.
 */
#ifndef OSPREY_LEARN_LOSSES_H
#define OSPREY_LEARN_LOSSES_H

#include "learn/compute.h"
#include "model/distance.h"

#include <stdbool.h>

enum loss_kind { LOSS_INFONCE, LOSS_TRIPLET, LOSS_SIGLIP, LOSS_CONTRASTIVE, LOSS_KINDS };

const char *loss_name(enum loss_kind kind);
/* -1 when there is none of that name. */
int         loss_by_name(const char *name);

struct loss {
    enum loss_kind kind;
    enum distance  distance;
    double         margin;    /* triplet, contrastive */
    bool           hardest;   /* triplet: the hardest negative instead of the sum */
    double         smoothing; /* infonce, in [0, 1) */
    bool           same;      /* a and b are one set: a row is no candidate of its own */
};

#define LOSS_LOG_SCALE_MOST 4.6052 /* ln 100: CLIP's ceiling, which the caller keeps */

/* What has served well for rows of length 1 and that many dimensions: margin, and
 * where log_scale and bias start. */
struct loss loss_default(enum loss_kind kind, enum distance distance, int dim, double *log_scale,
                         double *bias);

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "learn/losses_decl.h"

#include "learn/real_f64.h"

#include "learn/losses_decl.h"

#include "learn/real_end.h"

#endif
