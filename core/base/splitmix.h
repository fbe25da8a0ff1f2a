/* Random numbers from a seed: the same on every machine.
 *
 * SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014). Not for secrets.
 */
#ifndef OSPREY_BASE_SPLITMIX_H
#define OSPREY_BASE_SPLITMIX_H

#include <stddef.h>
#include <stdint.h>

/* The state is the seed; it moves on with each call. */
static inline uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Below n, which is at least 1; biased by less than n / 2^64. */
static inline size_t splitmix_below(uint64_t *state, size_t n)
{
    return (size_t)(splitmix_next(state) % n);
}

/* At least 0, below 1. */
static inline double splitmix_unit(uint64_t *state)
{
    return (double)(splitmix_next(state) >> 11) * 0x1p-53;
}

#endif
