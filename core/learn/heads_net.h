/* The trainable projection head of one modality, forward and backward:
 *
 *     z = dropout(standardise(x))
 *     u = W z + b + W2 dropout(gelu(W1 z + b1)) + b2         (hidden 0: W z + b alone)
 *     y = l2norm(layernorm(u))                               (the norm where asked for)
 *
 * A pair of them, image and text, is trained against each other by losses.h. What a
 * trained head does at search time is core/model's; this is training alone.
 */
#ifndef OSPREY_LEARN_HEADS_NET_H
#define OSPREY_LEARN_HEADS_NET_H

#include "base/err.h"
#include "learn/layers.h"
#include "learn/random.h"

struct head_shape {
    int    in, hidden, dim;
    bool   layer_norm;
    double input_dropout, hidden_dropout;
};

#define HEAD_PARAMS 8 /* the most that one has */

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "learn/heads_net_decl.h"

#include "learn/real_f64.h"

#include "learn/heads_net_decl.h"

#include "learn/real_end.h"

#endif
