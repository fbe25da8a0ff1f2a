/* Half precision in plain C, and the choice of what suits the processor.
 *
 * Source of the bit layout and rounding: IEEE 754-2019, binary16,
 * roundTiesToEven. NaN keeps its sign and becomes quiet.
 */
#include "base/half.h"

#include "base/cpu.h"

#include <math.h>
#include <string.h>

static uint16_t from_one(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = (u >> 16) & 0x8000u;
    uint32_t abs  = u & 0x7fffffffu;
    if (abs > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((abs >> 13) & 0x1ffu));
    if (abs >= 0x47800000u) /* 65,536 and above, infinity too */
        return (uint16_t)(sign | 0x7c00u);
    if (abs < 0x33000001u) /* up to half of the smallest subnormal */
        return (uint16_t)sign;

    uint32_t mantissa, shift;
    uint32_t exponent = abs >> 23;
    if (exponent < 113) { /* subnormal in half precision */
        mantissa = (abs & 0x7fffffu) | 0x800000u;
        shift    = 126 - exponent;
    } else {
        mantissa = abs - (112u << 23);
        shift    = 13;
    }
    uint32_t half = mantissa >> shift;
    uint32_t rest = mantissa & ((1u << shift) - 1);
    uint32_t tie  = 1u << (shift - 1);
    if (rest > tie || (rest == tie && (half & 1)))
        half++; /* may carry into the exponent, up to infinity: as it should */
    return (uint16_t)(sign | half);
}

static float to_one(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exp = (h >> 10) & 31u, mantissa = h & 0x3ffu, u;
    float    f;
    if (exp == 0) {
        f = (float)mantissa * 0x1p-24f;
        memcpy(&u, &f, 4);
        u |= sign;
    } else if (exp == 31) {
        u = sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0);
    } else {
        u = sign | ((exp + 112u) << 23) | (mantissa << 13);
    }
    memcpy(&f, &u, 4);
    return f;
}

void half_from_float(uint16_t *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = from_one(in[i]);
}

void half_to_float(float *out, const uint16_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = to_one(in[i]);
}

static float add_up(const float lane[8])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

float half_dot(const float *a, const uint16_t *b, size_t n)
{
    float lane[8] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i & 7] += a[i] * to_one(b[i]);
    return add_up(lane);
}

float half_manhattan(const float *a, const uint16_t *b, size_t n)
{
    float lane[8] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i & 7] += fabsf(a[i] - to_one(b[i]));
    return add_up(lane);
}

bool half_finite(const uint16_t *x, size_t n)
{
    uint16_t worst = 0; /* without a branch in the loop, so that it is done in vectors */
    for (size_t i = 0; i < n; i++)
        worst |= (uint16_t)((x[i] & 0x7C00) == 0x7C00);
    return !worst;
}

struct half_ops half_ops_choose(void)
{
#if defined(__x86_64__)
    if (cpu_detect().level >= CPU_AVX2)
        return (struct half_ops){half_from_float_avx2, half_to_float_avx2, half_dot_avx2,
                                 half_manhattan_avx2};
#endif
    return (struct half_ops){half_from_float, half_to_float, half_dot, half_manhattan};
}
