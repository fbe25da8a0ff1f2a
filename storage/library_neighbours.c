/* Nearest neighbours within a library: see library_neighbours.h.
 *
 * Embeddings are read in the order of ids, a block at a time, and the base is asked for all of
 * a block at once. The delta, a tenth of the base at most while the indexer keeps up, is
 * compared with itself exactly; between it and the base its own questions tell. A question
 * whose nearest are mostly others than those asked about (pictures elsewhere, pages of scans)
 * is asked again for more. A few of many have an exact index of their own.
 */
#include "storage/library_neighbours.h"

#include "base/mem.h"
#include "storage/library_impl.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 1024 /* embeddings that are held at once */
#define SPARE 4    /* neighbours more than asked for: the picture itself, and gone ones */
#define FEW   4096 /* pictures of more that get an index of their own */
#define MORE  8    /* times as many neighbours when one question is asked again */
#define MOST  4096 /* neighbours of one question at last */

struct hunt {
    struct library          *lib;
    const int64_t           *ids; /* (n) ascending */
    size_t                   n, k, fetch;
    const struct background *background;
    struct library_match    *matches; /* (n) or NULL */
    const struct go_on      *go_on;   /* or NULL */
    struct library_pair     *pairs;
    size_t                   n_pairs, room;
    struct vindex           *base; /* the library's, or own; NULL: none */
    struct vindex           *own;  /* of all that are asked about, with their places as ids */
    /* The block. */
    float                   *vectors; /* (BLOCK, dim) */
    uint32_t                *places;  /* (BLOCK) in ids */
    size_t                   held;
    int64_t                 *found;  /* (BLOCK, fetch) */
    float                   *scores; /* (BLOCK, fetch) */
};

/* The place of an id, or -1. */
static int64_t place_of(const struct hunt *h, int64_t id)
{
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (h->ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < h->n && h->ids[low] == id ? (int64_t)low : -1;
}

static int pair_add(struct hunt *h, uint32_t a, uint32_t b, float score, struct err *err)
{
    if (h->n_pairs == h->room) {
        size_t               room  = h->room ? h->room * 2 : 4096;
        struct library_pair *grown = mem_regrow(h->pairs, room, sizeof *grown);
        if (!grown)
            return err_set(err, ERR_NOMEM, "out of memory for %zu pairs of pictures", room);
        h->pairs = grown;
        h->room  = room;
    }
    h->pairs[h->n_pairs++] = (struct library_pair){a < b ? a : b, a < b ? b : a, score};
    return 0;
}

static void measure(struct hunt *h)
{
    const struct background *b   = h->background;
    size_t                   dim = (size_t)h->lib->model.dim;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < h->held; i++) {
        float closeness[LIBRARY_BACKGROUND];
        for (size_t j = 0; j < b->n; j++)
            closeness[j] = library_closeness(h->lib, &h->lib->model, h->vectors + i * dim,
                                             b->vectors + j * dim);
        h->matches[h->places[i]] = library_match_from(LIBRARY_QUERY_IMAGE, h->lib->model.distance,
                                                      closeness, b->n, b->spread, b->images);
    }
}

/* Pairs picture i of the block with the k best of what the base found (n, best first); how
 * many of them were good for that is added to *kept. */
static int take_found(struct hunt *h, size_t i, const int64_t *found, const float *scores, size_t n,
                      size_t *kept, struct err *err)
{
    const struct library *lib = h->lib;
    int                   rc  = 0;
    *kept                     = 0;
    for (size_t j = 0; j < n && found[j] >= 0 && *kept < h->k && !rc; j++) {
        int64_t at = h->own                             ? found[j]
                     : delta_has(&lib->delta, found[j]) ? -1
                                                        : place_of(h, found[j]);
        if (at < 0 || at == (int64_t)h->places[i])
            continue;
        ++*kept;
        rc = pair_add(h, h->places[i], (uint32_t)at, distance_score(lib->model.distance, scores[j]),
                      err);
    }
    return rc;
}

/* Asks about picture i of the block alone, for more and more. */
static int ask_further(struct hunt *h, size_t i, struct err *err)
{
    size_t count = (size_t)vindex_info(h->base)->count, kept = 0;
    int    rc = 0;
    for (size_t fetch = h->fetch; kept < h->k && fetch < count && fetch < MOST && !rc;) {
        size_t n        = 0;
        fetch           = fetch * MORE < MOST ? fetch * MORE : MOST;
        int64_t *found  = mem_array(fetch, sizeof *found);
        float   *scores = mem_array(fetch, sizeof *scores);
        if (!found || !scores)
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu neighbours", fetch);
        if (!rc)
            rc = vindex_search(h->base, h->vectors + i * (size_t)h->lib->model.dim, fetch, 1, found,
                               NULL, scores, &n, err);
        if (!rc)
            rc = take_found(h, i, found, scores, n, &kept, err);
        free(found);
        free(scores);
    }
    return rc;
}

/* Asks the base about the block. */
static int ask_base(struct hunt *h, struct err *err)
{
    int rc = 0;
    if (h->matches)
        measure(h);
    if (h->base && h->held > 0)
        rc =
            vindex_search_many(h->base, h->vectors, h->held, h->fetch, 0, h->found, h->scores, err);
    if (!rc && h->held > 0)
        rc = go_on_ask(h->go_on, (double)h->places[h->held - 1] / (double)h->n, err);
    for (size_t i = 0; h->base && i < h->held && !rc; i++) {
        size_t kept = 0;
        rc = take_found(h, i, h->found + i * h->fetch, h->scores + i * h->fetch, h->fetch, &kept,
                        err);
        if (!rc && kept < h->k)
            rc = ask_further(h, i, err);
    }
    h->held = 0;
    return rc;
}

/* ---- The delta with itself ---- */

struct near {
    uint32_t place;
    float    closeness;
};

static int by_closeness(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    if (x->closeness != y->closeness)
        return x->closeness > y->closeness ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* The k best of a row, in order. */
static size_t best_of(struct near *row, size_t n, size_t k)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == k && by_closeness(&row[i], &row[k - 1]) >= 0)
            continue;
        struct near this = row[i];
        size_t at        = kept < k ? kept++ : k - 1;
        for (; at > 0 && by_closeness(&this, &row[at - 1]) < 0; at--)
            row[at] = row[at - 1];
        row[at] = this;
    }
    return kept;
}

static int ask_delta(struct hunt *h, struct err *err)
{
    struct library     *lib   = h->lib;
    const struct delta *delta = &lib->delta;
    size_t              dim = (size_t)delta->dim, live = delta->live, n = 0;
    int                 bad  = 0;
    atomic_bool         over = false;
    size_t             *slot = mem_array(live + 1, sizeof *slot);
    uint32_t           *at   = mem_array(live + 1, sizeof *at);
    if (!slot || !at) {
        free(slot);
        free(at);
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", live);
    }
    for (size_t i = 0; i < live; i++) {
        int64_t place = place_of(h, delta->ids[i]);
        if (place < 0)
            continue;
        slot[n] = i;
        at[n++] = (uint32_t)place;
    }
#pragma omp parallel
    {
        float       *query = mem_array(dim, sizeof *query);
        struct near *row   = mem_array(n + 1, sizeof *row);
#pragma omp for schedule(dynamic, 8)
        for (size_t i = 0; i < n; i++) {
            struct err why = ERR_INIT;
            size_t     m   = 0, kept;
            int        rc  = 0;
            if (atomic_load(&over))
                continue;
            if (query && row) {
                lib->half.to_float(query, delta->vectors + slot[i] * dim, dim);
                for (size_t j = 0; j < n; j++)
                    if (j != i)
                        row[m++] =
                            (struct near){at[j], library_closeness(lib, &lib->model, query,
                                                                   delta->vectors + slot[j] * dim)};
                kept = best_of(row, m, h->k);
            } else {
                kept = 0;
                rc   = err_set(&why, ERR_NOMEM, "out of memory for %zu pictures", n);
            }
#pragma omp critical(library_neighbours)
            {
                for (size_t j = 0; j < kept && !rc; j++)
                    rc = pair_add(h, at[i], row[j].place,
                                  distance_score(lib->model.distance, row[j].closeness), &why);
                if (!rc && !bad)
                    rc = go_on_ask(h->go_on, 1, &why);
                if (rc && !bad && err)
                    *err = why;
                bad = rc ? rc : bad;
                atomic_store(&over, bad != 0);
            }
        }
        free(query);
        free(row);
    }
    free(slot);
    free(at);
    return bad;
}

/* ---- All of it ---- */

static int by_places(const void *a, const void *b)
{
    const struct library_pair *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    if (x->b != y->b)
        return x->b < y->b ? -1 : 1;
    return (x->score < y->score) - (x->score > y->score); /* the same on every machine */
}

static void pairs_unite(struct hunt *h)
{
    size_t kept = 0;
    if (h->n_pairs)
        qsort(h->pairs, h->n_pairs, sizeof *h->pairs, by_places);
    for (size_t i = 0; i < h->n_pairs; i++)
        if (kept == 0 || h->pairs[kept - 1].a != h->pairs[i].a ||
            h->pairs[kept - 1].b != h->pairs[i].b)
            h->pairs[kept++] = h->pairs[i];
    h->n_pairs = kept;
}

typedef int do_block(struct hunt *h, struct err *err);

/* Reads the embeddings of those asked about, and does something with each block of them. */
static int walk(struct hunt *h, do_block *block, struct err *err)
{
    struct library *lib = h->lib;
    size_t          dim = (size_t)lib->model.dim, bytes;
    const uint16_t *vector;
    int64_t         id;
    int             rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0) {
        int64_t at = bytes == dim * 2 ? place_of(h, id) : -1;
        if (at < 0)
            continue;
        lib->half.to_float(h->vectors + h->held * dim, vector, dim);
        h->places[h->held++] = (uint32_t)at;
        if (h->held == BLOCK)
            rc = block(h, err);
    }
    return rc ? rc : block(h, err);
}

static int add_own(struct hunt *h, struct err *err)
{
    int64_t ids[BLOCK];
    size_t  n = h->held;
    for (size_t i = 0; i < n; i++)
        ids[i] = h->places[i];
    h->held = 0;
    return n ? vindex_add(h->own, n, ids, h->vectors, err) : 0;
}

static int hunt_all(struct hunt *h, size_t everything, struct err *err)
{
    const struct library_model *model = &h->lib->model;
    int                         rc    = 0;
    h->base                           = h->lib->base;
    if (h->n <= FEW && h->n < everything) {
        rc =
            vindex_new(VINDEX_FLAT, library_metric(model), model->dim, (int64_t)h->n, &h->own, err);
        if (rc == 0)
            rc = walk(h, add_own, err);
        h->base = h->own;
    }
    if (rc == 0)
        rc = walk(h, ask_base, err);
    return rc || h->own ? rc : ask_delta(h, err);
}

static int hunt_init(struct hunt *h, struct err *err)
{
    size_t dim = (size_t)h->lib->model.dim;
    h->fetch   = h->k + SPARE;
    h->vectors = mem_array(BLOCK * dim, sizeof *h->vectors);
    h->places  = mem_array(BLOCK, sizeof *h->places);
    h->found   = mem_array(BLOCK * h->fetch, sizeof *h->found);
    h->scores  = mem_array(BLOCK * h->fetch, sizeof *h->scores);
    return h->vectors && h->places && h->found && h->scores
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for looking at neighbours");
}

int library_neighbours(struct library *lib, const int64_t *ids, size_t n, size_t k,
                       struct library_pair **pairs, size_t *n_pairs, struct library_match *matches,
                       const struct go_on *go_on, struct err *err)
{
    struct hunt h = {.lib = lib, .ids = ids, .n = n, .k = k, .matches = matches, .go_on = go_on};
    struct background    background = {0};
    struct library_stats stats;
    bool                 model = false, fresh;
    *pairs                     = NULL;
    *n_pairs                   = 0;
    for (size_t i = 0; matches && i < n; i++)
        matches[i] = (struct library_match){.kind = LIBRARY_QUERY_IMAGE};
    if (n > UINT32_MAX || k < 1)
        return err_set(err, ERR_LIMIT, "cannot look for neighbours of %zu pictures", n);
    int rc = library_begin_search(lib, &model, err);
    if (rc)
        return rc;
    if (model) {
        rc           = library_background_take(lib, &lib->model, &background, &fresh, err);
        h.background = &background;
        if (rc == 0)
            rc = hunt_init(&h, err);
        if (rc == 0)
            rc = catalog_stats(lib->cat, &stats, err);
        if (rc == 0)
            rc = hunt_all(&h, (size_t)(stats.images + stats.parts), err);
    }
    catalog_rollback(lib->cat); /* nothing was written */
    library_background_release(&background);
    vindex_free(h.own);
    free(h.vectors);
    free(h.places);
    free(h.found);
    free(h.scores);
    if (rc) {
        free(h.pairs);
        return rc;
    }
    pairs_unite(&h);
    *pairs   = h.pairs;
    *n_pairs = h.n_pairs;
    return 0;
}

int library_nearness(struct library *lib, int64_t a, int64_t b, float *score, struct err *err)
{
    struct library_model model;
    const uint16_t      *vector;
    float               *query = NULL;
    int                  rc    = library_model_active(lib, &model, err);
    if (rc)
        return rc;
    query = mem_array((size_t)model.dim, sizeof *query);
    if (!query)
        return err_set(err, ERR_NOMEM, "out of memory for an embedding");
    rc = library_embedding_get(lib, a, query, err);
    if (rc == 0)
        rc = catalog_embedding_get(lib->cat, model.id, b, model.dim, &vector, err);
    if (rc == 0)
        *score = distance_score(model.distance, library_closeness(lib, &model, query, vector));
    free(query);
    return rc;
}
