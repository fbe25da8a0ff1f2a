/* What pairs of a picture and a text are made to yield in mmca_fit.h, the losses, and
 * the way back. Included by mmca_fit_inl.h.
 *
 * Pair (g, i, j) is text i and picture j of group g, at (g * size + i) * size + j.
 */

static int pair_text(const struct FN(mmca_fit) *net, int pair)
{
    return pair / net->size;
}

static int pair_picture(const struct FN(mmca_fit) *net, int pair)
{
    return pair / net->size / net->size * net->size + pair % net->size;
}

static void pairs_take(struct FN(mmca_fit) *net)
{
    const struct mmca_config *o = &net->config;
    struct pairs             *p = &net->pairs;
    int                       n = net->groups * net->size * net->size, row = 0;
    size_t                    width = (size_t)o->width, two = 2 * (size_t)n;
    p->n      = n;
    p->starts = take_ints(net, (size_t)n + 1);
    if (!p->starts)
        return;
    for (int k = 0; k < n; k++) {
        int text = pair_text(net, k);
        p->starts[k + 1] =
            p->starts[k] + o->cells + net->side[1].starts[text + 1] - net->side[1].starts[text];
    }
    p->rows = p->starts[n];
    p->from = take_ints(net, (size_t)p->rows);
    p->best = take_ints(net, (size_t)p->rows);
    if (!p->from || !p->best)
        return;
    for (int k = 0; k < n; k++) {
        int text = pair_text(net, k), picture = pair_picture(net, k);
        for (int r = 0; r < o->cells; r++)
            p->from[row++] = picture * o->cells + r;
        for (int r = net->side[1].starts[text]; r < net->side[1].starts[text + 1]; r++)
            p->from[row++] = net->side[0].rows + r;
    }
    size_t saved = 0, rows = (size_t)p->rows;
    for (int k = 0; k < n; k++) {
        size_t length = (size_t)(p->starts[k + 1] - p->starts[k]);
        saved += length * length;
    }
    struct {
        real **to;
        size_t n;
    } all[] = {{&p->q, rows * 3 * width}, {&p->att, saved * (size_t)o->heads},
               {&p->y, rows * width},     {&p->seen, two * width},
               {&p->u, two * width},      {&p->n2, two * width},
               {&p->s2, two * 2},         {&p->up, two * (size_t)o->mlp},
               {&p->v, two * width},      {&p->act, two * (size_t)o->mlp},
               {&p->e, two * width},      {&p->lengths, two},
               {&p->first, (size_t)n},    {&p->found, (size_t)n},
               {&p->crossed, (size_t)n},  {&p->whole, (size_t)n},
               {&p->dfirst, (size_t)n},   {&p->dfound, (size_t)n},
               {&p->dcrossed, (size_t)n}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i].to = take(net, all[i].n);
}

/* ---- The match ---- */

static void match_pair(void *arg, int pair, int thread)
{
    (void)thread;
    struct FN(mmca_fit) *net   = arg;
    const struct side   *image = &net->side[0], *text = &net->side[1];
    struct pairs        *p     = &net->pairs;
    int                  cells = net->config.cells, width = net->config.width;
    int                  from  = text->starts[pair_text(net, pair)];
    int                  words = text->starts[pair_text(net, pair) + 1] - from;
    const real          *m     = image->m + (ptrdiff_t)pair_picture(net, pair) * cells * width;
    real                 sum   = 0;
    for (int w = 0; w < words; w++) {
        const real *word = text->m + (ptrdiff_t)(from + w) * width;
        real        best = 0;
        int         at   = -1;
        for (int r = 0; r < cells; r++) {
            real d = real_dot(word, m + (ptrdiff_t)r * width, width);
            if (at < 0 || d > best) {
                best = d;
                at   = r;
            }
        }
        p->best[p->starts[pair] + w] = at;
        sum += text->a[from + w] * best;
    }
    p->found[pair] = sum;
}

/* Pair after pair, since they share pictures and texts. */
static void backward_match(struct FN(mmca_fit) *net)
{
    struct side  *image = &net->side[0], *text = &net->side[1];
    struct pairs *p     = &net->pairs;
    int           cells = net->config.cells, width = net->config.width;
    for (int k = 0; k < p->n; k++) {
        int from = text->starts[pair_text(net, k)], to = text->starts[pair_text(net, k) + 1];
        for (int r = from; r < to; r++) {
            ptrdiff_t   at   = pair_picture(net, k) * cells + p->best[p->starts[k] + r - from];
            const real *cell = image->m + at * width, *word = text->m + (ptrdiff_t)r * width;
            real       *dcell = image->dm + at * width, *dword = text->dm + (ptrdiff_t)r * width;
            real        d = p->dfound[k] * text->a[r];
            text->da[r] += p->dfound[k] * real_dot(word, cell, width);
            for (int j = 0; j < width; j++) {
                dcell[j] += d * word[j];
                dword[j] += d * cell[j];
            }
        }
    }
}

/* ---- The cross-attention ---- */

static struct attend cross_attend(const struct FN(mmca_fit) *net)
{
    return (struct attend){.starts   = net->pairs.starts,
                           .n        = net->pairs.n,
                           .heads    = net->config.heads,
                           .head_dim = net->config.width / net->config.heads};
}

/* Row k of a pair's rows belongs to its picture or its text, whose weight it has. */
static real *weight_of(struct FN(mmca_fit) *net, int row, bool gradient)
{
    int          from = net->pairs.from[row], images = net->side[0].rows;
    struct side *s = &net->side[from >= images];
    return (gradient ? s->da : s->a) + (from >= images ? from - images : from);
}

/* Sums of y by the weights: row k is pair k's picture, row n + k its text. */
static void sum_pairs(struct FN(mmca_fit) *net)
{
    struct pairs *p     = &net->pairs;
    int           width = net->config.width;
    for (int k = 0; k < p->n; k++) {
        for (int r = p->starts[k]; r < p->starts[k + 1]; r++) {
            bool        word = r - p->starts[k] >= net->config.cells;
            real        a    = *weight_of(net, r, false);
            const real *y    = p->y + (ptrdiff_t)r * width;
            real       *sum  = p->seen + (ptrdiff_t)(word ? p->n + k : k) * width;
            for (int j = 0; j < width; j++)
                sum[j] += a * y[j];
        }
    }
}

/* dseen to dy, which takes y's place. */
static void backward_sums(struct FN(mmca_fit) *net, const real *dseen)
{
    struct pairs *p     = &net->pairs;
    int           width = net->config.width;
    for (int k = 0; k < p->n; k++) {
        for (int r = p->starts[k]; r < p->starts[k + 1]; r++) {
            bool        word = r - p->starts[k] >= net->config.cells;
            real        a    = *weight_of(net, r, false);
            real       *y    = p->y + (ptrdiff_t)r * width;
            const real *d    = dseen + (ptrdiff_t)(word ? p->n + k : k) * width;
            *weight_of(net, r, true) += real_dot(y, d, width);
            for (int j = 0; j < width; j++)
                y[j] = a * d[j];
        }
    }
}

/* What row k of 2 n is a copy of: (a picture's, a text's) pooled rows. */
static const real *pooled_of(const struct FN(mmca_fit) *net, int row)
{
    int n = net->pairs.n, width = net->config.width;
    return row < n ? net->side[0].p + (ptrdiff_t)pair_picture(net, row) * width
                   : net->side[1].p + (ptrdiff_t)pair_text(net, row - n) * width;
}

static void forward_pairs(struct FN(mmca_fit) *net, struct compute *c)
{
    const struct mmca_config *o     = &net->config;
    struct pairs             *p     = &net->pairs;
    const struct side        *image = &net->side[0], *text = &net->side[1];
    int                       width = o->width, two = 2 * p->n;
    struct attend             a = cross_attend(net);
    compute_each(c, p->n, match_pair, net);
    FN(gather_forward)(c, image->q, 3 * width, p->from, p->rows, p->q);
    FN(attend_forward)(c, &a, p->q, p->y, p->att);
    sum_pairs(net);
    for (int k = 0; k < two; k++)
        memcpy(p->u + (ptrdiff_t)k * width, pooled_of(net, k), (size_t)width * sizeof *p->u);
    forward_linear(net, c, net->cross.out, p->seen, two, true, p->u);
    forward_norm(net, c, net->cross.norm2, p->u, two, p->n2, p->s2);
    forward_linear(net, c, net->cross.up, p->n2, two, false, p->up);
    FN(gelu_forward)(c, p->up, (size_t)two * (size_t)o->mlp, p->act);
    forward_linear(net, c, net->cross.down, p->act, two, false, p->v);
    join(c, p->u, p->v, (size_t)two * (size_t)width, &p->behind, p->v);
    size_t half = (size_t)p->n * (size_t)width;
    forward_linear(net, c, net->i1, p->v, p->n, false, p->e);
    forward_linear(net, c, net->c1, p->v + half, p->n, false, p->e + half);
    FN(l2norm_forward)(c, p->e, two, width, p->e, p->lengths);
    const real *parts = net->params[net->parts].value;
    for (int k = 0; k < p->n; k++) {
        const real *i1 = p->e + (ptrdiff_t)k * width;
        p->first[k]    = real_dot(image->e + (ptrdiff_t)pair_picture(net, k) * width,
                                  text->e + (ptrdiff_t)pair_text(net, k) * width, width);
        p->crossed[k]  = real_dot(i1, i1 + half, width);
        p->whole[k]    = parts[0] * p->first[k] + parts[1] * p->found[k] + parts[2] * p->crossed[k];
    }
}

static void backward_pairs(struct FN(mmca_fit) *net, struct compute *c)
{
    const struct mmca_config *o     = &net->config;
    struct pairs             *p     = &net->pairs;
    struct side              *image = &net->side[0], *text = &net->side[1];
    int                       width = o->width, two = 2 * p->n;
    size_t        half = (size_t)p->n * (size_t)width, deep = (size_t)two * (size_t)o->mlp;
    struct attend a  = cross_attend(net);
    real         *de = take(net, 2 * half), *dv = take(net, 2 * half), *dup = take(net, deep);
    real         *dq = take(net, (size_t)p->rows * 3 * (size_t)width);
    if (!de || !dv || !dup || !dq)
        return;
    backward_match(net);
    for (int k = 0; k < p->n; k++) {
        for (int j = 0; j < width; j++) {
            size_t    at      = (size_t)k * (size_t)width + (size_t)j;
            ptrdiff_t picture = (ptrdiff_t)pair_picture(net, k) * width + j;
            ptrdiff_t words   = (ptrdiff_t)pair_text(net, k) * width + j;
            de[at]            = p->dcrossed[k] * p->e[half + at];
            de[half + at]     = p->dcrossed[k] * p->e[at];
            image->de[picture] += p->dfirst[k] * text->e[words];
            text->de[words] += p->dfirst[k] * image->e[picture];
        }
    }
    FN(l2norm_backward)(c, p->e, de, two, width, p->lengths, de);
    backward_linear(net, c, net->i1, p->v, de, p->n, false, dv);
    backward_linear(net, c, net->c1, p->v + half, de + half, p->n, false, dv + half);
    FN(dropout)(c, dv, 2 * half, &p->behind, de);
    backward_linear(net, c, net->cross.down, p->act, de, two, false, dup);
    FN(gelu_backward)(c, p->up, dup, deep, dup);
    backward_linear(net, c, net->cross.up, p->n2, dup, two, false, de);
    backward_norm(net, c, net->cross.norm2, p->u, de, two, p->s2, de);
    FN(add)(c, dv, de, 2 * half, dv); /* of u */
    for (int k = 0; k < p->n; k++) {
        for (int j = 0; j < width; j++) {
            image->dp[pair_picture(net, k) * width + j] += dv[k * width + j];
            text->dp[pair_text(net, k) * width + j] += dv[half + (size_t)(k * width + j)];
        }
    }
    backward_linear(net, c, net->cross.out, p->seen, dv, two, false, de);
    backward_sums(net, de);
    FN(attend_backward)(c, &a, p->q, p->y, p->att, dq);
    FN(gather_backward)(c, dq, 3 * width, p->from, p->rows, image->dq);
}

/* ---- Losses ---- */

/* Cross-entropy inside groups, both ways: scores (groups, size, size) times the scale.
 * dscores: added to, or NULL. *dlog: added to. */
static double group_loss(const struct FN(mmca_fit) *net, const real *scores, real log_scale,
                         real *dscores, real *dlog)
{
    int    size = net->size, n = net->groups * size;
    real   scale = real_exp(log_scale), even = (real)net->smoothing / (real)size;
    real   share = 1 / (real)(2 * n);
    double loss  = 0;
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < n; i++) {
            ptrdiff_t base = (ptrdiff_t)(i / size) * size * size;
            ptrdiff_t at = base + (way ? i % size : i % size * size), step = way ? size : 1;
            real      most = scores[at], sum = 0;
            for (int j = 1; j < size; j++)
                most = scores[at + j * step] > most ? scores[at + j * step] : most;
            for (int j = 0; j < size; j++)
                sum += real_exp(scale * (scores[at + j * step] - most));
            real norm = scale * most + real_log(sum);
            for (int j = 0; j < size; j++) {
                real x      = scale * scores[at + j * step];
                real target = even + (j == i % size ? 1 - (real)net->smoothing : 0);
                real d      = (real_exp(x - norm) - target) * share;
                loss += (double)(target * (norm - x) * share);
                if (dscores)
                    dscores[at + j * step] += d * scale;
                if (dscores)
                    *dlog += d * x;
            }
        }
    }
    return loss;
}

/* owner: (pictures). */
static double run_losses(struct FN(mmca_fit) *net, struct compute *c, const int *owner,
                         bool backward)
{
    struct pairs     *p     = &net->pairs;
    struct side      *image = &net->side[0], *text = &net->side[1];
    struct FN(param) *scales = &net->params[net->scales], *parts = &net->params[net->parts];
    size_t            n   = (size_t)image->n;
    real             *all = take(net, n * n), *dwhole = take(net, (size_t)p->n);
    if (!all || !dwhole)
        return 0;
    struct loss l = {.kind = LOSS_INFONCE, .distance = DISTANCE_COSINE, .smoothing = net->smoothing};
    struct FN(loss_sets)    sets = {.a        = text->e,
                                    .b        = image->e,
                                    .groups_a = owner,
                                    .groups_b = owner,
                                    .na       = text->n,
                                    .nb       = image->n,
                                    .dim      = net->config.width};
    struct FN(loss_scalars) s = {.log_scale = scales->value[0]}, ds = {.log_scale = 0};
    double loss = FN(loss_run)(c, &l, &sets, &s, all, backward ? text->de : NULL, image->de, &ds);
    scales->grad[0] += backward ? ds.log_scale : 0;
    loss +=
        group_loss(net, p->found, scales->value[1], backward ? p->dfound : NULL, &scales->grad[1]);
    loss += group_loss(net, p->whole, scales->value[2], backward ? dwhole : NULL, &scales->grad[2]);
    for (int k = 0; k < p->n && backward; k++) {
        parts->grad[0] += dwhole[k] * p->first[k];
        parts->grad[1] += dwhole[k] * p->found[k];
        parts->grad[2] += dwhole[k] * p->crossed[k];
        p->dfirst[k] = dwhole[k] * parts->value[0];
        p->dfound[k] += dwhole[k] * parts->value[1];
        p->dcrossed[k] = dwhole[k] * parts->value[2];
    }
    return loss;
}
