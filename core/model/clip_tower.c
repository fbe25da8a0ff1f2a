/* The transformer of CLIP's towers: see clip_tower.h. */
#include "model/clip_tower.h"

#include "nn/ops.h"

#include <stdint.h>
#include <string.h>

#define NORM_FLOATS 8192 /* to normalise in an item of a team */

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

struct clip_work clip_work_lay_out(const struct clip_tower *t, int tokens, int longest, size_t wide,
                                   size_t low, int threads, float *base)
{
    const struct clip_tower_config *c     = &t->config;
    size_t                          most  = (size_t)(3 * c->width > c->mlp ? 3 * c->width : c->mlp);
    size_t                          wider = (size_t)tokens * most;
    struct clip_work w = {.each = whole_lines(attention_scratch(longest, c->width / c->heads))};
    size_t           narrow = whole_lines((size_t)tokens * (size_t)c->width);
    size_t           broad  = whole_lines(wider > wide ? wider : wide);
    size_t own     = linear_scratch(&t->linear, tokens, c->width > c->mlp ? c->width : c->mlp);
    size_t reduced = (own > low ? own : low) / sizeof(float);
    w.floats       = 2 * narrow + broad + reduced + w.each * (size_t)(threads < 1 ? 1 : threads);
    if (base) {
        w.x       = base;
        w.y       = w.x + narrow;
        w.wide    = w.y + narrow;
        w.low     = w.wide + broad;
        w.threads = w.low + reduced;
    }
    return w;
}

void clip_linear_run(const struct linear_kernel *kernel, const struct linear *l, int rows,
                     const float *a, const float *residual, float *c, enum act act, void *low,
                     struct team_member *m)
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
    linear_shared(kernel, l, &call, m);
}

/* Layer norm of rows; a phase of the team. */
static void run_norm(const struct clip_norm *norm, const float *x, int rows, int width, float eps,
                     float *out, struct team_member *m)
{
    int items = (int)((int64_t)rows * width / NORM_FLOATS) + 1;
    items     = items < rows ? items : rows;
    items     = items < TEAM_ITEMS ? items : TEAM_ITEMS;
    for (int i = team_start(m, items); i >= 0; i = team_next(m)) {
        ptrdiff_t from = team_share(rows, i, items), to = team_share(rows, i + 1, items);
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

static void attend(const struct attending *all, struct team_member *m)
{
    int    heads   = all->n * all->t->config.heads;
    int    items   = heads < TEAM_ITEMS ? heads : TEAM_ITEMS;
    float *scratch = all->w->threads + all->w->each * (size_t)m->id;
    for (int i = team_start(m, items); i >= 0; i = team_next(m)) {
        for (int head = team_share(heads, i, items); head < team_share(heads, i + 1, items); head++)
            attend_one(all, head, scratch);
    }
}

/* The MLP and its residual over rows of w->x. */
static void run_mlp(const struct clip_tower *t, const struct clip_layer *l, int rows,
                    const struct clip_work *w, struct team_member *m)
{
    run_norm(&l->before_mlp, w->x, rows, t->config.width, t->config.eps, w->y, m);
    clip_linear_run(&t->linear, &l->widen, rows, w->y, NULL, w->wide, t->config.act, w->low, m);
    clip_linear_run(&t->linear, &l->narrow, rows, w->wide, w->x, w->x, ACT_NONE, w->low, m);
}

static void run_block(const struct clip_tower *t, const struct clip_layer *l,
                      const struct clip_work *w, const int *starts, int n, struct team_member *m)
{
    int              tokens = starts[n];
    struct attending all    = {.t = t, .w = w, .starts = starts, .n = n};
    run_norm(&l->before_attention, w->x, tokens, t->config.width, t->config.eps, w->y, m);
    clip_linear_run(&t->linear, &l->qkv, tokens, w->y, NULL, w->wide, ACT_NONE, w->low, m);
    attend(&all, m);
    clip_linear_run(&t->linear, &l->out, tokens, w->y, w->x, w->x, ACT_NONE, w->low, m);
    run_mlp(t, l, tokens, w, m);
}

/* Pulls the rows of the pooled tokens together at the beginning, or spreads them
 * out again; none is before its sequence's number. One item of a team. */
static void gather_rows(const struct clip_tower *t, const int *starts, int n, int width, float *x,
                        struct team_member *m)
{
    for (int one = team_start(m, 1); one >= 0; one = team_next(m)) {
        for (int i = 0; i < n; i++)
            memmove(x + (ptrdiff_t)i * width, x + (ptrdiff_t)pooled_row(t, starts, i) * width,
                    (size_t)width * sizeof *x);
    }
}

static void spread_rows(const struct clip_tower *t, const int *starts, int n, int stride, int width,
                        float *x, struct team_member *m)
{
    for (int one = team_start(m, 1); one >= 0; one = team_next(m)) {
        for (int i = n - 1; i >= 0; i--)
            memmove(x + (ptrdiff_t)pooled_row(t, starts, i) * stride, x + (ptrdiff_t)i * stride,
                    (size_t)width * sizeof *x);
    }
}

/* Queries of the pooled tokens, keys and values of all, into w->wide. */
static void pooled_qkv(const struct clip_tower *t, const struct clip_layer *l,
                       const struct clip_work *w, const int *starts, int n, struct team_member *m)
{
    int width = t->config.width, tokens = starts[n];
    if (width % GEMM_PANEL != 0) { /* the panels do not part there */
        clip_linear_run(&t->linear, &l->qkv, tokens, w->y, NULL, w->wide, ACT_NONE, w->low, m);
        return;
    }
    struct linear      keys = linear_outputs(t->linear.precision, &l->qkv, width, 2 * width);
    struct linear      asks = linear_outputs(t->linear.precision, &l->qkv, 0, width);
    struct linear_call call = {.rows    = tokens,
                               .a       = w->y,
                               .lda     = width,
                               .c       = w->wide + width,
                               .ldc     = 3 * width,
                               .scratch = w->low};
    linear_shared(&t->linear, &keys, &call, m);
    gather_rows(t, starts, n, width, w->y, m);
    call.rows = n;
    call.c    = w->wide;
    linear_shared(&t->linear, &asks, &call, m);
    spread_rows(t, starts, n, 3 * width, width, w->wide, m);
}

/* The last block, for the pooled tokens: leaves them in the first n rows of x. */
static void run_last_block(const struct clip_tower *t, const struct clip_layer *l,
                           const struct clip_work *w, const int *starts, int n,
                           struct team_member *m)
{
    int              width = t->config.width;
    struct attending all   = {.t = t, .w = w, .starts = starts, .n = n, .pooled_only = true};
    run_norm(&l->before_attention, w->x, starts[n], width, t->config.eps, w->y, m);
    pooled_qkv(t, l, w, starts, n, m);
    attend(&all, m);
    gather_rows(t, starts, n, width, w->x, m);
    clip_linear_run(&t->linear, &l->out, n, w->y, w->x, w->x, ACT_NONE, w->low, m);
    run_mlp(t, l, n, w, m);
}

/* The last block where all tokens are wanted: leaves the pooled ones, normalised,
 * in the first n rows of w->y. */
static void run_whole_last_block(const struct clip_tower *t, const struct clip_work *w,
                                 const int *starts, int n, struct team_member *m, float *states)
{
    int width = t->config.width, skip = t->causal ? 0 : 1; /* a picture's class token is no patch */
    size_t row = (size_t)width * sizeof *states;
    run_block(t, &t->layer[t->config.layers - 1], w, starts, n, m);
    run_norm(&t->last, w->x, starts[n], width, t->config.eps, w->wide, m);
    for (int one = team_start(m, 1); one >= 0; one = team_next(m)) {
        for (int i = 0; i < n; i++) {
            const float *from = w->wide + (ptrdiff_t)(starts[i] + skip) * width;
            memcpy(states + (ptrdiff_t)(starts[i] - i * skip) * width, from,
                   row * (size_t)(starts[i + 1] - starts[i] - skip));
            memcpy(w->y + (ptrdiff_t)i * width,
                   w->wide + (ptrdiff_t)pooled_row(t, starts, i) * width, row);
        }
    }
}

void clip_tower_run(const struct clip_tower *t, const struct clip_work *w, const int *starts, int n,
                    struct team_member *m, const struct clip_seen *out)
{
    int last = t->config.layers - 1;
    for (int i = 0; i < last; i++)
        run_block(t, &t->layer[i], w, starts, n, m);
    if (out->states) {
        run_whole_last_block(t, w, starts, n, m, out->states);
    } else {
        run_last_block(t, &t->layer[last], w, starts, n, m);
        run_norm(&t->last, w->x, n, t->config.width, t->config.eps, w->y, m);
    }
    for (int one = out->pooled ? team_start(m, 1) : -1; one >= 0; one = team_next(m))
        memcpy(out->pooled, w->y, (size_t)n * (size_t)t->config.width * sizeof *w->y);
    if (!out->embedding)
        return;
    clip_linear_run(&t->linear, &t->projection, n, w->y, NULL, out->embedding, ACT_NONE, w->low, m);
    for (int one = team_start(m, 1); one >= 0; one = team_next(m)) {
        for (int i = 0; i < n; i++)
            ops_l2_normalize(out->embedding + (ptrdiff_t)i * t->projection.n, t->projection.n);
    }
}
