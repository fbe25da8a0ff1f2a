/* From the ranks of queries to figures with intervals: see retrieval.h. */
#include "learn/retrieval.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static int by_rank(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    return (x > y) - (x < y);
}

/* 100 for a right item among the k best, 0 for none, NaN for a query without one. */
static double hit(const struct retrieval_ranks *ranks, size_t q, size_t k)
{
    if (ranks->best[q] == 0)
        return NAN;
    return (size_t)ranks->best[q] <= k ? 100 : 0;
}

/* k = 0 stands for the average precision. */
static double value_of(const struct retrieval_ranks *ranks, size_t q, size_t k)
{
    if (k > 0)
        return hit(ranks, q, k);
    return ranks->best[q] == 0 ? NAN : ranks->precision[q];
}

static double mean_of(const double *values, size_t n)
{
    double sum = 0;
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) {
            sum += values[i];
            all++;
        }
    return all ? sum / (double)all : 0;
}

double retrieval_recall(const struct retrieval_ranks *ranks, size_t k)
{
    size_t hits = 0, all = 0;
    for (size_t q = 0; q < ranks->n; q++) {
        hits += hit(ranks, q, k) > 0;
        all += ranks->best[q] > 0;
    }
    return all ? 100.0 * (double)hits / (double)all : 0;
}

/* The mean over queries of a value, less that of before (unless NULL), and its
 * interval. values: (n), scratch. */
static int measure(const struct retrieval_ranks *ranks, const struct retrieval_ranks *before,
                   size_t k, uint64_t seed, double *values, double *mean, struct interval *ci,
                   struct err *err)
{
    for (size_t q = 0; q < ranks->n; q++)
        values[q] = value_of(ranks, q, k) - (before ? value_of(before, q, k) : 0);
    *mean = mean_of(values, ranks->n);
    return bootstrap_mean(values, ranks->cluster, ranks->n, ranks->n_clusters, seed, ci, err);
}

static int median(const struct retrieval_ranks *ranks, struct retrieval_metrics *out,
                  struct err *err)
{
    int *sorted = mem_array(ranks->n, sizeof *sorted);
    if (!sorted)
        return err_set(err, ERR_NOMEM, "out of memory for %zu queries", ranks->n);
    for (size_t q = 0; q < ranks->n; q++)
        if (ranks->best[q] > 0)
            sorted[out->n++] = ranks->best[q];
    qsort(sorted, out->n, sizeof *sorted, by_rank);
    size_t half = out->n / 2;
    if (out->n > 0)
        out->median_rank = out->n % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2.0;
    free(sorted);
    return 0;
}

int retrieval_measure(const struct retrieval_ranks *ranks, uint64_t seed,
                      struct retrieval_metrics *out, struct err *err)
{
    double *values = mem_array(ranks->n, sizeof *values);
    *out           = (struct retrieval_metrics){0};
    int rc = values ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu queries", ranks->n);
    if (!rc)
        rc = measure(ranks, NULL, 1, seed, values, &out->r1, &out->r1_ci, err);
    if (!rc)
        rc = measure(ranks, NULL, 5, seed, values, &out->r5, &out->r5_ci, err);
    if (!rc)
        rc = measure(ranks, NULL, 10, seed, values, &out->r10, &out->r10_ci, err);
    if (!rc)
        rc = measure(ranks, NULL, 0, seed, values, &out->map, &out->map_ci, err);
    if (!rc)
        rc = median(ranks, out, err);
    free(values);
    return rc;
}

int retrieval_compare(const struct retrieval_ranks *before, const struct retrieval_ranks *after,
                      uint64_t seed, struct retrieval_change *out, struct err *err)
{
    if (before->n != after->n || before->n_clusters != after->n_clusters)
        return err_set(err, ERR_USAGE, "cannot compare the ranks of %zu queries with those of %zu",
                       before->n, after->n);
    double *values = mem_array(after->n, sizeof *values);
    int     rc = values ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu queries", after->n);
    *out       = (struct retrieval_change){0};
    if (!rc)
        rc = measure(after, before, 1, seed, values, &out->r1, &out->r1_ci, err);
    if (!rc)
        rc = measure(after, before, 5, seed, values, &out->r5, &out->r5_ci, err);
    if (!rc)
        rc = measure(after, before, 10, seed, values, &out->r10, &out->r10_ci, err);
    if (!rc)
        rc = measure(after, before, 0, seed, values, &out->map, &out->map_ci, err);
    free(values);
    return rc;
}
