/* Suggestions by examples: see library_suggest.h. */
#include "storage/library_suggest.h"

#include "base/mem.h"
#include "learn/lesson.h"
#include "storage/library_impl.h"
#include "storage/library_tagger.h"

#include <stdlib.h>
#include <string.h>

#define LABEL    "label" /* what the only one is called: nobody sees it */
#define ASK_EACH 256     /* pictures between two questions whether to go on */

/* The best so far, as a heap whose root is the worst of them. */
struct best {
    const struct library_suggesting *s;
    struct library_suggestion       *list; /* (limit) */
    size_t                           n, told;
    int64_t                          images; /* to be told of, about */
};

static bool is_given(const struct library_suggesting *s, int64_t id)
{
    for (size_t i = 0; i < s->n_like; i++)
        if (s->like[i] == id)
            return true;
    for (size_t i = 0; i < s->n_unlike; i++)
        if (s->unlike[i] == id)
            return true;
    return false;
}

static int by_rank(const void *a, const void *b)
{
    const struct library_suggestion *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Puts one in place i, and what it pushes away further down. */
static void sink(struct best *b, size_t i, struct library_suggestion one)
{
    for (size_t child; (child = 2 * i + 1) < b->n; i = child) {
        if (child + 1 < b->n && by_rank(&b->list[child + 1], &b->list[child]) > 0)
            child++;
        if (by_rank(&one, &b->list[child]) >= 0)
            break;
        b->list[i] = b->list[child];
    }
    b->list[i] = one;
}

static void offer(struct best *b, struct library_suggestion one)
{
    if (b->n == b->s->limit) {
        if (by_rank(&one, &b->list[0]) < 0)
            sink(b, 0, one);
        return;
    }
    size_t i = b->n++;
    for (; i > 0 && by_rank(&one, &b->list[(i - 1) / 2]) > 0; i = (i - 1) / 2)
        b->list[i] = b->list[(i - 1) / 2];
    b->list[i] = one;
}

static int tell(void *ctx, int64_t id, const struct library_said *tags, size_t n, struct err *err)
{
    struct best *b    = ctx;
    double       done = (double)b->told / (double)b->images;
    int rc = b->told++ % ASK_EACH == 0 ? go_on_ask(&b->s->go_on, done < 1 ? done : 1, err) : 0;
    if (rc)
        return rc;
    if (n > 0 && !is_given(b->s, id))
        offer(b, (struct library_suggestion){id, tags[0].score});
    return 0;
}

/* The embeddings of the pictures given; labels: 0 for like, -1 for unlike. */
static int take_examples(struct library *lib, const struct library_model *model,
                         const struct library_suggesting *s, float *x, int *labels, struct err *err)
{
    size_t dim = (size_t)model->dim;
    int    rc  = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < s->n_like + s->n_unlike && !rc; i++) {
        const uint16_t *vector;
        int64_t         id = i < s->n_like ? s->like[i] : s->unlike[i - s->n_like];
        labels[i]          = i < s->n_like ? 0 : -1;
        rc = catalog_embedding_get(lib->cat, model->id, id, model->dim, &vector, err);
        if (rc == 0)
            lib->half.to_float(x + i * dim, vector, dim);
    }
    catalog_rollback(lib->cat);
    return rc;
}

static int learn(struct library *lib, const struct library_suggesting *s, struct tagger **out,
                 struct err *err)
{
    static const char *const label = LABEL;
    struct library_model     model;
    struct tagger_background background = {.n = 0};
    struct lesson            lesson     = {.folds = 0};
    size_t                   n          = s->n_like + s->n_unlike;
    int                      rc         = library_model_active(lib, &model, err);
    if (rc)
        return rc;
    float *x      = mem_array(n * (size_t)model.dim, sizeof *x);
    int   *labels = mem_array(n, sizeof *labels);
    if (!x || !labels)
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu examples", n);
    if (!rc)
        rc = take_examples(lib, &model, s, x, labels, err);
    if (!rc)
        rc = library_background_embeddings(lib, (float **)&background.x, &background.n, err);
    if (!rc) {
        const struct lesson_examples e = {.x          = x,
                                          .labels     = labels,
                                          .n          = n,
                                          .dim        = (size_t)model.dim,
                                          .n_labels   = 1,
                                          .background = &background};
        rc                             = lesson_learn(&e, s->threads, &lesson, err);
    }
    if (!rc)
        rc = tagger_new(&label, &lesson.rows, s->min_score, 1, out, err);
    lesson_release(&lesson);
    free((float *)(uintptr_t)background.x);
    free(x);
    free(labels);
    return rc;
}

int library_suggest(struct library *lib, const struct library_suggesting *s,
                    struct library_suggestion **out, size_t *n, struct err *err)
{
    struct tagger           *tagger = NULL;
    struct library_tag_tally tally;
    struct library_stats     stats;
    struct best              best = {.s = s, .list = mem_array(s->limit + 1, sizeof *best.list)};
    int                      rc   = best.list ? learn(lib, s, &tagger, err)
                                              : err_set(err, ERR_NOMEM, "out of memory for %zu suggestions", s->limit);
    if (!rc)
        rc = library_stats(lib, &stats, err);
    if (!rc) {
        best.images                      = stats.images;
        const struct library_tagging job = {
            .tagger = tagger, .dry_run = true, .tell = tell, .ctx = &best};
        rc = library_tag(lib, &job, &tally, err);
    }
    tagger_free(tagger);
    if (rc) {
        free(best.list);
        return rc;
    }
    qsort(best.list, best.n, sizeof *best.list, by_rank);
    *out = best.list;
    *n   = best.n;
    return 0;
}
