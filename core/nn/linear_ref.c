/* Packing reduced weights, and the reference products: see linear.h.
 *
 * Plain C; what the vector kernels are tested against, and what runs where there
 * are none. The activations' forms here are the packed weights' own: bfloat16 in
 * pairs, or bytes in fours behind a struct low_row.
 */
#include "nn/kernels.h"
#include "nn/linear_low.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* To the nearest, ties to even; a NaN stays one. */
static uint16_t to_bf16(float x)
{
    uint32_t u = bits_of(x);
    if (x != x)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static size_t steps(int k, int each)
{
    return ((size_t)k + (size_t)each - 1) / (size_t)each;
}

static size_t panel_bytes(enum precision precision, int k)
{
    if (precision == PRECISION_BF16)
        return steps(k, LOW_BF16) * LOW_STEP;
    if (precision == PRECISION_INT8)
        return LOW_INT8_AT + steps(k, LOW_INT8) * LOW_STEP;
    return (size_t)k * LOW_STEP;
}

size_t linear_packed_bytes(enum precision precision, int n, int k)
{
    size_t panels = ((size_t)n + GEMM_PANEL - 1) / GEMM_PANEL;
    return panels * panel_bytes(precision, k);
}

static void pack_bf16(const float *w, int n, int k, char *to)
{
    memset(to, 0, linear_packed_bytes(PRECISION_BF16, n, k));
    for (int row = 0; row < n; row++) {
        char *panel = to + (size_t)(row / GEMM_PANEL) * panel_bytes(PRECISION_BF16, k);
        for (int i = 0; i < k; i++) {
            uint16_t x  = to_bf16(w[(size_t)row * (size_t)k + (size_t)i]);
            size_t   at = (size_t)(i / LOW_BF16 * GEMM_PANEL + row % GEMM_PANEL) * LOW_BF16;
            memcpy(panel + (at + (size_t)(i % LOW_BF16)) * sizeof x, &x, sizeof x);
        }
    }
}

/* One output's weights; scale and sum go to the panel's beginning. */
static void pack_int8_row(const float *w, int k, int lane, char *panel)
{
    float   most = 0;
    int32_t sum  = 0;
    for (int i = 0; i < k; i++)
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < k; i++) {
        float  x = nearbyintf(w[i] * inverse);
        int8_t q = (int8_t)(x > 127 ? 127 : x < -127 ? -127 : x == x ? x : 0);
        sum += q;
        panel[LOW_INT8_AT + (i / LOW_INT8 * GEMM_PANEL + lane) * LOW_INT8 + i % LOW_INT8] = q;
    }
    memcpy(panel + (size_t)lane * sizeof scale, &scale, sizeof scale);
    memcpy(panel + LOW_STEP + (size_t)lane * sizeof sum, &sum, sizeof sum);
}

void linear_pack(enum precision precision, const float *w, int n, int k, void *packed)
{
    if (precision == PRECISION_BF16) {
        pack_bf16(w, n, k, packed);
    } else if (precision == PRECISION_INT8) {
        memset(packed, 0, linear_packed_bytes(precision, n, k));
        for (int row = 0; row < n; row++)
            pack_int8_row(w + (ptrdiff_t)row * k, k, row % GEMM_PANEL,
                          (char *)packed + (size_t)(row / GEMM_PANEL) * panel_bytes(precision, k));
    } else {
        gemm_pack(w, n, k, packed);
    }
}

void low_bf16_convert_ref(const float *a, int lda, int rows, int k, void *to, size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        uint16_t *x = to;
        for (int i = 0; i < k; i++)
            x[i] = to_bf16(a[i]);
        if (k % LOW_BF16)
            x[k] = 0;
    }
}

void low_int8_convert_ref(const float *a, int lda, int rows, int k, void *to, size_t row_bytes)
{
    for (int row = 0; row < rows; row++, a += lda, to = (char *)to + row_bytes) {
        float    least = 0, most = 0;
        uint8_t *x = (uint8_t *)to + LOW_ROW_AT;
        for (int i = 0; i < k; i++) {
            least = a[i] < least ? a[i] : least;
            most  = a[i] > most ? a[i] : most;
        }
        struct low_row r       = low_row_of(least, most);
        float          inverse = low_inverse(r);
        memcpy(to, &r, sizeof r);
        for (int i = 0; i < k; i++) {
            float q = nearbyintf(a[i] * inverse) + (float)r.zero;
            x[i]    = (uint8_t)(q > 255 ? 255 : q > 0 ? q : 0);
        }
        for (int i = k; i % LOW_INT8; i++)
            x[i] = 0;
    }
}

/* One row's sums with one panel, without bias. */
static void bf16_sums(const struct low *p, int row, const char *panel, float sums[GEMM_PANEL])
{
    const uint16_t *a = (const uint16_t *)(const void *)(p->a + (size_t)row * p->lda);
    const uint16_t *w = (const uint16_t *)(const void *)panel;
    for (int j = 0; j < GEMM_PANEL; j++)
        sums[j] = 0;
    for (int s = (int)steps(p->k, LOW_BF16); s > 0;
         s--, a += LOW_BF16, w += LOW_BF16 * GEMM_PANEL) {
        float a0 = float_of((uint32_t)a[0] << 16), a1 = float_of((uint32_t)a[1] << 16);
        for (int j = 0; j < GEMM_PANEL; j++)
            sums[j] += a0 * float_of((uint32_t)w[2 * j] << 16) +
                       a1 * float_of((uint32_t)w[2 * j + 1] << 16);
    }
}

static void int8_sums(const struct low *p, int row, const char *panel, float sums[GEMM_PANEL])
{
    const char    *from            = p->a + (size_t)row * p->lda;
    const uint8_t *a               = (const uint8_t *)from + LOW_ROW_AT;
    const int8_t  *w               = (const int8_t *)panel + LOW_INT8_AT;
    int32_t        sum[GEMM_PANEL] = {0}, all[GEMM_PANEL];
    float          scale[GEMM_PANEL];
    struct low_row r;
    memcpy(&r, from, sizeof r);
    memcpy(scale, panel, sizeof scale);
    memcpy(all, panel + LOW_STEP, sizeof all);
    for (int s = (int)steps(p->k, LOW_INT8); s > 0; s--, a += LOW_INT8, w += LOW_STEP) {
        for (int j = 0; j < GEMM_PANEL; j++) {
            for (int i = 0; i < LOW_INT8; i++)
                sum[j] += a[i] * w[LOW_INT8 * j + i];
        }
    }
    for (int j = 0; j < GEMM_PANEL; j++)
        sums[j] = (float)(sum[j] - r.zero * all[j]) * (r.scale * scale[j]);
}

static void product(const struct low *p,
                    void (*sums_of)(const struct low *, int, const char *, float *))
{
    const char *panel = p->w;
    for (int n0 = 0; n0 < p->n; n0 += GEMM_PANEL, panel += p->panel) {
        int cols = p->n - n0 < GEMM_PANEL ? p->n - n0 : GEMM_PANEL;
        for (int row = 0; row < p->m; row++) {
            float  sums[GEMM_PANEL];
            float *c = p->c + (ptrdiff_t)row * p->ldc + n0;
            sums_of(p, row, panel, sums);
            for (int j = 0; j < cols; j++) {
                float x = sums[j];
                if (p->bias)
                    x += p->bias[n0 + j];
                if (p->residual)
                    x += p->residual[(ptrdiff_t)row * p->ldr + n0 + j];
                c[j] = act_ref(x, p->act);
            }
        }
    }
}

void low_bf16_ref(const struct low *p)
{
    product(p, bf16_sums);
}

void low_int8_ref(const struct low *p)
{
    product(p, int8_sums);
}
