/* Dropout over a run of numbers in one precision, for rows_inl.h and attend_inl.h;
 * included after real_f32.h or real_f64.h.
 *
 * Which numbers stay follows from the key and their position: four share one random
 * word, of 16 bits each.
 */
#ifndef OSPREY_LEARN_DROP_INL_H
#define OSPREY_LEARN_DROP_INL_H

#include "learn/layers.h"
#include "learn/random.h"

struct drop {
    uint64_t key;
    uint32_t dropped; /* of 65536; 0: none */
    real     scale;   /* of what stays */
};

static inline struct drop drop_of(const struct dropout *d)
{
    uint32_t dropped = d ? (uint32_t)(d->p * 65536 + 0.5) : 0;
    if (dropped > 65535)
        dropped = 65535;
    return (struct drop){d ? d->key : 0, dropped, (real)(65536.0 / (65536 - dropped))};
}

/* Numbers [from, to), from a multiple of 4; y may be x. */
static inline void drop_run(const struct drop *d, const real *x, size_t from, size_t to, real *y)
{
    for (size_t i = from; i < to; i += 4) {
        uint64_t word = random_hash(d->key, i / 4);
        size_t   n    = to - i < 4 ? to - i : 4;
        for (size_t j = 0; j < n; j++) {
            uint32_t drawn = (uint32_t)(word >> (16 * j)) & 0xffff;
            y[i + j]       = drawn >= d->dropped ? x[i + j] * d->scale : 0;
        }
    }
}

#endif
