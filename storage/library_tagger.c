/* Tags for a library's pictures from their stored embeddings: see library_tagger.h.
 *
 * Pictures go through in blocks of a thousand: a read transaction for the embeddings, one
 * matrix product, a write transaction for the tags. So nobody waits long for the
 * catalogue, and memory stays flat.
 */
#include "storage/library_tagger.h"

#include "base/mem.h"
#include "storage/library_impl.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 1024 /* pictures */

/* What judging works with. */
struct judge {
    struct library               *lib;
    const struct library_tagging *job;
    struct library_model          model;
    struct library_tag_tally     *tally;
    size_t                        n;       /* pictures of the block */
    int64_t                      *ids;     /* (BLOCK) */
    float                        *x;       /* (BLOCK, dim) */
    float                        *v;       /* (BLOCK, labels) */
    struct tagger_tag            *chosen;  /* (labels) */
    struct library_saying        *sayings; /* (BLOCK) */
    struct library_said          *said;    /* (n_said), what sayings point into */
    size_t                        n_said, room;
};

static int judge_init(struct judge *j, struct err *err)
{
    size_t labels = j->job->tagger->n, dim = j->job->tagger->dim;
    int    rc = library_model_active(j->lib, &j->model, err);
    if (rc)
        return rc;
    if ((size_t)j->model.dim != dim)
        return err_set(err, ERR_USAGE, "labels of %zu dimensions do not fit the model %s with %d",
                       dim, j->model.name, j->model.dim);
    j->ids     = mem_array(BLOCK, sizeof *j->ids);
    j->x       = mem_aligned(BLOCK * dim, sizeof *j->x);
    j->v       = mem_aligned(BLOCK * labels, sizeof *j->v);
    j->chosen  = mem_array(labels, sizeof *j->chosen);
    j->sayings = mem_array(BLOCK, sizeof *j->sayings);
    return j->ids && j->x && j->v && j->chosen && j->sayings
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu labels", labels);
}

static void judge_release(struct judge *j)
{
    free(j->ids);
    free(j->x);
    free(j->v);
    free(j->chosen);
    free(j->sayings);
    free(j->said);
}

static void take(struct judge *j, int64_t id, const uint16_t *vector)
{
    size_t dim = (size_t)j->model.dim;
    j->lib->half.to_float(j->x + j->n * dim, vector, dim);
    j->ids[j->n++] = id;
}

/* The next block of all pictures after an id; j->n is 0 at the end. */
static int read_after(struct judge *j, int64_t after, struct err *err)
{
    const uint16_t *vector;
    int64_t         id;
    size_t          bytes;
    j->n   = 0;
    int rc = catalog_begin_read(j->lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_walk_begin(j->lib->cat, j->model.id, after, err);
    while (rc >= 0 && j->n < BLOCK &&
           (rc = catalog_walk_next(j->lib->cat, &id, &vector, &bytes, err)) > 0)
        if (bytes == (size_t)j->model.dim * 2 && id < LIBRARY_FIRST_PART)
            take(j, id, vector);
    catalog_rollback(j->lib->cat);
    return rc < 0 ? rc : 0;
}

/* A block of those with the given ids, at most BLOCK; what has no embedding is left out. */
static int read_ids(struct judge *j, const int64_t *ids, size_t n, struct err *err)
{
    j->n   = 0;
    int rc = catalog_begin_read(j->lib->cat, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++) {
        const uint16_t *vector;
        if (ids[i] <= 0 || ids[i] >= LIBRARY_FIRST_PART) /* a change of models; a page */
            continue;
        rc = catalog_embedding_get(j->lib->cat, j->model.id, ids[i], j->model.dim, &vector, err);
        if (rc == 0)
            take(j, ids[i], vector);
        else if (rc == ERR_NOTFOUND || rc == ERR_DAMAGED) /* of the latter verify tells */
            rc = 0;
    }
    catalog_rollback(j->lib->cat);
    return rc;
}

/* What fits picture i of the block, appended to j->said. */
static int choose(struct judge *j, size_t i, struct err *err)
{
    const struct tagger *t = j->job->tagger;
    size_t               n = tagger_choose(t, j->v + i * t->n, j->chosen);
    if (n > LIBRARY_SAID_MAX)
        n = LIBRARY_SAID_MAX;
    if (j->n_said + n > j->room) {
        size_t               room = (j->n_said + n) * 2;
        struct library_said *more = mem_regrow(j->said, room, sizeof *more);
        if (!more)
            return err_set(err, ERR_NOMEM, "out of memory for %zu tags", room);
        j->said = more;
        j->room = room;
    }
    for (size_t k = 0; k < n; k++)
        j->said[j->n_said + k] = (struct library_said){.text   = t->labels[j->chosen[k].label],
                                                       .source = LIBRARY_OSPREY,
                                                       .score  = j->chosen[k].score};
    j->sayings[i] = (struct library_saying){.image_id = j->ids[i], .n = n};
    j->n_said += n;
    return 0;
}

/* Judges the block, stores what came of it, then tells. */
static int judge_block(struct judge *j, struct err *err)
{
    int64_t changed = 0;
    int     rc      = 0;
    if (j->n == 0)
        return 0;
    j->n_said = 0;
    tagger_score(j->job->tagger, j->x, j->n, j->v);
    for (size_t i = 0; i < j->n && rc == 0; i++)
        rc = choose(j, i, err);
    for (size_t i = 0, at = 0; i < j->n && rc == 0; at += j->sayings[i++].n)
        j->sayings[i].said = j->said + at; /* now that it does not move any more */
    if (rc == 0 && !j->job->dry_run)
        rc = library_tags_replace(j->lib, LIBRARY_OSPREY, j->sayings, j->n, &changed, err);
    for (size_t i = 0; i < j->n && rc == 0; i++) {
        j->tally->images++;
        j->tally->tagged += j->sayings[i].n > 0;
        if (j->job->tell)
            rc = j->job->tell(j->job->ctx, j->ids[i], j->sayings[i].said, j->sayings[i].n, err);
    }
    j->tally->changed += changed;
    return rc;
}

static int judge_all(struct judge *j, struct err *err)
{
    int64_t after = 0;
    int     rc    = 0;
    do {
        rc = read_after(j, after, err);
        if (rc == 0 && j->n > 0) {
            after = j->ids[j->n - 1];
            rc    = judge_block(j, err);
        }
    } while (rc == 0 && j->n > 0);
    return rc;
}

static int judge_ids(struct judge *j, const int64_t *ids, size_t n, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i += BLOCK) {
        rc = read_ids(j, ids + i, n - i < BLOCK ? n - i : BLOCK, err);
        if (rc == 0)
            rc = judge_block(j, err);
    }
    return rc;
}

int library_tag(struct library *lib, const struct library_tagging *job,
                struct library_tag_tally *out, struct err *err)
{
    struct judge j = {.lib = lib, .job = job, .tally = out};
    *out           = (struct library_tag_tally){0};
    int rc         = judge_init(&j, err);
    if (rc == 0 && job->n_filters == 0)
        rc = judge_all(&j, err);
    for (size_t f = 0; f < job->n_filters && rc == 0; f++) {
        int64_t *ids = NULL;
        size_t   n   = 0;
        rc           = catalog_filtered(lib->cat, &job->filters[f], &ids, &n, err);
        if (rc == 0)
            rc = judge_ids(&j, ids, n, err);
        free(ids);
    }
    judge_release(&j);
    return rc;
}

int library_background_embeddings(struct library *lib, float **x, size_t *n, struct err *err)
{
    struct library_model model;
    struct err           why = ERR_INIT;
    bool                 fresh;
    struct background   *b  = &lib->background;
    int                  rc = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    rc = library_model_active(lib, &model, &why);
    if (rc == 0)
        rc = library_background_take(lib, &model, b, &fresh, &why);
    catalog_rollback(lib->cat);
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    *n = b->n;
    *x = mem_aligned(b->n * (size_t)model.dim + 1, sizeof **x);
    if (!*x)
        return err_set(err, ERR_NOMEM, "out of memory for %zu embeddings", b->n);
    lib->half.to_float(*x, b->vectors, b->n * (size_t)model.dim);
    return 0;
}

/* ---- The kept one ---- */

int library_tagger_keep(struct library *lib, const struct library_tagging *job,
                        struct library_tag_tally *out, struct err *err)
{
    struct library_model model;
    struct kept_tagger   kept = {0};
    int                  rc   = library_model_active(lib, &model, err);
    if (rc == 0) /* what comes from now on is judged again: better twice than never */
        rc = catalog_change_last(lib->cat, &kept.seq, &kept.stamp, err);
    if (rc == 0)
        rc = tagger_pack(job->tagger, &kept.data, &kept.len, err);
    if (rc == 0)
        rc = library_tag(lib, job, out, err);
    if (rc == 0)
        rc = catalog_begin_write(lib->cat, err);
    if (rc == 0)
        rc = catalog_finish(lib->cat, catalog_tagger_put(lib->cat, model.id, &kept, err), err);
    free(kept.data);
    return rc;
}

static int get_kept(struct library *lib, struct library_model *model, struct kept_tagger *kept,
                    struct tagger **out, struct err *err)
{
    struct err why = ERR_INIT;
    int        rc  = library_model_active(lib, model, err);
    if (rc == 0)
        rc = catalog_tagger_get(lib->cat, model->id, kept, err);
    if (rc)
        return rc;
    rc = tagger_unpack(kept->data, kept->len, out, &why);
    free(kept->data);
    kept->data = NULL;
    if (!rc && (*out)->dim != (size_t)model->dim) {
        rc = err_set(&why, ERR_DAMAGED, "they are of %zu dimensions for %s with %d", (*out)->dim,
                     model->name, model->dim);
        tagger_free(*out);
        *out = NULL;
    }
    return rc ? err_set(err, why.code,
                        "the labels that library %s keeps cannot be used: %s (osprey tag with "
                        "--vocab or --examples makes them anew, osprey verify --repair forgets "
                        "them)",
                        lib->dir, why.msg)
              : 0;
}

int library_tagger_get(struct library *lib, struct tagger **out, struct err *err)
{
    struct library_model model;
    struct kept_tagger   kept;
    return get_kept(lib, &model, &kept, out, err);
}

int library_tagger_forget(struct library *lib, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : catalog_finish(lib->cat, catalog_tagger_drop(lib->cat, err), err);
}

/* The ids of the changes since, each once; *all: that cannot be told any more. */
static int changed_since(struct library *lib, const struct kept_tagger *kept, int64_t **ids,
                         size_t *n, bool *all, struct err *err)
{
    bool belongs = false;
    int  rc      = catalog_change_belongs(lib->cat, kept->seq, kept->stamp, &belongs, err);
    *all         = !belongs;
    return rc || *all ? rc : catalog_changes_after(lib->cat, kept->seq, ids, n, err);
}

int library_tagger_catch_up(struct library *lib, struct library_tag_tally *out, struct err *err)
{
    struct library_tagging job  = {0};
    struct judge           j    = {.lib = lib, .job = &job, .tally = out};
    struct kept_tagger     kept = {0};
    struct tagger         *t    = NULL;
    struct err             why  = ERR_INIT;
    int64_t               *ids  = NULL, seq, stamp;
    size_t                 n    = 0;
    bool                   all  = false;
    *out                        = (struct library_tag_tally){0};
    if (catalog_is_read_only(lib->cat))
        return 0;
    int rc = get_kept(lib, &j.model, &kept, &t, &why);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    job.tagger = t;
    rc         = catalog_change_last(lib->cat, &seq, &stamp, err);
    if (rc || seq == kept.seq)
        goto out;
    rc = changed_since(lib, &kept, &ids, &n, &all, err);
    if (rc == 0)
        rc = judge_init(&j, err);
    if (rc == 0)
        rc = all ? judge_all(&j, err) : judge_ids(&j, ids, n, err);
    if (rc == 0)
        rc = catalog_begin_write(lib->cat, err);
    if (rc == 0)
        rc = catalog_finish(lib->cat, catalog_tagger_reach(lib->cat, j.model.id, seq, stamp, err),
                            err);
out:
    judge_release(&j);
    free(ids);
    tagger_free(t);
    return rc;
}

int library_tagger_check(struct library *lib, bool                             repair,
                         void (*report)(void *ctx, const char *finding), void *ctx, int64_t *damage,
                         struct err *err)
{
    struct tagger *t   = NULL;
    struct err     why = ERR_INIT;
    int            rc  = library_tagger_get(lib, &t, &why);
    tagger_free(t);
    if (rc == 0 || rc == ERR_NOTFOUND)
        return 0;
    if (rc != ERR_DAMAGED)
        return err_set(err, why.code, "%s", why.msg);
    ++*damage;
    if (report)
        report(ctx, why.msg);
    if (!repair)
        return 0;
    rc = library_tagger_forget(lib, err);
    if (rc == 0) {
        --*damage;
        if (report)
            report(ctx, "the labels were forgotten: osprey tag makes them anew");
    }
    return rc;
}
