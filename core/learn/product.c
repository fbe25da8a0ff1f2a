/* Matrix products for training in both precisions: see product.h. */
#include "learn/product.h"

#include "base/mem.h"

#include <stdint.h>
#include <string.h>

typedef float four __attribute__((vector_size(16), aligned(4)));

/* to (4, 4) = from (4, 4) turned. */
static void turn_4x4(const float *from, ptrdiff_t ldf, float *to, ptrdiff_t ldt)
{
    four a, b, c, d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + ldf, sizeof b);
    memcpy(&c, from + 2 * ldf, sizeof c);
    memcpy(&d, from + 3 * ldf, sizeof d);
    four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    four ab_top = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    four cd_top = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a           = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    b           = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    c           = __builtin_shufflevector(ab_top, cd_top, 0, 1, 4, 5);
    d           = __builtin_shufflevector(ab_top, cd_top, 2, 3, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + ldt, &b, sizeof b);
    memcpy(to + 2 * ldt, &c, sizeof c);
    memcpy(to + 3 * ldt, &d, sizeof d);
}

/* to (cols, rows) = from (rows, cols) turned. Sixteen columns at a time: whole lines
 * of the cache are read, and few are written at once. */
static void turn(const float *from, ptrdiff_t ldf, int rows, int cols, float *to, ptrdiff_t ldt)
{
    for (int c0 = 0; c0 < cols; c0 += 16) {
        int c1 = cols - c0 < 16 ? cols : c0 + 16, r = 0;
        for (; r + 4 <= rows; r += 4) {
            int c = c0;
            for (; c + 4 <= c1; c += 4)
                turn_4x4(from + r * ldf + c, ldf, to + c * ldt + r, ldt);
            for (; c < c1; c++) {
                for (int i = 0; i < 4; i++)
                    to[c * ldt + r + i] = from[(r + i) * ldf + c];
            }
        }
        for (; r < rows; r++) {
            for (int c = c0; c < c1; c++)
                to[c * ldt + r] = from[r * ldf + c];
        }
    }
}

/* Panel i of op(B), GEMM_PANEL columns: (k, GEMM_PANEL), the last one filled with 0. */
static void pack_panel(const struct product_f32 *p, int i, float *packed)
{
    int    col = i * GEMM_PANEL, cols = p->n - col < GEMM_PANEL ? p->n - col : GEMM_PANEL;
    float *to = packed + (ptrdiff_t)col * p->k;
    if (cols < GEMM_PANEL)
        memset(to, 0, (size_t)p->k * GEMM_PANEL * sizeof *to);
    if (p->b_turned) {
        turn(p->b + (ptrdiff_t)col * p->ldb, p->ldb, cols, p->k, to, GEMM_PANEL);
        return;
    }
    const float *from = p->b + col;
    if (cols == GEMM_PANEL) { /* of a size that the compiler knows */
        for (int k = 0; k < p->k; k++, from += p->ldb, to += GEMM_PANEL)
            memcpy(to, from, GEMM_PANEL * sizeof *to);
        return;
    }
    for (int k = 0; k < p->k; k++, from += p->ldb, to += GEMM_PANEL)
        memcpy(to, from, (size_t)cols * sizeof *to);
}

static int panels_of(const struct product_f32 *p)
{
    return (p->n + GEMM_PANEL - 1) / GEMM_PANEL;
}

static struct gemm gemm_of(const struct product_f32 *p, const float *packed, const float *turned)
{
    return (struct gemm){.m        = p->m,
                         .n        = p->n,
                         .k        = p->k,
                         .a        = turned ? turned : p->a,
                         .lda      = turned ? p->k : p->lda,
                         .w        = packed,
                         .bias     = p->bias,
                         .residual = p->add ? p->c : NULL,
                         .ldr      = p->ldc,
                         .c        = p->c,
                         .ldc      = p->ldc,
                         .act      = ACT_NONE};
}

/* What the phases of product_run share. */
struct work {
    const struct product_f32 *p;
    float                    *packed, *turned;
    gemm_kernel               kernel;
    struct gemm               g;
    struct gemm_parts         parts;
};

static void pack_panels(void *arg, size_t from, size_t to)
{
    const struct work *w = arg;
    for (size_t i = from; i < to; i++)
        pack_panel(w->p, (int)i, w->packed);
}

/* Rows [from, to) of op(A) to (m, k), in units of 16. */
static void turn_rows(void *arg, size_t from, size_t to)
{
    const struct work        *w = arg;
    const struct product_f32 *p = w->p;
    int first = (int)from * 16, last = (int)to * 16 < p->m ? (int)to * 16 : p->m;
    turn(p->a + first, p->lda, p->k, last - first, w->turned + (ptrdiff_t)first * p->k, p->k);
}

static void product_item(void *arg, int item, int thread)
{
    const struct work *w = arg;
    (void)thread;
    gemm_item(w->kernel, &w->g, w->parts, item);
}

void product_run_f32(struct compute *c, const struct product_f32 *p)
{
    if (p->m <= 0 || p->n <= 0 || compute_failed(c))
        return;
    size_t      k = (size_t)p->k, column = k * GEMM_PANEL;
    struct work w = {.p = p, .kernel = compute_kernel(c)};
    w.packed = compute_shared(c, COMPUTE_PACK, gemm_packed_size(p->n, p->k) * sizeof *w.packed);
    if (p->a_turned)
        w.turned = compute_shared(c, COMPUTE_TURN, (size_t)p->m * k * sizeof *w.turned);
    if (compute_failed(c))
        return;
    compute_ranges(c, (size_t)panels_of(p), column, pack_panels, &w);
    if (p->a_turned)
        compute_ranges(c, ((size_t)p->m + 15) / 16, 16 * k, turn_rows, &w);
    w.g     = gemm_of(p, w.packed, w.turned);
    w.parts = gemm_parts_for(p->m, p->n, p->k, column * sizeof *w.packed, compute_threads(c));
    compute_each(c, w.parts.across * w.parts.down, product_item, &w);
}

/* Floats of packed B, to a whole line of the cache. */
static size_t packed_floats(const struct product_f32 *p)
{
    return (gemm_packed_size(p->n, p->k) + 15) / 16 * 16;
}

size_t product_scratch_f32(const struct product_f32 *p)
{
    return (packed_floats(p) + (p->a_turned ? (size_t)p->m * (size_t)p->k : 0)) * sizeof(float);
}

void product_one_f32(struct compute *c, const struct product_f32 *p, void *scratch)
{
    if (p->m <= 0 || p->n <= 0)
        return;
    float *packed = scratch, *turned = p->a_turned ? packed + packed_floats(p) : NULL;
    for (int i = 0; i < panels_of(p); i++)
        pack_panel(p, i, packed);
    if (turned)
        turn(p->a, p->lda, p->k, p->m, turned, p->k);
    struct gemm g = gemm_of(p, packed, turned);
    compute_kernel(c)(&g);
}

static void row_f64(void *arg, int i, int thread)
{
    const struct product_f64 *p = arg;
    double                   *c = p->c + (ptrdiff_t)i * p->ldc;
    (void)thread;
    for (int j = 0; j < p->n; j++)
        c[j] = (p->add ? c[j] : 0) + (p->bias ? p->bias[j] : 0);
    for (int k = 0; k < p->k; k++) {
        double a = p->a_turned ? p->a[(ptrdiff_t)k * p->lda + i] : p->a[(ptrdiff_t)i * p->lda + k];
        ptrdiff_t     step = p->b_turned ? p->ldb : 1;
        const double *b    = p->b + (p->b_turned ? k : (ptrdiff_t)k * p->ldb);
        for (int j = 0; j < p->n; j++)
            c[j] += a * b[j * step];
    }
}

void product_run_f64(struct compute *c, const struct product_f64 *p)
{
    compute_each(c, p->n > 0 ? p->m : 0, row_f64, (void *)p);
}

size_t product_scratch_f64(const struct product_f64 *p)
{
    (void)p;
    return 0;
}

void product_one_f64(struct compute *c, const struct product_f64 *p, void *scratch)
{
    (void)c;
    (void)scratch;
    for (int i = 0; i < p->m && p->n > 0; i++)
        row_f64((void *)p, i, 0);
}
