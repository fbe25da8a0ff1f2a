/* The loss of a linear probe and its gradient, in one precision: included by probe_f32.c
 * and probe_f64.c. */
#include "learn/probe.h"

#include "learn/product.h"
#include <math.h>

/* scores: (n, n_labels) become the gradient by them; returns the sum of -log of the
 * right label's probability. */
static double softmax_rows(const struct FN(probe_data) *d)
{
    double sum = 0;
    for (int i = 0; i < d->n; i++) {
        real  *s     = d->scores + (size_t)i * (size_t)d->n_labels;
        real   most  = s[0];
        double total = 0;
        for (int l = 1; l < d->n_labels; l++)
            most = s[l] > most ? s[l] : most;
        sum -= (double)(s[d->labels[i]] - most);
        for (int l = 0; l < d->n_labels; l++) {
            s[l] = (real)exp((double)(s[l] - most));
            total += (double)s[l];
        }
        sum += log(total);
        for (int l = 0; l < d->n_labels; l++)
            s[l] = (real)((double)s[l] / total / d->n);
        s[d->labels[i]] -= (real)(1.0 / d->n);
    }
    return sum;
}

double FN(probe_loss)(struct compute *c, const struct FN(probe_data) *d, const real *weights,
                      real *gradient)
{
    int                      row     = d->dim + 1;
    const struct FN(product) forward = {.m        = d->n,
                                        .n        = d->n_labels,
                                        .k        = d->dim,
                                        .a        = d->x,
                                        .lda      = d->dim,
                                        .b        = weights,
                                        .ldb      = row,
                                        .b_turned = true,
                                        .c        = d->scores,
                                        .ldc      = d->n_labels};
    const struct FN(product) back    = {.m        = d->n_labels,
                                        .n        = d->dim,
                                        .k        = d->n,
                                        .a        = d->scores,
                                        .lda      = d->n_labels,
                                        .a_turned = true,
                                        .b        = d->x,
                                        .ldb      = d->dim,
                                        .c        = gradient,
                                        .ldc      = row};
    double                   decay   = 0;
    FN(product_run)(c, &forward);
    for (int i = 0; i < d->n; i++)
        for (int l = 0; l < d->n_labels; l++)
            d->scores[(size_t)i * (size_t)d->n_labels + (size_t)l] +=
                weights[(size_t)l * (size_t)row + (size_t)d->dim];
    double loss = softmax_rows(d) / d->n;
    FN(product_run)(c, &back);
    for (int l = 0; l < d->n_labels; l++) {
        const real *w    = weights + (size_t)l * (size_t)row;
        real       *g    = gradient + (size_t)l * (size_t)row;
        double      bias = 0;
        for (int i = 0; i < d->n; i++)
            bias += (double)d->scores[(size_t)i * (size_t)d->n_labels + (size_t)l];
        for (int k = 0; k < d->dim; k++) {
            decay += (double)w[k] * (double)w[k];
            g[k] += (real)(d->decay * (double)w[k]);
        }
        g[d->dim] = (real)bias;
    }
    return loss + d->decay / 2 * decay;
}
