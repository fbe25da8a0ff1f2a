/* The transformer of CLIP's towers: see clip_tower.h. */
#include "model/clip_tower.h"

#include "nn/ops.h"

#include <stdint.h>
#include <string.h>

#define MIN_WORK 200000 /* multiply-adds of attention for which threads pay */
#define MIN_NORM 20000  /* floats to normalise for which threads pay */

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

struct clip_work clip_work_lay_out(const struct clip_tower *t, int tokens, int longest, size_t wide,
                                   int threads, float *base)
{
    const struct clip_tower_config *c     = &t->config;
    size_t                          most  = (size_t)(3 * c->width > c->mlp ? 3 * c->width : c->mlp);
    size_t                          wider = (size_t)tokens * most;
    struct clip_work w = {.each = whole_lines(attention_scratch(longest, c->width / c->heads))};
    size_t           narrow = whole_lines((size_t)tokens * (size_t)c->width);
    size_t           broad  = whole_lines(wider > wide ? wider : wide);
    w.floats                = 2 * narrow + broad + w.each * (size_t)(threads < 1 ? 1 : threads);
    if (base) {
        w.x       = base;
        w.y       = w.x + narrow;
        w.wide    = w.y + narrow;
        w.threads = w.wide + broad;
    }
    return w;
}

void clip_linear_run(gemm_kernel gemm, const struct clip_linear *l, int rows, const float *a,
                     const float *residual, float *c, enum act act, int threads)
{
    struct gemm g = {.m        = rows,
                     .n        = l->n,
                     .k        = l->k,
                     .a        = a,
                     .lda      = l->k,
                     .w        = l->weight,
                     .bias     = l->bias,
                     .residual = residual,
                     .ldr      = l->n,
                     .c        = c,
                     .ldc      = l->n,
                     .act      = act};
    gemm_run(gemm, &g, threads);
}

void clip_norm_run(const struct clip_norm *norm, const float *x, int rows, int width, float eps,
                   float *out, int threads)
{
    int64_t most = (int64_t)rows * width / MIN_NORM;
    threads      = most < threads ? (int)most : threads;
    if (threads <= 1) {
        ops_layernorm(x, rows, width, norm->weight, norm->bias, eps, out);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++) {
        ptrdiff_t from = (ptrdiff_t)rows * part / threads;
        ptrdiff_t to   = (ptrdiff_t)rows * (part + 1) / threads;
        ops_layernorm(x + from * width, (int)(to - from), width, norm->weight, norm->bias, eps,
                      out + from * width);
    }
}

/* One block's attention: which tokens ask, and where the answers go. */
struct attending {
    const struct clip_tower *t;
    const struct clip_work  *w;
    const int               *starts;
    int                      n;
    bool                     pooled_only; /* then row i of w->y is sequence i's answer */
};

static int pooled_row(const struct clip_tower *t, const int *starts, int i)
{
    return t->causal ? starts[i + 1] - 1 : starts[i];
}

static void attend_one(const struct attending *all, int item, float *scratch)
{
    const struct clip_tower *t     = all->t;
    int                      width = t->config.width;
    int                      i     = item / t->config.heads;
    ptrdiff_t                start = all->starts[i];
    struct attention         a     = {.tokens   = all->starts[i + 1] - all->starts[i],
                                      .heads    = t->config.heads,
                                      .head_dim = width / t->config.heads,
                                      .qkv      = all->w->wide + start * 3 * width,
                                      .ld       = 3 * width,
                                      .out      = all->w->y + start * width,
                                      .ldo      = width,
                                      .causal   = t->causal};
    if (all->pooled_only) {
        a.first   = pooled_row(t, all->starts, i) - all->starts[i];
        a.queries = 1;
        a.out     = all->w->y + (ptrdiff_t)i * width;
    }
    t->attention(&a, item % t->config.heads, scratch);
}

static void attend(const struct attending *all, int threads)
{
    int     items = all->n * all->t->config.heads;
    int64_t most  = 0; /* multiply-adds */
    for (int i = 0; i < all->n; i++) {
        int64_t tokens = all->starts[i + 1] - all->starts[i];
        most += 2 * tokens * (all->pooled_only ? 1 : tokens) * all->t->config.width;
    }
    threads = most / MIN_WORK < threads ? (int)(most / MIN_WORK) : threads;
    if (threads <= 1) {
        for (int item = 0; item < items; item++)
            attend_one(all, item, all->w->threads);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++) {
        float *scratch = all->w->threads + all->w->each * (size_t)part;
        for (int item = part; item < items; item += threads)
            attend_one(all, item, scratch);
    }
}

/* The MLP and its residual over rows of x; y and wide are overwritten. */
static void run_mlp(const struct clip_tower *t, const struct clip_layer *l, int rows, float *x,
                    float *y, float *wide, int threads)
{
    clip_norm_run(&l->before_mlp, x, rows, t->config.width, t->config.eps, y, threads);
    clip_linear_run(t->gemm, &l->widen, rows, y, NULL, wide, t->config.act, threads);
    clip_linear_run(t->gemm, &l->narrow, rows, wide, x, x, ACT_NONE, threads);
}

static void run_block(const struct clip_tower *t, const struct clip_layer *l,
                      const struct clip_work *w, const int *starts, int n, int threads)
{
    int              tokens = starts[n];
    struct attending all    = {.t = t, .w = w, .starts = starts, .n = n};
    clip_norm_run(&l->before_attention, w->x, tokens, t->config.width, t->config.eps, w->y,
                  threads);
    clip_linear_run(t->gemm, &l->qkv, tokens, w->y, NULL, w->wide, ACT_NONE, threads);
    attend(&all, threads);
    clip_linear_run(t->gemm, &l->out, tokens, w->y, w->x, w->x, ACT_NONE, threads);
    run_mlp(t, l, tokens, w->x, w->y, w->wide, threads);
}

/* Queries of the pooled tokens, keys and values of all, into w->wide. */
static void pooled_qkv(const struct clip_tower *t, const struct clip_layer *l,
                       const struct clip_work *w, const int *starts, int n, int threads)
{
    int width = t->config.width, tokens = starts[n];
    if (width % GEMM_PANEL != 0) { /* the panels do not part there */
        clip_linear_run(t->gemm, &l->qkv, tokens, w->y, NULL, w->wide, ACT_NONE, threads);
        return;
    }
    struct gemm g = {.m    = tokens,
                     .n    = 2 * width,
                     .k    = width,
                     .a    = w->y,
                     .lda  = width,
                     .w    = l->qkv.weight + (ptrdiff_t)width * width,
                     .bias = l->qkv.bias + width,
                     .c    = w->wide + width,
                     .ldc  = 3 * width};
    gemm_run(t->gemm, &g, threads);
    for (int i = 0; i < n; i++) /* a pooled token's row is never before the sequence's number */
        memmove(w->y + (ptrdiff_t)i * width, w->y + (ptrdiff_t)pooled_row(t, starts, i) * width,
                (size_t)width * sizeof *w->y);
    g.m    = n;
    g.n    = width;
    g.w    = l->qkv.weight;
    g.bias = l->qkv.bias;
    g.c    = w->wide;
    gemm_run(t->gemm, &g, threads);
    for (int i = n - 1; i >= 0; i--)
        memmove(w->wide + (ptrdiff_t)pooled_row(t, starts, i) * 3 * width,
                w->wide + (ptrdiff_t)i * 3 * width, (size_t)width * sizeof *w->wide);
}

/* The last block, for the pooled tokens: leaves them in the first n rows of x. */
static void run_last_block(const struct clip_tower *t, const struct clip_layer *l,
                           const struct clip_work *w, const int *starts, int n, int threads)
{
    int              width = t->config.width;
    struct attending all   = {.t = t, .w = w, .starts = starts, .n = n, .pooled_only = true};
    clip_norm_run(&l->before_attention, w->x, starts[n], width, t->config.eps, w->y, threads);
    pooled_qkv(t, l, w, starts, n, threads);
    attend(&all, threads);
    for (int i = 0; i < n; i++)
        memmove(w->x + (ptrdiff_t)i * width, w->x + (ptrdiff_t)pooled_row(t, starts, i) * width,
                (size_t)width * sizeof *w->x);
    clip_linear_run(t->gemm, &l->out, n, w->y, w->x, w->x, ACT_NONE, threads);
    run_mlp(t, l, n, w->x, w->y, w->wide, threads);
}

void clip_tower_run(const struct clip_tower *t, const struct clip_work *w, const int *starts, int n,
                    int threads, float *out)
{
    int last = t->config.layers - 1;
    for (int i = 0; i < last; i++)
        run_block(t, &t->layer[i], w, starts, n, threads);
    run_last_block(t, &t->layer[last], w, starts, n, threads);
    clip_norm_run(&t->last, w->x, n, t->config.width, t->config.eps, w->y, threads);
    clip_linear_run(t->gemm, &t->projection, n, w->y, NULL, out, ACT_NONE, threads);
    for (int i = 0; i < n; i++)
        ops_l2_normalize(out + (ptrdiff_t)i * t->projection.n, t->projection.n);
}
