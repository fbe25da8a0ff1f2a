/* One set of mmca_fit.h, of pictures or of texts, forward and backward: from inputs to
 * what pairs need of it. Included by mmca_fit_inl.h.
 *
 *     x = linear(dropout(standardise(inputs))) [+ position]
 *     x = x + out(attend(qkv(norm1(x))));  x = x + down(gelu(up(norm2(x))));  z = last(x)
 *     a = softmax over each sequence of z . pool;  p = sum a z;  e = |linear(p)|
 *     m = |match(z)|;  q = cross.qkv(z)
 */

#define LN_EPS ((real)1e-5)

static struct attend attend_of(const struct side *s, const struct mmca_config *config)
{
    return (struct attend){.starts   = s->starts,
                           .n        = s->n,
                           .heads    = config->heads,
                           .head_dim = config->width / config->heads};
}

static void forward_linear(struct FN(mmca_fit) *net, struct compute *c, struct pair_of l,
                           const real *x, int rows, bool add, real *y)
{
    const struct FN(param) *w = &net->params[l.weight];
    FN(linear_forward)(c, x, rows, w->cols, w->value, net->params[l.bias].value, w->rows, add, y);
}

static void backward_linear(struct FN(mmca_fit) *net, struct compute *c, struct pair_of l,
                            const real *x, const real *dy, int rows, bool add, real *dx)
{
    const struct FN(param) *w = &net->params[l.weight];
    FN(linear_backward)(c, x, dy, rows, w->cols, w->value, w->rows, add, dx, w->grad,
                        net->params[l.bias].grad);
}

static void forward_norm(struct FN(mmca_fit) *net, struct compute *c, struct pair_of l,
                         const real *x, int rows, real *y, real *saved)
{
    FN(layernorm_forward)(c, x, rows, net->config.width, net->params[l.weight].value,
                          net->params[l.bias].value, LN_EPS, y, saved);
}

static void backward_norm(struct FN(mmca_fit) *net, struct compute *c, struct pair_of l,
                          const real *x, const real *dy, int rows, const real *saved, real *dx)
{
    FN(layernorm_backward)(c, x, dy, rows, net->config.width, net->params[l.weight].value, saved,
                           dx, net->params[l.weight].grad, net->params[l.bias].grad);
}

/* Softmax over each sequence of z . pool, and the sums by it. */
static void forward_pool(struct FN(mmca_fit) *net, struct side *s)
{
    int         width = net->config.width;
    const real *pool  = net->params[s->at.pool].value;
    memset(s->p, 0, (size_t)s->n * (size_t)width * sizeof *s->p);
    for (int i = 0; i < s->n; i++) {
        int   from = s->starts[i], length = s->starts[i + 1] - from;
        real *a = s->a + from, *p = s->p + (ptrdiff_t)i * width;
        if (length == 0)
            continue;
        for (int r = 0; r < length; r++)
            a[r] = real_dot(s->z + (ptrdiff_t)(from + r) * width, pool, width);
        real most = real_max(a, length);
        for (int r = 0; r < length; r++)
            a[r] = real_exp(a[r] - most);
        real scale = 1 / real_sum(a, length);
        for (int r = 0; r < length; r++) {
            const real *z = s->z + (ptrdiff_t)(from + r) * width;
            a[r] *= scale;
            for (int j = 0; j < width; j++)
                p[j] += a[r] * z[j];
        }
    }
}

/* From dp, and da of whoever else used the weights, to dz, which is added to. */
static void backward_pool(struct FN(mmca_fit) *net, struct side *s)
{
    int         width = net->config.width;
    const real *pool  = net->params[s->at.pool].value;
    real       *dpool = net->params[s->at.pool].grad;
    for (int i = 0; i < s->n; i++) {
        const real *dp   = s->dp + (ptrdiff_t)i * width;
        real        mean = 0;
        for (int r = s->starts[i]; r < s->starts[i + 1]; r++) {
            s->da[r] += real_dot(s->z + (ptrdiff_t)r * width, dp, width);
            mean += s->a[r] * s->da[r];
        }
        for (int r = s->starts[i]; r < s->starts[i + 1]; r++) {
            const real *z      = s->z + (ptrdiff_t)r * width;
            real       *dz     = s->dz + (ptrdiff_t)r * width;
            real        dlogit = s->a[r] * (s->da[r] - mean);
            for (int j = 0; j < width; j++) {
                dz[j] += s->a[r] * dp[j] + dlogit * pool[j];
                dpool[j] += dlogit * z[j];
            }
        }
    }
}

static void side_take(struct FN(mmca_fit) *net, struct side *s)
{
    const struct mmca_config *c    = &net->config;
    struct attend             a    = attend_of(s, c);
    size_t                    rows = (size_t)s->rows, width = (size_t)c->width, n = (size_t)s->n;
    struct {
        real **to;
        size_t n;
    } all[] = {{&s->x0, rows * (size_t)s->inputs},
               {&s->x1, rows * width},
               {&s->n1, rows * width},
               {&s->s1, rows * 2},
               {&s->qkv, rows * 3 * width},
               {&s->att, attend_saved(&a)},
               {&s->seen, rows * width},
               {&s->x2, rows * width},
               {&s->n2, rows * width},
               {&s->s2, rows * 2},
               {&s->up, rows * (size_t)c->mlp},
               {&s->act, rows * (size_t)c->mlp},
               {&s->x3, rows * width},
               {&s->s3, rows * 2},
               {&s->z, rows * width},
               {&s->a, rows},
               {&s->p, n * width},
               {&s->e, n * width},
               {&s->lengths, n},
               {&s->m, rows * width},
               {&s->m_lengths, rows},
               {&s->dz, rows * width},
               {&s->da, rows},
               {&s->dp, n * width},
               {&s->de, n * width},
               {&s->dm, rows * width}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i].to = take(net, all[i].n);
}

/* x + dropout(branch) into y; the branch is used up. */
static void join(struct compute *c, const real *x, real *branch, size_t n, const struct dropout *d,
                 real *y)
{
    FN(dropout)(c, branch, n, d, branch);
    FN(add)(c, x, branch, n, y);
}

static void forward_side(struct FN(mmca_fit) *net, struct compute *c, struct side *s,
                         const real *inputs)
{
    const struct mmca_config *o     = &net->config;
    const struct layer_at    *l     = &s->at.layer;
    size_t                    width = (size_t)o->width, all = (size_t)s->rows * width;
    size_t                    deep = (size_t)s->rows * (size_t)o->mlp;
    struct attend             a    = attend_of(s, o);
    FN(standardise_forward)(c, inputs, s->rows, s->inputs, s->mean, s->scale, s->x0);
    FN(dropout)(c, s->x0, (size_t)s->rows * (size_t)s->inputs, &s->input, s->x0);
    forward_linear(net, c, s->at.in, s->x0, s->rows, false, s->x1);
    for (size_t i = 0; s->at.position >= 0 && i < all; i++)
        s->x1[i] += net->params[s->at.position].value[i % ((size_t)o->cells * width)];
    forward_norm(net, c, l->norm1, s->x1, s->rows, s->n1, s->s1);
    forward_linear(net, c, l->qkv, s->n1, s->rows, false, s->qkv);
    FN(attend_forward)(c, &a, s->qkv, s->seen, s->att);
    forward_linear(net, c, l->out, s->seen, s->rows, false, s->x2);
    join(c, s->x1, s->x2, all, &s->after, s->x2);
    forward_norm(net, c, l->norm2, s->x2, s->rows, s->n2, s->s2);
    forward_linear(net, c, l->up, s->n2, s->rows, false, s->up);
    FN(gelu_forward)(c, s->up, deep, s->act);
    forward_linear(net, c, l->down, s->act, s->rows, false, s->x3);
    join(c, s->x2, s->x3, all, &s->behind, s->x3);
    forward_norm(net, c, s->at.last, s->x3, s->rows, s->z, s->s3);
    forward_pool(net, s);
    forward_linear(net, c, s->at.embed, s->p, s->n, false, s->e);
    FN(l2norm_forward)(c, s->e, s->n, o->width, s->e, s->lengths);
    forward_linear(net, c, s->at.match, s->z, s->rows, false, s->m);
    FN(l2norm_forward)(c, s->m, s->rows, o->width, s->m, s->m_lengths);
    forward_linear(net, c, net->cross.qkv, s->z, s->rows, false, s->q);
}

/* From de, dm, dq, and dp, da of the pairs. */
static void backward_side(struct FN(mmca_fit) *net, struct compute *c, struct side *s)
{
    const struct mmca_config *o     = &net->config;
    const struct layer_at    *l     = &s->at.layer;
    size_t                    width = (size_t)o->width, all = (size_t)s->rows * width;
    size_t                    deep = (size_t)s->rows * (size_t)o->mlp;
    struct attend             a    = attend_of(s, o);
    real                     *d = take(net, all), *dqkv = take(net, 3 * all);
    real                     *dup = take(net, deep);
    if (!d || !dqkv || !dup)
        return;
    backward_linear(net, c, net->cross.qkv, s->z, s->dq, s->rows, false, s->dz);
    FN(l2norm_backward)(c, s->m, s->dm, s->rows, o->width, s->m_lengths, s->dm);
    backward_linear(net, c, s->at.match, s->z, s->dm, s->rows, true, s->dz);
    FN(l2norm_backward)(c, s->e, s->de, s->n, o->width, s->lengths, s->de);
    backward_linear(net, c, s->at.embed, s->p, s->de, s->n, true, s->dp);
    backward_pool(net, s);
    backward_norm(net, c, s->at.last, s->x3, s->dz, s->rows, s->s3, s->dz); /* of x3 */
    FN(dropout)(c, s->dz, all, &s->behind, d);
    backward_linear(net, c, l->down, s->act, d, s->rows, false, dup);
    FN(gelu_backward)(c, s->up, dup, deep, dup);
    backward_linear(net, c, l->up, s->n2, dup, s->rows, false, d);
    backward_norm(net, c, l->norm2, s->x2, d, s->rows, s->s2, d);
    FN(add)(c, s->dz, d, all, s->dz); /* of x2 */
    FN(dropout)(c, s->dz, all, &s->after, d);
    backward_linear(net, c, l->out, s->seen, d, s->rows, false, s->n2);
    FN(attend_backward)(c, &a, s->qkv, s->n2, s->att, dqkv);
    backward_linear(net, c, l->qkv, s->n1, dqkv, s->rows, false, d);
    backward_norm(net, c, l->norm1, s->x1, d, s->rows, s->s1, d);
    FN(add)(c, s->dz, d, all, s->dz); /* of x1 */
    for (size_t i = 0; s->at.position >= 0 && i < all; i++)
        net->params[s->at.position].grad[i % ((size_t)o->cells * width)] += s->dz[i];
    backward_linear(net, c, s->at.in, s->x0, s->dz, s->rows, false, NULL);
}
