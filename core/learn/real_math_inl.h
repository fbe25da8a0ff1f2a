/* The small mathematics of the learning code in one precision; included after
 * real_f32.h or real_f64.h.
 *
 * Sums run in lanes, which the compiler vectorises and which lose less to rounding
 * than one running sum. In single precision exp and erf are those of nn/act_inl.h
 * (relative 2e-7, absolute 1.5e-7), in double precision the C library's.
 */
#ifndef OSPREY_LEARN_REAL_MATH_INL_H
#define OSPREY_LEARN_REAL_MATH_INL_H

#include <math.h>
#include <stddef.h>

#if !REAL_IS_DOUBLE
#include "nn/act_inl.h"
#endif

#define REAL_LANES 16

static inline real real_exp(real x)
{
#if REAL_IS_DOUBLE
    return exp(x);
#else
    return act_exp(x);
#endif
}

static inline real real_log(real x)
{
#if REAL_IS_DOUBLE
    return log(x);
#else
    return logf(x);
#endif
}

static inline real real_sqrt(real x)
{
#if REAL_IS_DOUBLE
    return sqrt(x);
#else
    return sqrtf(x);
#endif
}

static inline real real_abs(real x)
{
#if REAL_IS_DOUBLE
    return fabs(x);
#else
    return fabsf(x);
#endif
}

/* log(1 + exp(x)), the softplus, without overflow. */
static inline real real_softplus(real x)
{
#if REAL_IS_DOUBLE
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
#else
    return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
#endif
}

/* 1 / (1 + exp(-x)). */
static inline real real_sigmoid(real x)
{
    return 1 / (1 + real_exp(-x));
}

static inline real real_gelu(real x)
{
#if REAL_IS_DOUBLE
    return 0.5 * x * (1 + erf(x * 0.70710678118654752));
#else
    return act_gelu(x);
#endif
}

/* The derivative of GELU: the Gaussian's distribution function + x times its density. */
static inline real real_gelu_slope(real x)
{
#if REAL_IS_DOUBLE
    return 0.5 * (1 + erf(x * 0.70710678118654752)) + x * exp(-x * x / 2) * 0.39894228040143268;
#else
    float z    = fabsf(x) * 0.70710678f;
    float t    = 1.0f / (1.0f + 0.3275911f * z);
    float bell = act_exp(-z * z);
    float poly = 1.061405429f; /* as in act_gelu */
    poly       = poly * t - 1.453152027f;
    poly       = poly * t + 1.421413741f;
    poly       = poly * t - 0.284496736f;
    poly       = poly * t + 0.254829592f;
    float q    = 0.5f * poly * t * bell;
    return (x < 0 ? q : 1.0f - q) + x * bell * 0.39894228f;
#endif
}

static inline real real_sum(const real *x, int n)
{
    real lanes[REAL_LANES] = {0}, sum = 0;
    int  i = 0;
    for (; i + REAL_LANES <= n; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++)
            lanes[l] += x[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += x[i];
    for (int l = 0; l < REAL_LANES; l++)
        sum += lanes[l];
    return sum;
}

static inline real real_dot(const real *x, const real *y, int n)
{
    real lanes[REAL_LANES] = {0}, sum = 0;
    int  i = 0;
    for (; i + REAL_LANES <= n; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++)
            lanes[l] += x[i + l] * y[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += x[i] * y[i];
    for (int l = 0; l < REAL_LANES; l++)
        sum += lanes[l];
    return sum;
}

static inline real real_max(const real *x, int n)
{
    real lanes[REAL_LANES], most = x[0];
    int  i = 0;
    for (int l = 0; l < REAL_LANES; l++)
        lanes[l] = x[0];
    for (; i + REAL_LANES <= n; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++)
            lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    }
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int l = 0; l < REAL_LANES; l++)
        most = lanes[l] > most ? lanes[l] : most;
    return most;
}

#endif
