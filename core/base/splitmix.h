/* SplitMix64 (Steele, Lea and Flood 2014): numbers from a seed, the same
 * everywhere. The state is one number, the caller's; neighbouring seeds give
 * unrelated sequences. Not for secrets.
 */
#ifndef OSPREY_BASE_SPLITMIX_H
#define OSPREY_BASE_SPLITMIX_H

#include <stdint.h>

static inline uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* From 0 to below 1. */
static inline double splitmix_unit(uint64_t *state)
{
    return (double)(splitmix_next(state) >> 11) * 0x1p-53;
}

/* From 0 to n - 1, n at least 1 (the bias, below n / 2^64, does not matter here). */
static inline uint64_t splitmix_below(uint64_t *state, uint64_t n)
{
    return splitmix_next(state) % n;
}

#endif
