/* A transformer over sets of tokens (Vaswani et al. 2017, section 3), and what
 * comes before and after it in a re-ranker: see mmca_net.h.
 *
 * Everything runs on the calling thread: pictures are shared out among threads,
 * since each is independent of the others.
 */
#include "rerank/mmca_net.h"

#include "nn/ops.h"

#include <math.h>
#include <string.h>

#define EPS 1e-5f /* of the layer norms: PyTorch's default */

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

struct mmca_work mmca_work_lay_out(const struct mmca_net *net, int tokens, int longest, void *base)
{
    const struct mmca_config *c    = &net->config;
    size_t                    rows = (size_t)tokens, width = (size_t)c->width;
    int                       broad  = 3 * c->width > c->mlp ? 3 * c->width : c->mlp;
    int                       deep   = c->width > c->mlp ? c->width : c->mlp;
    size_t                    narrow = whole_lines(rows * width * sizeof(float));
    size_t                    wide   = whole_lines(rows * (size_t)broad * sizeof(float));
    size_t heads = whole_lines(attention_scratch(longest, c->width / c->heads) * sizeof(float));
    struct mmca_work w    = {.bytes = 2 * narrow + wide + heads};
    char            *from = base;
    if (base) {
        w.x         = (float *)(void *)from;
        w.y         = (float *)(void *)(from + narrow);
        w.wide      = (float *)(void *)(from + 2 * narrow);
        w.attention = (float *)(void *)(from + 2 * narrow + wide);
        w.low       = from + w.bytes;
    }
    w.bytes += linear_scratch(&net->linear, tokens, deep);
    return w;
}

static void apply(const struct mmca_net *net, const struct linear *l, int rows, const float *a,
                  const float *residual, float *c, enum act act, void *low)
{
    struct linear_call call = {.rows     = rows,
                               .a        = a,
                               .lda      = l->k,
                               .residual = residual,
                               .ldr      = l->n,
                               .c        = c,
                               .ldc      = l->n,
                               .act      = act,
                               .scratch  = low};
    linear_one(&net->linear, l, &call);
}

static void normalise(const struct mmca_affine *norm, const float *x, int rows, int width,
                      float *out)
{
    ops_layernorm(x, rows, width, norm->weight, norm->bias, EPS, out);
}

/* Every head of every sequence, from w->wide into w->y. */
static void attend(const struct mmca_net *net, const struct mmca_work *w, const int *starts, int n)
{
    int width = net->config.width, heads = net->config.heads;
    for (int i = 0; i < n; i++) {
        struct attention a = {.tokens   = starts[i + 1] - starts[i],
                              .heads    = heads,
                              .head_dim = width / heads,
                              .qkv      = w->wide + (ptrdiff_t)starts[i] * 3 * width,
                              .ld       = 3 * width,
                              .out      = w->y + (ptrdiff_t)starts[i] * width,
                              .ldo      = width};
        for (int head = 0; head < heads; head++)
            net->attention(&a, head, w->attention);
    }
}

static void run_block(const struct mmca_net *net, const struct mmca_block *b,
                      const struct mmca_work *w, const int *starts, int n)
{
    int          rows = starts[n], width = net->config.width;
    bool         pre = net->config.norm == MMCA_PRE;
    const float *in  = w->x;
    if (pre) {
        normalise(&b->norm1, w->x, rows, width, w->y);
        in = w->y;
    }
    apply(net, &b->qkv, rows, in, NULL, w->wide, ACT_NONE, w->low);
    attend(net, w, starts, n);
    apply(net, &b->out, rows, w->y, w->x, w->x, ACT_NONE, w->low);
    normalise(pre ? &b->norm2 : &b->norm1, w->x, rows, width, pre ? w->y : w->x);
    apply(net, &b->up, rows, pre ? w->y : w->x, NULL, w->wide, ACT_GELU, w->low);
    apply(net, &b->down, rows, w->wide, w->x, w->x, ACT_NONE, w->low);
    if (!pre)
        normalise(&b->norm2, w->x, rows, width, w->x);
}

void mmca_module_run(const struct mmca_net *net, enum mmca_module m, const struct mmca_work *w,
                     const int *starts, int n)
{
    for (int i = 0; i < net->config.layers[m]; i++)
        run_block(net, &net->block[m][i], w, starts, n);
    if (net->config.norm == MMCA_PRE && net->config.layers[m] > 0)
        normalise(&net->last[m], w->x, starts[n], net->config.width, w->x);
}

static void most_of_rows(const float *x, int rows, int width, float *out)
{
    memcpy(out, x, (size_t)width * sizeof *out);
    for (int r = 1; r < rows; r++) {
        const float *row = x + (ptrdiff_t)r * width;
        for (int i = 0; i < width; i++)
            out[i] = row[i] > out[i] ? row[i] : out[i];
    }
}

void mmca_pool_run(const struct mmca_net *net, enum mmca_pooled which, const float *x, int rows,
                   const struct mmca_work *w, float *out)
{
    const struct mmca_config *c     = &net->config;
    bool                      image = which == MMCA_I0 || which == MMCA_I1;
    if ((image ? c->image_pool : c->text_pool) == MMCA_MEAN)
        ops_mean_rows(x, rows, c->width, w->wide);
    else
        most_of_rows(x, rows, c->width, w->wide);
    apply(net, &net->pooled[which], 1, w->wide, NULL, out, ACT_NONE, w->low);
    if (c->unit)
        ops_l2_normalize(out, c->width);
}

void mmca_project(const struct mmca_net *net, const struct linear *l, const float *x, int rows,
                  void *low, float *out)
{
    apply(net, l, rows, x, NULL, out, ACT_NONE, low);
}

/* ---- The form "pooled" ---- */

void mmca_weigh(const struct mmca_net *net, const float *pool, const float *x, int rows,
                float *weights)
{
    int   width = net->config.width;
    float most = -INFINITY, sum = 0;
    for (int i = 0; i < rows; i++) {
        const float *row = x + (ptrdiff_t)i * width;
        weights[i]       = 0;
        for (int j = 0; j < width; j++)
            weights[i] += row[j] * pool[j];
        most = weights[i] > most ? weights[i] : most;
    }
    for (int i = 0; i < rows; i++) {
        weights[i] = expf(weights[i] - most);
        sum += weights[i];
    }
    for (int i = 0; i < rows; i++)
        weights[i] /= sum;
}

void mmca_sum(const float *x, const float *weights, int rows, int width, float *out)
{
    memset(out, 0, (size_t)width * sizeof *out);
    for (int i = 0; i < rows; i++) {
        const float *row = x + (ptrdiff_t)i * width;
        for (int j = 0; j < width; j++)
            out[j] += weights[i] * row[j];
    }
}

void mmca_embed(const struct mmca_net *net, const struct linear *l, const float *x, int rows,
                void *low, float *out)
{
    apply(net, l, rows, x, NULL, out, ACT_NONE, low);
    for (int i = 0; i < rows; i++)
        ops_l2_normalize(out + (ptrdiff_t)i * l->n, l->n);
}

void mmca_cross_run(const struct mmca_net *net, const struct mmca_work *w, int cells, int words,
                    const float *weights, float *i1, float *c1)
{
    const struct mmca_block *b        = &net->block[MMCA_CROSS][0];
    int                      width    = net->config.width;
    const int                starts[] = {0, cells + words};
    float *pooled = w->wide, *seen = pooled + 2 * width, *normed = seen + 2 * width;
    float *out = w->y;
    apply(net, &b->qkv, cells + words, w->x, NULL, w->wide, ACT_NONE, w->low);
    attend(net, w, starts, 1);
    /* from here on two rows: the picture's and the text's */
    mmca_sum(w->x, weights, cells, width, pooled);
    mmca_sum(w->x + (ptrdiff_t)cells * width, weights + cells, words, width, pooled + width);
    mmca_sum(w->y, weights, cells, width, seen);
    mmca_sum(w->y + (ptrdiff_t)cells * width, weights + cells, words, width, seen + width);
    apply(net, &b->out, 2, seen, pooled, pooled, ACT_NONE, w->low);
    normalise(&b->norm2, pooled, 2, width, seen);
    apply(net, &b->up, 2, seen, NULL, normed, ACT_GELU, w->low);
    apply(net, &b->down, 2, normed, pooled, out, ACT_NONE, w->low);
    mmca_embed(net, &net->pooled[MMCA_I1], out, 1, w->low, i1);
    mmca_embed(net, &net->pooled[MMCA_C1], out + width, 1, w->low, c1);
}
