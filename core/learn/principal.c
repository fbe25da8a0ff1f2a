/* Principal directions: see principal.h. */
#include "learn/principal.h"

#include "base/mem.h"
#include "learn/product.h"
#include "learn/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS  40
#define BLOCK   32   /* rows made orthogonal among themselves, then taken from all below */
#define NOTHING 1e-6 /* of the first row's length before */

struct rows {
    struct compute *c;
    int             n, dim;
    float          *at;    /* (n, dim) */
    float          *share; /* (n, BLOCK) of a block's rows in those below */
    double          first; /* length of the first row before it became 1 */
};

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Gram and Schmidt, in the modified form, inside a block. */
static void straighten_block(struct rows *r, int from, int to)
{
    for (int i = from; i < to; i++) {
        float *row = r->at + (ptrdiff_t)i * r->dim;
        for (int k = from; k < i; k++) {
            const float *other = r->at + (ptrdiff_t)k * r->dim;
            double       share = dot(row, other, r->dim);
            for (int d = 0; d < r->dim; d++)
                row[d] -= (float)share * other[d];
        }
        double length = sqrt(dot(row, row, r->dim));
        if (i == 0)
            r->first = length;
        double scale = length > NOTHING * r->first ? 1 / length : 0;
        for (int d = 0; d < r->dim; d++)
            row[d] *= (float)scale;
    }
}

/* Takes what rows below a block have of it away from them. */
static void clear_below(struct rows *r, int from, int to)
{
    int    n = r->n - to, block = to - from;
    float *below = r->at + (ptrdiff_t)to * r->dim, *own = r->at + (ptrdiff_t)from * r->dim;
    const struct product_f32 shares = {.m        = n,
                                       .n        = block,
                                       .k        = r->dim,
                                       .a        = below,
                                       .lda      = r->dim,
                                       .b        = own,
                                       .ldb      = r->dim,
                                       .b_turned = true,
                                       .c        = r->share,
                                       .ldc      = block};
    const struct product_f32 away   = {.m   = n,
                                       .n   = r->dim,
                                       .k   = block,
                                       .a   = r->share,
                                       .lda = block,
                                       .b   = own,
                                       .ldb = r->dim,
                                       .c   = below,
                                       .ldc = r->dim,
                                       .add = true};
    product_run_f32(r->c, &shares);
    for (int i = 0; i < n * block; i++)
        r->share[i] = -r->share[i];
    product_run_f32(r->c, &away);
}

static void straighten(struct rows *r)
{
    for (int from = 0; from < r->n; from += BLOCK) {
        int to = from + BLOCK < r->n ? from + BLOCK : r->n;
        straighten_block(r, from, to);
        if (to < r->n)
            clear_below(r, from, to);
    }
}

int principal_directions(struct compute *c, const float *covariance, int dim, int n,
                         float *directions, struct err *err)
{
    size_t        numbers = (size_t)n * (size_t)dim;
    struct rows   r       = {.c = c, .n = n, .dim = dim, .at = directions};
    float        *before  = mem_aligned(numbers + 1, sizeof *before);
    struct random start;
    r.share = mem_aligned((size_t)n * BLOCK + 1, sizeof *r.share);
    if (!before || !r.share) {
        free(before);
        free(r.share);
        return err_set(err, ERR_NOMEM, "out of memory for %d principal directions", n);
    }
    const struct product_f32 turn = {.m        = n,
                                     .n        = dim,
                                     .k        = dim,
                                     .a        = before,
                                     .lda      = dim,
                                     .b        = covariance,
                                     .ldb      = dim,
                                     .b_turned = true, /* it is symmetric */
                                     .c        = directions,
                                     .ldc      = dim};
    random_seed(&start, 1);
    for (size_t i = 0; i < numbers; i++)
        directions[i] = (float)random_normal(&start);
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(before, directions, numbers * sizeof *before);
        product_run_f32(c, &turn);
        straighten(&r);
    }
    free(before);
    free(r.share);
    return compute_check(c, err);
}
