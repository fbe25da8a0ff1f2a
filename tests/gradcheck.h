/* Checks of gradients by central finite differences in double precision, and of
 * single precision against it.
 *
 * A case is one function of a few arrays, written once for both precisions: it
 * returns a number and, unless grad is NULL, sets the gradient of each array.
 */
#ifndef OSPREY_TESTS_GRADCHECK_H
#define OSPREY_TESTS_GRADCHECK_H

#include "base/mem.h"
#include "learn/compute.h"
#include "learn/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GRADCHECK_ARRAYS 8
#define GRADCHECK_STEP   1e-5
#define GRADCHECK_MOST   1e-6 /* relative difference from the finite difference */

struct gradcheck {
    const char *name;
    double (*f64)(struct compute *c, double **in, double **grad);
    double (*f32)(struct compute *c, float **in, float **grad);
    int    sizes[GRADCHECK_ARRAYS]; /* 0 ends */
    double f32_most;                /* relative difference of float from double; 0: 1e-4 */
};

/* Scratch of the cases, which they need not free: taken anew in each run. */
static char   gradcheck_memory[1 << 23];
static size_t gradcheck_used;

static inline void *gradcheck_take(size_t n, size_t size)
{
    size_t at      = (gradcheck_used + 63) / 64 * 64;
    gradcheck_used = at + n * size;
    assert_true(gradcheck_used + 64 <= sizeof gradcheck_memory);
    char *base = gradcheck_memory + (64 - (uintptr_t)gradcheck_memory % 64) % 64;
    memset(base + at, 0xff, n * size); /* not numbers: what is not set shows */
    return base + at;
}

/* The weights by which a case adds up its outputs. */
static inline double gradcheck_weight(size_t i)
{
    return cos(1.7 * (double)i + 0.3);
}

static inline double gradcheck_f64(const struct gradcheck *g, struct compute *c, double **in,
                                   double **grad)
{
    gradcheck_used = 0;
    return g->f64(c, in, grad);
}

/* The largest |a - b| relative to b or to the root mean square of all b. */
static inline double gradcheck_difference(const double *a, const double *b, int n, int *worst)
{
    double square = 0, most = 0;
    for (int i = 0; i < n; i++)
        square += b[i] * b[i];
    double usual = sqrt(square / n) + 1e-12;
    for (int i = 0; i < n; i++) {
        double d = fabs(a[i] - b[i]) / fmax(fabs(b[i]), usual);
        if (!(d <= most)) { /* what is not a number is the worst */
            most   = isnan(d) ? INFINITY : d;
            *worst = i;
        }
    }
    return most;
}

static inline void gradcheck_run(const struct gradcheck *g, struct compute *c, uint64_t seed)
{
    double       *in[GRADCHECK_ARRAYS] = {0}, *grad[GRADCHECK_ARRAYS] = {0};
    float        *in32[GRADCHECK_ARRAYS] = {0}, *grad32[GRADCHECK_ARRAYS] = {0};
    struct random r;
    random_seed(&r, seed);
    for (int k = 0; k < GRADCHECK_ARRAYS && g->sizes[k]; k++) {
        size_t n  = (size_t)g->sizes[k];
        in[k]     = mem_array(n, sizeof(double));
        grad[k]   = mem_zeroed(n, sizeof(double));
        in32[k]   = mem_aligned(n, sizeof(float));
        grad32[k] = mem_zeroed(n, sizeof(float));
        for (size_t i = 0; i < n; i++) {
            in32[k][i] = (float)random_normal(&r);
            in[k][i]   = (double)in32[k][i];
        }
    }
    double value = gradcheck_f64(g, c, in, grad);
    assert_true(isfinite(value));
    gradcheck_used = 0;
    double value32 = g->f32(c, in32, grad32), most32 = g->f32_most > 0 ? g->f32_most : 1e-4;
    if (fabs(value - value32) > most32 * (1 + fabs(value)))
        fail_msg("%s: %g in double precision, %g in single", g->name, value, value32);
    for (int k = 0; k < GRADCHECK_ARRAYS && g->sizes[k]; k++) {
        int     n = g->sizes[k], worst = 0;
        double *numeric = mem_array((size_t)n, sizeof *numeric);
        double *single  = mem_array((size_t)n, sizeof *single);
        bool    some    = false;
        for (int i = 0; i < n; i++) {
            double x   = in[k][i];
            in[k][i]   = x + GRADCHECK_STEP;
            double up  = gradcheck_f64(g, c, in, NULL);
            in[k][i]   = x - GRADCHECK_STEP;
            double low = gradcheck_f64(g, c, in, NULL);
            in[k][i]   = x;
            numeric[i] = (up - low) / (2 * GRADCHECK_STEP);
            single[i]  = (double)grad32[k][i];
            some |= numeric[i] != 0;
        }
        assert_true(some);
        double d = gradcheck_difference(grad[k], numeric, n, &worst);
        if (d > GRADCHECK_MOST)
            fail_msg("%s, array %d: gradient %d is %.12g, finite difference %.12g (relative %.3g)",
                     g->name, k, worst, grad[k][worst], numeric[worst], d);
        d = gradcheck_difference(single, grad[k], n, &worst);
        if (d > most32)
            fail_msg("%s, array %d: gradient %d is %.9g in single precision, %.9g in double",
                     g->name, k, worst, single[worst], grad[k][worst]);
        free(numeric);
        free(single);
    }
    for (int k = 0; k < GRADCHECK_ARRAYS; k++) {
        free(in[k]);
        free(grad[k]);
        free(in32[k]);
        free(grad32[k]);
    }
    assert_int_equal(compute_check(c, NULL), 0);
}

#endif
