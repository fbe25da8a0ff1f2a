/* The vector index in step with the catalogue: the base that belongs to it, and what came
 * or went since in a delta. */
#include "storage/library_impl.h"

#include <stdlib.h>
#include <string.h>

void library_unload(struct library *lib)
{
    vindex_free(lib->base);
    lib->base = NULL;
    delta_release(&lib->delta);
    library_few_release(&lib->few);
    lib->loaded = false;
    lib->seq = lib->stamp = 0;
}

/* Takes in the changes after lib->seq. */
static int catch_up(struct library *lib, struct err *err)
{
    int64_t *ids = NULL, seq, stamp;
    size_t   n   = 0;
    int      rc  = catalog_change_last(lib->cat, &seq, &stamp, err);
    if (rc || seq == lib->seq)
        return rc;
    rc = catalog_changes_after(lib->cat, lib->seq, &ids, &n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const uint16_t *vector = NULL;
        if (ids[i] <= 0) /* a change of models */
            continue;
        rc = catalog_embedding_get(lib->cat, lib->model.id, ids[i], lib->model.dim, &vector, err);
        if (rc == 0)
            rc = delta_put(&lib->delta, ids[i], vector, err);
        else if (rc == ERR_NOTFOUND || rc == ERR_DAMAGED) /* of the latter verify tells */
            rc = delta_put(&lib->delta, ids[i], NULL, err);
    }
    free(ids);
    if (rc)
        return rc;
    lib->seq   = seq;
    lib->stamp = stamp;
    return 0;
}

/* Without a base: every embedding goes into the delta. */
static int load_everything(struct library *lib, struct err *err)
{
    const uint16_t *vector;
    int64_t         id;
    size_t          bytes;
    int             rc = catalog_change_last(lib->cat, &lib->seq, &lib->stamp, err);
    if (rc == 0)
        rc = catalog_walk_begin(lib->cat, lib->model.id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(lib->cat, &id, &vector, &bytes, err)) > 0)
        if (bytes == (size_t)lib->model.dim * 2)
            rc = delta_put(&lib->delta, id, vector, err);
    return rc;
}

/* *belongs: the file is an index of this model and of this catalogue's past. */
static int load_base(struct library *lib, bool last_try, bool *belongs, bool *again,
                     struct err *err)
{
    int64_t last, stamp;
    *belongs   = false;
    lib->tried = vindex_file_at(lib->vectors_path);
    int rc     = vindex_open(lib->vectors_path, false, &lib->base, err);
    if (rc) /* what is derived may be missing or broken: then it is not used */
        return rc == ERR_NOMEM ? rc : 0;
    const struct vindex_info *info = vindex_info(lib->base);
    if (info->dim != lib->model.dim || info->metric != library_metric(&lib->model) ||
        strcmp(info->model_hash, lib->model.hash) != 0)
        return 0;
    rc = catalog_change_last(lib->cat, &last, &stamp, err);
    if (rc == 0 && info->seq > last && !last_try)
        *again = true;
    if (rc == 0)
        rc = catalog_change_belongs(lib->cat, info->seq, info->stamp, belongs, err);
    return rc;
}

static int load(struct library *lib, bool last_try, bool *again, struct err *err)
{
    struct err ignored = ERR_INIT;
    bool       belongs = false;
    delta_init(&lib->delta, lib->model.dim);
    int rc = load_base(lib, last_try, &belongs, again, &ignored);
    if (rc)
        return err_set(err, ignored.code, "%s", ignored.msg);
    if (*again)
        return 0;
    if (belongs) {
        lib->seq   = vindex_info(lib->base)->seq;
        lib->stamp = vindex_info(lib->base)->stamp;
        rc         = catch_up(lib, err);
    } else {
        vindex_free(lib->base);
        lib->base = NULL;
        rc        = load_everything(lib, err);
    }
    lib->loaded = rc == 0;
    return rc;
}

/* A long-lived reader keeps pace change by change; once much has come, another
 * process will have put it into a new base, which is better than its delta. */
static bool newer_base_waits(const struct library *lib)
{
    struct vindex_file now;
    if (lib->keeps)
        return false;
    if (!library_delta_is_large(lib, lib->base ? vindex_info(lib->base)->count : 0,
                                (int64_t)lib->delta.count))
        return false;
    now = vindex_file_at(lib->vectors_path);
    return now.inode != 0 && !vindex_file_equal(&now, &lib->tried);
}

static int refresh(struct library *lib, bool last_try, bool *again, struct err *err)
{
    struct library_model model;
    bool                 belongs = false;
    int                  rc      = library_model_active(lib, &model, err);
    if (rc) {
        library_unload(lib);
        return rc;
    }
    if (lib->loaded && lib->model.id == model.id && !newer_base_waits(lib))
        rc = catalog_change_belongs(lib->cat, lib->seq, lib->stamp, &belongs, err);
    if (rc == 0 && belongs) {
        rc = catch_up(lib, err);
        if (rc)
            library_unload(lib);
        return rc;
    }
    library_unload(lib);
    lib->model = model;
    if (rc == 0)
        rc = load(lib, last_try, again, err);
    if (rc || *again)
        library_unload(lib);
    return rc;
}

int library_refresh(struct library *lib, bool last_try, bool *again, struct err *err)
{
    int64_t generation = 0;
    *again             = false;
    int rc             = catalog_generation(lib->cat, &generation, err);
    if (rc == 0 && lib->loaded && generation > 0 && generation == lib->stats.generation &&
        !newer_base_waits(lib))
        return 0;
    if (rc == 0)
        rc = catalog_stats(lib->cat, &lib->stats, err);
    if (rc)
        library_unload(lib);
    return rc ? rc : refresh(lib, last_try, again, err);
}

int library_begin_search(struct library *lib, bool *model, struct err *err)
{
    *model = true;
    for (int try = 1; try <= LIBRARY_TRIES; try++) {
        struct err e     = ERR_INIT;
        bool       again = false;
        int        rc    = catalog_begin_read(lib->cat, err);
        if (rc)
            return rc;
        rc = library_refresh(lib, try == LIBRARY_TRIES, &again, &e);
        if (rc == 0 && !again)
            return 0;
        if (rc == ERR_NOTFOUND) {
            *model = false;
            return 0;
        }
        catalog_rollback(lib->cat);
        if (rc)
            return err_set(err, e.code, "%s", e.msg);
    }
    return err_set(err, ERR_FAILED, "library %s: the vector index cannot be caught up", lib->dir);
}
