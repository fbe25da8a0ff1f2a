/* The projection head of heads_net.h in one precision: included by heads_net_f32.c and
 * heads_net_f64.c.
 *
 * All arrays lie in one block. Parameters with their gradients come first, each
 * aligned to 64 bytes, then the standardisation, then what a batch needs.
 */
#include "base/mem.h"
#include "learn/heads_net.h"
#include "learn/real_math_inl.h"

#include <stdlib.h>
#include <string.h>

#define LN_EPS ((real)1e-5)

enum { W, B, W1, B1, W2, B2, GAIN, SHIFT };

struct FN(head_net) {
    struct head_shape shape;
    int               rows;                /* the most in a batch */
    struct FN(param)  params[HEAD_PARAMS]; /* by the names above; value NULL: has none */
    real             *mean, *scale;        /* (in) */
    real             *z;                   /* (rows, in) */
    real             *h, *g;               /* (rows, hidden) before and after GELU and dropout */
    real             *u, *v, *y;           /* (rows, dim) sum, normalised, of length 1 */
    real             *du, *dh;             /* as u and h */
    real             *norms;               /* (rows, 2) of layer normalisation */
    real             *lengths;             /* (rows) */
    int               n;                   /* rows of the last forward pass */
    struct dropout    input, hidden;       /* of the last forward pass */
    void             *block;
};

/* Hands out the arrays of a block; with at NULL it only counts. */
struct carve {
    char  *at;
    size_t used;
    bool   overflow;
};

static real *carve(struct carve *c, int rows, int cols)
{
    size_t n, end;
    if (!size_mul((size_t)rows, (size_t)cols, &n) || !size_mul(n, sizeof(real), &n) ||
        !size_add(n, 63, &n) || !size_add(c->used, n / 64 * 64, &end)) {
        c->overflow = true;
        return NULL;
    }
    real *p = c->at ? (real *)(void *)(c->at + c->used) : NULL;
    c->used = end;
    return p;
}

static void carve_param(struct carve *c, struct FN(param) *p, const char *name, int rows, int cols,
                        bool decay)
{
    p->name  = name;
    p->rows  = rows;
    p->cols  = cols;
    p->value = carve(c, rows, cols);
    p->grad  = carve(c, rows, cols);
    p->decay = decay;
}

static void carve_all(struct FN(head_net) *net, struct carve *c)
{
    const struct head_shape *s    = &net->shape;
    struct FN(param)        *p    = net->params;
    int                      rows = net->rows;
    carve_param(c, &p[W], "w", s->dim, s->in, true);
    carve_param(c, &p[B], "b", 1, s->dim, false);
    if (s->hidden > 0) {
        carve_param(c, &p[W1], "w1", s->hidden, s->in, true);
        carve_param(c, &p[B1], "b1", 1, s->hidden, false);
        carve_param(c, &p[W2], "w2", s->dim, s->hidden, true);
        carve_param(c, &p[B2], "b2", 1, s->dim, false);
    }
    if (s->layer_norm) {
        carve_param(c, &p[GAIN], "gain", 1, s->dim, false);
        carve_param(c, &p[SHIFT], "shift", 1, s->dim, false);
    }
    net->mean  = carve(c, 1, s->in);
    net->scale = carve(c, 1, s->in);
    net->z     = carve(c, rows, s->in);
    net->u     = carve(c, rows, s->dim);
    net->y     = carve(c, rows, s->dim);
    net->du    = carve(c, rows, s->dim);
    net->v     = s->layer_norm ? carve(c, rows, s->dim) : net->u;
    if (s->hidden > 0) {
        net->h  = carve(c, rows, s->hidden);
        net->g  = carve(c, rows, s->hidden);
        net->dh = carve(c, rows, s->hidden);
    }
    net->norms   = carve(c, rows, 2);
    net->lengths = carve(c, rows, 1);
}

int FN(head_net_new)(const struct head_shape *shape, int rows, struct FN(head_net) **out,
                     struct err *err)
{
    if (shape->in < 1 || shape->dim < 1 || shape->hidden < 0 || rows < 1 ||
        !(shape->input_dropout >= 0 && shape->input_dropout < 1) ||
        !(shape->hidden_dropout >= 0 && shape->hidden_dropout < 1))
        return err_set(err, ERR_USAGE,
                       "cannot make a head of %d inputs, %d hidden, %d outputs, dropout %g and %g",
                       shape->in, shape->hidden, shape->dim, shape->input_dropout,
                       shape->hidden_dropout);
    struct FN(head_net) *net = mem_zeroed(1, sizeof *net);
    if (!net)
        return err_set(err, ERR_NOMEM, "out of memory for a head");
    net->shape     = *shape;
    net->rows      = rows;
    struct carve c = {0};
    carve_all(net, &c);
    net->block = c.overflow ? NULL : mem_aligned(c.used, 1);
    if (!net->block) {
        free(net);
        return err_set(err, ERR_NOMEM, "out of memory for a head of %d inputs and %d rows",
                       shape->in, rows);
    }
    memset(net->block, 0, c.used);
    c = (struct carve){.at = net->block};
    carve_all(net, &c);
    for (int i = 0; i < shape->in; i++)
        net->scale[i] = 1;
    for (int i = 0; shape->layer_norm && i < shape->dim; i++)
        net->params[GAIN].value[i] = 1;
    *out = net;
    return 0;
}

void FN(head_net_free)(struct FN(head_net) *net)
{
    if (!net)
        return;
    free(net->block);
    free(net);
}

void FN(head_net_init)(struct FN(head_net) *net, struct random *r)
{
    const struct head_shape *s = &net->shape;
    for (int k = W; k <= B2; k++) {
        struct FN(param) *p         = &net->params[k];
        double            most      = 1 / sqrt(k == B2 ? s->hidden : s->in);
        double            deviation = 0.32 / sqrt(s->hidden);
        for (size_t i = 0; p->value && i < (size_t)p->rows * (size_t)p->cols; i++)
            p->value[i] =
                (real)(k == W2 ? deviation * random_normal(r) : most * (2 * random_uniform(r) - 1));
    }
    for (int i = 0; s->layer_norm && i < s->dim; i++) {
        net->params[GAIN].value[i]  = 1;
        net->params[SHIFT].value[i] = 0;
    }
}

int FN(head_net_params)(struct FN(head_net) *net, struct FN(param) *list)
{
    int n = 0;
    for (int i = 0; i < HEAD_PARAMS; i++) {
        if (net->params[i].value)
            list[n++] = net->params[i];
    }
    return n;
}

void FN(head_net_standard)(struct FN(head_net) *net, real **mean, real **scale)
{
    *mean  = net->mean;
    *scale = net->scale;
}

void FN(head_net_forward)(struct FN(head_net) *net, struct compute *c, const real *x, int n,
                          struct random *training, real *y)
{
    const struct head_shape *s      = &net->shape;
    const struct FN(param)  *p      = net->params;
    size_t                   hidden = (size_t)n * (size_t)s->hidden;
    net->n                          = n;
    net->input = net->hidden = (struct dropout){0};
    if (training) {
        net->input  = (struct dropout){s->input_dropout, random_next(training)};
        net->hidden = (struct dropout){s->hidden_dropout, random_next(training)};
    }
    FN(standardise_forward)(c, x, n, s->in, net->mean, net->scale, net->z);
    FN(dropout)(c, net->z, (size_t)n * (size_t)s->in, &net->input, net->z);
    FN(linear_forward)(c, net->z, n, s->in, p[W].value, p[B].value, s->dim, false, net->u);
    if (s->hidden > 0) {
        FN(linear_forward)(c, net->z, n, s->in, p[W1].value, p[B1].value, s->hidden, false, net->h);
        FN(gelu_forward)(c, net->h, hidden, net->g);
        FN(dropout)(c, net->g, hidden, &net->hidden, net->g);
        FN(linear_forward)(c, net->g, n, s->hidden, p[W2].value, p[B2].value, s->dim, true, net->u);
    }
    if (s->layer_norm)
        FN(layernorm_forward)(c, net->u, n, s->dim, p[GAIN].value, p[SHIFT].value, LN_EPS, net->v,
                              net->norms);
    FN(l2norm_forward)(c, net->v, n, s->dim, net->y, net->lengths);
    memcpy(y, net->y, (size_t)n * (size_t)s->dim * sizeof *y);
}

void FN(head_net_backward)(struct FN(head_net) *net, struct compute *c, const real *dy)
{
    const struct head_shape *s      = &net->shape;
    struct FN(param)        *p      = net->params;
    int                      n      = net->n;
    size_t                   hidden = (size_t)n * (size_t)s->hidden;
    FN(l2norm_backward)(c, net->y, dy, n, s->dim, net->lengths, net->du);
    if (s->layer_norm)
        FN(layernorm_backward)(c, net->u, net->du, n, s->dim, p[GAIN].value, net->norms, net->du,
                               p[GAIN].grad, p[SHIFT].grad);
    if (s->hidden > 0) {
        FN(linear_backward)(c, net->g, net->du, n, s->hidden, p[W2].value, s->dim, false, net->dh,
                            p[W2].grad, p[B2].grad);
        FN(dropout)(c, net->dh, hidden, &net->hidden, net->dh);
        FN(gelu_backward)(c, net->h, net->dh, hidden, net->dh);
        FN(linear_backward)(c, net->z, net->dh, n, s->in, p[W1].value, s->hidden, false, NULL,
                            p[W1].grad, p[B1].grad);
    }
    FN(linear_backward)(c, net->z, net->du, n, s->in, p[W].value, s->dim, false, NULL, p[W].grad,
                        p[B].grad);
}
