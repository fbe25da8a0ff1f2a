/* The layers that training needs, each with its backward pass written by hand.
 *
 * Written once (layers_inl.h, attend_inl.h) and compiled for float (names end in
 * _f32; fast) and for double (_f64; for gradient checks). A network of layers is
 * best written in the same way, in an _inl.h of its own that says `real` and
 * FN(name), included by two .c files:
 *
 *     #include "learn/real_f32.h"
 *
 *     #include "learn/my_net_inl.h"
 *
 * Conventions. Matrices are row-major and dense. Nothing is allocated: what a
 * backward pass needs of its forward pass (`saved`) is the caller's. Gradients of
 * parameters are added to what is there, gradients of inputs are set (but for
 * linear_backward's add). A NULL gradient is not wanted. Element-wise functions may
 * write over what they read. The number of threads never changes a result.
 *
 * Sequences of different lengths lie one after the other without padding: sequence
 * s has the rows [starts[s], starts[s + 1]), starts has n + 1 entries.
 */
#ifndef OSPREY_LEARN_LAYERS_H
#define OSPREY_LEARN_LAYERS_H

#include "learn/compute.h"

#include <stdint.h>

/* Which elements a dropout keeps follows from key and position alone, so that the
 * backward pass needs no mask; draw the key from random_next for each step. */
struct dropout {
    double   p; /* of being dropped, in [0, 1), in steps of 1/65536; 0: does nothing */
    uint64_t key;
};

/* Ragged self-attention: sequences as above. */
struct attend {
    const int            *starts; /* (n + 1) */
    int                   n;
    int                   heads, head_dim;
    /* Of attention weights, in training; NULL: none. The same in both passes. */
    const struct dropout *dropout;
};

/* Elements of `saved` that attention needs: heads * the sum of the lengths' squares. */
size_t attend_saved(const struct attend *a);

#include "learn/real_begin.h"

#include "learn/real_f32.h"

#include "learn/layers_decl.h"

#include "learn/real_f64.h"

#include "learn/layers_decl.h"

#include "learn/real_end.h"

#endif
