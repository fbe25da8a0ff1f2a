/* The library at 1,000 to 1,000,000 images of 384 dimensions: what a commit of one
 * batch costs, how long a search takes cold and warm, how many of the true
 * nearest it finds, how much memory it needs, and what a filter that keeps one image
 * in a thousand makes of that.
 *
 *     bench_library [DIR [LARGEST [SMALLEST [DIMENSIONS]]]]
 *     bench_library --search LIBRARY DIMENSIONS QUERIES    one that it made: one JSON line
 *     bench_library --filters LIBRARY DIMENSIONS 0         likewise: filters alone
 *     bench_library --queries - DIMENSIONS QUERIES         those queries, as floats
 *
 * Vectors are synthetic: a thousand cluster centres, points at a cosine of about
 * 0.7 to their centre, queries drawn like the points. Commits into the smallest
 * and the largest library are interleaved and compared as medians.
 */
#include "base/splitmix.h"
#include "storage/library_impl.h"
#include "storage/library_tags.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_DIM 1024
#define CENTRES 1000
#define LOAD    512 /* images a transaction while filling */
#define BATCH   32  /* ... and when commits are timed */
#define COMMITS 60
#define QUERIES 100
#define RARE    1000 /* one image in so many has a camera and a tag of its own */

static int   dim = 384;
static float centres[CENTRES][MAX_DIM];

static void check(int rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "bench_library: %s\n", err->msg);
        exit(3);
    }
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void unit_noise(float *out, uint64_t seed)
{
    double   sum = 0;
    uint64_t s   = seed;
    for (int i = 0; i < dim; i += 2) {
        uint64_t r = splitmix_next(&s);
        out[i]     = (float)(int32_t)r * 0x1p-31f;
        out[i + 1] = (float)(int32_t)(r >> 32) * 0x1p-31f;
        sum += (double)(out[i] * out[i] + out[i + 1] * out[i + 1]);
    }
    float scale = (float)(1 / sqrt(sum));
    for (int i = 0; i < dim; i++)
        out[i] *= scale;
}

static void point(float *out, uint64_t seed)
{
    uint64_t     s      = seed ^ 0xabcdef;
    const float *centre = centres[splitmix_next(&s) % CENTRES];
    double       sum    = 0;
    unit_noise(out, seed);
    for (int i = 0; i < dim; i++) {
        out[i] += centre[i];
        sum += (double)(out[i] * out[i]);
    }
    float scale = (float)(1 / sqrt(sum));
    for (int i = 0; i < dim; i++)
        out[i] *= scale;
}

struct bench {
    struct library *lib;
    int64_t         model, folder, n;
};

static void bench_open(struct bench *b, const char *root, int64_t size)
{
    struct err           err   = ERR_INIT;
    struct library_model model = {.name = "bench", .dir = "/", .precision = "f32", .dim = dim};
    char                 dir[4096], *below = NULL;
    snprintf(dir, sizeof(dir), "%s/%lld", root, (long long)size);
    snprintf(model.hash, sizeof(model.hash), "bench");
    check(library_open(dir, LIBRARY_CREATE, &b->lib, &err), &err);
    check(library_model_register(b->lib, &model, &err), &err);
    check(library_model_activate(b->lib, model.id, &err), &err);
    check(library_folder_add(b->lib, "/bench", &b->folder, &below, &err), &err);
    free(below);
    b->model = model.id;
    b->n     = 0;
}

/* Returns milliseconds for the commit alone. */
static double commit(struct bench *b, size_t n)
{
    static float        embeddings[LOAD][MAX_DIM];
    static char         paths[LOAD][48];
    struct library_item items[LOAD];
    struct err          err = ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = (uint64_t)b->n++, s = id;
        point(embeddings[i], id + 1);
        snprintf(paths[i], sizeof(paths[i]), "%05llu/IMG_%08llu.jpg",
                 (unsigned long long)(id / 1000), (unsigned long long)id);
        items[i]         = (struct library_item){.folder_id   = b->folder,
                                                 .path        = paths[i],
                                                 .size        = 3000000,
                                                 .mtime_ns    = (int64_t)id,
                                                 .width       = 4000,
                                                 .height      = 3000,
                                                 .kind        = "JPEG",
                                                 .orientation = 1,
                                                 .camera      = id % RARE ? "Usual" : "Kestrel One",
                                                 .embedding   = embeddings[i]};
        uint64_t hash[2] = {splitmix_next(&s), splitmix_next(&s)};
        memcpy(items[i].hash, hash, sizeof(hash));
    }
    double t = now_ms();
    check(library_add(b->lib, b->model, items, n, &err), &err);
    return now_ms() - t;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

static long memory_kb(const char *field)
{
    char  line[256];
    long  kb = 0;
    FILE *f  = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, field, strlen(field)) == 0)
            kb = atol(line + strlen(field) + 1);
    if (f)
        fclose(f);
    return kb;
}

static double search_ms(struct library *lib, uint64_t seed, size_t k,
                        const struct library_filter *filter, struct library_hit **hits, size_t *n)
{
    struct err err = ERR_INIT;
    float      query[MAX_DIM];
    point(query, seed);
    double t = now_ms();
    check(library_search(lib, query, k, filter, hits, n, &err), &err);
    return now_ms() - t;
}

/* Of the ten truly nearest, how many are found: k beyond a quarter of the library
 * reads everything through. */
static double recall_at_10(struct bench *b, int queries)
{
    struct library_stats stats;
    struct err           err   = ERR_INIT;
    int                  found = 0;
    check(library_stats(b->lib, &stats, &err), &err);
    for (int q = 0; q < queries; q++) {
        struct library_hit *some, *all;
        size_t              n, m;
        search_ms(b->lib, 1u << 28 | (uint64_t)q, 10, NULL, &some, &n);
        search_ms(b->lib, 1u << 28 | (uint64_t)q, (size_t)stats.images / 3, NULL, &all, &m);
        for (size_t i = 0; i < 10; i++)
            for (size_t j = 0; j < n; j++)
                found += some[j].id == all[i].id;
        free(some);
        free(all);
    }
    return found / (10.0 * queries);
}

/* A process of its own: opens, searches once, says how long both took. */
static int cold(const char *dir)
{
    struct err          err = ERR_INIT;
    struct library     *lib;
    struct library_hit *hits;
    size_t              n;
    double              t = now_ms();
    check(library_open(dir, LIBRARY_EXISTING, &lib, &err), &err);
    search_ms(lib, 1u << 29, 10, NULL, &hits, &n);
    printf("%.2f\n", now_ms() - t);
    free(hits);
    library_close(lib);
    return 0;
}

static double cold_ms(const char *program, const char *dir)
{
    char   command[9000], line[64] = "0";
    double v[7];
    snprintf(command, sizeof(command), "'%s' --cold '%s' %d", program, dir, dim);
    for (int i = 0; i < 7; i++) {
        FILE *f = popen(command, "r");
        if (!f || !fgets(line, sizeof(line), f) || pclose(f) != 0)
            exit(3);
        v[i] = atof(line);
    }
    return median(v, 7);
}

/* Tags the rare ones; ids are given in the order in which images come. */
static void tag_rare(struct bench *b)
{
    struct err            err    = ERR_INIT;
    char                  text[] = "bird|kestrel";
    struct library_said   said   = {.text = text, .score = 0.9};
    struct library_saying sayings[LOAD];
    size_t                n = 0;
    for (int64_t id = 1; id <= b->n; id += RARE) {
        sayings[n++] = (struct library_saying){.image_id = id, .said = &said, .n = 1};
        if (n == LOAD || id + RARE > b->n) {
            check(library_tags_replace(b->lib, LIBRARY_OSPREY, sayings, n, NULL, &err), &err);
            n = 0;
        }
    }
}

/* A filtered search beside one without: as if another filter had been asked before it, and
 * as one of many with this filter; each with a query of its own, so that none finds what
 * another one had to fetch. And how many of the ten that are truly the best among those that
 * pass it finds, in the first `judged` queries: of a broad filter that reads everything. */
static void filtered(struct bench *b, const char *name, const struct library_filter *filter,
                     int judged)
{
    struct library_filter exact = *filter;
    double                without[QUERIES], first[QUERIES], again[QUERIES];
    size_t                found = 0, all = 0;
    uint64_t              seed = 1u << 27;
    exact.exact                = true;
    for (int q = -5; q < QUERIES; q++) { /* the first warm up */
        struct library_hit *hits, *best;
        size_t              n, k;
        int                 at = q < 0 ? 0 : q;
        without[at]            = search_ms(b->lib, seed++, 10, NULL, &hits, &n);
        free(hits);
        library_few_release(&b->lib->few);
        first[at] = search_ms(b->lib, seed++, 10, filter, &hits, &n);
        free(hits);
        search_ms(b->lib, seed++, 10, filter, &hits, &n); /* which keeps what passes */
        free(hits);
        again[at] = search_ms(b->lib, seed++, 10, filter, &hits, &n);
        if (q < judged) {
            search_ms(b->lib, seed - 1, 10, &exact, &best, &k);
            for (size_t i = 0; i < k; i++)
                for (size_t j = 0; j < n; j++)
                    found += hits[j].id == best[i].id;
            all += k;
            free(best);
        }
        free(hits);
    }
    double plain = median(without, QUERIES), one = median(first, QUERIES),
           more = median(again, QUERIES);
    printf("  %-24s  without %6.2f ms  with %6.2f ms (%.2f times), again %6.2f ms (%.2f times)"
           "  recall@10 %.3f\n",
           name, plain, one, one / plain, more, more / plain, (double)found / (double)all);
    fflush(stdout);
}

static void measure_filters(struct bench *b)
{
    const char *const tag = "bird";
    filtered(b, "1 in 1,000 by tag", &(struct library_filter){.tags = &tag, .n_tags = 1}, QUERIES);
    filtered(b, "1 in 1,000 by camera", &(struct library_filter){.camera = "kestrel"}, QUERIES);
    filtered(b, "all but those, by tag",
             &(struct library_filter){.not_tags = &tag, .n_not_tags = 1}, 3);
    filtered(b, "all but those, by camera", &(struct library_filter){.camera = "usual"}, 3);
}

static void measure(struct bench *b, const char *program)
{
    struct library_stats stats;
    struct err           err = ERR_INIT;
    double               v[QUERIES], t = now_ms();
    check(library_index_maintain(b->lib, true, &err), &err);
    double build = now_ms() - t;
    for (int q = 0; q < QUERIES; q++) {
        struct library_hit *hits;
        size_t              n;
        v[q] = search_ms(b->lib, 1u << 28 | (uint64_t)q, 10, NULL, &hits, &n);
        free(hits);
    }
    double warm = median(v, QUERIES);
    check(library_stats(b->lib, &stats, &err), &err);
    printf("%9lld images  %-4s  built in %7.1f s  search warm %6.2f ms (p95 %6.2f)  cold %6.2f ms"
           "  anonymous %ld MB",
           (long long)stats.images, stats.index_kind, build / 1e3, warm, v[QUERIES * 95 / 100],
           cold_ms(program, library_dir(b->lib)), memory_kb("RssAnon") / 1024);
    fflush(stdout);
    printf("  recall@10 %.3f\n", recall_at_10(b, b->n > 500000 ? 20 : 50));
    fflush(stdout);
}

static int write_queries(int queries)
{
    float query[MAX_DIM];
    for (int q = 0; q < queries; q++) {
        point(query, 1u << 28 | (uint64_t)q);
        if (fwrite(query, sizeof *query, (size_t)dim, stdout) != (size_t)dim)
            return 3;
    }
    return 0;
}

static int filters_alone(const char *dir)
{
    struct err   err = ERR_INIT;
    struct bench b   = {0};
    check(library_open(dir, LIBRARY_EXISTING, &b.lib, &err), &err);
    measure_filters(&b);
    library_close(b.lib);
    return 0;
}

/* What benchmarks/peers/bench_vectors.py holds beside FAISS in Python. */
static int search_alone(const char *dir, int queries)
{
    struct err           err = ERR_INIT;
    struct bench         b   = {0};
    struct library_stats stats;
    struct library_hit  *hits;
    size_t               n;
    double              *v = calloc((size_t)queries, sizeof *v);
    check(library_open(dir, LIBRARY_EXISTING, &b.lib, &err), &err);
    check(library_stats(b.lib, &stats, &err), &err);
    for (int round = 0; v && round < 2; round++) { /* the first one warms */
        for (int q = 0; q < queries; q++) {
            v[q] = search_ms(b.lib, 1u << 28 | (uint64_t)q, 10, NULL, &hits, &n);
            free(hits);
        }
    }
    double p50 = median(v, (size_t)queries), p95 = v[queries * 95 / 100];
    printf("{\"images\": %lld, \"kind\": \"%s\", \"p50_ms\": %.3f, \"p95_ms\": %.3f, \"anon_mb\": "
           "%ld, "
           "\"recall_10\": %.4f}\n",
           (long long)stats.images, stats.index_kind, p50, p95, memory_kb("RssAnon") / 1024,
           recall_at_10(&b, queries < 100 ? queries : 100));
    free(v);
    library_close(b.lib);
    return 0;
}

int main(int argc, char **argv)
{
    bool         is_cold = argc == 4 && strcmp(argv[1], "--cold") == 0;
    bool         alone   = argc == 5 && strcmp(argv[1], "--search") == 0;
    bool         queries = argc == 5 && strcmp(argv[1], "--queries") == 0;
    bool         filters = argc == 5 && strcmp(argv[1], "--filters") == 0;
    int64_t      sizes[] = {1000, 10000, 100000, 1000000};
    struct bench small = {0}, big = {0};
    double       a[COMMITS], b[COMMITS];
    if (is_cold || alone || queries || filters)
        dim = atoi(argv[3]);
    else if (argc > 4)
        dim = atoi(argv[4]);
    if (dim < 2 || dim > MAX_DIM || dim % 2) {
        fprintf(stderr, "bench_library: at most %d dimensions, an even number\n", MAX_DIM);
        return 2;
    }
    for (int i = 0; i < CENTRES; i++)
        unit_noise(centres[i], (uint64_t)i + 77777777);
    if (queries)
        return write_queries(atoi(argv[4]));
    if (is_cold)
        return cold(argv[2]);
    if (filters)
        return filters_alone(argv[2]);
    if (alone)
        return search_alone(argv[2], atoi(argv[4]));
    const char *root     = argc > 1 ? argv[1] : "bench-library";
    int64_t     largest  = argc > 2 ? atoll(argv[2]) : 1000000;
    int64_t     smallest = argc > 3 ? atoll(argv[3]) : 0;
    for (size_t i = 0; i < 4 && sizes[i] <= largest; i++) {
        struct bench *bench = i == 0 ? &small : &big;
        if (sizes[i] < smallest)
            continue;
        if (i > 1)
            library_close(big.lib);
        bench_open(bench, root, sizes[i]);
        double t = now_ms();
        while (bench->n < sizes[i])
            commit(bench, LOAD);
        fprintf(stderr, "filled %lld in %.1f s\n", (long long)bench->n, (now_ms() - t) / 1e3);
        tag_rare(bench);
        measure(bench, argv[0]);
        measure_filters(bench);
    }
    if (!big.lib || !small.lib) {
        library_close(big.lib);
        library_close(small.lib);
        return 0;
    }
    for (int i = 0; i < COMMITS; i++) {
        a[i] = commit(&small, BATCH);
        b[i] = commit(&big, BATCH);
    }
    double one = median(a, COMMITS), other = median(b, COMMITS);
    printf("commit of %d images into %lld: %.2f ms, into %lld: %.2f ms, ratio %.2f\n", BATCH,
           (long long)sizes[0], one, (long long)big.n, other, other / one);
    library_close(small.lib);
    library_close(big.lib);
    return 0;
}
