/* Attention and pooling over sequences of layers.h in one precision: included by
 * attend_f32.c and attend_f64.c.
 *
 * An item is one head of one sequence; its attention weights are kept for the
 * backward pass, since a re-ranker's sequences are short (some seventy tokens).
 */
#include "learn/drop_inl.h"
#include "learn/layers.h"
#include "learn/product.h"
#include "learn/real_math_inl.h"

#include <string.h>

struct attend_args {
    const struct attend *a;
    struct compute      *c;
    const real          *qkv, *dy, *saved;
    real                *y, *keep, *dqkv;
};

/* One head of one sequence. */
struct head {
    int       length, dim;
    int       ld;     /* of qkv */
    int       ldo;    /* of y */
    ptrdiff_t q, out; /* where it begins in qkv (keys ldo further, then values) and in y */
    size_t    weights;
    real      scale;
};

static struct head head_of(const struct attend *a, int item)
{
    int    s = item / a->heads, h = item % a->heads;
    size_t before = 0;
    for (int i = 0; i < s; i++) {
        size_t n = (size_t)(a->starts[i + 1] - a->starts[i]);
        before += n * n;
    }
    int    width = a->heads * a->head_dim, length = a->starts[s + 1] - a->starts[s];
    size_t square = (size_t)length * (size_t)length;
    return (struct head){.length  = length,
                         .dim     = a->head_dim,
                         .ld      = 3 * width,
                         .ldo     = width,
                         .q       = (ptrdiff_t)a->starts[s] * 3 * width + h * a->head_dim,
                         .out     = (ptrdiff_t)a->starts[s] * width + h * a->head_dim,
                         .weights = before * (size_t)a->heads + square * (size_t)h,
                         .scale   = 1 / real_sqrt((real)a->head_dim)};
}

/* A thread's scratch: for any product of one head, and two square matrices. */
static real *head_scratch(struct compute *c, const struct head *h, int thread, real *square[2])
{
    size_t m     = (size_t)((h->length > h->dim ? h->length : h->dim) + 15) / 16 * 16;
    real  *block = compute_own(c, thread, 4 * m * m * sizeof *block);
    square[0]    = block ? block + 2 * m * m : NULL;
    square[1]    = block ? block + 3 * m * m : NULL;
    return block;
}

/* c (m, n) = op(a) op(b) on this thread. */
static void multiply(struct compute *c, int m, int n, int k, const real *a, int lda, bool a_turned,
                     const real *b, int ldb, bool b_turned, real *to, int ldc, void *scratch)
{
    struct FN(product) p = {.m        = m,
                            .n        = n,
                            .k        = k,
                            .a        = a,
                            .lda      = lda,
                            .a_turned = a_turned,
                            .b        = b,
                            .ldb      = ldb,
                            .b_turned = b_turned,
                            .c        = to,
                            .ldc      = ldc};
    FN(product_one)(c, &p, scratch);
}

static void soften_rows(real *s, int n, real scale)
{
    for (int i = 0; i < n; i++, s += n) {
        real most = real_max(s, n);
        for (int j = 0; j < n; j++)
            s[j] = real_exp((s[j] - most) * scale);
        real inverse = 1 / real_sum(s, n);
        for (int j = 0; j < n; j++)
            s[j] *= inverse;
    }
}

/* The weights as they are used: p, or p after dropout in `dropped`. Each item has its own
 * sequence of random numbers. */
static const real *used_weights(const struct attend *a, int item, const real *p, size_t n,
                                struct drop *drop, real *dropped)
{
    *drop = drop_of(a->dropout);
    if (drop->dropped == 0)
        return p;
    drop->key = random_hash(drop->key, (uint64_t)item);
    drop_run(drop, p, 0, n, dropped);
    return dropped;
}

static void attend_item(void *arg, int item, int thread)
{
    const struct attend_args *a = arg;
    struct head               h = head_of(a->a, item);
    real                     *square[2], *scratch = head_scratch(a->c, &h, thread, square);
    const real               *q = a->qkv + h.q, *k = q + h.ldo, *v = k + h.ldo;
    if (!scratch || h.length == 0)
        return;
    real *weights = a->keep + h.weights;
    multiply(a->c, h.length, h.length, h.dim, q, h.ld, false, k, h.ld, true, weights, h.length,
             scratch);
    soften_rows(weights, h.length, h.scale);
    struct drop drop;
    size_t      n    = (size_t)h.length * (size_t)h.length;
    const real *used = used_weights(a->a, item, weights, n, &drop, square[0]);
    multiply(a->c, h.length, h.dim, h.length, used, h.length, false, v, h.ld, false, a->y + h.out,
             h.ldo, scratch);
}

void FN(attend_forward)(struct compute *c, const struct attend *a, const real *qkv, real *y,
                        real *saved)
{
    struct attend_args args = {.a = a, .c = c, .qkv = qkv, .y = y, .keep = saved};
    compute_each(c, a->n * a->heads, attend_item, &args);
}

/* With P = softmax(scale Q K^T), Y = P V: dV = P^T dY, dP = dY V^T, dS = P (dP - the row
 * sums of P dP), dQ = scale dS K, dK = scale dS^T Q. */
static void attend_slope_item(void *arg, int item, int thread)
{
    const struct attend_args *a = arg;
    struct head               h = head_of(a->a, item);
    real                     *square[2], *scratch = head_scratch(a->c, &h, thread, square);
    const real               *q = a->qkv + h.q, *k = q + h.ldo, *v = k + h.ldo;
    const real               *dy = a->dy + h.out;
    real                     *dq = a->dqkv + h.q, *dk = dq + h.ldo, *dv = dk + h.ldo;
    if (!scratch || h.length == 0)
        return;
    const real *p   = a->saved + h.weights;
    int         n   = h.length;
    size_t      all = (size_t)n * (size_t)n;
    real       *ds  = square[0];
    struct drop drop;
    const real *used = used_weights(a->a, item, p, all, &drop, square[1]);
    multiply(a->c, n, h.dim, n, used, n, true, dy, h.ldo, false, dv, h.ld, scratch);
    multiply(a->c, n, n, h.dim, dy, h.ldo, false, v, h.ld, true, ds, n, scratch);
    if (drop.dropped > 0)
        drop_run(&drop, ds, 0, all, ds);
    for (int i = 0; i < n; i++) {
        const real *row = p + (ptrdiff_t)i * n;
        real       *d   = ds + (ptrdiff_t)i * n;
        real        sum = real_dot(row, d, n);
        for (int j = 0; j < n; j++)
            d[j] = row[j] * (d[j] - sum) * h.scale;
    }
    multiply(a->c, n, h.dim, n, ds, n, false, k, h.ld, false, dq, h.ld, scratch);
    multiply(a->c, n, h.dim, n, ds, n, true, q, h.ld, false, dk, h.ld, scratch);
}

void FN(attend_backward)(struct compute *c, const struct attend *a, const real *qkv, const real *dy,
                         const real *saved, real *dqkv)
{
    struct attend_args args = {.a = a, .c = c, .qkv = qkv, .dy = dy, .saved = saved, .dqkv = dqkv};
    compute_each(c, a->n * a->heads, attend_slope_item, &args);
}

struct pool_args {
    const real *x, *dy, *w, *saved;
    const int  *starts;
    real       *out, *keep;
    int         dim;
};

static void mean_pool_range(void *arg, size_t from, size_t to)
{
    const struct pool_args *a = arg;
    for (size_t s = from; s < to; s++) {
        int   rows = a->starts[s + 1] - a->starts[s];
        real *y    = a->out + s * (size_t)a->dim;
        for (int j = 0; j < a->dim; j++)
            y[j] = 0;
        for (int r = 0; r < rows; r++) {
            const real *x = a->x + (ptrdiff_t)(a->starts[s] + r) * a->dim;
            for (int j = 0; j < a->dim; j++)
                y[j] += x[j];
        }
        for (int j = 0; j < a->dim; j++)
            y[j] *= rows > 0 ? 1 / (real)rows : 0;
    }
}

/* Numbers in each of n sequences, on average. */
static size_t pool_cost(const int *starts, int n, int dim)
{
    return n > 0 ? (size_t)(starts[n] - starts[0]) * (size_t)dim / (size_t)n + 1 : 1;
}

void FN(mean_pool_forward)(struct compute *c, const real *x, int dim, const int *starts, int n,
                           real *y)
{
    struct pool_args args = {.x = x, .starts = starts, .out = y, .dim = dim};
    compute_ranges(c, (size_t)n, pool_cost(starts, n, dim), mean_pool_range, &args);
}

static void mean_pool_slope_range(void *arg, size_t from, size_t to)
{
    const struct pool_args *a = arg;
    for (size_t s = from; s < to; s++) {
        int         rows = a->starts[s + 1] - a->starts[s];
        const real *dy   = a->dy + s * (size_t)a->dim;
        for (int r = 0; r < rows; r++) {
            real *dx = a->out + (ptrdiff_t)(a->starts[s] + r) * a->dim;
            for (int j = 0; j < a->dim; j++)
                dx[j] = dy[j] / (real)rows;
        }
    }
}

void FN(mean_pool_backward)(struct compute *c, const real *dy, int dim, const int *starts, int n,
                            real *dx)
{
    struct pool_args args = {.dy = dy, .starts = starts, .out = dx, .dim = dim};
    compute_ranges(c, (size_t)n, pool_cost(starts, n, dim), mean_pool_slope_range, &args);
}

static void attention_pool_range(void *arg, size_t from, size_t to)
{
    const struct pool_args *a = arg;
    for (size_t s = from; s < to; s++) {
        int         first = a->starts[s], rows = a->starts[s + 1] - first;
        const real *x = a->x + (ptrdiff_t)first * a->dim;
        real       *y = a->out + s * (size_t)a->dim, *p = a->keep + first;
        for (int j = 0; j < a->dim; j++)
            y[j] = 0;
        if (rows == 0)
            continue;
        for (int r = 0; r < rows; r++)
            p[r] = real_dot(x + (ptrdiff_t)r * a->dim, a->w, a->dim);
        real most = real_max(p, rows);
        for (int r = 0; r < rows; r++)
            p[r] = real_exp(p[r] - most);
        real inverse = 1 / real_sum(p, rows);
        for (int r = 0; r < rows; r++, x += a->dim) {
            p[r] *= inverse;
            for (int j = 0; j < a->dim; j++)
                y[j] += p[r] * x[j];
        }
    }
}

void FN(attention_pool_forward)(struct compute *c, const real *x, int dim, const int *starts, int n,
                                const real *w, real *y, real *saved)
{
    struct pool_args args = {.x = x, .starts = starts, .w = w, .out = y, .keep = saved, .dim = dim};
    compute_ranges(c, (size_t)n, 2 * pool_cost(starts, n, dim), attention_pool_range, &args);
}

/* ds_r = p_r (dy . x_r - dy . y), where dy . y = sum p_r (dy . x_r); dx_r = p_r dy + ds_r
 * w; keep holds the ds for dw = sum ds_r x_r. */
static void attention_pool_slope_range(void *arg, size_t from, size_t to)
{
    const struct pool_args *a = arg;
    for (size_t s = from; s < to; s++) {
        int         first = a->starts[s], rows = a->starts[s + 1] - first;
        const real *x = a->x + (ptrdiff_t)first * a->dim, *dy = a->dy + s * (size_t)a->dim;
        const real *p  = a->saved + first;
        real       *ds = a->keep + first;
        for (int r = 0; r < rows; r++)
            ds[r] = real_dot(dy, x + (ptrdiff_t)r * a->dim, a->dim);
        real mean = real_dot(p, ds, rows);
        for (int r = 0; r < rows; r++) {
            real *dx = a->out ? a->out + (ptrdiff_t)(first + r) * a->dim : NULL;
            ds[r]    = p[r] * (ds[r] - mean);
            for (int j = 0; dx && j < a->dim; j++)
                dx[j] = p[r] * dy[j] + ds[r] * a->w[j];
        }
    }
}

void FN(attention_pool_backward)(struct compute *c, const real *x, const real *dy, int dim,
                                 const int *starts, int n, const real *w, const real *saved,
                                 real *dx, real *dw)
{
    real *ds = compute_shared(c, COMPUTE_TEMP, (size_t)(starts[n] + 1) * sizeof *ds);
    if (!ds || compute_failed(c))
        return;
    struct pool_args args = {.x      = x,
                             .dy     = dy,
                             .w      = w,
                             .saved  = saved,
                             .starts = starts,
                             .out    = dx,
                             .keep   = ds,
                             .dim    = dim};
    compute_ranges(c, (size_t)n, 3 * pool_cost(starts, n, dim), attention_pool_slope_range, &args);
    for (int r = starts[0]; dw && r < starts[n]; r++) {
        for (int j = 0; j < dim; j++)
            dw[j] += ds[r] * x[(ptrdiff_t)r * dim + j];
    }
}
