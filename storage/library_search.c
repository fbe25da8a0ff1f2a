/* Search: the vector index, caught up, and answers re-scored exactly.
 *
 * Everything happens inside one read transaction of the catalogue: the changes
 * read, the candidates re-scored, the filter. So a batch is seen whole or not at
 * all. Where the index cannot answer (k near the size of the library, a filter
 * that few pass), the stored embeddings are read through instead: slower, exact,
 * and with no ceiling on k.
 */
#include "storage/library_impl.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_MAX        20000 /* candidates; beyond, reading everything is as fast */
#define EXACT_MARGIN     2e-5f /* between scores summed in different orders */
#define MANHATTAN_MARGIN 1e-3f /* between sums of hundreds of differences */

/* ---- The k best so far: a heap with the worst on top ---- */

struct top {
    struct library_hit *heap; /* (k) */
    size_t              k, n;
};

/* Better: a higher score, then a lower id. */
static bool better(const struct library_hit *a, const struct library_hit *b)
{
    return a->score > b->score || (a->score == b->score && a->id < b->id);
}

static void top_push(struct top *top, int64_t id, float score)
{
    struct library_hit *h = top->heap, hit = {.id = id, .score = score};
    size_t              at;
    if (!(score >= -INFINITY)) /* a damaged embedding's NaN orders nowhere */
        return;
    if (top->n < top->k) {
        for (at = top->n++; at > 0 && better(&h[(at - 1) / 2], &hit); at = (at - 1) / 2)
            h[at] = h[(at - 1) / 2];
        h[at] = hit;
        return;
    }
    if (!better(&hit, &h[0]))
        return;
    at = 0;
    for (size_t child; (child = 2 * at + 1) < top->n; at = child) {
        if (child + 1 < top->n && better(&h[child], &h[child + 1]))
            child++;
        if (!better(&hit, &h[child]))
            break;
        h[at] = h[child];
    }
    h[at] = hit;
}

static int by_rank(const void *a, const void *b)
{
    return better(a, b) ? -1 : better(b, a);
}

/* ---- The ways to find them ---- */

struct search {
    struct library        *lib;
    const float           *query;
    struct catalog_filter *filter; /* NULL unless it restricts images */
    bool                   exact;
    bool                   parts; /* whether the library has any */
    struct top             top;
};

float library_closeness(const struct library *lib, const struct library_model *model,
                        const float *query, const uint16_t *vector)
{
    size_t dim = (size_t)model->dim;
    return model->distance == DISTANCE_MANHATTAN ? -lib->half.manhattan(query, vector, dim)
                                                 : lib->half.dot(query, vector, dim);
}

/* Higher is nearer: see distance.h. */
static float closeness(const struct search *s, const uint16_t *vector)
{
    return library_closeness(s->lib, &s->lib->model, s->query, vector);
}

static int score_one(struct search *s, int64_t id, struct err *err)
{
    const uint16_t *vector;
    struct library *lib = s->lib;
    int rc = catalog_embedding_get(lib->cat, lib->model.id, id, lib->model.dim, &vector, err);
    if (rc == 0)
        top_push(&s->top, id, closeness(s, vector));
    /* Not embedded (yet), or damaged, of which verify tells: no hit. */
    return rc == ERR_NOTFOUND || rc == ERR_DAMAGED ? 0 : rc;
}

static void take(void *ctx, int64_t id, const uint16_t *vector)
{
    struct search *s = ctx;
    top_push(&s->top, id, closeness(s, vector));
}

/* Of images, with all their parts. */
static int search_images(struct search *s, const int64_t *ids, size_t n, struct err *err)
{
    int rc = library_few_read(s->lib, ids, n, take, s, err);
    for (size_t i = 0; i < n && rc == 0 && s->parts; i++) {
        struct catalog_part part = {.page = 1};
        while ((rc = catalog_part_next(s->lib->cat, ids[i], part.page, &part, err)) == 0) {
            rc = score_one(s, part.id, err);
            if (rc)
                return rc;
        }
        rc = rc == ERR_NOTFOUND ? 0 : rc;
    }
    return rc;
}

static int search_everything(struct search *s, struct err *err)
{
    struct library *lib = s->lib;
    const uint16_t *vector;
    int64_t         id, *ids = NULL;
    size_t          bytes, n = 0;
    s->top.n = 0;
    if (s->filter) {
        int rc = catalog_filter_ids(s->filter, SIZE_MAX, &ids, &n, err);
        if (rc == 0)
            rc = search_images(s, ids, n, err);
        free(ids);
        return rc;
    }
    int rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0)
        if (bytes == (size_t)lib->model.dim * 2)
            top_push(&s->top, id, closeness(s, vector));
    return rc;
}

static int passes(struct search *s, int64_t id, bool *yes, struct err *err)
{
    struct catalog_part part = {.image_id = id};
    int                 rc   = 0;
    *yes                     = true;
    if (s->filter && id >= LIBRARY_FIRST_PART)
        rc = catalog_part_get(s->lib->cat, id, &part, err);
    if (rc == ERR_NOTFOUND) { /* damage, of which verify tells */
        *yes = false;
        return 0;
    }
    return rc || !s->filter ? rc : catalog_filter_match(s->filter, part.image_id, yes, err);
}

static int search_delta(struct search *s, struct err *err)
{
    const struct delta *delta = &s->lib->delta;
    size_t              dim   = (size_t)delta->dim;
    int                 rc    = 0;
    for (size_t i = 0; i < delta->live && rc == 0; i++) {
        struct library_hit hit = {.id    = delta->ids[i],
                                  .score = closeness(s, delta->vectors + i * dim)};
        bool               yes = true;
        if (s->top.n == s->top.k && !better(&hit, &s->top.heap[0]))
            continue;
        rc = passes(s, hit.id, &yes, err);
        if (rc == 0 && yes)
            top_push(&s->top, hit.id, hit.score);
    }
    return rc;
}

/* What the base found, best first. */
struct found {
    size_t   n;
    int64_t *ids, *positions;
    float   *scores;
};

static void found_release(struct found *f)
{
    free(f->ids);
    free(f->positions);
    free(f->scores);
}

static int found_init(struct found *f, size_t n, struct err *err)
{
    *f = (struct found){.ids       = mem_array(n + 1, sizeof(*f->ids)),
                        .positions = mem_array(n + 1, sizeof(*f->positions)),
                        .scores    = mem_array(n + 1, sizeof(*f->scores))};
    if (f->ids && f->positions && f->scores)
        return 0;
    found_release(f);
    return err_set(err, ERR_NOMEM, "cannot search: out of memory");
}

/* Drops what the delta hides and the filter refuses; the order stays. Ends where nothing
 * can be among the k best any more. */
static int keep_live(struct search *s, struct found *f, float margin, struct err *err)
{
    size_t kept = 0;
    int    rc   = 0;
    for (size_t i = 0; i < f->n && rc == 0; i++) {
        if (kept >= s->top.k && f->scores[i] < f->scores[s->top.k - 1] - margin)
            break;
        bool yes = !delta_has(&s->lib->delta, f->ids[i]);
        if (yes)
            rc = passes(s, f->ids[i], &yes, err);
        if (rc || !yes)
            continue;
        f->ids[kept]       = f->ids[i];
        f->positions[kept] = f->positions[i];
        f->scores[kept]    = f->scores[i];
        kept++;
    }
    f->n = kept;
    return rc;
}

/* Re-scores those that could be among the k best, as every exact search does: the base
 * stores what the catalogue does. */
static int rescore(struct search *s, const struct found *f, float margin, struct err *err)
{
    size_t    k = s->top.k, dim = (size_t)s->lib->model.dim, use = f->n;
    float     least = use > k ? f->scores[k - 1] - margin : -INFINITY;
    float    *x     = mem_array(dim, sizeof(*x));
    uint16_t *half  = mem_array(dim, sizeof(*half));
    int       rc    = x && half ? 0 : err_set(err, ERR_NOMEM, "cannot search: out of memory");
    while (use > k && f->scores[use - 1] < least)
        use--;
    for (size_t i = 0; i < use && rc == 0; i++) {
        rc = vindex_vectors(s->lib->base, f->positions[i], 1, x, err);
        if (rc == 0) {
            s->lib->half.from_float(half, x, dim);
            top_push(&s->top, f->ids[i], closeness(s, half));
        }
    }
    free(x);
    free(half);
    return rc;
}

/* How many to ask the base for, at first; HNSW finds more among more. */
static size_t first_fetch(const struct search *s, bool glance)
{
    size_t           k = s->top.k, most = k * 4 > 100 ? k * 4 : 100;
    enum vindex_kind kind = vindex_info(s->lib->base)->kind;
    if (s->filter && !glance) /* a small part of what is near passes */
        return 8 * (kind == VINDEX_FLAT ? k + 32 : most);
    return kind == VINDEX_HNSW ? most : k + 32;
}

/* Searches the base for the k best live entries. *enough: found, or it has no
 * more; otherwise everything must be read through. glance: asks once, for few. */
static int search_base(struct search *s, bool glance, bool *enough, struct err *err)
{
    struct vindex *base = s->lib->base;
    size_t         k = s->top.k, count = (size_t)vindex_info(base)->count;
    bool           exact  = vindex_info(base)->kind == VINDEX_FLAT;
    bool           sums   = vindex_info(base)->metric == VINDEX_MANHATTAN;
    float          margin = sums ? MANHATTAN_MARGIN : EXACT_MARGIN;
    size_t         fetch  = first_fetch(s, glance);
    int            rc     = 0;
    *enough               = false;
    for (int effort = 1; fetch <= FETCH_MAX && rc == 0 && !*enough; effort *= 2, fetch *= 4) {
        size_t       ask = fetch < count ? fetch : count;
        struct found f;
        rc = found_init(&f, ask, err);
        if (rc)
            break;
        rc = vindex_search(base, s->query, ask, effort, f.ids, f.positions, f.scores, &f.n, err);
        float last = f.n > 0 ? f.scores[f.n - 1] : -INFINITY;
        if (rc == 0)
            rc = keep_live(s, &f, margin, err);
        /* Exact means exact: equals beyond what was fetched count, too. */
        bool whole = f.n >= k && (!exact || ask == count || last < f.scores[k - 1] - margin);
        if (rc == 0 && (whole || (exact && ask == count))) {
            *enough = true;
            rc      = rescore(s, &f, margin, err);
        }
        found_release(&f);
        if (ask == count || glance)
            break;
    }
    return rc;
}

/* Where few pass the filter, those are the search. */
static int search_few(struct search *s, bool *few, struct err *err)
{
    int64_t *ids = NULL;
    size_t   n   = 0;
    int      rc  = catalog_filter_few(s->filter, &ids, &n, few, err);
    if (rc == 0 && *few)
        rc = search_images(s, ids, n, err);
    free(ids);
    return rc;
}

/* A filter that most of what is near passes is answered by the base as soon as a search
 * without one; that only few pass, where no index says so, takes milliseconds to find. */
static int search_run(struct search *s, struct err *err)
{
    struct library *lib    = s->lib;
    bool            enough = false, few = false, narrow = false;
    bool            based = lib->base && s->top.k <= (size_t)vindex_info(lib->base)->count / 4;
    int             rc    = 0;
    if (s->exact)
        return search_everything(s, err);
    if (s->filter && based)
        rc = catalog_filter_narrow(s->filter, &narrow, err);
    if (rc == 0 && s->filter && based && !narrow)
        rc = search_base(s, true, &enough, err);
    if (rc == 0 && s->filter && !enough)
        rc = search_few(s, &few, err);
    if (rc || few)
        return rc;
    if (!lib->base)
        return search_delta(s, err);
    if (based && !enough)
        rc = search_base(s, false, &enough, err);
    if (rc)
        return rc;
    return enough ? search_delta(s, err) : search_everything(s, err);
}

static bool restricts(const struct library_filter *filter)
{
    return filter && catalog_filter_restricts(filter);
}

static int check_query(const float *query, int dim, struct err *err)
{
    for (int i = 0; i < dim; i++)
        if (!isfinite(query[i]))
            return err_set(err, ERR_USAGE, "cannot search: the query's component %d is not finite",
                           i);
    return 0;
}

/* ---- From parts to images ---- */

/* Sorts what was found; each image's best page remains, or every one. */
static int fold(struct search *s, bool every_page, struct err *err)
{
    struct top *top = &s->top;
    int         rc = s->parts ? library_fold_parts(s->lib, top->heap, &top->n, every_page, err) : 0;
    if (rc == 0 && top->n)
        qsort(top->heap, top->n, sizeof(*top->heap), by_rank);
    return rc;
}

/* One search for as many as room says, pages counted one by one. */
static int search_room(struct search *s, size_t room, struct err *err)
{
    free(s->top.heap);
    s->top = (struct top){.k = room, .heap = mem_array(room + 1, sizeof(*s->top.heap))};
    if (!s->top.heap)
        return err_set(err, ERR_NOMEM, "cannot search for %zu images: out of memory", room);
    return room ? search_run(s, err) : 0;
}

/* The k best images: more pages are asked for until so many images are among them. */
static int search_images_best(struct search *s, size_t k, size_t all, bool every_page,
                              struct err *err)
{
    for (size_t room = s->parts && !every_page && k < all / 2 ? 2 * k : k;; room *= 4) {
        if (s->parts && !every_page && room > all / 4)
            room = all;
        int rc = search_room(s, room, err);
        if (rc)
            return rc;
        bool full = s->top.n == room && room < all;
        rc        = fold(s, every_page, err);
        if (rc || !s->parts || every_page || s->top.n >= k || !full) {
            s->top.n = s->top.n > k ? k : s->top.n;
            return rc;
        }
    }
}

/* What words answer for must be written before the transaction that reads them; what
 * comes in between begins another one. */
int library_begin_filtered(struct library *lib, bool words, bool *model, struct err *err)
{
    for (int try = 1;; try++) {
        bool stale = false;
        int  rc    = words ? catalog_words_catch_up(lib->cat, err) : 0;
        if (rc == 0)
            rc = library_begin_search(lib, model, err);
        if (rc == 0 && words) {
            rc = catalog_words_stale(lib->cat, &stale, err);
            if (rc)
                catalog_rollback(lib->cat);
        }
        if (rc || !stale || try == LIBRARY_TRIES || catalog_is_read_only(lib->cat))
            return rc;
        catalog_rollback(lib->cat);
    }
}

int library_search_here(struct library *lib, bool model, const float *query, size_t k,
                        const struct library_filter *filter, struct catalog_filter *ready,
                        struct library_hit **hits, size_t *n, struct err *err)
{
    struct search s          = {.lib    = lib,
                                .query  = query,
                                .filter = restricts(filter) ? ready : NULL,
                                .exact  = filter && filter->exact};
    bool          every_page = filter && filter->every_page;
    *hits                    = NULL;
    *n                       = 0;
    int rc                   = model ? check_query(query, lib->model.dim, err) : 0;
    if (rc == 0) {
        size_t all  = (size_t)(lib->stats.images + lib->stats.parts);
        size_t most = every_page ? all : (size_t)lib->stats.images;
        s.parts     = lib->stats.parts > 0;
        rc = search_images_best(&s, model ? (k < most ? k : most) : 0, all, every_page, err);
    }
    if (rc == 0)
        rc = library_name_times(lib, s.top.heap, s.top.n, err);
    if (rc) {
        free(s.top.heap);
        return rc;
    }
    for (size_t i = 0; i < s.top.n; i++)
        s.top.heap[i].score = distance_score(lib->model.distance, s.top.heap[i].score);
    while (filter && filter->has_min_score && s.top.n > 0 &&
           s.top.heap[s.top.n - 1].score < filter->min_score)
        s.top.n--;
    *hits = s.top.heap;
    *n    = s.top.n;
    return 0;
}

int library_search(struct library *lib, const float *query, size_t k,
                   const struct library_filter *filter, struct library_hit **hits, size_t *n,
                   struct err *err)
{
    struct catalog_filter *ready = NULL;
    bool                   model = false;
    *hits                        = NULL;
    *n                           = 0;
    int rc = library_begin_filtered(lib, filter && filter->caption, &model, err);
    if (rc)
        return rc;
    if (restricts(filter))
        rc = catalog_filter_new(lib->cat, filter, &ready, err);
    if (rc == 0)
        rc = library_search_here(lib, model, query, k, filter, ready, hits, n, err);
    catalog_filter_free(ready);
    catalog_rollback(lib->cat); /* nothing was written */
    return rc;
}

int library_score_here(struct library *lib, const float *query, int64_t id, float *score,
                       struct err *err)
{
    const uint16_t *vector;
    int rc = catalog_embedding_get(lib->cat, lib->model.id, id, lib->model.dim, &vector, err);
    if (rc == 0)
        *score =
            distance_score(lib->model.distance, library_closeness(lib, &lib->model, query, vector));
    return rc;
}
