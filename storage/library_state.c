/* How a library stands, told from what the catalogue counts and the vector index's
 * file records of itself: a status line, or the question whether anything is to be
 * done, must not load a million vectors.
 */
#include "storage/library_impl.h"

#include <stdio.h>
#include <string.h>

/* *again: the file is newer than this transaction sees. */
static int look(struct library *lib, struct index_state *out, bool *again, struct err *err)
{
    struct err e = ERR_INIT;
    int64_t    last, stamp;
    *out   = (struct index_state){0};
    *again = false;
    int rc = library_model_active(lib, &out->model, &e);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return err_set(err, e.code, "%s", e.msg);
    out->has_model = true;
    rc             = vindex_peek(lib->vectors_path, &out->base, NULL);
    if (rc) /* what is derived may be missing or broken */
        return 0;
    if (out->base.dim != out->model.dim || out->base.metric != library_metric(&out->model) ||
        strcmp(out->base.model_hash, out->model.hash) != 0)
        return 0;
    rc = catalog_change_last(lib->cat, &last, &stamp, err);
    if (rc == 0 && out->base.seq > last)
        *again = true;
    if (rc == 0)
        rc = catalog_change_belongs(lib->cat, out->base.seq, out->base.stamp, &out->has_base, err);
    if (rc == 0 && out->has_base)
        rc = catalog_changes_count(lib->cat, out->base.seq, &out->delta, err);
    return rc;
}

int library_index_state(struct library *lib, struct index_state *out, struct err *err)
{
    bool again = true;
    int  rc    = 0;
    for (int try = 1; again && try <= LIBRARY_TRIES; try++) {
        if (try > 1)
            catalog_rollback(lib->cat);
        rc = catalog_begin_read(lib->cat, err);
        if (rc)
            return rc;
        rc = look(lib, out, &again, err);
    }
    if (rc)
        catalog_rollback(lib->cat);
    return rc;
}

enum vindex_metric library_metric(const struct library_model *model)
{
    return model->distance == DISTANCE_MANHATTAN ? VINDEX_MANHATTAN : VINDEX_PRODUCT;
}

bool library_delta_is_large(const struct library *lib, int64_t base, int64_t delta)
{
    return delta > (base / 10 > lib->tuning.delta_min ? base / 10 : lib->tuning.delta_min);
}

int library_stats(struct library *lib, struct library_stats *out, struct err *err)
{
    struct index_state state;
    memset(out, 0, sizeof(*out));
    int rc = library_index_state(lib, &state, err);
    if (rc)
        return rc;
    rc = catalog_stats(lib->cat, out, err);
    if (rc == 0 && state.has_base) {
        out->index_base  = state.base.count - state.base.gone;
        out->index_delta = state.delta;
    } else if (rc == 0 && state.has_model) {
        rc = catalog_embeddings_count(lib->cat, state.model.id, &out->index_delta, err);
    }
    catalog_rollback(lib->cat);
    /* Without a base everything is in the delta, which is exact. */
    enum vindex_kind kind = state.has_base ? state.base.kind : VINDEX_FLAT;
    snprintf(out->index_kind, sizeof(out->index_kind), "%s", vindex_kind_name(kind));
    return rc;
}
