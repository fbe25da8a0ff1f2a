/* Random numbers for training: seeded, the same everywhere, and with a state that
 * can be kept and put back (it is the struct itself).
 *
 * xoshiro256++ (Blackman and Vigna, "Scrambled Linear Pseudorandom Number
 * Generators", 2021), seeded by splitmix64. Dropout wants a number for each element
 * whatever thread works on it: random_hash makes one from a key and a counter
 * (splitmix64's finaliser over key + counter * golden ratio).
 */
#ifndef OSPREY_LEARN_RANDOM_H
#define OSPREY_LEARN_RANDOM_H

#include "base/splitmix.h"

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t s[4];
};

void     random_seed(struct random *r, uint64_t seed);
uint64_t random_next(struct random *r);
double   random_uniform(struct random *r);                /* in [0, 1) */
double   random_normal(struct random *r);                 /* mean 0, variance 1 */
uint32_t random_below(struct random *r, uint32_t n);      /* in [0, n), no bias; n >= 1 */
void     random_shuffle(struct random *r, int *x, int n); /* Fisher and Yates */

static inline uint64_t random_hash(uint64_t key, uint64_t counter)
{
    uint64_t state = key + (counter - 1) * 0x9e3779b97f4a7c15u;
    return splitmix_next(&state);
}

#endif
