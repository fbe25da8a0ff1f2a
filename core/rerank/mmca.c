/* Running a re-ranker of the MMCA form: see mmca.h; loading is in mmca_load.c,
 * the transformer in mmca_net.c. */
#include "rerank/mmca.h"

#include "base/half.h"
#include "base/mem.h"
#include "rerank/mmca_model.h"
#include "rerank/mmca_net.h"
#include "rerank/rows8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MMCA_MAX_TOKENS 16384 /* cells and words of a pair */

#define CHUNK 4 /* pictures together: weights are read once for all of them */

struct mmca_query {
    int    n_words;
    float *words;   /* (n_words, width), projected; of the form "pooled", attended */
    float *c0;      /* (width) */
    float *match;   /* (n_words, width) and */
    float *weights; /* (n_words); of the form "pooled" */
};

const struct mmca_config *mmca_config_of(const struct mmca *m)
{
    return &m->net.config;
}

int64_t mmca_parameters(const struct mmca *m)
{
    return m->parameters;
}

/* The parts of a picture as kept, in order: scales (cells) and i0 (width) as
 * halves, regions (cells, width) as int8. */
static size_t halves(const struct mmca_config *c)
{
    return (size_t)c->cells + (size_t)c->width;
}

size_t mmca_kept_bytes(const struct mmca *m)
{
    const struct mmca_config *c = &m->net.config;
    return halves(c) * sizeof(uint16_t) + (size_t)c->cells * (size_t)c->width;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
}

/* ---- Pictures ---- */

/* regions: (cells, region) of one picture. False when something is not finite. */
static bool keep_one(const struct mmca_net *net, const float *regions, const struct mmca_work *w,
                     uint8_t *kept)
{
    const struct mmca_config *c        = &net->config;
    const int                 starts[] = {0, c->cells};
    size_t                    cells = (size_t)c->cells, width = (size_t)c->width;
    int8_t                   *q    = (int8_t *)(kept + halves(c) * sizeof(uint16_t));
    bool                      good = true;
    mmca_project(net, &net->region, regions, c->cells, w->low, w->x);
    for (size_t i = 0; i < cells * width; i++)
        w->x[i] += net->position[i];
    if (c->form == MMCA_POOLED_FORM)
        mmca_module_run(net, MMCA_IMAGE, w, starts, 1);
    for (size_t i = 0; i < cells && good; i++) {
        uint16_t scale;
        good = rows8_pack(w->x + i * width, c->width, &scale, q + i * width);
        memcpy(kept + i * sizeof scale, &scale, sizeof scale);
    }
    if (c->form == MMCA_POOLED_FORM) {
        float *weights = w->wide, *sum = weights + cells;
        mmca_weigh(net, net->pool[0], w->x, c->cells, weights);
        mmca_sum(w->x, weights, c->cells, c->width, sum);
        mmca_embed(net, &net->pooled[MMCA_I0], sum, 1, w->low, w->y);
    } else {
        mmca_module_run(net, MMCA_IMAGE, w, starts, 1);
        mmca_pool_run(net, MMCA_I0, w->x, c->cells, w, w->y);
    }
    for (size_t i = 0; i < width && good; i++) {
        uint16_t half;
        good = isfinite(w->y[i]);
        half_from_float(&half, w->y + i, 1);
        memcpy(kept + (cells + i) * sizeof half, &half, sizeof half);
    }
    return good;
}

int mmca_keep(const struct mmca *m, const float *regions, int n, int threads, uint8_t *kept,
              struct err *err)
{
    const struct mmca_net    *net  = &m->net;
    const struct mmca_config *c    = &net->config;
    /* the projection's rows are as wide as a region, in reduced precision too */
    size_t                    work = mmca_work_lay_out(net, c->cells, c->cells, NULL).bytes;
    size_t each  = (work + linear_scratch(&net->linear, c->cells, c->region) + 63) / 64 * 64;
    size_t bytes = mmca_kept_bytes(m), picture = (size_t)c->cells * (size_t)c->region;
    bool   good = true;
    threads     = threads < 1 ? 1 : threads < n ? threads : n;
    if (n < 1)
        return 0;
    char *memory = mem_aligned(each, (size_t)threads);
    if (!memory)
        return no_memory(err);
    if (threads == 1) { /* without entering OpenMP: callers may be threads themselves */
        struct mmca_work w = mmca_work_lay_out(net, c->cells, c->cells, memory);
        for (int i = 0; i < n; i++)
            good &= keep_one(net, regions + (size_t)i * picture, &w, kept + (size_t)i * bytes);
    } else {
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(&& : good)
        for (int t = 0; t < threads; t++) {
            struct mmca_work w =
                mmca_work_lay_out(net, c->cells, c->cells, memory + each * (size_t)t);
            for (int i = t; i < n; i += threads)
                good = keep_one(net, regions + (size_t)i * picture, &w, kept + (size_t)i * bytes) &&
                       good;
        }
    }
    free(memory);
    return good ? 0
                : err_set(err, ERR_DAMAGED,
                          "cannot re-rank: a picture's regions are no numbers, or beyond what can "
                          "be kept of them");
}

/* ---- Texts ---- */

void mmca_query_free(struct mmca_query *q)
{
    if (!q)
        return;
    free(q->words);
    free(q->c0);
    free(q->match);
    free(q->weights);
    free(q);
}

int mmca_query_new(const struct mmca *m, const float *words, int n_words, struct mmca_query **out,
                   struct err *err)
{
    const struct mmca_net *net      = &m->net;
    size_t                 width    = (size_t)net->config.width;
    const int              starts[] = {0, n_words};
    size_t                 work     = mmca_work_lay_out(net, n_words, n_words, NULL).bytes;
    char *memory = mem_aligned(work + linear_scratch(&net->linear, n_words, net->config.word), 1);
    struct mmca_query *q = mem_zeroed(1, sizeof *q);
    if (q) {
        q->n_words = n_words;
        q->words   = mem_aligned((size_t)n_words * width, sizeof *q->words);
        q->c0      = mem_aligned(width, sizeof *q->c0);
        q->match   = mem_aligned((size_t)n_words * width, sizeof *q->match);
        q->weights = mem_array((size_t)n_words, sizeof *q->weights);
    }
    if (!memory || !q || !q->words || !q->c0 || !q->match || !q->weights) {
        mmca_query_free(q);
        free(memory);
        return no_memory(err);
    }
    struct mmca_work w = mmca_work_lay_out(net, n_words, n_words, memory);
    mmca_project(net, &net->word, words, n_words, w.low, q->words);
    memcpy(w.x, q->words, (size_t)n_words * width * sizeof *w.x);
    mmca_module_run(net, MMCA_TEXT, &w, starts, 1);
    if (net->config.form == MMCA_POOLED_FORM) {
        memcpy(q->words, w.x, (size_t)n_words * width * sizeof *w.x);
        mmca_weigh(net, net->pool[1], q->words, n_words, q->weights);
        mmca_sum(q->words, q->weights, n_words, (int)width, w.y);
        mmca_embed(net, &net->pooled[MMCA_C0], w.y, 1, w.low, q->c0);
        mmca_embed(net, &net->match[1], q->words, n_words, w.low, q->match);
    } else {
        mmca_pool_run(net, MMCA_C0, w.x, n_words, &w, q->c0);
    }
    free(memory);
    *out = q;
    return 0;
}

/* ---- Pairs ---- */

static float dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* A picture's regions, as kept, to floats. */
static void unpack_regions(const struct mmca_config *c, const uint8_t *kept, float *x)
{
    const int8_t *q = (const int8_t *)(kept + halves(c) * sizeof(uint16_t));
    for (int cell = 0; cell < c->cells; cell++, q += c->width, x += c->width) {
        uint16_t half;
        float    scale;
        memcpy(&half, kept + (size_t)cell * sizeof half, sizeof half);
        half_to_float(&scale, &half, 1);
        for (int i = 0; i < c->width; i++)
            x[i] = scale * (float)q[i];
    }
}

static float first_part(const struct mmca_config *c, const struct mmca_query *q,
                        const uint8_t *kept, float *i0)
{
    for (int i = 0; i < c->width; i++) {
        uint16_t half;
        memcpy(&half, kept + (size_t)(c->cells + i) * sizeof half, sizeof half);
        half_to_float(i0 + i, &half, 1);
    }
    return dot(i0, q->c0, c->width);
}

/* Up to CHUNK pictures on this thread. */
static void score_chunk(const struct mmca_net *net, const struct mmca_query *q,
                        const uint8_t *const *kept, int n, const struct mmca_work *w, float *scores)
{
    const struct mmca_config *c     = &net->config;
    int                       width = c->width, tokens = c->cells + q->n_words;
    int                       starts[CHUNK + 1] = {0};
    for (int i = 0; i < n; i++) {
        float *x      = w->x + (ptrdiff_t)i * tokens * width;
        scores[i]     = first_part(c, q, kept[i], w->y);
        starts[i + 1] = starts[i] + tokens;
        unpack_regions(c, kept[i], x);
        memcpy(x + (ptrdiff_t)c->cells * width, q->words,
               (size_t)q->n_words * (size_t)width * sizeof *x);
    }
    mmca_module_run(net, MMCA_CROSS, w, starts, n);
    float *i1 = w->y, *c1 = w->y + width; /* there are two tokens at least */
    for (int i = 0; i < n; i++) {
        const float *x = w->x + (ptrdiff_t)starts[i] * width;
        mmca_pool_run(net, MMCA_I1, x, c->cells, w, i1);
        mmca_pool_run(net, MMCA_C1, x + (ptrdiff_t)c->cells * width, q->n_words, w, c1);
        scores[i] += net->alpha * dot(i1, c1, width);
    }
}

/* How well words find cells: each takes the one that suits it best. cells: (n, width). */
static float match(const struct mmca_query *q, const float *cells, int n, int width)
{
    float sum = 0;
    for (int i = 0; i < q->n_words; i++) {
        float best = -INFINITY;
        for (int k = 0; k < n; k++) {
            float d = dot(q->match + (ptrdiff_t)i * width, cells + (ptrdiff_t)k * width, width);
            best    = d > best ? d : best;
        }
        sum += q->weights[i] * best;
    }
    return sum;
}

/* The same for the form "pooled", one picture at a time. */
static void score_pooled(const struct mmca_net *net, const struct mmca_query *q,
                         const uint8_t *const *kept, int n, const struct mmca_work *w,
                         float *scores)
{
    const struct mmca_config *c     = &net->config;
    int                       width = c->width;
    float                    *i1 = w->y, *c1 = w->y + width;
    float                     weights[MMCA_MAX_TOKENS];
    memcpy(weights + c->cells, q->weights, (size_t)q->n_words * sizeof *weights);
    for (int i = 0; i < n; i++) {
        float *words = w->x + (ptrdiff_t)c->cells * width;
        float  first = first_part(c, q, kept[i], w->y);
        unpack_regions(c, kept[i], w->x);
        memcpy(words, q->words, (size_t)q->n_words * (size_t)width * sizeof *words);
        mmca_weigh(net, net->pool[0], w->x, c->cells, weights);
        mmca_embed(net, &net->match[0], w->x, c->cells, w->low, w->wide);
        float found = match(q, w->wide, c->cells, width);
        mmca_cross_run(net, w, c->cells, q->n_words, weights, i1, c1);
        scores[i] =
            net->parts[0] * first + net->parts[1] * found + net->parts[2] * dot(i1, c1, width);
    }
}

int mmca_score(const struct mmca *m, const struct mmca_query *q, const uint8_t *const *kept, int n,
               int threads, float *scores, struct err *err)
{
    const struct mmca_net *net    = &m->net;
    int                    tokens = net->config.cells + q->n_words;
    size_t                 work   = mmca_work_lay_out(net, CHUNK * tokens, tokens, NULL).bytes;
    size_t                 each   = (work + 63) / 64 * 64;
    int                    chunks = (n + CHUNK - 1) / CHUNK;
    bool                   pooled = net->config.form == MMCA_POOLED_FORM;
    threads                       = threads < 1 ? 1 : threads < chunks ? threads : chunks;
    if (n < 1)
        return 0;
    if (pooled && tokens > MMCA_MAX_TOKENS)
        return err_set(err, ERR_LIMIT, "cannot re-rank: %d cells and words are too many", tokens);
    char *memory = mem_aligned(each, (size_t)threads);
    if (!memory)
        return no_memory(err);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        struct mmca_work w =
            mmca_work_lay_out(net, CHUNK * tokens, tokens, memory + each * (size_t)t);
        for (int i = t * CHUNK; i < n; i += threads * CHUNK)
            (pooled ? score_pooled : score_chunk)(net, q, kept + i, n - i < CHUNK ? n - i : CHUNK,
                                                  &w, scores + i);
    }
    free(memory);
    for (int i = 0; i < n; i++) {
        if (!isfinite(scores[i]))
            return err_set(err, ERR_DAMAGED,
                           "the re-ranker yields what is no number: it, or what was kept for it, "
                           "is damaged");
    }
    return 0;
}
