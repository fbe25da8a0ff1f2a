/* What a re-ranker is worth on captioned pictures: see rerank_trial.h. */
#include "rerank/rerank_trial.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A picture that is to be scored with a caption, and where the score goes. */
struct pair {
    int    image;
    float *score;
};

struct pairs {
    const struct rerank_captioned *of;
    size_t                         n_texts, most; /* most: pairs of one caption */
    size_t                        *starts;        /* (n_texts + 1) caption i's pairs are those
                                                     from starts[i] on */
    struct pair                   *all;           /* (starts[n_texts]) */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
}

static size_t places(const struct retrieval_lists *lists)
{
    return lists->n * lists->top;
}

/* Sorts the places of both directions' lists by caption, so that each caption is
 * made ready once. */
static int pairs_collect(struct pairs *p, const struct rerank_trial *t, struct err *err)
{
    const struct retrieval_lists *t2i = &t->lists[RERANK_T2I], *i2t = &t->lists[RERANK_I2T];
    p->n_texts = t2i->n;
    p->starts  = mem_zeroed(p->n_texts + 2, sizeof *p->starts);
    p->all     = mem_array(places(t2i) + places(i2t) + 1, sizeof *p->all);
    if (!p->starts || !p->all)
        return no_memory(err);
    size_t *next = p->starts + 1; /* where the next pair of a caption goes */
    for (size_t i = 0; i < places(i2t); i++)
        next[i2t->items[i] + 1]++;
    for (size_t i = 1; i <= p->n_texts; i++) {
        size_t here = t2i->top + next[i];
        p->most     = here > p->most ? here : p->most;
        next[i]     = next[i - 1] + here;
    }
    for (size_t i = 0; i < places(t2i); i++)
        p->all[next[i / t2i->top]++] = (struct pair){t2i->items[i], &t->scores[RERANK_T2I][i]};
    for (size_t i = 0; i < places(i2t); i++)
        p->all[next[i2t->items[i]]++] =
            (struct pair){(int)(i / i2t->top), &t->scores[RERANK_I2T][i]};
    return 0;
}

/* kept, scores: (most), scratch. */
static int score_text(const struct pairs *p, size_t text, struct encoder_scratch *scratch,
                      const uint8_t **kept, float *scores, struct err *err)
{
    const struct rerank_captioned *of    = p->of;
    const struct pair             *pair  = p->all + p->starts[text];
    size_t                         bytes = reranker_info(of->reranker)->kept_bytes;
    size_t                         n     = p->starts[text + 1] - p->starts[text];
    struct reranker_query         *query = NULL;
    for (size_t i = 0; i < n; i++)
        kept[i] = of->kept + (size_t)pair[i].image * bytes;
    int rc = reranker_query_new(of->reranker, scratch, of->texts[text], &query, err);
    if (!rc)
        rc = reranker_score(of->reranker, query, kept, (int)n, 1, scores, err);
    for (size_t i = 0; i < n && !rc; i++)
        *pair[i].score = scores[i];
    reranker_query_free(query);
    return rc;
}

/* A caption a thread at a time. */
static int score_texts(const struct pairs *p, int threads, struct err *err)
{
    int        failed = 0;
    struct err first  = ERR_INIT;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        struct encoder_scratch *scratch = NULL;
        struct err              why     = ERR_INIT;
        const uint8_t         **kept    = mem_array(p->most + 1, sizeof *kept);
        float                  *scores  = mem_array(p->most + 1, sizeof *scores);
        int                     rc      = kept && scores ? 0 : no_memory(&why);
        if (!rc)
            rc = encoder_scratch_new(p->of->enc, 1, &scratch, &why);
#pragma omp for schedule(dynamic, 8)
        for (size_t i = 0; i < p->n_texts; i++) {
            if (!rc)
                rc = score_text(p, i, scratch, kept, scores, &why);
        }
        encoder_scratch_free(scratch);
        free(kept);
        free(scores);
        if (rc) {
#pragma omp critical
            {
                first  = failed ? first : why;
                failed = failed ? failed : rc;
            }
        }
    }
    return failed ? err_set(err, first.code, "%s", first.msg) : 0;
}

int rerank_trial_score(const struct rerank_captioned *of, const struct retrieval_task *task,
                       size_t top, int threads, struct rerank_trial *out, struct err *err)
{
    struct rerank_trial t  = {0};
    struct pairs        p  = {.of = of};
    int                 rc = 0;
    for (int d = 0; d < RERANK_DIRECTIONS && !rc; d++) {
        t.task[d] = task[d];
        rc        = retrieval_top(&task[d], top, threads, &t.lists[d], err);
        if (!rc && !(t.scores[d] = mem_zeroed(places(&t.lists[d]) + 1, sizeof(float))))
            rc = no_memory(err);
    }
    if (!rc)
        rc = pairs_collect(&p, &t, err);
    if (!rc)
        rc = score_texts(&p, threads < 1 ? 1 : threads, err);
    free(p.starts);
    free(p.all);
    if (rc)
        rerank_trial_release(&t);
    else
        *out = t;
    return rc;
}

void rerank_trial_release(struct rerank_trial *t)
{
    if (!t)
        return;
    for (int d = 0; d < RERANK_DIRECTIONS; d++) {
        retrieval_lists_release(&t->lists[d]);
        free(t->scores[d]);
    }
    *t = (struct rerank_trial){0};
}

int rerank_trial_rank(const struct rerank_trial *t, enum rerank_direction which, float weight,
                      int threads, struct retrieval_ranks *out, struct err *err)
{
    struct retrieval_lists mixed = t->lists[which];
    size_t                 n     = places(&mixed);
    mixed.scores                 = mem_array(n + 1, sizeof *mixed.scores);
    if (!mixed.scores)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        mixed.scores[i] = t->lists[which].scores[i] + weight * t->scores[which][i];
    int rc = retrieval_rank(&t->task[which], &mixed, threads, out, err);
    free(mixed.scores);
    return rc;
}
