/* Intervals of a mean by resampling: see bootstrap.h. */
#include "learn/bootstrap.h"

#include "base/mem.h"
#include "base/splitmix.h"

#include <math.h>
#include <stdlib.h>

#define RESAMPLES 1000

struct cluster {
    double sum;
    size_t n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, double p)
{
    return sorted[(size_t)(p * (double)(n - 1) + 0.5)];
}

/* Sums the values by cluster; returns how many clusters have any. */
static size_t gather(const double *values, const int *cluster, size_t n, size_t n_clusters,
                     struct cluster *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            continue;
        struct cluster *c = &out[cluster ? (size_t)cluster[i] : i];
        c->sum += values[i];
        c->n++;
    }
    for (size_t c = 0; c < n_clusters; c++)
        if (out[c].n)
            out[used++] = out[c];
    return used;
}

int bootstrap_mean(const double *values, const int *cluster, size_t n, size_t n_clusters,
                   uint64_t seed, struct interval *out, struct err *err)
{
    size_t          all      = cluster ? n_clusters : n;
    struct cluster *clusters = mem_zeroed(all, sizeof *clusters);
    double         *means    = mem_array(RESAMPLES, sizeof *means);
    int rc = clusters && means ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu clusters", all);
    size_t used = rc ? 0 : gather(values, cluster, n, all, clusters);
    *out        = (struct interval){0, 0};
    for (size_t s = 0; used > 0 && s < RESAMPLES; s++) {
        double sum   = 0;
        size_t drawn = 0;
        for (size_t i = 0; i < used; i++) {
            const struct cluster *c = &clusters[splitmix_below(&seed, used)];
            sum += c->sum;
            drawn += c->n;
        }
        means[s] = sum / (double)drawn;
    }
    if (used > 0) {
        qsort(means, RESAMPLES, sizeof *means, by_value);
        out->low  = percentile(means, RESAMPLES, 0.025);
        out->high = percentile(means, RESAMPLES, 0.975);
    }
    free(clusters);
    free(means);
    return rc;
}
