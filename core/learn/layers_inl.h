/* The layers of layers.h in one precision, but for attention and pooling
 * (attend_inl.h): included by layers_f32.c and layers_f64.c.
 *
 * Formulas are the textbook's; each backward pass is derived in the comment above it
 * where it is not plain. Each function packs its arguments into a struct, and a
 * function over a range of rows, columns or elements does the work.
 */
#include "learn/layers.h"
#include "learn/product.h"
#include "learn/real_math_inl.h"

#include <string.h>

#define TILE 64 /* columns, and rows of a partial sum, in sums over rows */

/* What a range function may need; each uses its part. */
struct args {
    const real *x, *y, *dy, *gain, *bias, *saved;
    real       *out, *dgain, *dbias, *keep;
    int         rows, dim;
    real        scale;
};

static void add_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = a->x[i] + a->y[i];
}

void FN(add)(struct compute *c, const real *a, const real *b, size_t n, real *y)
{
    struct args args = {.x = a, .y = b, .out = y};
    compute_ranges(c, n, 2, add_range, &args);
}

static void scale_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = a->scale * a->x[i];
}

void FN(scale)(struct compute *c, const real *x, real scale, size_t n, real *y)
{
    struct args args = {.x = x, .scale = scale, .out = y};
    compute_ranges(c, n, 2, scale_range, &args);
}

/* dbias += the sums of dy's columns, and dgain (if wanted) += those of dy times x
 * normalised; tile by tile of columns. Partial sums over few rows keep rounding small. */
static void column_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t tile = from; tile < to; tile++) {
        int col = (int)tile * TILE, cols = a->dim - col < TILE ? a->dim - col : TILE;
        for (int r0 = 0; r0 < a->rows; r0 += TILE) {
            int  last       = a->rows - r0 < TILE ? a->rows : r0 + TILE;
            real sum[TILE]  = {0};
            real gain[TILE] = {0};
            for (int r = r0; r < last; r++) {
                const real *dy = a->dy + (ptrdiff_t)r * a->dim + col;
                for (int j = 0; j < cols; j++)
                    sum[j] += dy[j];
                if (!a->dgain)
                    continue;
                const real *x = a->x + (ptrdiff_t)r * a->dim + col;
                for (int j = 0; j < cols; j++)
                    gain[j] += dy[j] * (x[j] - a->saved[2 * r]) * a->saved[2 * r + 1];
            }
            for (int j = 0; a->dbias && j < cols; j++)
                a->dbias[col + j] += sum[j];
            for (int j = 0; a->dgain && j < cols; j++)
                a->dgain[col + j] += gain[j];
        }
    }
}

static void add_columns(struct compute *c, struct args *args)
{
    compute_ranges(c, (size_t)(args->dim + TILE - 1) / TILE, (size_t)args->rows * TILE,
                   column_range, args);
}

void FN(linear_forward)(struct compute *c, const real *x, int rows, int in, const real *w,
                        const real *bias, int out, bool add, real *y)
{
    struct FN(product) p = {.m        = rows,
                            .n        = out,
                            .k        = in,
                            .a        = x,
                            .lda      = in,
                            .b        = w,
                            .ldb      = in,
                            .b_turned = true,
                            .bias     = bias,
                            .c        = y,
                            .ldc      = out,
                            .add      = add};
    FN(product_run)(c, &p);
}

/* dx = dy W, dW = dy^T x, db = the sums of dy's columns. */
void FN(linear_backward)(struct compute *c, const real *x, const real *dy, int rows, int in,
                         const real *w, int out, bool add, real *dx, real *dw, real *db)
{
    if (dw) {
        struct FN(product) p = {.m        = out,
                                .n        = in,
                                .k        = rows,
                                .a        = dy,
                                .lda      = out,
                                .a_turned = true,
                                .b        = x,
                                .ldb      = in,
                                .c        = dw,
                                .ldc      = in,
                                .add      = true};
        FN(product_run)(c, &p);
    }
    if (db) {
        struct args args = {.dy = dy, .rows = rows, .dim = out, .dbias = db};
        add_columns(c, &args);
    }
    if (dx) {
        struct FN(product) p = {.m   = rows,
                                .n   = in,
                                .k   = out,
                                .a   = dy,
                                .lda = out,
                                .b   = w,
                                .ldb = in,
                                .c   = dx,
                                .ldc = in,
                                .add = add};
        FN(product_run)(c, &p);
    }
}

static void gelu_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = real_gelu(a->x[i]);
}

void FN(gelu_forward)(struct compute *c, const real *x, size_t n, real *y)
{
    struct args args = {.x = x, .out = y};
    compute_ranges(c, n, 4, gelu_range, &args);
}

static void gelu_slope_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = a->dy[i] * real_gelu_slope(a->x[i]);
}

void FN(gelu_backward)(struct compute *c, const real *x, const real *dy, size_t n, real *dx)
{
    struct args args = {.x = x, .dy = dy, .out = dx};
    compute_ranges(c, n, 4, gelu_slope_range, &args);
}

static void relu_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = a->x[i] > 0 ? a->x[i] : 0;
}

void FN(relu_forward)(struct compute *c, const real *x, size_t n, real *y)
{
    struct args args = {.x = x, .out = y};
    compute_ranges(c, n, 2, relu_range, &args);
}

static void relu_slope_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t i = from; i < to; i++)
        a->out[i] = a->x[i] > 0 ? a->dy[i] : 0;
}

void FN(relu_backward)(struct compute *c, const real *x, const real *dy, size_t n, real *dx)
{
    struct args args = {.x = x, .dy = dy, .out = dx};
    compute_ranges(c, n, 2, relu_slope_range, &args);
}

/* Of each row the mean and 1 / the standard deviation are kept. */
static void layernorm_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *x = a->x + r * (size_t)a->dim;
        real       *y = a->out + r * (size_t)a->dim, *keep = a->keep + 2 * r;
        real        mean = real_sum(x, a->dim) / (real)a->dim, square = 0;
        for (int j = 0; j < a->dim; j++)
            y[j] = x[j] - mean;
        square     = real_dot(y, y, a->dim) / (real)a->dim;
        real scale = 1 / real_sqrt(square + a->scale);
        for (int j = 0; j < a->dim; j++)
            y[j] = y[j] * scale * a->gain[j] + a->bias[j];
        keep[0] = mean;
        keep[1] = scale;
    }
}

void FN(layernorm_forward)(struct compute *c, const real *x, int rows, int dim, const real *gain,
                           const real *bias, real eps, real *y, real *saved)
{
    struct args args = {
        .x = x, .gain = gain, .bias = bias, .out = y, .keep = saved, .dim = dim, .scale = eps};
    compute_ranges(c, (size_t)rows, (size_t)dim * 2, layernorm_range, &args);
}

/* With n = (x - mean) / deviation and g = dy * gain:
 * dx = (g - mean(g) - n mean(g n)) / deviation. */
static void layernorm_slope_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *x = a->x + r * (size_t)a->dim, *dy = a->dy + r * (size_t)a->dim;
        real       *dx   = a->out + r * (size_t)a->dim;
        real        mean = a->saved[2 * r], scale = a->saved[2 * r + 1];
        real        g[REAL_LANES] = {0}, gn[REAL_LANES] = {0}, sum_g = 0, sum_gn = 0;
        for (int j0 = 0; j0 < a->dim; j0 += REAL_LANES) {
            int n = a->dim - j0 < REAL_LANES ? a->dim - j0 : REAL_LANES;
            for (int l = 0; l < n; l++) {
                real one = dy[j0 + l] * a->gain[j0 + l];
                g[l] += one;
                gn[l] += one * (x[j0 + l] - mean) * scale;
            }
        }
        for (int l = 0; l < REAL_LANES; l++) {
            sum_g += g[l];
            sum_gn += gn[l];
        }
        sum_g /= (real)a->dim;
        sum_gn /= (real)a->dim;
        for (int j = 0; j < a->dim; j++)
            dx[j] = scale * (dy[j] * a->gain[j] - sum_g - (x[j] - mean) * scale * sum_gn);
    }
}

void FN(layernorm_backward)(struct compute *c, const real *x, const real *dy, int rows, int dim,
                            const real *gain, const real *saved, real *dx, real *dgain, real *dbias)
{
    struct args args = {.x     = x,
                        .dy    = dy,
                        .gain  = gain,
                        .saved = saved,
                        .out   = dx,
                        .rows  = rows,
                        .dim   = dim,
                        .dgain = dgain,
                        .dbias = dbias};
    if (dgain || dbias) /* first: dx may lie where dy does */
        add_columns(c, &args);
    if (dx)
        compute_ranges(c, (size_t)rows, (size_t)dim * 3, layernorm_slope_range, &args);
}

static void l2norm_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *x      = a->x + r * (size_t)a->dim;
        real       *y      = a->out + r * (size_t)a->dim;
        real        length = real_sqrt(real_dot(x, x, a->dim));
        real        scale  = length > 0 ? 1 / length : 1;
        for (int j = 0; j < a->dim; j++)
            y[j] = x[j] * scale;
        a->keep[r] = length;
    }
}

void FN(l2norm_forward)(struct compute *c, const real *x, int rows, int dim, real *y, real *saved)
{
    struct args args = {.x = x, .out = y, .keep = saved, .dim = dim};
    compute_ranges(c, (size_t)rows, (size_t)dim * 2, l2norm_range, &args);
}

/* dx = (dy - y (y . dy)) / length. */
static void l2norm_slope_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *y = a->y + r * (size_t)a->dim, *dy = a->dy + r * (size_t)a->dim;
        real       *dx    = a->out + r * (size_t)a->dim;
        real        along = real_dot(y, dy, a->dim);
        real        scale = a->saved[r] > 0 ? 1 / a->saved[r] : 1;
        for (int j = 0; j < a->dim; j++)
            dx[j] = (dy[j] - y[j] * along) * scale;
    }
}

void FN(l2norm_backward)(struct compute *c, const real *y, const real *dy, int rows, int dim,
                         const real *saved, real *dx)
{
    struct args args = {.y = y, .dy = dy, .saved = saved, .out = dx, .dim = dim};
    compute_ranges(c, (size_t)rows, (size_t)dim * 3, l2norm_slope_range, &args);
}

/* gain is the scale, bias the mean or NULL. */
static void standardise_range(void *arg, size_t from, size_t to)
{
    const struct args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *x = a->x + r * (size_t)a->dim;
        real       *y = a->out + r * (size_t)a->dim;
        for (int j = 0; a->bias && j < a->dim; j++)
            y[j] = (x[j] - a->bias[j]) * a->gain[j];
        for (int j = 0; !a->bias && j < a->dim; j++)
            y[j] = x[j] * a->gain[j];
    }
}

void FN(standardise_forward)(struct compute *c, const real *x, int rows, int dim, const real *mean,
                             const real *scale, real *y)
{
    struct args args = {.x = x, .bias = mean, .gain = scale, .out = y, .dim = dim};
    compute_ranges(c, (size_t)rows, (size_t)dim * 2, standardise_range, &args);
}

void FN(standardise_backward)(struct compute *c, const real *dy, int rows, int dim,
                              const real *scale, real *dx)
{
    FN(standardise_forward)(c, dy, rows, dim, NULL, scale, dx);
}

/* In two passes: the sum of squares about the mean has no cancellation. */
void FN(standardise_fit)(const real *x, size_t rows, int dim, real eps, real *mean, real *scale)
{
    for (int c0 = 0; c0 < dim; c0 += TILE) {
        int    cols      = dim - c0 < TILE ? dim - c0 : TILE;
        double sum[TILE] = {0}, square[TILE] = {0};
        for (size_t r = 0; r < rows; r++) {
            for (int j = 0; j < cols; j++)
                sum[j] += (double)x[r * (size_t)dim + (size_t)(c0 + j)];
        }
        for (int j = 0; j < cols; j++)
            sum[j] /= rows > 0 ? (double)rows : 1;
        for (size_t r = 0; r < rows; r++) {
            for (int j = 0; j < cols; j++) {
                double d = (double)x[r * (size_t)dim + (size_t)(c0 + j)] - sum[j];
                square[j] += d * d;
            }
        }
        for (int j = 0; j < cols; j++) {
            double deviation = sqrt(square[j] / (rows > 0 ? (double)rows : 1));
            mean[c0 + j]     = (real)sum[j];
            scale[c0 + j]    = (real)(1 / (deviation + (double)eps));
        }
    }
}

struct softmax_args {
    const real    *x, *y, *dy;
    const uint8_t *mask;
    real          *out;
    int            n;
};

static void softmax_range(void *arg, size_t from, size_t to)
{
    const struct softmax_args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real    *x    = a->x + r * (size_t)a->n;
        const uint8_t *mask = a->mask ? a->mask + r * (size_t)a->n : NULL;
        real          *y = a->out + r * (size_t)a->n, most = -INFINITY;
        if (!mask)
            most = real_max(x, a->n);
        for (int j = 0; mask && j < a->n; j++)
            most = mask[j] && x[j] > most ? x[j] : most;
        for (int j = 0; j < a->n; j++)
            y[j] = real_exp(x[j] - most);
        for (int j = 0; mask && j < a->n; j++)
            y[j] = mask[j] ? y[j] : 0;
        real sum = real_sum(y, a->n), scale = sum > 0 ? 1 / sum : 0;
        for (int j = 0; j < a->n; j++)
            y[j] *= scale;
    }
}

void FN(softmax_forward)(struct compute *c, const real *x, int rows, int n, const uint8_t *mask,
                         real *y)
{
    struct softmax_args args = {.x = x, .mask = mask, .out = y, .n = n};
    compute_ranges(c, n > 0 ? (size_t)rows : 0, (size_t)n * 4, softmax_range, &args);
}

/* dx = y (dy - y . dy); what was masked has y = 0. */
static void softmax_slope_range(void *arg, size_t from, size_t to)
{
    const struct softmax_args *a = arg;
    for (size_t r = from; r < to; r++) {
        const real *y = a->y + r * (size_t)a->n, *dy = a->dy + r * (size_t)a->n;
        real       *dx   = a->out + r * (size_t)a->n;
        real        mean = real_dot(y, dy, a->n);
        for (int j = 0; j < a->n; j++)
            dx[j] = y[j] * (dy[j] - mean);
    }
}

void FN(softmax_backward)(struct compute *c, const real *y, const real *dy, int rows, int n,
                          real *dx)
{
    struct softmax_args args = {.y = y, .dy = dy, .out = dx, .n = n};
    compute_ranges(c, (size_t)rows, (size_t)n * 3, softmax_slope_range, &args);
}
