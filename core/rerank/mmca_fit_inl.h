/* Training the MMCA re-ranker in one precision: see mmca_fit.h. Included by
 * mmca_fit_f32.c and mmca_fit_f64.c.
 */
#include "rerank/mmca_fit.h"

#include "base/mem.h"
#include "learn/losses.h"
#include "learn/real_math_inl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 40 /* of memory, each as large as those before together */
#define FIRST  ((size_t)1 << 16)
#define NAME   48

/* What a run needs of its forward pass comes from here; the next run takes it again. */
struct arena {
    real  *block[BLOCKS];
    size_t size[BLOCKS], used; /* used: of block[at] */
    int    n, at;
};

/* A linear layer, a norm: where its parameters are in the list. */
struct pair_of {
    int weight, bias;
};

struct layer_at {
    struct pair_of qkv, out, norm1, up, down, norm2;
};

struct side_at {
    struct pair_of  in, last, embed, match;
    struct layer_at layer;
    int             position; /* or -1 */
    int             pool;
};

struct side {
    struct side_at at;
    const real    *mean, *scale;
    int            inputs, n, rows;
    const int     *starts;               /* (n + 1) */
    struct dropout input, after, behind; /* of inputs, of both branches */
    real          *x0, *x1, *n1, *s1, *qkv, *att, *seen, *x2, *n2, *s2, *up, *act, *x3, *s3, *z;
    real          *a, *p, *e, *lengths, *m, *m_lengths, *q;
    real          *dz, *da, *dp, *de, *dm, *dq; /* set by whoever goes back from there */
};

/* Pairs of a picture and a text of one group. */
struct pairs {
    int            n, rows;
    int           *starts; /* (n + 1) of the pairs' cells and words, one behind the other */
    int           *from;   /* (rows) in the pictures' rows, then the texts' */
    int           *best;   /* (rows of words) the cell that suits a word of a pair best */
    real          *q, *att, *y, *seen, *u, *n2, *s2, *up, *act, *v, *e, *lengths;
    real          *first, *found, *crossed;    /* (n) i0 . c0, the match, i1 . c1 */
    real          *whole;                      /* (n) */
    real          *dfirst, *dfound, *dcrossed; /* (n) */
    struct dropout behind;
};

struct FN(mmca_fit) {
    struct mmca_config config;
    double             smoothing;
    char               names[MMCA_FIT_PARAMS][NAME];
    struct FN(param)   params[MMCA_FIT_PARAMS];
    int                n_params;
    real              *values, *standards; /* parameters and gradients; means and scales */
    struct layer_at    cross;              /* without norm1 */
    struct pair_of     i1, c1;
    int                parts, scales;
    struct side        side[2]; /* pictures, texts */
    struct pairs       pairs;
    int                groups, size; /* of the last run */
    int               *cells;        /* (pictures + 1) where each begins; grows */
    size_t             room;
    struct arena       arena;
    bool               failed; /* no memory */
};

/* n numbers until the end of the run, set to 0; NULL when out of memory. */
static real *take(struct FN(mmca_fit) *net, size_t n)
{
    struct arena *a = &net->arena;
    n               = (n + 15) / 16 * 16 + 16;
    while (a->at < a->n && a->size[a->at] - a->used < n) {
        a->at++;
        a->used = 0;
    }
    if (a->at == a->n) {
        size_t size = a->n ? 0 : FIRST;
        for (int i = 0; i < a->n; i++)
            size += a->size[i];
        size = size > n ? size : n;
        if (a->n == BLOCKS || !(a->block[a->n] = mem_aligned(size, sizeof(real)))) {
            net->failed = true;
            return NULL;
        }
        a->size[a->n++] = size;
        a->used         = 0;
    }
    real *out = a->block[a->at] + a->used;
    a->used += n;
    memset(out, 0, n * sizeof *out);
    return out;
}

/* Integers likewise. */
static int *take_ints(struct FN(mmca_fit) *net, size_t n)
{
    return (int *)(void *)take(net, (n * sizeof(int) + sizeof(real) - 1) / sizeof(real));
}

#include "rerank/mmca_fit_side_inl.h"

#include "rerank/mmca_fit_pairs_inl.h"

/* ---- Parameters ---- */

static int count_param(void *ctx, const char *name, int rows, int cols)
{
    struct FN(mmca_fit) *net = ctx;
    size_t               len = strlen(name);
    if (strcmp(name + (len > 5 ? len - 5 : 0), ".mean") == 0 ||
        strcmp(name + (len > 6 ? len - 6 : 0), ".scale") == 0)
        return 0;
    if (net->n_params == MMCA_FIT_PARAMS)
        return -1;
    struct FN(param) *p = &net->params[net->n_params];
    (void)snprintf(net->names[net->n_params++], NAME, "%s", name);
    bool matrix = cols > 0 && strcmp(name, "region.position") != 0;
    /* a vector is a row: what is folded into a product has its outputs in rows */
    *p = (struct FN(param)){.rows = cols ? rows : 1, .cols = cols ? cols : rows, .decay = matrix};
    return 0;
}

static int find(const struct FN(mmca_fit) *net, const char *name)
{
    for (int i = 0; i < net->n_params; i++) {
        if (strcmp(net->names[i], name) == 0)
            return i;
    }
    return -1;
}

static struct pair_of find_pair(const struct FN(mmca_fit) *net, const char *of, const char *part)
{
    char weight[NAME], bias[NAME];
    (void)snprintf(weight, NAME, "%s%s.weight", of, part);
    (void)snprintf(bias, NAME, "%s%s.bias", of, part);
    return (struct pair_of){find(net, weight), find(net, bias)};
}

static struct layer_at find_layer(const struct FN(mmca_fit) *net, const char *of)
{
    return (struct layer_at){.qkv   = find_pair(net, of, ".0.qkv"),
                             .out   = find_pair(net, of, ".0.out"),
                             .norm1 = find_pair(net, of, ".0.norm1"),
                             .up    = find_pair(net, of, ".0.up"),
                             .down  = find_pair(net, of, ".0.down"),
                             .norm2 = find_pair(net, of, ".0.norm2")};
}

static void find_all(struct FN(mmca_fit) *net)
{
    static const char *const of[] = {"image", "text"}, *const in[] = {"region", "word"};
    static const char *const embed[] = {"i0", "c0"}, *const match[] = {"match.image", "match.text"};
    static const char *const pool[] = {"image.pool", "text.pool"};
    for (int k = 0; k < 2; k++)
        net->side[k].at = (struct side_at){.in       = find_pair(net, in[k], ""),
                                           .last     = find_pair(net, of[k], ".last"),
                                           .embed    = find_pair(net, embed[k], ""),
                                           .match    = find_pair(net, match[k], ""),
                                           .layer    = find_layer(net, of[k]),
                                           .position = k ? -1 : find(net, "region.position"),
                                           .pool     = find(net, pool[k])};
    net->cross  = find_layer(net, "cross");
    net->i1     = find_pair(net, "i1", "");
    net->c1     = find_pair(net, "c1", "");
    net->parts  = find(net, "parts");
    net->scales = find(net, "scales");
}

/* Where values and gradients lie, once there is memory; the numbers of all. */
static size_t lay_out(struct FN(mmca_fit) *net, real *base)
{
    size_t at = 0;
    for (int i = 0; i < net->n_params; i++) {
        struct FN(param) *p = &net->params[i];
        size_t            n = ((size_t)p->rows * (size_t)p->cols + 15) / 16 * 16;
        p->name             = net->names[i];
        p->value            = base ? base + at : NULL;
        p->grad             = base ? base + at + n : NULL;
        at += 2 * n;
    }
    return at;
}

int FN(mmca_fit_new)(const struct mmca_config *config, double smoothing, struct FN(mmca_fit) **out,
                     struct err *err)
{
    for (int m = 0; m < MMCA_MODULES; m++) {
        if (config->form != MMCA_POOLED_FORM || config->layers[m] != 1)
            return err_set(err, ERR_UNSUPPORTED,
                           "only re-rankers of the form \"pooled\" with one layer a module are "
                           "trained");
    }
    struct FN(mmca_fit) *net = mem_zeroed(1, sizeof *net);
    if (!net)
        return err_set(err, ERR_NOMEM, "out of memory for a re-ranker");
    size_t standards = 2 * (size_t)(config->region + config->word);
    net->config      = *config;
    net->smoothing   = smoothing;
    int rc           = mmca_tensors(config, count_param, net);
    rc               = rc ? rc : count_param(net, "scales", MMCA_FIT_SCALES, 0);
    net->values      = rc ? NULL : mem_aligned(lay_out(net, NULL), sizeof(real));
    net->standards   = mem_zeroed(standards, sizeof(real));
    if (!net->values || !net->standards) {
        FN(mmca_fit_free)(net);
        return err_set(err, ERR_NOMEM, "out of memory for a re-ranker");
    }
    memset(net->values, 0, lay_out(net, net->values) * sizeof(real));
    find_all(net);
    real *at = net->standards;
    for (int k = 0; k < 2; k++) {
        struct side *s = &net->side[k];
        s->inputs      = k ? config->word : config->region;
        s->mean        = at;
        s->scale       = at + s->inputs;
        for (int i = 0; i < s->inputs; i++)
            at[s->inputs + i] = 1;
        at += 2 * s->inputs;
    }
    *out = net;
    return 0;
}

void FN(mmca_fit_free)(struct FN(mmca_fit) *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->arena.n; i++)
        free(net->arena.block[i]);
    free(net->values);
    free(net->standards);
    free(net->cells);
    free(net);
}

void FN(mmca_fit_init)(struct FN(mmca_fit) *net, struct random *r)
{
    for (int i = 0; i < net->n_params; i++) {
        struct FN(param) *p    = &net->params[i];
        const char       *dot  = strrchr(p->name, '.');
        size_t            n    = (size_t)p->rows * (size_t)p->cols;
        bool              norm = strstr(p->name, "norm") || strstr(p->name, "last");
        double            most = p->decay ? 1 / sqrt((double)p->cols) : 0;
        for (size_t k = 0; k < n; k++)
            p->value[k] = (real)(most * (2 * random_uniform(r) - 1));
        for (size_t k = 0; k < n && norm && dot && strcmp(dot, ".weight") == 0; k++)
            p->value[k] = 1;
        for (size_t k = 0; k < n && strcmp(p->name, "region.position") == 0; k++)
            p->value[k] = (real)(0.02 * random_normal(r));
        for (size_t k = 0; k < n && i == net->parts; k++)
            p->value[k] = 1;
        for (size_t k = 0; k < n && i == net->scales; k++)
            p->value[k] = (real)log(1 / 0.07);
    }
}

const struct FN(param) *FN(mmca_fit_params)(const struct FN(mmca_fit) *net, int *n)
{
    *n = net->n_params;
    return net->params;
}

void FN(mmca_fit_standard)(struct FN(mmca_fit) *net, bool words, real **mean, real **scale)
{
    int size = words ? net->config.word : net->config.region;
    *mean    = net->standards + (words ? 2 * net->config.region : 0);
    *scale   = *mean + size;
}

/* ---- A run ---- */

static void draw_dropout(struct FN(mmca_fit) *net, const struct mmca_fit_dropout *d,
                         struct random *r)
{
    struct dropout *all[] = {&net->side[0].input, &net->side[1].input,  &net->side[0].after,
                             &net->side[1].after, &net->side[0].behind, &net->side[1].behind,
                             &net->pairs.behind};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = (struct dropout){!d       ? 0
                                   : i == 0 ? d->region
                                   : i == 1 ? d->word
                                            : d->hidden,
                                   d ? random_next(r) : 0};
}

static bool prepare(struct FN(mmca_fit) *net, const struct FN(mmca_batch) *b)
{
    int n = b->groups * b->size;
    if (net->room < (size_t)n + 1) {
        free(net->cells);
        net->cells = mem_array((size_t)n + 1, sizeof *net->cells);
        net->room  = net->cells ? (size_t)n + 1 : 0;
    }
    net->failed     = !net->cells;
    net->arena.at   = 0;
    net->arena.used = 0;
    for (int i = 0; i <= n && net->cells; i++)
        net->cells[i] = i * net->config.cells;
    net->groups    = b->groups;
    net->size      = b->size;
    net->side[0].n = net->side[1].n = n;
    net->side[0].starts             = net->cells;
    net->side[1].starts             = b->starts;
    if (net->failed)
        return false;
    size_t rows[2];
    for (int k = 0; k < 2; k++) {
        net->side[k].rows = net->side[k].starts[n];
        rows[k]           = (size_t)net->side[k].rows * 3 * (size_t)net->config.width;
        side_take(net, &net->side[k]);
    }
    /* queries, keys and values of both lie together, so that pairs can gather them */
    real *q = take(net, rows[0] + rows[1]), *dq = take(net, rows[0] + rows[1]);
    for (int k = 0; k < 2 && q && dq; k++) {
        net->side[k].q  = q + (k ? rows[0] : 0);
        net->side[k].dq = dq + (k ? rows[0] : 0);
    }
    pairs_take(net);
    return !net->failed;
}

double FN(mmca_fit_run)(struct FN(mmca_fit) *net, struct compute *c, const struct FN(mmca_batch) *b,
                        const struct mmca_fit_dropout *dropout, struct random *random,
                        bool backward)
{
    if (!prepare(net, b)) {
        compute_fail(c);
        return 0;
    }
    draw_dropout(net, dropout, random);
    forward_side(net, c, &net->side[0], b->regions);
    forward_side(net, c, &net->side[1], b->words);
    forward_pairs(net, c);
    double loss = run_losses(net, c, b->owner, backward);
    if (backward) {
        backward_pairs(net, c);
        backward_side(net, c, &net->side[0]);
        backward_side(net, c, &net->side[1]);
    }
    if (net->failed)
        compute_fail(c);
    return loss;
}

real FN(mmca_fit_score)(const struct FN(mmca_fit) *net, int group, int text, int picture)
{
    return net->pairs.whole[(group * net->size + text) * net->size + picture];
}
