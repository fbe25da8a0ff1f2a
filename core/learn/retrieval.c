/* How well a joint space retrieves: see retrieval.h. */
#include "learn/retrieval.h"

#include "base/mem.h"
#include "base/splitmix.h"
#include "nn/gemm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     256  /* queries scored at a time */
#define RESAMPLES 1000 /* of the bootstrap */

/* One direction: queries against items, and which items are right. */
struct direction {
    const float *queries; /* (n_queries, dim) */
    size_t       n_queries;
    const float *items; /* (n_items, dim) */
    size_t       n_items;
    const int   *group_of_query; /* picture that a query belongs to; NULL: itself */
    const int   *group_of_item;  /* likewise */
};

static int group_of(const int *groups, size_t i)
{
    return groups ? groups[i] : (int)i;
}

static int by_value(const void *a, const void *b)
{
    int x = *(const int *)a;
    int y = *(const int *)b;
    return (x > y) - (x < y);
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The ranks (from 1) of the n_right right items in one row of scores. */
static void rank_right_items(const float *scores, size_t n_items, const int *right, size_t n_right,
                             int *ranks)
{
    for (size_t r = 0; r < n_right; r++) {
        int   item  = right[r];
        float score = scores[item];
        int   rank  = 1;
        for (size_t i = 0; i < n_items; i++)
            rank += scores[i] > score || (scores[i] == score && i < (size_t)item);
        ranks[r] = rank;
    }
    qsort(ranks, n_right, sizeof *ranks, by_value);
}

/* first[g] .. first[g + 1]: where group g's items stand in list. */
static int list_items_by_group(const struct direction *d, size_t n_groups, int **first, int **list,
                               struct err *err)
{
    int *start = mem_zeroed(n_groups + 1, sizeof *start);
    int *fill  = mem_zeroed(n_groups + 1, sizeof *fill);
    int *items = mem_array(d->n_items, sizeof *items);
    if (!start || !fill || !items) {
        free(start);
        free(fill);
        free(items);
        return err_set(err, ERR_NOMEM, "out of memory for %zu items", d->n_items);
    }
    for (size_t i = 0; i < d->n_items; i++)
        start[group_of(d->group_of_item, i) + 1]++;
    for (size_t g = 0; g < n_groups; g++)
        start[g + 1] += start[g];
    for (size_t i = 0; i < d->n_items; i++) {
        int g                       = group_of(d->group_of_item, i);
        items[start[g] + fill[g]++] = (int)i;
    }
    free(fill);
    *first = start;
    *list  = items;
    return 0;
}

/* best: (n_queries) rank of the best right item; precision: (n_queries)
 * average precision. */
static int rank_queries(const struct direction *d, size_t n_groups, int dim, int threads, int *best,
                        double *precision, struct err *err)
{
    int        *first = NULL, *list = NULL;
    float      *packed = mem_aligned(gemm_packed_size((int)d->n_items, dim), sizeof *packed);
    float      *scores = mem_aligned((size_t)CHUNK * d->n_items, sizeof *scores);
    int        *ranks  = mem_array(d->n_items, sizeof *ranks);
    gemm_kernel kernel = gemm_kernel_for(cpu_detect());
    int rc = packed && scores && ranks ? list_items_by_group(d, n_groups, &first, &list, err)
                                       : err_set(err, ERR_NOMEM, "out of memory for %zu scores",
                                                 (size_t)CHUNK * d->n_items);
    if (rc)
        goto out;
    gemm_pack(d->items, (int)d->n_items, dim, packed);
    for (size_t q0 = 0; q0 < d->n_queries; q0 += CHUNK) {
        size_t      n = d->n_queries - q0 < CHUNK ? d->n_queries - q0 : CHUNK;
        struct gemm g = {.m   = (int)n,
                         .n   = (int)d->n_items,
                         .k   = dim,
                         .a   = d->queries + q0 * (size_t)dim,
                         .lda = dim,
                         .w   = packed,
                         .c   = scores,
                         .ldc = (int)d->n_items};
        gemm_run(kernel, &g, threads);
        for (size_t i = 0; i < n; i++) {
            int    group   = group_of(d->group_of_query, q0 + i);
            size_t n_right = (size_t)(first[group + 1] - first[group]);
            rank_right_items(scores + i * d->n_items, d->n_items, list + first[group], n_right,
                             ranks);
            best[q0 + i] = ranks[0];
            double sum   = 0;
            for (size_t r = 0; r < n_right; r++)
                sum += (double)(r + 1) / ranks[r];
            precision[q0 + i] = sum / (double)n_right;
        }
    }
out:
    free(packed);
    free(scores);
    free(ranks);
    free(first);
    free(list);
    return rc;
}

static double percentile(const double *sorted, size_t n, double p)
{
    return sorted[(size_t)(p * (double)(n - 1) + 0.5)];
}

/* The interval of a recall, from the hits and queries of each group. */
static int bootstrap(const int *hits, const int *queries, size_t n_groups, uint64_t seed,
                     struct retrieval_interval *out, struct err *err)
{
    double *samples = mem_array(RESAMPLES, sizeof *samples);
    if (!samples)
        return err_set(err, ERR_NOMEM, "out of memory for %d resamples", RESAMPLES);
    for (size_t s = 0; s < RESAMPLES; s++) {
        long hit = 0, all = 0;
        for (size_t g = 0; g < n_groups; g++) {
            size_t drawn = (size_t)splitmix_below(&seed, n_groups);
            hit += hits[drawn];
            all += queries[drawn];
        }
        samples[s] = all ? 100.0 * (double)hit / (double)all : 0;
    }
    qsort(samples, RESAMPLES, sizeof *samples, by_double);
    out->low  = percentile(samples, RESAMPLES, 0.025);
    out->high = percentile(samples, RESAMPLES, 0.975);
    free(samples);
    return 0;
}

static int recall_at(const struct direction *d, const int *best, int k, size_t n_groups,
                     uint64_t seed, double *recall, struct retrieval_interval *ci, struct err *err)
{
    int *hits    = mem_zeroed(n_groups, sizeof *hits);
    int *queries = mem_zeroed(n_groups, sizeof *queries);
    int  rc =
        hits && queries ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", n_groups);
    if (!rc) {
        long all = 0;
        for (size_t q = 0; q < d->n_queries; q++) {
            int group = group_of(d->group_of_query, q);
            hits[group] += best[q] <= k;
            all += best[q] <= k;
            queries[group]++;
        }
        *recall = 100.0 * (double)all / (double)d->n_queries;
        rc      = bootstrap(hits, queries, n_groups, seed, ci, err);
    }
    free(hits);
    free(queries);
    return rc;
}

static int evaluate(const struct direction *d, size_t n_groups, int dim, uint64_t seed, int threads,
                    struct retrieval_metrics *out, struct err *err)
{
    int    *best      = mem_array(d->n_queries, sizeof *best);
    double *precision = mem_array(d->n_queries, sizeof *precision);
    int     rc        = best && precision
                            ? rank_queries(d, n_groups, dim, threads, best, precision, err)
                            : err_set(err, ERR_NOMEM, "out of memory for %zu queries", d->n_queries);
    *out              = (struct retrieval_metrics){.n = d->n_queries};
    if (!rc)
        rc = recall_at(d, best, 1, n_groups, seed, &out->r1, &out->r1_ci, err);
    if (!rc)
        rc = recall_at(d, best, 5, n_groups, seed, &out->r5, &out->r5_ci, err);
    if (!rc)
        rc = recall_at(d, best, 10, n_groups, seed, &out->r10, &out->r10_ci, err);
    if (!rc) {
        for (size_t q = 0; q < d->n_queries; q++)
            out->map += precision[q] / (double)d->n_queries;
        qsort(best, d->n_queries, sizeof *best, by_value);
        size_t half      = d->n_queries / 2;
        out->median_rank = d->n_queries % 2 ? best[half] : (best[half - 1] + best[half]) / 2.0;
    }
    free(best);
    free(precision);
    return rc;
}

int retrieval_evaluate(const float *images, size_t n_images, const float *texts, size_t n_texts,
                       const int *image_of, int dim, uint64_t seed, int threads,
                       struct retrieval_metrics *t2i, struct retrieval_metrics *i2t,
                       struct err *err)
{
    if (n_images == 0 || n_texts == 0 || n_images > INT_MAX || n_texts > INT_MAX)
        return err_set(err, ERR_USAGE, "cannot evaluate %zu pictures with %zu captions", n_images,
                       n_texts);
    struct direction from_text  = {.queries        = texts,
                                   .n_queries      = n_texts,
                                   .items          = images,
                                   .n_items        = n_images,
                                   .group_of_query = image_of};
    struct direction from_image = {.queries       = images,
                                   .n_queries     = n_images,
                                   .items         = texts,
                                   .n_items       = n_texts,
                                   .group_of_item = image_of};
    int              rc         = evaluate(&from_text, n_images, dim, seed, threads, t2i, err);
    return rc ? rc : evaluate(&from_image, n_images, dim, seed, threads, i2t, err);
}
