/* Hybrid search: see library_hybrid.h. */
#include "storage/library_hybrid.h"

#include "base/mem.h"
#include "storage/library_impl.h"

#include <stdlib.h>

#define LEAST_DEPTH 200

static int by_id(const void *a, const void *b)
{
    const struct library_fused *x = a, *y = b;
    return (x->hit.id > y->hit.id) - (x->hit.id < y->hit.id);
}

static int best_first(const void *a, const void *b)
{
    const struct library_fused *x = a, *y = b;
    if (x->fused != y->fused)
        return x->fused > y->fused ? -1 : 1;
    if (x->hit.score != y->hit.score)
        return x->hit.score > y->hit.score ? -1 : 1;
    return by_id(a, b);
}

/* Joins the two rankings by id; out has room for all of both. */
static size_t join(const struct library_hit *hits, size_t n_hits, const int64_t *ids, size_t n_ids,
                   struct library_fused *out)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < n_hits; i++)
        out[n++] = (struct library_fused){.hit = hits[i], .vector_rank = i + 1};
    for (size_t i = 0; i < n_ids; i++)
        out[n++] = (struct library_fused){.hit.id = ids[i], .words_rank = i + 1};
    if (n > 1)
        qsort(out, n, sizeof *out, by_id);
    for (size_t i = 0; i < n; i++) {
        struct library_fused *last = kept ? &out[kept - 1] : NULL;
        if (!last || last->hit.id != out[i].hit.id) {
            out[kept++] = out[i];
            continue;
        }
        if (out[i].vector_rank) {
            last->hit         = out[i].hit;
            last->vector_rank = out[i].vector_rank;
        } else {
            last->words_rank = out[i].words_rank;
        }
    }
    return kept;
}

/* Scores those that words alone found; drops what has no embedding, or too low a score. */
static int score(struct library *lib, const float *query, const struct library_filter *filter,
                 struct library_fused *list, size_t *n, struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        struct library_fused *f  = &list[i];
        struct err            e  = ERR_INIT;
        int                   rc = 0;
        if (!f->vector_rank)
            rc = library_score_here(lib, query, f->hit.id, &f->hit.score, &e);
        if (rc == ERR_NOTFOUND || rc == ERR_DAMAGED) /* of the latter verify tells */
            continue;
        if (rc)
            return err_set(err, rc, "%s", e.msg);
        if (filter && filter->has_min_score && f->hit.score < filter->min_score)
            continue;
        f->fused = (f->vector_rank ? 1.0 / (double)(LIBRARY_RRF_K + f->vector_rank) : 0) +
                   (f->words_rank ? 1.0 / (double)(LIBRARY_RRF_K + f->words_rank) : 0);
        list[kept++] = *f;
    }
    *n = kept;
    return 0;
}

static int search_both(struct library *lib, const float *query, const char *words, size_t k,
                       const struct library_filter *filter, struct catalog_filter *ready,
                       struct library_fused **out, size_t *n, struct err *err)
{
    struct library_hit   *hits   = NULL;
    struct library_fused *list   = NULL;
    int64_t              *ids    = NULL;
    size_t                n_hits = 0, n_ids = 0, len = 0;
    size_t                depth = k < LEAST_DEPTH / 4 ? LEAST_DEPTH : k < SIZE_MAX / 4 ? 4 * k : k;
    int rc = library_search_here(lib, true, query, depth, filter, ready, &hits, &n_hits, err);
    if (rc == 0) {
        struct library_stats stats;
        rc = catalog_stats(lib->cat, &stats, err);
        if (rc == 0 && depth > (size_t)stats.images)
            depth = (size_t)stats.images;
    }
    if (rc == 0)
        rc = catalog_words_find(lib->cat, words, ready, depth, &ids, &n_ids, err);
    if (rc == 0 && !(list = mem_array(n_hits + n_ids + 1, sizeof *list)))
        rc = err_set(err, ERR_NOMEM, "cannot search for %zu images: out of memory", k);
    if (rc == 0) {
        len = join(hits, n_hits, ids, n_ids, list);
        rc  = score(lib, query, filter, list, &len, err);
    }
    free(hits);
    free(ids);
    if (rc) {
        free(list);
        return rc;
    }
    qsort(list, len, sizeof *list, best_first);
    *out = list;
    *n   = len < k ? len : k;
    return 0;
}

int library_search_hybrid(struct library *lib, const float *query, const char *words, size_t k,
                          const struct library_filter *filter, struct library_fused **out,
                          size_t *n, struct err *err)
{
    struct catalog_filter *ready = NULL;
    bool                   model = false;
    *out                         = NULL;
    *n                           = 0;
    int rc                       = library_begin_filtered(lib, true, &model, err);
    if (rc)
        return rc;
    if (filter && catalog_filter_restricts(filter))
        rc = catalog_filter_new(lib->cat, filter, &ready, err);
    if (rc == 0 && model)
        rc = search_both(lib, query, words, k, filter, ready, out, n, err);
    catalog_filter_free(ready);
    catalog_rollback(lib->cat); /* nothing was written */
    return rc;
}
