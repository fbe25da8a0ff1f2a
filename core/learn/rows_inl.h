/* The layers of layers.h that move numbers about, in one precision: dropout, gathering
 * of rows, concatenation. Included by rows_f32.c and rows_f64.c.
 */
#include "learn/drop_inl.h"
#include "learn/layers.h"
#include "learn/real_math_inl.h"

#include <string.h>

struct dropout_args {
    const real *x;
    real       *y;
    size_t      n;
    struct drop drop;
};

#define DROPOUT_BLOCK 64 /* elements; a range begins at a whole block */

static void dropout_range(void *arg, size_t from, size_t to)
{
    const struct dropout_args *a    = arg;
    size_t                     last = to * DROPOUT_BLOCK < a->n ? to * DROPOUT_BLOCK : a->n;
    drop_run(&a->drop, a->x, from * DROPOUT_BLOCK, last, a->y);
}

void FN(dropout)(struct compute *c, const real *x, size_t n, const struct dropout *d, real *y)
{
    struct dropout_args args = {x, y, n, drop_of(d)};
    if (args.drop.dropped == 0) {
        if (y != x)
            memcpy(y, x, n * sizeof *y);
        return;
    }
    compute_ranges(c, (n + DROPOUT_BLOCK - 1) / DROPOUT_BLOCK, DROPOUT_BLOCK * 4, dropout_range,
                   &args);
}

struct gather_args {
    const real *x;
    const int  *from;
    real       *y;
    int         dim, rows;
};

static void gather_range(void *arg, size_t from, size_t to)
{
    const struct gather_args *a   = arg;
    size_t                    dim = (size_t)a->dim;
    for (size_t i = from; i < to; i++)
        memcpy(a->y + i * dim, a->x + (size_t)a->from[i] * dim, dim * sizeof *a->y);
}

void FN(gather_forward)(struct compute *c, const real *x, int dim, const int *from, int rows,
                        real *y)
{
    struct gather_args args = {x, from, y, dim, rows};
    compute_ranges(c, (size_t)rows, (size_t)dim, gather_range, &args);
}

#define GATHER_COLUMNS 32

/* By columns: rows that go to one place are added up in their order. */
static void scatter_range(void *arg, size_t from, size_t to)
{
    const struct gather_args *a    = arg;
    size_t                    last = to * GATHER_COLUMNS, dim = (size_t)a->dim;
    if (last > dim)
        last = dim;
    for (int i = 0; i < a->rows; i++) {
        const real *dy = a->x + (size_t)i * dim;
        real       *dx = a->y + (size_t)a->from[i] * dim;
        for (size_t j = from * GATHER_COLUMNS; j < last; j++)
            dx[j] += dy[j];
    }
}

void FN(gather_backward)(struct compute *c, const real *dy, int dim, const int *from, int rows,
                         real *dx)
{
    struct gather_args args = {dy, from, dx, dim, rows};
    compute_ranges(c, ((size_t)dim + GATHER_COLUMNS - 1) / GATHER_COLUMNS,
                   (size_t)rows * GATHER_COLUMNS, scatter_range, &args);
}

/* Columns [at, at + n) of the rows of a wide matrix, and a narrow matrix. */
struct part {
    real *wide, *narrow;
    int   width, at, n;
    real  weight;
};

static void put_range(void *arg, size_t from, size_t to)
{
    const struct part *p = arg;
    for (size_t r = from; r < to; r++) {
        for (int j = 0; j < p->n; j++)
            p->wide[r * (size_t)p->width + (size_t)(p->at + j)] =
                p->weight * p->narrow[r * (size_t)p->n + (size_t)j];
    }
}

static void take_range(void *arg, size_t from, size_t to)
{
    const struct part *p = arg;
    for (size_t r = from; r < to; r++) {
        for (int j = 0; j < p->n; j++)
            p->narrow[r * (size_t)p->n + (size_t)j] =
                p->weight * p->wide[r * (size_t)p->width + (size_t)(p->at + j)];
    }
}

void FN(concat_forward)(struct compute *c, const real *a, int na, real wa, const real *b, int nb,
                        real wb, int rows, real *y)
{
    struct part parts[2] = {{y, (real *)a, na + nb, 0, na, wa},
                            {y, (real *)b, na + nb, na, nb, wb}};
    for (int i = 0; i < 2; i++)
        compute_ranges(c, (size_t)rows, (size_t)parts[i].n * 2, put_range, &parts[i]);
}

/* The gradient of a part's weight. */
static real weight_slope(const real *dy, int width, const real *x, int n, int rows)
{
    double sum = 0;
    for (int r = 0; r < rows; r++)
        sum += (double)real_dot(dy + (ptrdiff_t)r * width, x + (ptrdiff_t)r * n, n);
    return (real)sum;
}

void FN(concat_backward)(struct compute *c, const real *dy, const real *a, int na, real wa,
                         const real *b, int nb, real wb, int rows, real *da, real *db, real *dwa,
                         real *dwb)
{
    int width = na + nb;
    if (dwa)
        *dwa += weight_slope(dy, width, a, na, rows);
    if (dwb)
        *dwb += weight_slope(dy + na, width, b, nb, rows);
    struct part parts[2] = {{(real *)dy, da, width, 0, na, wa},
                            {(real *)dy, db, width, na, nb, wb}};
    for (int i = 0; i < 2; i++) {
        if (parts[i].narrow)
            compute_ranges(c, (size_t)rows, (size_t)parts[i].n * 2, take_range, &parts[i]);
    }
}
