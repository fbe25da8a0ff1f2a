/* The reference matrix product and the packing of weights: see gemm.h.
 *
 * Plain C with the C library's functions; what the vector kernels are tested
 * against, and what runs where there are none. A row of A meets one panel of W
 * at a time, so that the compiler can keep the panel's sums in registers.
 */
#include "nn/gemm.h"

#include "nn/kernels.h"

#include <math.h>
#include <string.h>

#define ROWS 4 /* rows of A that share one pass over a panel */

size_t gemm_packed_size(int n, int k)
{
    size_t panels = ((size_t)n + GEMM_PANEL - 1) / GEMM_PANEL;
    return panels * GEMM_PANEL * (size_t)k;
}

void gemm_pack(const float *w, int n, int k, float *packed)
{
    for (int p = 0; p < n; p += GEMM_PANEL) {
        for (int kk = 0; kk < k; kk++) {
            for (int j = 0; j < GEMM_PANEL; j++)
                *packed++ = p + j < n ? w[(size_t)(p + j) * (size_t)k + (size_t)kk] : 0.0f;
        }
    }
}

float act_ref(float x, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return x < 0 ? 0 : x;
    case ACT_RELU6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
    case ACT_GELU:
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ACT_QUICK_GELU:
        return x / (1.0f + expf(-1.702f * x));
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case ACT_TANH:
        return tanhf(x);
    case ACT_NONE:
    default:
        return x;
    }
}

static void panel_rows(const struct gemm *g, int row, int rows, int n0)
{
    float        sum[ROWS][GEMM_PANEL] = {{0}};
    const float *w                     = g->w + (size_t)n0 * (size_t)g->k;
    const float *a[ROWS];
    for (int i = 0; i < ROWS; i++)
        a[i] = g->a + (size_t)(row + (i < rows ? i : 0)) * (size_t)g->lda;
    for (int kk = 0; kk < g->k; kk++, w += GEMM_PANEL) {
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < GEMM_PANEL; j++)
                sum[i][j] += a[i][kk] * w[j];
        }
    }
    int cols = g->n - n0 < GEMM_PANEL ? g->n - n0 : GEMM_PANEL;
    for (int i = 0; i < rows; i++) {
        size_t r = (size_t)(row + i);
        for (int j = 0; j < cols; j++) {
            float x = sum[i][j];
            if (g->bias)
                x += g->bias[n0 + j];
            if (g->residual)
                x += g->residual[r * (size_t)g->ldr + (size_t)(n0 + j)];
            g->c[r * (size_t)g->ldc + (size_t)(n0 + j)] = act_ref(x, g->act);
        }
    }
}

void gemm_ref(const struct gemm *g)
{
    for (int n0 = 0; n0 < g->n; n0 += GEMM_PANEL) {
        for (int row = 0; row < g->m; row += ROWS)
            panel_rows(g, row, g->m - row < ROWS ? g->m - row : ROWS, n0);
    }
}
