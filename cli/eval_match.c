/* How well matches tell captions whose picture is there from those whose picture is
 * not: each caption is asked twice, of all pictures and of all but its own.
 *
 * The background is spread over the pictures as a library's is, without the caption's
 * own when that is left out.
 */
#include "cli/eval_match.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "storage/library_match.h"

#include <stdlib.h>
#include <string.h>

#define KEPT 0.9

/* What is known of the task's queries. */
struct asked {
    const struct retrieval_task *task;
    struct retrieval_lists       best;       /* the two best pictures of each */
    struct retrieval_lists       background; /* all of the sample, each */
    const int                   *sampled;    /* (n) pictures */
    size_t                       n;
    double                       spread;
};

static int group_of(const int *groups, int i)
{
    return groups ? groups[i] : i;
}

/* The match of a query's first result among all pictures, or those that are not right;
 * *right says whether it is. -1: unknown. */
static double first_match(const struct asked *a, size_t query, bool without, bool *right)
{
    const struct retrieval_task *task  = a->task;
    int                          group = group_of(task->query_group, (int)query);
    float                        closeness[LIBRARY_BACKGROUND];
    size_t                       n = 0;
    for (size_t i = 0; i < a->n; i++) {
        int item = a->sampled[a->background.items[query * a->n + i]];
        if (!without || group_of(task->item_group, item) != group)
            closeness[n++] = a->background.scores[query * a->n + i];
    }
    size_t at = query * a->best.top;
    *right    = group_of(task->item_group, a->best.items[at]) == group;
    if (without && *right)
        at++;
    struct library_match m =
        library_match_from(LIBRARY_QUERY_TEXT, task->distance, closeness, n, a->spread,
                           (int64_t)task->n_items - (without ? 1 : 0));
    return m.known ? library_match_of(&m, distance_score(task->distance, a->best.scores[at])) : -1;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percent of sorted values below a threshold. */
static double below(const double *sorted, size_t n, double threshold)
{
    size_t i = 0;
    while (i < n && sorted[i] < threshold)
        i++;
    return 100.0 * (double)i / (double)n;
}

static struct match_point point_at(const double *with, size_t n_with, const double *without,
                                   size_t n, double threshold)
{
    return (struct match_point){threshold, 100 - below(with, n_with, threshold),
                                below(without, n, threshold)};
}

static int tell(const struct asked *a, struct match_figures *out, struct err *err)
{
    size_t  n = a->task->n_queries, n_with = 0;
    double *with = mem_array(n, sizeof *with), *without = mem_array(n, sizeof *without);
    int     rc = with && without ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu matches", n);
    for (size_t i = 0; !rc && i < n; i++) {
        bool right;
        with[n_with] = first_match(a, i, false, &right);
        n_with += right && with[n_with] >= 0;
        without[i] = first_match(a, i, true, &right);
    }
    if (!rc && n_with > 0 && a->n > 0) {
        qsort(with, n_with, sizeof *with, ascending);
        qsort(without, n, sizeof *without, ascending);
        out->known = without[0] >= 0;
        out->at_kept =
            point_at(with, n_with, without, n, with[(size_t)((1 - KEPT) * (double)n_with)]);
        out->good = point_at(with, n_with, without, n, LIBRARY_GOOD_MATCH);
    }
    free(with);
    free(without);
    return rc;
}

/* The sample's rows (n, dim), and what the task's queries and the sentences are to them. */
static int ask(struct session *s, struct asked *a, const float *rows, struct err *err)
{
    struct retrieval_task  task      = *a->task;
    struct retrieval_lists reference = {0};
    float                 *sentences = NULL;
    size_t                 n         = 0;
    task.items                       = rows;
    task.n_items                     = a->n;
    int rc                           = retrieval_top(a->task, 2, parallel_cores(), &a->best, err);
    if (!rc)
        rc = retrieval_top(&task, a->n, parallel_cores(), &a->background, err);
    if (!rc)
        rc = library_match_sentences(s->enc, &sentences, &n, err);
    task.queries   = sentences;
    task.n_queries = n;
    if (!rc)
        rc = retrieval_top(&task, a->n, parallel_cores(), &reference, err);
    if (!rc)
        rc = library_match_spread(reference.scores, n, a->n, &a->spread, err);
    retrieval_lists_release(&reference);
    free(sentences);
    return rc;
}

int match_measure(struct session *s, const struct retrieval_task *task, struct match_figures *out,
                  struct err *err)
{
    struct asked a       = {.task = task};
    size_t       dim     = (size_t)task->dim;
    int         *sampled = NULL;
    float       *rows    = NULL;
    int          rc      = 0;
    *out                 = (struct match_figures){.known = false};
    if (task->n_items < 2 || task->n_queries == 0)
        return 0;
    a.n       = task->n_items < LIBRARY_BACKGROUND ? task->n_items : LIBRARY_BACKGROUND;
    sampled   = mem_array(a.n, sizeof *sampled);
    rows      = mem_array(a.n * dim, sizeof *rows);
    a.sampled = sampled;
    if (!sampled || !rows)
        rc = err_set(err, ERR_NOMEM, "out of memory for a background of %zu pictures", a.n);
    for (size_t i = 0; !rc && i < a.n; i++) {
        sampled[i] = (int)(i * task->n_items / a.n);
        memcpy(rows + i * dim, task->items + (size_t)sampled[i] * dim, dim * sizeof *rows);
    }
    if (!rc)
        rc = ask(s, &a, rows, err);
    if (!rc)
        rc = tell(&a, out, err);
    retrieval_lists_release(&a.best);
    retrieval_lists_release(&a.background);
    free(rows);
    free(sampled);
    return rc;
}
