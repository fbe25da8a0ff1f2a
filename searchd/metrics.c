/* Counters and histograms: see metrics.h. */
#include "searchd/metrics.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SERIES 256

/* Upper bounds in milliseconds; written in seconds, as Prometheus wants them. */
static const double bounds[] = {0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000};
enum { N_BOUNDS = sizeof bounds / sizeof *bounds };

static const char *const stage_names[N_STAGES] = {"encode", "search", "catalogue",
                                                  "rerank", "decode", "request"};

struct histogram {
    atomic_ullong buckets[N_BOUNDS + 1];
    atomic_ullong micros; /* sum */
};

struct series {
    const char   *route; /* NULL: free */
    int           status;
    atomic_ullong count;
};

struct metrics {
    struct histogram stages[N_STAGES];
    pthread_mutex_t  lock; /* over taking a free series */
    struct series    series[MAX_SERIES];
    atomic_size_t    n_series;
    atomic_ullong    hits, misses, batches, batched;
};

int metrics_new(struct metrics **out, struct err *err)
{
    struct metrics *m = mem_zeroed(1, sizeof *m);
    if (!m)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    *out = m;
    return 0;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void metrics_observe(struct metrics *m, enum metrics_stage stage, double ms)
{
    struct histogram *h = &m->stages[stage];
    int               i = 0;
    while (i < N_BOUNDS && ms > bounds[i])
        i++;
    atomic_fetch_add(&h->buckets[i], 1);
    atomic_fetch_add(&h->micros, ms > 0 ? (unsigned long long)(ms * 1e3) : 0);
}

static struct series *find_series(struct metrics *m, const char *route, int status)
{
    size_t n = atomic_load(&m->n_series);
    for (size_t i = 0; i < n; i++)
        if (m->series[i].status == status && !strcmp(m->series[i].route, route))
            return &m->series[i];
    return NULL;
}

void metrics_reply(struct metrics *m, const char *route, int status)
{
    struct series *s = find_series(m, route, status);
    if (!s) {
        pthread_mutex_lock(&m->lock);
        s        = find_series(m, route, status);
        size_t n = atomic_load(&m->n_series);
        if (!s && n < MAX_SERIES) {
            s         = &m->series[n];
            s->route  = route;
            s->status = status;
            atomic_store(&m->n_series, n + 1);
        }
        pthread_mutex_unlock(&m->lock);
    }
    if (s)
        atomic_fetch_add(&s->count, 1);
}

void metrics_cache(struct metrics *m, int64_t hits, int64_t misses)
{
    atomic_fetch_add(&m->hits, (unsigned long long)hits);
    atomic_fetch_add(&m->misses, (unsigned long long)misses);
}

void metrics_batch(struct metrics *m, int texts)
{
    atomic_fetch_add(&m->batches, 1);
    atomic_fetch_add(&m->batched, (unsigned long long)texts);
}

static int write_stage(struct metrics *m, int stage, struct buf *out, struct err *err)
{
    struct histogram  *h    = &m->stages[stage];
    unsigned long long seen = 0;
    int                rc   = 0;
    for (int i = 0; i <= N_BOUNDS && !rc; i++) {
        char le[32] = "+Inf";
        seen += atomic_load(&h->buckets[i]);
        if (i < N_BOUNDS)
            snprintf(le, sizeof le, "%g", bounds[i] / 1e3);
        rc = buf_appendf(out, err, "osprey_stage_seconds_bucket{stage=\"%s\",le=\"%s\"} %llu\n",
                         stage_names[stage], le, seen);
    }
    if (!rc)
        rc = buf_appendf(out, err,
                         "osprey_stage_seconds_sum{stage=\"%s\"} %.6f\n"
                         "osprey_stage_seconds_count{stage=\"%s\"} %llu\n",
                         stage_names[stage], (double)atomic_load(&h->micros) / 1e6,
                         stage_names[stage], seen);
    return rc;
}

static int write_value(struct buf *out, const char *name, const char *kind, const char *help,
                       double value, struct err *err)
{
    return buf_appendf(out, err, "# HELP %s %s\n# TYPE %s %s\n%s %.10g\n", name, help, name, kind,
                       name, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
static int write_label(struct buf *out, const char *text, struct err *err)
{
    int rc = 0;
    for (; *text && !rc; text++) {
        if (*text == '\n')
            rc = buf_append_str(out, "\\n", err);
        else if (*text == '"' || *text == '\\')
            rc = buf_appendf(out, err, "\\%c", *text);
        else
            rc = buf_append(out, text, 1, err);
    }
    return rc;
}

static int write_libraries(struct buf *out, const struct metrics_library *libraries, size_t n,
                           struct err *err)
{
    static const char *const names[] = {"osprey_library_images", "osprey_library_errors",
                                        "osprey_library_generation"};
    int                      rc      = 0;
    for (int which = 0; which < 3 && !rc; which++) {
        rc = buf_appendf(out, err, "# TYPE %s gauge\n", names[which]);
        for (size_t i = 0; i < n && !rc; i++) {
            const struct metrics_library *l        = &libraries[i];
            const int64_t                 values[] = {l->images, l->errors, l->generation};
            rc = buf_appendf(out, err, "%s{library=\"", names[which]);
            if (!rc)
                rc = write_label(out, l->name, err);
            if (!rc)
                rc = buf_appendf(out, err, "\"} %lld\n", (long long)values[which]);
        }
    }
    return rc;
}

int metrics_write(struct metrics *m, const struct metrics_gauges *g,
                  const struct metrics_library *libraries, size_t n_libraries, struct buf *out,
                  struct err *err)
{
    int rc = buf_append_str(out,
                            "# HELP osprey_stage_seconds Time spent in a stage of requests.\n"
                            "# TYPE osprey_stage_seconds histogram\n",
                            err);
    for (int i = 0; i < N_STAGES && !rc; i++)
        rc = write_stage(m, i, out, err);
    if (!rc)
        rc = buf_append_str(out,
                            "# HELP osprey_replies_total Replies by route and status.\n"
                            "# TYPE osprey_replies_total counter\n",
                            err);
    size_t n = atomic_load(&m->n_series);
    for (size_t i = 0; i < n && !rc; i++)
        rc = buf_appendf(out, err, "osprey_replies_total{route=\"%s\",status=\"%d\"} %llu\n",
                         m->series[i].route, m->series[i].status,
                         (unsigned long long)atomic_load(&m->series[i].count));
    const struct {
        const char *name, *kind, *help;
        double      value;
    } values[] = {
        {"osprey_cache_hits_total", "counter", "Texts whose embedding was known.",
         (double)atomic_load(&m->hits)},
        {"osprey_cache_misses_total", "counter", "Texts that had to be encoded.",
         (double)atomic_load(&m->misses)},
        {"osprey_text_batches_total", "counter", "Batches of texts encoded.",
         (double)atomic_load(&m->batches)},
        {"osprey_text_batched_total", "counter", "Texts in those batches.",
         (double)atomic_load(&m->batched)},
        {"osprey_connections", "gauge", "Connections open.", (double)g->connections},
        {"osprey_requests_in_flight", "gauge", "Requests accepted, not answered.",
         (double)g->in_flight},
        {"osprey_requests_queued", "gauge", "Of those, waiting for a worker.", (double)g->queued},
        {"osprey_cached_texts", "gauge", "Texts whose embedding is kept.", (double)g->cached},
        {"osprey_uptime_seconds", "gauge", "Since the start.", g->uptime_s},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values && !rc; i++)
        rc = write_value(out, values[i].name, values[i].kind, values[i].help, values[i].value, err);
    return rc ? rc : write_libraries(out, libraries, n_libraries, err);
}
