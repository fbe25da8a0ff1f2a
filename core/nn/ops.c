/* The small operations between a transformer's matrix products: see ops.h.
 *
 * Sums run in sixteen lanes, which the compiler vectorises and which lose less
 * to rounding than one running sum.
 */
#include "nn/ops.h"

#include <math.h>
#include <stddef.h>

#define LANES 16

static float add_up(const float lanes[LANES])
{
    float sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

static float sum_of(const float *x, int n)
{
    float lanes[LANES] = {0};
    int   i            = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += x[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += x[i];
    return add_up(lanes);
}

/* Of the squares of x - mean. */
static float sum_of_squares(const float *x, int n, float mean)
{
    float lanes[LANES] = {0};
    int   i            = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lanes[l] += (x[i + l] - mean) * (x[i + l] - mean);
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += (x[i] - mean) * (x[i] - mean);
    return add_up(lanes);
}

void ops_layernorm(const float *x, int rows, int dim, const float *weight, const float *bias,
                   float eps, float *out)
{
    for (int r = 0; r < rows; r++, x += dim, out += dim) {
        float mean  = sum_of(x, dim) / (float)dim;
        float scale = 1.0f / sqrtf(sum_of_squares(x, dim, mean) / (float)dim + eps);
        for (int i = 0; i < dim; i++)
            out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
    }
}

void ops_mean_rows(const float *x, int rows, int dim, float *out)
{
    for (int i = 0; i < dim; i++)
        out[i] = x[i];
    for (int r = 1; r < rows; r++) {
        const float *row = x + (ptrdiff_t)r * dim;
        for (int i = 0; i < dim; i++)
            out[i] += row[i];
    }
    for (int i = 0; i < dim; i++)
        out[i] /= (float)rows;
}

void ops_l2_normalize(float *x, int dim)
{
    float length = sqrtf(sum_of_squares(x, dim, 0.0f));
    if (!(length > 0.0f))
        return;
    for (int i = 0; i < dim; i++)
        x[i] /= length;
}

void ops_softmax(float *x, int n, float temperature)
{
    float most = -INFINITY;
    for (int i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++)
        x[i] = expf((x[i] - most) / temperature);
    float sum = sum_of(x, n);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}
