/* Upkeep of the vector index: rewriting its base, and checking it against the
 * catalogue.
 *
 * A base grows where it can (what came is added, what went is marked) and is
 * made anew where it must: another kind is due, a quarter of it is gone, inverted
 * lists were made for a quarter of what they hold. So a graph of a million is not
 * built from nothing at every tenth. All of it happens aside, and takes effect by
 * a rename; a crash leaves the old file, which is only further behind.
 */
#include "storage/library_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define CHUNK        4096 /* vectors converted at once */
#define VECTOR_SLACK 2e-3f
#define SPELLED_OUT  50

/* ---- Rewriting the base ---- */

/* *fd -1: another process is at it. */
static int build_lock(struct library *lib, bool wait, int *fd, struct err *err)
{
    *fd = open(lib->build_lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return err_set(err, ERR_IO, "cannot open %s: %s", lib->build_lock_path, strerror(errno));
    int rc;
    do
        rc = flock(*fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    int why = errno;
    close(*fd);
    *fd = -1;
    return why == EWOULDBLOCK
               ? 0
               : err_set(err, ERR_IO, "cannot lock %s: %s", lib->build_lock_path, strerror(why));
}

/* Vectors on their way into an index, converted a chunk at a time. */
struct feed {
    struct library *lib;
    struct vindex  *to;
    int64_t        *ids; /* (CHUNK) */
    float          *x;   /* (CHUNK, dim) */
    size_t          n;
};

static int feed_init(struct feed *feed, struct library *lib, struct vindex *to, struct err *err)
{
    *feed     = (struct feed){.lib = lib, .to = to};
    feed->ids = mem_array(CHUNK, sizeof(*feed->ids));
    feed->x   = mem_aligned((size_t)lib->model.dim * CHUNK, sizeof(*feed->x));
    if (!feed->ids || !feed->x)
        return err_set(err, ERR_NOMEM, "cannot build the vector index: out of memory");
    return 0;
}

static void feed_release(struct feed *feed)
{
    free(feed->ids);
    free(feed->x);
}

static int feed_flush(struct feed *feed, struct err *err)
{
    int rc  = feed->n ? vindex_add(feed->to, feed->n, feed->ids, feed->x, err) : 0;
    feed->n = 0;
    return rc;
}

static void feed_take(void *ctx, int64_t id, const uint16_t *vector)
{
    struct feed *feed  = ctx;
    size_t       dim   = (size_t)feed->lib->model.dim;
    feed->ids[feed->n] = id;
    feed->lib->half.to_float(feed->x + feed->n++ * dim, vector, dim);
}

static int feed_put(struct feed *feed, int64_t id, const uint16_t *vector, struct err *err)
{
    feed_take(feed, id, vector);
    return feed->n == CHUNK ? feed_flush(feed, err) : 0;
}

/* Every so-many-th embedding, for an index that learns from a sample. */
static int train(struct library *lib, struct vindex *ix, int64_t total, struct err *err)
{
    const uint16_t *vector;
    int64_t         id, seen = 0;
    size_t          want = vindex_training_size(ix), dim = (size_t)lib->model.dim, n = 0, bytes;
    if (want == 0)
        return 0;
    want          = want > (size_t)total ? (size_t)total : want;
    float *sample = mem_aligned(want * dim, sizeof(*sample));
    if (!sample)
        return err_set(err, ERR_NOMEM, "cannot train the vector index: out of memory");
    int rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && n < want &&
           (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0) {
        /* the n-th of the sample is at n / want of the way */
        if (bytes != dim * 2 || (double)seen++ * (double)want < (double)n * (double)total)
            continue;
        lib->half.to_float(sample + n++ * dim, vector, dim);
    }
    if (rc >= 0)
        rc = vindex_train(ix, n, sample, err);
    free(sample);
    return rc;
}

/* In the order of ids. */
static int feed_in_order(struct feed *feed, struct err *err)
{
    struct library *lib = feed->lib;
    const uint16_t *vector;
    int64_t         id;
    size_t          bytes;
    int             rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0)
        if (bytes == (size_t)lib->model.dim * 2)
            rc = feed_put(feed, id, vector, err);
    return rc ? rc : feed_flush(feed, err);
}

static int embedded_ids(struct library *lib, int64_t **ids, size_t *n, struct err *err)
{
    const uint16_t *vector;
    int64_t         id;
    size_t          bytes, cap = 0;
    int             rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0) {
        if (*n == cap) {
            cap         = cap ? 2 * cap : CHUNK;
            int64_t *to = mem_regrow(*ids, cap, sizeof(*to));
            if (!to)
                return err_set(err, ERR_NOMEM, "cannot build the vector index: out of memory");
            *ids = to;
        }
        (*ids)[(*n)++] = id;
    }
    return rc;
}

/* Each chunk from all over the library: a graph that takes folder after folder, whose
 * pictures resemble each other, becomes one of islands, and misses several times as many
 * neighbours as one that began with a bit of everything. */
static int feed_spread(struct feed *feed, struct err *err)
{
    struct library *lib    = feed->lib;
    int64_t        *ids    = NULL, some[CHUNK];
    size_t          n      = 0;
    int             rc     = embedded_ids(lib, &ids, &n, err);
    size_t          chunks = (n + CHUNK - 1) / CHUNK;
    for (size_t c = 0; c < chunks && rc == 0; c++) {
        size_t m = 0;
        for (size_t i = c; i < n; i += chunks)
            some[m++] = ids[i];
        rc = catalog_embeddings_read(lib->cat, lib->model.id, some, m, lib->model.dim, feed_take,
                                     feed, err);
        if (rc == 0)
            rc = feed_flush(feed, err);
    }
    free(ids);
    return rc;
}

static int build_anew(struct library *lib, enum vindex_kind kind, int64_t total,
                      struct vindex **out, struct err *err)
{
    struct feed feed = {0};
    int         rc = vindex_new(kind, library_metric(&lib->model), lib->model.dim, total, out, err);
    if (rc == 0)
        rc = train(lib, *out, total, err);
    if (rc == 0)
        rc = feed_init(&feed, lib, *out, err);
    if (rc == 0)
        rc = kind == VINDEX_HNSW ? feed_spread(&feed, err) : feed_in_order(&feed, err);
    feed_release(&feed);
    return rc;
}

static bool in_delta(void *ctx, int64_t id)
{
    return delta_has(ctx, id);
}

static int grow(struct library *lib, struct vindex **out, struct err *err)
{
    struct delta *delta = &lib->delta;
    struct feed   feed  = {0};
    int           rc    = vindex_open(lib->vectors_path, true, out, err);
    if (rc == 0)
        rc = feed_init(&feed, lib, *out, err);
    if (rc == 0)
        vindex_remove(*out, in_delta, delta);
    for (size_t i = 0; i < delta->live && rc == 0; i++)
        rc = feed_put(&feed, delta->ids[i], delta->vectors + i * (size_t)delta->dim, err);
    if (rc == 0)
        rc = feed_flush(&feed, err);
    feed_release(&feed);
    return rc;
}

static enum vindex_kind kind_for(const struct library *lib, int64_t images)
{
    if (library_metric(&lib->model) == VINDEX_MANHATTAN) /* others are not made for it */
        return VINDEX_FLAT;
    return images <= lib->tuning.flat_max   ? VINDEX_FLAT
           : images <= lib->tuning.hnsw_max ? VINDEX_HNSW
                                            : VINDEX_IVF;
}

static bool can_grow(const struct library *lib, enum vindex_kind kind)
{
    if (!lib->base || kind == VINDEX_FLAT)
        return false;
    struct vindex_file mine = vindex_file_of(lib->base), now = vindex_file_at(lib->vectors_path);
    if (!vindex_file_equal(&mine, &now))
        return false;
    const struct vindex_info *info = vindex_info(lib->base);
    int64_t                   gone = info->gone + (int64_t)(lib->delta.count - lib->delta.live);
    int64_t                   all  = info->count + (int64_t)lib->delta.live;
    int64_t                   most = kind == VINDEX_HNSW ? 2 : 4; /* times what it was made for */
    return info->kind == kind && gone <= all / 4 && all / most <= info->trained;
}

/* Inside a read transaction, caught up. */
static int rewrite(struct library *lib, struct err *err)
{
    struct library_stats stats;
    struct vindex       *fresh = NULL;
    int                  rc    = catalog_stats(lib->cat, &stats, err);
    if (rc)
        return rc;
    enum vindex_kind kind = kind_for(lib, stats.images + stats.parts);
    if (can_grow(lib, kind))
        rc = grow(lib, &fresh, err);
    else
        rc = build_anew(lib, kind, stats.images + stats.parts, &fresh, err);
    if (rc == 0)
        rc = vindex_write(fresh, lib->vectors_path, lib->seq, lib->stamp, lib->model.hash, err);
    vindex_free(fresh);
    return rc;
}

static int trim(struct library *lib, int64_t seq, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_changes_trim(lib->cat, seq, err);
    if (rc == 0)
        return catalog_commit(lib->cat, err);
    catalog_rollback(lib->cat);
    return rc;
}

/* Whether rewriting may be due; loading the index then tells. */
static int may_be_due(struct library *lib, bool force, bool *due, struct err *err)
{
    struct index_state   state;
    struct library_stats stats;
    int                  rc = library_index_state(lib, &state, err);
    if (rc)
        return rc;
    rc = catalog_stats(lib->cat, &stats, err);
    catalog_rollback(lib->cat);
    int64_t base  = state.has_base ? state.base.count : 0;
    int64_t delta = state.has_base ? state.delta : stats.images + stats.parts;
    *due = state.has_model && (library_delta_is_large(lib, base, delta) || (force && delta > 0));
    return rc;
}

/* Inside a read transaction, caught up. */
static bool is_due(const struct library *lib, bool force)
{
    int64_t base  = lib->base ? vindex_info(lib->base)->count : 0;
    int64_t delta = (int64_t)lib->delta.count;
    return lib->seq > 0 && (library_delta_is_large(lib, base, delta) || (force && delta > 0));
}

int library_index_maintain(struct library *lib, bool force, struct err *err)
{
    bool model = false, due = false;
    int  fd = -1;
    int  rc = may_be_due(lib, force, &due, err);
    if (rc || !due)
        return rc;
    rc = build_lock(lib, force, &fd, err);
    if (rc || fd < 0)
        return rc;
    /* Another process may have done it while this one waited. */
    rc = library_begin_search(lib, &model, err);
    if (rc == 0) {
        /* What came since the index before this one stays: readers that still use
         * that one catch up with it. */
        int64_t seq = lib->base ? vindex_info(lib->base)->seq : 0;
        due         = model && is_due(lib, force);
        rc          = due ? rewrite(lib, err) : 0;
        catalog_rollback(lib->cat);
        if (rc == 0 && due) {
            library_unload(lib);
            rc = trim(lib, seq, err);
        }
    }
    close(fd);
    return rc;
}

/* ---- Checking it ---- */

struct audit {
    struct library *lib;
    void (*report)(void *ctx, const char *finding);
    void   *ctx;
    int64_t found;
};

__attribute__((format(printf, 2, 3))) static void finding(struct audit *a, const char *fmt, ...)
{
    char    msg[1200];
    va_list ap;
    if (a->found++ >= SPELLED_OUT || !a->report)
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    a->report(a->ctx, msg);
}

static const char *noun(int64_t id)
{
    return id < LIBRARY_FIRST_PART ? "image" : "page";
}

struct indexed {
    int64_t id, at; /* position in the base, or -1 - slot of the delta */
};

static int by_id(const void *a, const void *b)
{
    const struct indexed *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Everything that a search could find, in order of ids. */
static int list_indexed(struct library *lib, struct indexed **out, size_t *n, struct err *err)
{
    size_t          in_base = lib->base ? (size_t)vindex_info(lib->base)->count : 0;
    struct indexed *list    = mem_array(in_base + lib->delta.live + 1, sizeof(*list));
    if (!list)
        return err_set(err, ERR_NOMEM, "cannot check the vector index: out of memory");
    const int64_t *ids = lib->base ? vindex_ids(lib->base) : NULL;
    *n                 = 0;
    for (size_t i = 0; i < in_base; i++)
        if (ids[i] >= 0 && !delta_has(&lib->delta, ids[i]))
            list[(*n)++] = (struct indexed){ids[i], (int64_t)i};
    for (size_t i = 0; i < lib->delta.live; i++)
        list[(*n)++] = (struct indexed){lib->delta.ids[i], -1 - (int64_t)i};
    qsort(list, *n, sizeof(*list), by_id);
    *out = list;
    return 0;
}

static int compare_vector(struct audit *a, const struct indexed *entry, const uint16_t *vector,
                          float *scratch, struct err *err)
{
    struct library *lib  = a->lib;
    size_t          dim  = (size_t)lib->model.dim;
    float          *want = scratch, *have = scratch + dim;
    int             rc = 0;
    lib->half.to_float(want, vector, dim);
    if (entry->at >= 0)
        rc = vindex_vectors(lib->base, entry->at, 1, have, err);
    else
        lib->half.to_float(have, lib->delta.vectors + (size_t)(-1 - entry->at) * dim, dim);
    for (size_t i = 0; i < dim && rc == 0; i++) {
        if (!(fabsf(want[i] - have[i]) <= VECTOR_SLACK)) {
            finding(a, "the vector index holds another embedding of %s %lld than the catalogue",
                    noun(entry->id), (long long)entry->id);
            break;
        }
    }
    return rc;
}

/* Merges what is indexed with the catalogue's embeddings, both in order of ids. */
static int compare(struct audit *a, struct err *err)
{
    struct library *lib  = a->lib;
    struct indexed *list = NULL;
    const uint16_t *vector;
    int64_t         id;
    size_t          n = 0, i = 0, bytes;
    float          *scratch = mem_array((size_t)lib->model.dim * 2, sizeof(float));
    int rc = scratch ? list_indexed(lib, &list, &n, err) : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t j = 1; j < n; j++)
        if (list[j].id == list[j - 1].id)
            finding(a, "the vector index holds %s %lld twice", noun(list[j].id),
                    (long long)list[j].id);
    if (rc == 0)
        rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (list && rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0) {
        for (; i < n && list[i].id < id; i++)
            finding(a, "the vector index holds %s %lld, which the catalogue lacks",
                    noun(list[i].id), (long long)list[i].id);
        if (bytes != (size_t)lib->model.dim * 2) /* told by the catalogue's check */
            continue;
        if (i == n || list[i].id != id) {
            finding(a, "the vector index lacks %s %lld", noun(id), (long long)id);
            continue;
        }
        rc = compare_vector(a, &list[i], vector, scratch, err);
        while (i < n && list[i].id == id)
            i++;
    }
    for (; rc == 0 && i < n; i++)
        finding(a, "the vector index holds %s %lld, which the catalogue lacks", noun(list[i].id),
                (long long)list[i].id);
    free(list);
    free(scratch);
    return rc;
}

/* What the index holds, against the catalogue, in one transaction. */
static int audit_index(struct audit *a, struct err *err)
{
    struct err e     = ERR_INIT;
    bool       model = false;
    int        rc    = vindex_check(a->lib->vectors_path, &e);
    if (rc == ERR_DAMAGED)
        finding(a, "%s", e.msg);
    if (rc == ERR_DAMAGED || rc == ERR_NOTFOUND)
        rc = 0;
    if (rc)
        return err_set(err, e.code, "%s", e.msg);
    if (a->found > 0) /* nothing of it may be looked at */
        return 0;
    rc = library_begin_search(a->lib, &model, err);
    if (rc)
        return rc;
    if (model)
        rc = compare(a, err);
    catalog_rollback(a->lib->cat);
    return rc;
}

static int rebuild(struct library *lib, struct err *err)
{
    library_unload(lib);
    if (unlink(lib->vectors_path) != 0 && errno != ENOENT)
        return err_set(err, ERR_IO, "cannot remove %s: %s", lib->vectors_path, strerror(errno));
    return library_index_maintain(lib, true, err);
}

int library_verify(struct library *lib, bool repair, void (*report)(void *ctx, const char *finding),
                   void *ctx, int64_t *damage, struct err *err)
{
    struct library_model model;
    struct audit         a     = {lib, report, ctx, 0};
    bool                 fatal = false;
    int64_t              found = 0, left = 0;
    *damage = 0;
    int rc  = library_model_active(lib, &model, NULL);
    if (rc && rc != ERR_NOTFOUND && rc != ERR_DAMAGED)
        return library_model_active(lib, &model, err);
    rc      = catalog_check(lib->cat, rc == 0 ? &model : NULL, repair, report, ctx, &found, &left,
                            &fatal, err);
    *damage = left;
    if (rc || fatal)
        return rc;
    rc = library_kept_check(lib, repair, report, ctx, &left, err);
    if (rc == 0)
        rc = library_tagger_check(lib, repair, report, ctx, &left, err);
    *damage = left;
    if (rc)
        return rc;
    rc = audit_index(&a, err);
    if (rc == 0 && a.found > SPELLED_OUT && report)
        report(ctx, "the vector index has more findings; they are counted, not listed");
    *damage += a.found;
    if (rc || a.found == 0 || !repair)
        return rc;
    rc = rebuild(lib, err);
    if (rc)
        return err_prefix(err, "cannot rebuild the vector index");
    if (report)
        report(ctx, "the vector index was rebuilt from the catalogue");
    struct audit again = {lib, NULL, NULL, 0};
    rc                 = audit_index(&again, err);
    *damage            = left + again.found;
    return rc;
}
