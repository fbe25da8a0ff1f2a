/* Shared by the tests of storage/library: a model of what a library should hold, that its
 * searches are compared with, and a library that is filled beside it.
 */
#ifndef OSPREY_TESTS_LIBRARY_TRUTH_H
#define OSPREY_TESTS_LIBRARY_TRUTH_H

#include "library_fixture.h"

#include "base/file.h"
#include "base/half.h"
#include "storage/library_impl.h"

#include <math.h>

#define MAX_PICTURES 4000

struct truth {
    int64_t  id[MAX_PICTURES];
    uint64_t seed[MAX_PICTURES];
    char     path[MAX_PICTURES][32];
    size_t   n;
};

static inline float truth_score(const float *query, uint64_t seed)
{
    float    v[DIM];
    uint16_t h[DIM];
    unit_vector(v, DIM, seed);
    half_from_float(h, v, DIM);
    half_to_float(v, h, DIM);
    double sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += (double)query[i] * (double)v[i];
    return (float)sum;
}

struct ranked {
    int64_t id;
    float   score;
};

static inline int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* exact: the very ranking, up to scores that rounding cannot tell apart; else
 * the share of the true best that was found. */
static inline double compare_search(struct library *lib, const struct truth *truth, size_t k,
                                    const struct library_filter *filter, uint64_t query_seed,
                                    bool exact)
{
    static struct ranked want[MAX_PICTURES];
    struct err           err = ERR_INIT;
    struct library_hit  *hits;
    size_t               n, m = 0, found = 0;
    float                query[DIM];
    unit_vector(query, DIM, query_seed);
    for (size_t i = 0; i < truth->n; i++) {
        if (filter && filter->below &&
            strncmp(truth->path[i], filter->below, strlen(filter->below)) != 0)
            continue;
        want[m++] = (struct ranked){truth->id[i], truth_score(query, truth->seed[i])};
    }
    qsort(want, m, sizeof(want[0]), by_score);
    size_t expect = k < m ? k : m;
    while (filter && filter->has_min_score && expect > 0 &&
           want[expect - 1].score < filter->min_score)
        expect--;
    assert_ok(library_search(lib, query, k, filter, &hits, &n, &err), &err);
    if (exact || !filter || !filter->has_min_score)
        assert_int_equal(n, expect);
    assert_true(n <= expect);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < m && want[at].id != hits[i].id)
            at++;
        assert_true(at < m); /* it is in the library */
        assert_float_equal(hits[i].score, want[at].score, 1e-5);
        if (i > 0)
            assert_true(hits[i].score < hits[i - 1].score ||
                        (hits[i].score == hits[i - 1].score && hits[i].id > hits[i - 1].id));
        if (exact)
            assert_float_equal(hits[i].score, want[i].score, 1e-5);
        found += hits[i].score >= want[expect - 1].score - 1e-5f;
    }
    free(hits);
    return expect ? (double)found / (double)expect : 1;
}

static inline void truth_put(struct truth *truth, int64_t id, uint64_t seed, const char *path)
{
    size_t at = 0;
    while (at < truth->n && strcmp(truth->path[at], path) != 0)
        at++;
    assert_true(at < MAX_PICTURES);
    truth->n += at == truth->n;
    truth->id[at]   = id;
    truth->seed[at] = seed;
    snprintf(truth->path[at], sizeof(truth->path[at]), "%s", path);
}

static inline void truth_drop(struct truth *truth, size_t at)
{
    size_t last     = --truth->n;
    truth->id[at]   = truth->id[last];
    truth->seed[at] = truth->seed[last];
    memmove(truth->path[at], truth->path[last], sizeof(truth->path[at]));
}

static inline void add_batch(struct library *lib, int64_t model, int64_t folder,
                             struct truth *truth, size_t n, uint64_t *s)
{
    static float        embeddings[64][DIM];
    static char         paths[64][32];
    struct library_item items[64];
    struct err          err = ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = splitmix_next(s);
        snprintf(paths[i], sizeof(paths[i]), "%c/%06u.jpg", r & 1 ? 'x' : 'y',
                 (unsigned)(r >> 8) % 100000);
        items[i] = picture(folder, paths[i], r >> 40, embeddings[i]);
    }
    assert_ok(library_add(lib, model, items, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        truth_put(truth, items[i].id, items[i].size - 1000, items[i].path);
}

struct room {
    char           *dir, *vectors;
    struct library *lib;
    int64_t         model, folder;
};

static inline struct room room_with(struct truth *truth, size_t n)
{
    struct err  err = ERR_INIT;
    struct room r   = {.dir = temporary_dir()};
    uint64_t    s   = 5;
    truth->n        = 0;
    r.vectors       = path_join(r.dir, "vectors.faiss");
    assert_ok(library_open(r.dir, LIBRARY_CREATE, &r.lib, &err), &err);
    r.lib->tuning.delta_min = 10;
    r.model                 = fill_model(r.lib, "hash-a", true);
    r.folder                = add_folder(r.lib, "/pics");
    while (truth->n < n)
        add_batch(r.lib, r.model, r.folder, truth, 50, &s);
    return r;
}

static inline void room_close(struct room *r)
{
    library_close(r->lib);
    free(r->vectors);
    remove_dir(r->dir);
}

#endif
