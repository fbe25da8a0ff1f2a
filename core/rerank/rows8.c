/* Rows of numbers in 8 bits: see rows8.h. */
#include "rerank/rows8.h"

#include "base/half.h"

#include <math.h>

bool rows8_pack(const float *x, int n, uint16_t *scale, int8_t *q)
{
    float most = 0, step;
    for (int i = 0; i < n; i++)
        most = fabsf(x[i]) > most || isnan(x[i]) ? fabsf(x[i]) : most;
    float wanted = most / 127;
    half_from_float(scale, &wanted, 1);
    half_to_float(&step, scale, 1);
    if (!isfinite(most) || !isfinite(step))
        return false;
    float inverse = step > 0 ? 1 / step : 0;
    for (int i = 0; i < n; i++) {
        float v = roundf(x[i] * inverse);
        q[i]    = (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v);
    }
    return true;
}
