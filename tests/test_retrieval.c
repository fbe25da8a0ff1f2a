/* Unit tests of core/learn/retrieval and bootstrap: figures by hand, ranks against
 * a slow reference, second scores, and intervals. */
#include "learn/retrieval.h"

#include "base/splitmix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Three pictures on the axes, two captions each; one caption lies nearer to a
 * wrong picture. */
static void metrics_equal_those_by_hand(void **state)
{
    (void)state;
    const float images[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const float texts[]  = {
         0.9f, 0.1f, 0,    /* picture 0: rank 1 */
         0.2f, 0.9f, 0,    /* picture 0: rank 2 */
         0,    0.8f, 0.1f, /* picture 1: rank 1 */
         0,    0.7f, 0.2f, /* picture 1: rank 1 */
         0.5f, 0.4f, 0.3f, /* picture 2: rank 3 */
         0.1f, 0,    0.6f, /* picture 2: rank 1 */
    };
    const int                image_of[] = {0, 0, 1, 1, 2, 2};
    struct retrieval_metrics t2i, i2t;
    struct err               err = ERR_INIT;
    assert_int_equal(retrieval_evaluate(images, 3, texts, 6, image_of, 3, 1, 1, &t2i, &i2t, &err),
                     0);
    assert_int_equal(t2i.n, 6);
    assert_float_equal(t2i.r1, 100.0 * 4 / 6, 1e-9);
    assert_float_equal(t2i.r5, 100.0, 1e-9);
    assert_float_equal(t2i.median_rank, 1, 1e-9);
    assert_float_equal(t2i.map, (4 + 0.5 + 1.0 / 3) / 6, 1e-9);
    assert_true(t2i.r1_ci.low <= t2i.r1 && t2i.r1 <= t2i.r1_ci.high);
    /* Image to text: picture 0 sees its captions at ranks 1 and 3, picture 1 at
     * 2 and 3 (0.9 of a wrong one is first), picture 2 at 1 and 2. */
    assert_int_equal(i2t.n, 3);
    assert_float_equal(i2t.r1, 100.0 * 2 / 3, 1e-9);
    assert_float_equal(i2t.map, ((1 + 2.0 / 3) / 2 + (1.0 / 2 + 2.0 / 3) / 2 + 1) / 3, 1e-9);
}

static void intervals_narrow_with_more_pictures(void **state)
{
    (void)state;
    enum { N = 400, WIDE = 8 };
    float *images   = calloc(N * WIDE, sizeof *images);
    float *texts    = calloc(N * WIDE, sizeof *texts);
    int   *image_of = calloc(N, sizeof *image_of);
    for (int i = 0; i < N; i++) {
        for (int d = 0; d < WIDE; d++) {
            images[i * WIDE + d] = (float)((i * 7919 + d * 104729) % 1009) / 1009 - 0.5f;
            texts[i * WIDE + d] =
                images[i * WIDE + d] + (float)((i * 31 + d * 17) % 101) / 101 - 0.5f;
        }
        image_of[i] = i;
    }
    struct retrieval_metrics few, many, i2t, again;
    struct err               err = ERR_INIT;
    assert_int_equal(
        retrieval_evaluate(images, 40, texts, 40, image_of, WIDE, 1, 1, &few, &i2t, &err), 0);
    assert_int_equal(
        retrieval_evaluate(images, N, texts, N, image_of, WIDE, 1, 2, &many, &i2t, &err), 0);
    assert_int_equal(
        retrieval_evaluate(images, N, texts, N, image_of, WIDE, 1, 1, &again, &i2t, &err), 0);
    assert_true(few.r1_ci.high - few.r1_ci.low > many.r1_ci.high - many.r1_ci.low);
    assert_float_equal(many.r10_ci.low, again.r10_ci.low, 0);
    assert_true(many.r1 < many.r5 && many.r5 < many.r10);
    free(images);
    free(texts);
    free(image_of);
}

/* ---- A task of any shape, against counting by the definition ---- */

enum { QUERIES = 37, ITEMS = 53, GROUPS = 7, DIM = 5 };

struct fixture {
    float                 queries[ITEMS * DIM], items[ITEMS * DIM];
    int                   query_group[ITEMS], item_group[ITEMS];
    struct retrieval_task task;
};

/* Coarse values, so that many scores are equal. */
static void fixture_init(struct fixture *f, uint64_t seed)
{
    for (int i = 0; i < ITEMS * DIM; i++) {
        f->queries[i] = (float)splitmix_below(&seed, 3) - 1;
        f->items[i]   = (float)splitmix_below(&seed, 3) - 1;
    }
    for (int i = 0; i < ITEMS; i++) {
        f->query_group[i] = (int)splitmix_below(&seed, GROUPS);
        f->item_group[i]  = (int)splitmix_below(&seed, GROUPS - 1); /* the last has none */
    }
    f->task = (struct retrieval_task){.queries     = f->queries,
                                      .n_queries   = QUERIES,
                                      .items       = f->items,
                                      .n_items     = ITEMS,
                                      .dim         = DIM,
                                      .query_group = f->query_group,
                                      .item_group  = f->item_group,
                                      .n_groups    = GROUPS};
}

static double score_of(const struct retrieval_task *t, size_t q, size_t i)
{
    double sum = 0;
    for (int d = 0; d < t->dim; d++)
        sum += (double)t->queries[q * (size_t)t->dim + (size_t)d] *
               t->items[i * (size_t)t->dim + (size_t)d];
    return sum;
}

static bool stands_before(const struct retrieval_task *t, size_t q, size_t a, size_t b)
{
    double x = score_of(t, q, a), y = score_of(t, q, b);
    return x > y || (x == y && a < b);
}

static void assert_rank_by_definition(const struct retrieval_task  *t,
                                      const struct retrieval_ranks *ranks, size_t q)
{
    int    best = 0, right = 0;
    double sum = 0;
    for (size_t i = 0; i < t->n_items; i++) {
        int rank = 1, right_before = 0;
        if (t->item_group[i] != t->query_group[q] || (t->without_self && i == q))
            continue;
        for (size_t j = 0; j < t->n_items; j++)
            if (stands_before(t, q, j, i) && !(t->without_self && j == q)) {
                rank++;
                right_before += t->item_group[j] == t->query_group[q];
            }
        best = best && best < rank ? best : rank;
        right++;
        sum += (double)(right_before + 1) / rank;
    }
    assert_int_equal(ranks->best[q], best);
    assert_float_equal(ranks->precision[q], (right ? sum / right : 0), 1e-6);
}

static void ranks_follow_the_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (int self = 0; self < 2; self++) {
            struct fixture         f;
            struct retrieval_ranks ranks;
            struct err             err = ERR_INIT;
            fixture_init(&f, seed);
            if (self) { /* the items ask */
                memcpy(f.queries, f.items, sizeof f.queries);
                memcpy(f.query_group, f.item_group, sizeof f.query_group);
                f.task.n_queries    = ITEMS;
                f.task.without_self = true;
            }
            assert_int_equal(retrieval_rank(&f.task, NULL, 1, &ranks, &err), 0);
            int answered = 0;
            for (size_t q = 0; q < f.task.n_queries; q++) {
                assert_rank_by_definition(&f.task, &ranks, q);
                answered += ranks.best[q] > 0;
            }
            struct retrieval_metrics m;
            assert_int_equal(retrieval_measure(&ranks, 1, &m, &err), 0);
            assert_int_equal(m.n, answered);
            if (!self)
                assert_true(answered < QUERIES); /* the group without items */
            assert_float_equal(m.r5, retrieval_recall(&ranks, 5), 1e-9);
            assert_float_equal(retrieval_recall(&ranks, ITEMS), 100, 0);
            retrieval_ranks_release(&ranks);
        }
}

static void lists_hold_the_best_in_order(void **state)
{
    (void)state;
    const size_t tops[] = {0, 1, 2, 7, ITEMS - 1, ITEMS, ITEMS + 9};
    for (size_t t = 0; t < sizeof tops / sizeof *tops; t++)
        for (int self = 0; self < 2; self++) {
            struct fixture         f;
            struct retrieval_lists lists;
            struct err             err = ERR_INIT;
            fixture_init(&f, 3);
            f.task.without_self = self;
            f.task.n_queries    = self ? ITEMS : QUERIES;
            assert_int_equal(retrieval_top(&f.task, tops[t], 1, &lists, &err), 0);
            size_t most = ITEMS - (size_t)self;
            assert_int_equal(lists.top, tops[t] < most ? tops[t] : most);
            for (size_t q = 0; q < lists.n; q++)
                for (size_t i = 0; i < lists.top; i++) {
                    size_t item = (size_t)lists.items[q * lists.top + i], before = 0;
                    for (size_t j = 0; j < ITEMS; j++)
                        before += stands_before(&f.task, q, j, item) && !(self && j == q);
                    assert_int_equal(before, i);
                    assert_float_equal(lists.scores[q * lists.top + i], score_of(&f.task, q, item),
                                       1e-5);
                }
            retrieval_lists_release(&lists);
        }
}

static void second_scores_move_the_listed_alone(void **state)
{
    (void)state;
    struct fixture         f;
    struct retrieval_lists lists;
    struct retrieval_ranks before, after;
    struct err             err = ERR_INIT;
    const int              top = 10;
    fixture_init(&f, 4);
    assert_int_equal(retrieval_rank(&f.task, NULL, 1, &before, &err), 0);
    assert_int_equal(retrieval_top(&f.task, (size_t)top, 1, &lists, &err), 0);
    assert_int_equal(retrieval_rank(&f.task, &lists, 1, &after, &err), 0);
    assert_memory_equal(before.best, after.best, QUERIES * sizeof *before.best);
    retrieval_ranks_release(&after);
    /* Turned round: rank r becomes top + 1 - r, what is beyond the top stands. */
    for (size_t i = 0; i < lists.n * lists.top; i++)
        lists.scores[i] = (float)(i % lists.top);
    assert_int_equal(retrieval_rank(&f.task, &lists, 1, &after, &err), 0);
    for (size_t q = 0; q < QUERIES; q++) {
        int last = 0;
        for (int i = 0; i < top; i++)
            if (f.item_group[lists.items[q * (size_t)top + (size_t)i]] == f.query_group[q])
                last = i + 1;
        assert_int_equal(after.best[q], last ? top + 1 - last : before.best[q]);
    }
    retrieval_ranks_release(&after);
    lists.scores[3] = NAN;
    assert_int_equal(retrieval_rank(&f.task, &lists, 1, &after, &err), ERR_FORMAT);
    retrieval_lists_release(&lists);
    retrieval_ranks_release(&before);
}

/* ---- Differences ---- */

static struct retrieval_ranks make_ranks(const int *best, int n)
{
    struct retrieval_ranks r = {.n          = (size_t)n,
                                .best       = calloc((size_t)n, sizeof *r.best),
                                .precision  = calloc((size_t)n, sizeof *r.precision),
                                .cluster    = calloc((size_t)n, sizeof *r.cluster),
                                .n_clusters = (size_t)n};
    for (int i = 0; i < n; i++) {
        r.best[i]      = best[i];
        r.precision[i] = 1.0 / best[i];
        r.cluster[i]   = i;
    }
    return r;
}

/* Of 400 queries half are easy and half hard, so that the recall itself is known
 * to some five points; but the second stage helps 20 and harms none. Unpaired
 * intervals overlap, the paired one is above 0. */
static void paired_differences_are_finer_than_intervals(void **state)
{
    (void)state;
    enum { N = 400 };
    int a[N], b[N];
    for (int i = 0; i < N; i++) {
        a[i] = i % 2 ? 1 : 12;
        b[i] = i % 20 == 0 ? 1 : a[i];
    }
    struct retrieval_ranks   before = make_ranks(a, N), after = make_ranks(b, N);
    struct retrieval_metrics m, n;
    struct retrieval_change  c;
    struct err               err = ERR_INIT;
    assert_int_equal(retrieval_measure(&before, 1, &m, &err), 0);
    assert_int_equal(retrieval_measure(&after, 1, &n, &err), 0);
    assert_int_equal(retrieval_compare(&before, &after, 1, &c, &err), 0);
    assert_true(m.r1_ci.high > n.r1_ci.low);
    assert_float_equal(c.r1, 5, 1e-9);
    assert_float_equal(c.r10, 5, 1e-9);
    assert_float_equal(c.map, (0.05 * (1 - 1.0 / 12)), 1e-6);
    assert_true(c.r1_ci.low > 2 && c.r1_ci.low < 5 && c.r1_ci.high > 5 && c.r1_ci.high < 8);
    /* The other way round it is the same with the other sign. */
    assert_int_equal(retrieval_compare(&after, &before, 1, &c, &err), 0);
    assert_float_equal(c.r1, -5, 1e-9);
    assert_true(c.r1_ci.high < 0);
    /* With itself there is no difference. */
    assert_int_equal(retrieval_compare(&before, &before, 1, &c, &err), 0);
    assert_true(c.r1 == 0 && c.r1_ci.low == 0 && c.r1_ci.high == 0);
    after.n--;
    assert_int_equal(retrieval_compare(&before, &after, 1, &c, &err), ERR_USAGE);
    retrieval_ranks_release(&before);
    retrieval_ranks_release(&after);
}

/* ---- Intervals ---- */

static void clusters_widen_intervals(void **state)
{
    (void)state;
    enum { N = 1000 };
    double          values[N];
    int             cluster[N];
    struct interval single, clustered;
    struct err      err  = ERR_INIT;
    uint64_t        seed = 9;
    for (int i = 0; i < N; i++) { /* ten alike in each cluster */
        values[i]  = i % 10 ? values[i - 1] : splitmix_unit(&seed) < 0.5;
        cluster[i] = i / 10;
    }
    assert_int_equal(bootstrap_mean(values, NULL, N, N, 1, &single, &err), 0);
    assert_int_equal(bootstrap_mean(values, cluster, N, N / 10, 1, &clustered, &err), 0);
    /* The binomial's: 1.96 * 2 * 0.5 / sqrt(1000) and / sqrt(100). */
    assert_float_equal((single.high - single.low), 0.062, 0.01);
    assert_float_equal((clustered.high - clustered.low), 0.196, 0.03);
    for (int i = 1; i < N; i++)
        values[i] = NAN;
    values[0] = 3;
    assert_int_equal(bootstrap_mean(values, cluster, N, N / 10, 1, &single, &err), 0);
    assert_true(single.low == 3 && single.high == 3);
    assert_int_equal(bootstrap_mean(NULL, NULL, 0, 0, 1, &single, &err), 0);
    assert_true(single.low == 0 && single.high == 0);
}

static void senseless_tasks_are_errors(void **state)
{
    (void)state;
    struct fixture         f;
    struct retrieval_ranks ranks;
    struct err             err = ERR_INIT;
    fixture_init(&f, 1);
    f.queries[7] = NAN;
    assert_int_equal(retrieval_rank(&f.task, NULL, 1, &ranks, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "query 1"));
    fixture_init(&f, 1);
    f.task.n_items = 0;
    assert_int_equal(retrieval_rank(&f.task, NULL, 1, &ranks, &err), ERR_USAGE);
    fixture_init(&f, 1);
    f.task.without_self = true; /* 37 queries are not 53 items */
    assert_int_equal(retrieval_rank(&f.task, NULL, 1, &ranks, &err), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_equal_those_by_hand),
        cmocka_unit_test(intervals_narrow_with_more_pictures),
        cmocka_unit_test(ranks_follow_the_definition),
        cmocka_unit_test(lists_hold_the_best_in_order),
        cmocka_unit_test(second_scores_move_the_listed_alone),
        cmocka_unit_test(paired_differences_are_finer_than_intervals),
        cmocka_unit_test(clusters_widen_intervals),
        cmocka_unit_test(senseless_tasks_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
