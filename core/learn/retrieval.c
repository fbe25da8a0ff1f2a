/* How well a space retrieves: see retrieval.h. Scores are made in chunks of
 * queries; of a chunk either the best items are kept, or the right ones' ranks. */
#include "learn/retrieval.h"

#include "base/mem.h"
#include "learn/losses.h"
#include "nn/gemm.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK        256                /* queries scored at a time, at most */
#define CHUNK_SCORES ((size_t)16 << 20) /* and scores */

static int group_of(const int *groups, size_t i)
{
    return groups ? groups[i] : (int)i;
}

static int check_finite(const float *rows, size_t n, int dim, const char *what, struct err *err)
{
    for (size_t i = 0; i < n * (size_t)dim; i++)
        if (!isfinite(rows[i]))
            return err_set(err, ERR_FORMAT, "the embedding of %s %zu is not finite", what,
                           i / (size_t)dim);
    return 0;
}

static int check_task(const struct retrieval_task *t, struct err *err)
{
    if (t->n_queries == 0 || t->n_items == 0 || t->n_queries > INT_MAX || t->n_items > INT_MAX)
        return err_set(err, ERR_USAGE, "cannot evaluate %zu queries with %zu items", t->n_queries,
                       t->n_items);
    int rc = check_finite(t->queries, t->n_queries, t->dim, "query", err);
    if (!rc)
        rc = check_finite(t->items, t->n_items, t->dim, "item", err);
    if (rc)
        return rc;
    if (t->without_self && t->n_queries != t->n_items)
        return err_set(err, ERR_USAGE, "cannot leave out %zu queries among %zu items", t->n_queries,
                       t->n_items);
    return 0;
}

/* ---- Scores, a chunk of queries at a time ---- */

struct scorer {
    const struct retrieval_task *task;
    int                          threads;
    float                       *packed;  /* the items; NULL for sums of differences */
    struct compute              *compute; /* for these, or NULL */
    float                       *scores;  /* (chunk, n_items) */
    size_t                       chunk;
    gemm_kernel                  kernel;
};

static int scorer_init(struct scorer *s, const struct retrieval_task *task, int threads,
                       struct err *err)
{
    size_t chunk = CHUNK_SCORES / task->n_items;
    *s           = (struct scorer){.task    = task,
                                   .threads = threads,
                                   .chunk   = chunk < 1       ? 1
                                              : chunk > CHUNK ? CHUNK
                                                              : chunk,
                                   .kernel  = gemm_kernel_for(cpu_detect())};
    s->scores    = mem_aligned(s->chunk * task->n_items, sizeof *s->scores);
    if (task->distance == DISTANCE_MANHATTAN) {
        int rc = compute_new(cpu_detect(), threads, &s->compute, err);
        if (rc)
            return rc;
    } else {
        s->packed = mem_aligned(gemm_packed_size((int)task->n_items, task->dim), sizeof *s->packed);
    }
    if (!s->scores || (!s->packed && !s->compute))
        return err_set(err, ERR_NOMEM, "out of memory for %zu scores", s->chunk * task->n_items);
    if (s->packed)
        gemm_pack(task->items, (int)task->n_items, task->dim, s->packed);
    return 0;
}

static void scorer_release(struct scorer *s)
{
    compute_free(s->compute);
    free(s->packed);
    free(s->scores);
}

/* Scores queries from q0 on; returns how many. */
static size_t scorer_run(const struct scorer *s, size_t q0)
{
    const struct retrieval_task *t    = s->task;
    size_t                       left = t->n_queries - q0;
    size_t                       n    = left < s->chunk ? left : s->chunk;
    struct gemm                  g    = {.m   = (int)n,
                                         .n   = (int)t->n_items,
                                         .k   = t->dim,
                                         .a   = t->queries + q0 * (size_t)t->dim,
                                         .lda = t->dim,
                                         .w   = s->packed,
                                         .c   = s->scores,
                                         .ldc = (int)t->n_items};
    const struct loss_sets_f32   sets = {
          .a = g.a, .b = t->items, .na = g.m, .nb = g.n, .dim = t->dim};
    if (s->compute)
        similarity_forward_f32(s->compute, DISTANCE_MANHATTAN, &sets, s->scores);
    else
        gemm_run(s->kernel, &g, s->threads);
    for (size_t i = 0; t->without_self && i < n; i++)
        s->scores[i * t->n_items + q0 + i] = -INFINITY;
    return n;
}

/* ---- The best items ---- */

/* An item, its score, and its place where scores are equal. */
struct scored {
    float score;
    int   item, place;
};

static int best_first(const void *a, const void *b)
{
    const struct scored *x = a;
    const struct scored *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Sinks the worst of a heap to its place: the worst stands on top. */
static void sink(struct scored *heap, size_t n, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && best_first(&heap[child], &heap[child + 1]) < 0)
            child++;
        if (best_first(&heap[at], &heap[child]) >= 0)
            return;
        struct scored moved = heap[at];
        heap[at]            = heap[child];
        heap[child]         = moved;
    }
}

/* heap: (top), scratch. */
static void list_best(const float *scores, size_t n_items, size_t top, struct scored *heap,
                      int *items, float *out)
{
    for (size_t i = 0; i < n_items; i++) {
        struct scored one = {scores[i], (int)i, (int)i};
        if (i < top) {
            heap[i] = one;
            for (size_t at = i + 1 == top ? top / 2 : 0; at-- > 0;)
                sink(heap, top, at);
        } else if (best_first(&one, &heap[0]) < 0) {
            heap[0] = one;
            sink(heap, top, 0);
        }
    }
    qsort(heap, top, sizeof *heap, best_first);
    for (size_t i = 0; i < top; i++) {
        items[i] = heap[i].item;
        out[i]   = heap[i].score;
    }
}

int retrieval_top(const struct retrieval_task *task, size_t top, int threads,
                  struct retrieval_lists *out, struct err *err)
{
    struct retrieval_lists made = {0};
    struct scorer          s    = {0};
    struct scored         *heap = NULL;
    int                    rc   = check_task(task, err);
    if (rc)
        return rc;
    size_t others = task->n_items - (task->without_self ? 1 : 0), cells;
    made.n        = task->n_queries;
    made.top      = top < others ? top : others;
    if (!size_mul(made.n, made.top, &cells))
        return err_set(err, ERR_LIMIT, "lists of %zu items are too long", made.top);
    rc          = scorer_init(&s, task, threads, err);
    made.items  = mem_array(cells, sizeof *made.items);
    made.scores = mem_array(cells, sizeof *made.scores);
    heap        = mem_array(made.top, sizeof *heap);
    if (!rc && (!made.items || !made.scores || !heap))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu lists of %zu items", made.n, made.top);
    for (size_t q0 = 0, n; !rc && made.top > 0 && q0 < made.n; q0 += n) {
        n = scorer_run(&s, q0);
        for (size_t i = 0; i < n; i++)
            list_best(s.scores + i * task->n_items, task->n_items, made.top, heap,
                      made.items + (q0 + i) * made.top, made.scores + (q0 + i) * made.top);
    }
    scorer_release(&s);
    free(heap);
    if (rc)
        retrieval_lists_release(&made);
    else
        *out = made;
    return rc;
}

void retrieval_lists_release(struct retrieval_lists *lists)
{
    if (!lists)
        return;
    free(lists->items);
    free(lists->scores);
    *lists = (struct retrieval_lists){0};
}

/* ---- The right items' ranks ---- */

struct ranker {
    int           *first; /* (n_groups + 1) where a group's items begin in list */
    int           *list;  /* (n_items) */
    struct scored *right; /* (n_items) of one query */
    int           *ranks; /* (n_items) of these */
    struct scored *again; /* (top) a list, sorted anew */
    int           *place; /* (n_items) in the list, from 1; 0 */
};

static int ranker_init(struct ranker *r, const struct retrieval_task *t, size_t top,
                       struct err *err)
{
    r->first = mem_zeroed(t->n_groups + 2, sizeof *r->first);
    r->list  = mem_array(t->n_items, sizeof *r->list);
    r->right = mem_array(t->n_items, sizeof *r->right);
    r->ranks = mem_array(t->n_items + 1, sizeof *r->ranks);
    r->again = mem_array(top, sizeof *r->again);
    r->place = mem_zeroed(t->n_items, sizeof *r->place);
    if (!r->first || !r->list || !r->right || !r->ranks || !r->again || !r->place)
        return err_set(err, ERR_NOMEM, "out of memory for %zu items", t->n_items);
    /* A counting sort, one entry shifted: first[g + 1] is where g's next item goes. */
    for (size_t i = 0; i < t->n_items; i++)
        r->first[group_of(t->item_group, i) + 2]++;
    for (size_t g = 0; g < t->n_groups; g++)
        r->first[g + 2] += r->first[g + 1];
    for (size_t i = 0; i < t->n_items; i++)
        r->list[r->first[group_of(t->item_group, i) + 1]++] = (int)i;
    return 0;
}

static void ranker_release(struct ranker *r)
{
    free(r->first);
    free(r->list);
    free(r->right);
    free(r->ranks);
    free(r->again);
    free(r->place);
}

/* ranks: those of the right items, which are sorted best first. For each item the
 * first right one that it beats is found; the sums of these counts are the ranks. */
static void rank_right(const float *scores, size_t n_items, const struct scored *right,
                       size_t n_right, int *ranks)
{
    memset(ranks, 0, (n_right + 1) * sizeof *ranks);
    for (size_t i = 0; i < n_items; i++) {
        struct scored one = {scores[i], (int)i, (int)i};
        size_t        low = 0, high = n_right;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (best_first(&one, &right[middle]) < 0)
                high = middle;
            else
                low = middle + 1;
        }
        ranks[low]++;
    }
    for (size_t r = 1; r < n_right; r++)
        ranks[r] += ranks[r - 1];
    for (size_t r = 0; r < n_right; r++)
        ranks[r]++;
}

static int by_rank(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Gives the right items in a list the ranks that its scores make; those of the
 * others stand. */
static int rank_again(struct ranker *r, const struct retrieval_lists *lists, size_t query,
                      size_t n_right, struct err *err)
{
    const int   *items  = lists->items + query * lists->top;
    const float *scores = lists->scores + query * lists->top;
    for (size_t i = 0; i < lists->top; i++) {
        if (isnan(scores[i]))
            return err_set(err, ERR_FORMAT, "the second score of query %zu, item %d, is no number",
                           query, items[i]);
        r->again[i] = (struct scored){scores[i], items[i], (int)i};
    }
    qsort(r->again, lists->top, sizeof *r->again, best_first);
    for (size_t i = 0; i < lists->top; i++)
        r->place[r->again[i].item] = (int)i + 1;
    for (size_t i = 0; i < n_right; i++)
        if (r->place[r->right[i].item])
            r->ranks[i] = r->place[r->right[i].item];
    for (size_t i = 0; i < lists->top; i++)
        r->place[r->again[i].item] = 0;
    qsort(r->ranks, n_right, sizeof *r->ranks, by_rank);
    return 0;
}

static int rank_query(struct ranker *r, const struct retrieval_task *t,
                      const struct retrieval_lists *lists, size_t query, const float *scores,
                      struct retrieval_ranks *out, struct err *err)
{
    int    group = group_of(t->query_group, query), rc = 0;
    size_t n_right = 0;
    for (int i = r->first[group]; i < r->first[group + 1]; i++) {
        int item = r->list[i];
        if (!t->without_self || (size_t)item != query)
            r->right[n_right++] = (struct scored){scores[item], item, item};
    }
    out->best[query]      = 0;
    out->precision[query] = 0;
    if (n_right == 0)
        return 0;
    qsort(r->right, n_right, sizeof *r->right, best_first);
    rank_right(scores, t->n_items, r->right, n_right, r->ranks);
    if (lists)
        rc = rank_again(r, lists, query, n_right, err);
    double sum = 0;
    for (size_t i = 0; i < n_right; i++)
        sum += (double)(i + 1) / r->ranks[i];
    out->best[query]      = r->ranks[0];
    out->precision[query] = sum / (double)n_right;
    return rc;
}

static int ranks_init(struct retrieval_ranks *ranks, const struct retrieval_task *t,
                      struct err *err)
{
    *ranks            = (struct retrieval_ranks){.n = t->n_queries};
    ranks->best       = mem_array(t->n_queries, sizeof *ranks->best);
    ranks->precision  = mem_array(t->n_queries, sizeof *ranks->precision);
    ranks->cluster    = mem_array(t->n_queries, sizeof *ranks->cluster);
    ranks->n_clusters = t->draw_queries ? t->n_queries : t->n_groups;
    if (!ranks->best || !ranks->precision || !ranks->cluster)
        return err_set(err, ERR_NOMEM, "out of memory for %zu queries", t->n_queries);
    for (size_t q = 0; q < t->n_queries; q++)
        ranks->cluster[q] = t->draw_queries ? (int)q : group_of(t->query_group, q);
    return 0;
}

int retrieval_rank(const struct retrieval_task *task, const struct retrieval_lists *lists,
                   int threads, struct retrieval_ranks *out, struct err *err)
{
    struct retrieval_ranks made = {0};
    struct ranker          r    = {0};
    struct scorer          s    = {0};
    int                    rc   = check_task(task, err);
    if (!rc && lists && lists->n != task->n_queries)
        rc = err_set(err, ERR_USAGE, "there are %zu lists for %zu queries", lists->n,
                     task->n_queries);
    if (rc)
        return rc;
    rc = ranks_init(&made, task, err);
    if (!rc)
        rc = ranker_init(&r, task, lists ? lists->top : 0, err);
    if (!rc)
        rc = scorer_init(&s, task, threads, err);
    for (size_t q0 = 0, n; !rc && q0 < task->n_queries; q0 += n) {
        n = scorer_run(&s, q0);
        for (size_t i = 0; !rc && i < n; i++)
            rc = rank_query(&r, task, lists, q0 + i, s.scores + i * task->n_items, &made, err);
    }
    scorer_release(&s);
    ranker_release(&r);
    if (rc)
        retrieval_ranks_release(&made);
    else
        *out = made;
    return rc;
}

void retrieval_ranks_release(struct retrieval_ranks *ranks)
{
    if (!ranks)
        return;
    free(ranks->best);
    free(ranks->precision);
    free(ranks->cluster);
    *ranks = (struct retrieval_ranks){0};
}

/* ---- Tasks ---- */

struct retrieval_task retrieval_texts_to_images(const float *images, size_t n_images,
                                                const float *texts, size_t n_texts,
                                                const int *image_of, int dim)
{
    return (struct retrieval_task){.queries     = texts,
                                   .n_queries   = n_texts,
                                   .items       = images,
                                   .n_items     = n_images,
                                   .dim         = dim,
                                   .query_group = image_of,
                                   .n_groups    = n_images};
}

struct retrieval_task retrieval_images_to_texts(const float *images, size_t n_images,
                                                const float *texts, size_t n_texts,
                                                const int *image_of, int dim)
{
    return (struct retrieval_task){.queries    = images,
                                   .n_queries  = n_images,
                                   .items      = texts,
                                   .n_items    = n_texts,
                                   .dim        = dim,
                                   .item_group = image_of,
                                   .n_groups   = n_images};
}

static int measure_task(const struct retrieval_task *task, uint64_t seed, int threads,
                        struct retrieval_metrics *out, struct err *err)
{
    struct retrieval_ranks ranks = {0};
    int                    rc    = retrieval_rank(task, NULL, threads, &ranks, err);
    if (!rc)
        rc = retrieval_measure(&ranks, seed, out, err);
    retrieval_ranks_release(&ranks);
    return rc;
}

int retrieval_evaluate(const float *images, size_t n_images, const float *texts, size_t n_texts,
                       const int *image_of, int dim, uint64_t seed, int threads,
                       struct retrieval_metrics *t2i, struct retrieval_metrics *i2t,
                       struct err *err)
{
    struct retrieval_task from_text =
        retrieval_texts_to_images(images, n_images, texts, n_texts, image_of, dim);
    struct retrieval_task from_image =
        retrieval_images_to_texts(images, n_images, texts, n_texts, image_of, dim);
    int rc = measure_task(&from_text, seed, threads, t2i, err);
    return rc ? rc : measure_task(&from_image, seed, threads, i2t, err);
}
