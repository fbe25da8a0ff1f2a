/* Similarities between all pairs of two sets of embeddings, and their backward pass, in
 * one precision: see losses.h. Included by similarity_f32.c and similarity_f64.c.
 *
 * cosine and euclidean are matrix products. manhattan is 3 operations for each of
 * na * nb * dim numbers, in lanes; the other set's rows are passed over in blocks that
 * stay in the second-level cache.
 */
#include "learn/losses.h"
#include "learn/product.h"
#include "learn/real_math_inl.h"

#define EPS   1e-6 /* in the square root of euclidean: see losses.h */
#define BLOCK 64   /* rows of the other set */
#define TILE  32   /* columns of a gradient that stay in registers */

struct pairs {
    const struct FN(loss_sets) *s;
    const real                 *na, *nb; /* squared lengths of a and b, or sums of G */
    const real                 *g;
    real                       *out;
    /* manhattan's backward pass: dx from y, g by rows and columns. */
    const real                 *x, *y;
    ptrdiff_t                   g_row, g_col;
    int                         ny;
};

static void squares(const real *x, int n, int dim, real *out)
{
    for (int i = 0; i < n; i++)
        out[i] = real_dot(x + (ptrdiff_t)i * dim, x + (ptrdiff_t)i * dim, dim);
}

/* Products to -distances. */
static void euclidean_range(void *arg, size_t from, size_t to)
{
    const struct pairs *p = arg;
    for (size_t i = from; i < to; i++) {
        real *s = p->out + i * (size_t)p->s->nb;
        for (int j = 0; j < p->s->nb; j++) {
            real d = p->na[i] + p->nb[j] - 2 * s[j];
            s[j]   = -real_sqrt((d > 0 ? d : 0) + (real)EPS);
        }
    }
}

static real l1(const real *a, const real *b, int n)
{
    real lanes[REAL_LANES] = {0}, sum = 0;
    int  i = 0;
    for (; i + REAL_LANES <= n; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++)
            lanes[l] += real_abs(a[i + l] - b[i + l]);
    }
    for (int l = 0; i < n; i++, l++)
        lanes[l] += real_abs(a[i] - b[i]);
    for (int l = 0; l < REAL_LANES; l++)
        sum += lanes[l];
    return sum;
}

static void manhattan_range(void *arg, size_t from, size_t to)
{
    const struct pairs *p   = arg;
    size_t              dim = (size_t)p->s->dim, nb = (size_t)p->s->nb;
    for (size_t j0 = 0; j0 < nb; j0 += BLOCK) {
        size_t j1 = nb - j0 < BLOCK ? nb : j0 + BLOCK;
        for (size_t i = from; i < to; i++) {
            for (size_t j = j0; j < j1; j++)
                p->out[i * nb + j] = -l1(p->s->a + i * dim, p->s->b + j * dim, p->s->dim);
        }
    }
}

static void products(struct compute *c, const struct FN(loss_sets) *s, real *scores)
{
    struct FN(product) p = {.m        = s->na,
                            .n        = s->nb,
                            .k        = s->dim,
                            .a        = s->a,
                            .lda      = s->dim,
                            .b        = s->b,
                            .ldb      = s->dim,
                            .b_turned = true,
                            .c        = scores,
                            .ldc      = s->nb};
    FN(product_run)(c, &p);
}

void FN(similarity_forward)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                            real *scores)
{
    struct pairs p = {.s = sets, .out = scores};
    if (d == DISTANCE_MANHATTAN) {
        compute_ranges(c, (size_t)sets->na, (size_t)sets->nb * (size_t)sets->dim, manhattan_range,
                       &p);
        return;
    }
    products(c, sets, scores);
    if (d != DISTANCE_EUCLIDEAN)
        return;
    real *sums = compute_shared(c, COMPUTE_TEMP, (size_t)(sets->na + sets->nb) * sizeof *sums);
    if (!sums)
        return;
    squares(sets->a, sets->na, sets->dim, sums);
    squares(sets->b, sets->nb, sets->dim, sums + sets->na);
    p.na = sums;
    p.nb = sums + sets->na;
    compute_ranges(c, (size_t)sets->na, (size_t)sets->nb * 2, euclidean_range, &p);
}

/* da = G b or db = G^T a; NULL: not wanted. */
static void back(struct compute *c, const struct FN(loss_sets) *s, const real *g, real *da,
                 real *db)
{
    struct FN(product) p = {.m   = s->na,
                            .n   = s->dim,
                            .k   = s->nb,
                            .a   = g,
                            .lda = s->nb,
                            .b   = s->b,
                            .ldb = s->dim,
                            .c   = da,
                            .ldc = s->dim};
    if (da)
        FN(product_run)(c, &p);
    p.m        = s->nb;
    p.k        = s->na;
    p.a_turned = true;
    p.b        = s->a;
    p.c        = db;
    if (db)
        FN(product_run)(c, &p);
}

/* d(-distance)/da = (a - b) / -distance, so with G = dscores / scores (in place):
 * da = a * (sums of G's rows) - G b, db = b * (sums of its columns) - G^T a. */
static void euclidean_back(struct compute *c, const struct FN(loss_sets) *s, const real *scores,
                           real *g, real *da, real *db)
{
    real *rows = compute_shared(c, COMPUTE_TEMP, (size_t)(s->na + s->nb) * sizeof *rows);
    if (!rows)
        return;
    real *columns = rows + s->na;
    for (int j = 0; j < s->nb; j++)
        columns[j] = 0;
    for (int i = 0; i < s->na; i++) {
        const real *of  = scores + (ptrdiff_t)i * s->nb;
        real       *row = g + (ptrdiff_t)i * s->nb;
        for (int j = 0; j < s->nb; j++) {
            row[j] /= of[j];
            columns[j] += row[j];
        }
        rows[i] = real_sum(row, s->nb);
    }
    back(c, s, g, da, db);
    for (int i = 0; da && i < s->na; i++) {
        for (ptrdiff_t k = (ptrdiff_t)i * s->dim; k < (ptrdiff_t)(i + 1) * s->dim; k++)
            da[k] = s->a[k] * rows[i] - da[k];
    }
    for (int j = 0; db && j < s->nb; j++) {
        for (ptrdiff_t k = (ptrdiff_t)j * s->dim; k < (ptrdiff_t)(j + 1) * s->dim; k++)
            db[k] = s->b[k] * columns[j] - db[k];
    }
}

/* The sub-gradient of the sum of absolute differences (0 where they are 0):
 * dx_i = -sum_j g_ij sign(x_i - y_j), a tile of columns at a time. */
static void manhattan_back_range(void *arg, size_t from, size_t to)
{
    const struct pairs *p   = arg;
    size_t              dim = (size_t)p->s->dim;
    for (size_t i = from; i < to; i++) {
        const real *g = p->g + (ptrdiff_t)i * p->g_row;
        for (size_t k0 = 0; k0 < dim; k0 += TILE) {
            int         n         = dim - k0 < TILE ? (int)(dim - k0) : TILE;
            real        sum[TILE] = {0}, x[TILE] = {0};
            const real *y = p->y + k0;
            for (int k = 0; k < n; k++)
                x[k] = p->x[i * dim + k0 + (size_t)k];
            for (int j = 0; j < p->ny; j++, y += dim) {
                real one = g[j * p->g_col];
                if (n == TILE) {
                    for (int k = 0; k < TILE; k++) {
                        real d = x[k] - y[k];
                        sum[k] += (d > 0 ? one : 0) - (d < 0 ? one : 0);
                    }
                } else {
                    for (int k = 0; k < n; k++) {
                        real d = x[k] - y[k];
                        sum[k] += (d > 0 ? one : 0) - (d < 0 ? one : 0);
                    }
                }
            }
            for (int k = 0; k < n; k++)
                p->out[i * dim + k0 + (size_t)k] = -sum[k];
        }
    }
}

void FN(similarity_backward)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                             const real *scores, real *dscores, real *da, real *db)
{
    size_t cost = (size_t)sets->dim;
    if (d == DISTANCE_COSINE) {
        back(c, sets, dscores, da, db);
    } else if (d == DISTANCE_EUCLIDEAN) {
        euclidean_back(c, sets, scores, dscores, da, db);
    } else {
        struct pairs p = {.s     = sets,
                          .g     = dscores,
                          .out   = da,
                          .x     = sets->a,
                          .y     = sets->b,
                          .ny    = sets->nb,
                          .g_row = sets->nb,
                          .g_col = 1};
        if (da)
            compute_ranges(c, (size_t)sets->na, (size_t)sets->nb * cost, manhattan_back_range, &p);
        p.out   = db;
        p.x     = sets->b;
        p.y     = sets->a;
        p.ny    = sets->na;
        p.g_row = 1;
        p.g_col = sets->nb;
        if (db)
            compute_ranges(c, (size_t)sets->nb, (size_t)sets->na * cost, manhattan_back_range, &p);
    }
}
