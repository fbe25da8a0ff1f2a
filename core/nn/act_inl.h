/* Activations over a run of floats, written so that the compiler vectorises
 * them; included by each kernel file and compiled there for its instruction set.
 *
 * exp: range reduction by powers of two and a degree-6 minimax-like polynomial,
 * relative error about 2e-7. erf: Abramowitz and Stegun, Handbook of
 * Mathematical Functions, 7.1.26 (absolute error 1.5e-7). The reference kernel
 * uses the C library instead, which is what these are tested against.
 */
#ifndef OSPREY_NN_ACT_INL_H
#define OSPREY_NN_ACT_INL_H

#include "nn/gemm.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float act_exp(float x)
{
    x                 = x > -87.0f ? x : -87.0f; /* not a number: as good as nothing */
    x                 = x > 88.0f ? 88.0f : x;
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float       n     = (x * 1.44269504f + round) - round;
    float       r     = x - n * 0.693359375f; /* ln 2 in two parts (Cody and Waite) */
    r += n * 2.12194440e-4f;
    float p      = 1.0f / 720;
    p            = p * r + 1.0f / 120;
    p            = p * r + 1.0f / 24;
    p            = p * r + 1.0f / 6;
    p            = p * r + 0.5f;
    p            = p * r + 1.0f;
    p            = p * r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float   scale;
    memcpy(&scale, &bits, sizeof(scale));
    return p * scale;
}

static inline float act_gelu(float x)
{
    float z    = fabsf(x) * 0.70710678f;
    float t    = 1.0f / (1.0f + 0.3275911f * z);
    float poly = 1.061405429f;
    poly       = poly * t - 1.453152027f;
    poly       = poly * t + 1.421413741f;
    poly       = poly * t - 0.284496736f;
    poly       = poly * t + 0.254829592f;
    /* q = (1 - erf(z)) / 2, the Gaussian's tail: x (1 - q) or x q, by sign. */
    float q    = 0.5f * poly * t * act_exp(-z * z);
    return x * (x < 0 ? q : 1.0f - q);
}

static inline float act_quick_gelu(float x)
{
    return x / (1.0f + act_exp(-1.702f * x));
}

/* (1 + tanh(z)) / 2 is the logistic function of 2 z. */
static inline float act_gelu_tanh(float x)
{
    return x / (1.0f + act_exp(-1.59576912f * (x + 0.044715f * x * x * x)));
}

static inline float act_tanh(float x)
{
    return 1.0f - 2.0f / (1.0f + act_exp(2.0f * x));
}

static inline void act_run(float *x, int n, enum act act)
{
    if (act == ACT_GELU) {
        for (int i = 0; i < n; i++)
            x[i] = act_gelu(x[i]);
    } else if (act == ACT_QUICK_GELU) {
        for (int i = 0; i < n; i++)
            x[i] = act_quick_gelu(x[i]);
    } else if (act == ACT_GELU_TANH) {
        for (int i = 0; i < n; i++)
            x[i] = act_gelu_tanh(x[i]);
    } else if (act == ACT_TANH) {
        for (int i = 0; i < n; i++)
            x[i] = act_tanh(x[i]);
    }
}

/* The activations that are a clamp are applied in registers. */
static inline float act_low(enum act act)
{
    return act == ACT_RELU || act == ACT_RELU6 ? 0.0f : -INFINITY;
}

static inline float act_high(enum act act)
{
    return act == ACT_RELU6 ? 6.0f : INFINITY;
}

static inline int act_is_clamp(enum act act)
{
    return act == ACT_NONE || act == ACT_RELU || act == ACT_RELU6;
}

#endif
