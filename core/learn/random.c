/* Random numbers for training: see random.h. */
#include "learn/random.h"

#include <math.h>

void random_seed(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = random_hash(seed, (uint64_t)i + 1);
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s, out = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

double random_uniform(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

/* Box and Muller 1958; the second of each pair is thrown away, so that the state is
 * the four words alone. */
double random_normal(struct random *r)
{
    double u = 1.0 - random_uniform(r), v = random_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* Lemire 2019, "Fast Random Integer Generation in an Interval". */
uint32_t random_below(struct random *r, uint32_t n)
{
    uint64_t x = (random_next(r) >> 32) * n;
    if ((uint32_t)x < n) {
        uint32_t least = (uint32_t)-n % n;
        while ((uint32_t)x < least)
            x = (random_next(r) >> 32) * n;
    }
    return (uint32_t)(x >> 32);
}

void random_shuffle(struct random *r, int *x, int n)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below(r, (uint32_t)i + 1), t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}
