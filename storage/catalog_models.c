/* The catalogue's models, their embeddings, and the sequence of changes that
 * the vector index follows.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- Models ---- */

static void model_from_row(sqlite3_stmt *stmt, struct library_model *out)
{
    memset(out, 0, sizeof(*out));
    out->id = sqlite3_column_int64(stmt, 0);
    snprintf(out->name, sizeof(out->name), "%s", (const char *)sqlite3_column_text(stmt, 1));
    snprintf(out->dir, sizeof(out->dir), "%s", (const char *)sqlite3_column_text(stmt, 2));
    snprintf(out->hash, sizeof(out->hash), "%s", (const char *)sqlite3_column_text(stmt, 3));
    snprintf(out->precision, sizeof(out->precision), "%s",
             (const char *)sqlite3_column_text(stmt, 4));
    out->dim = sqlite3_column_int(stmt, 5);
    (void)distance_of((const char *)sqlite3_column_text(stmt, 6), &out->distance);
}

int catalog_model_by_state(struct catalog *cat, const char *state, struct library_model *out,
                           struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT id, name, dir, hash, precision, dim, distance FROM models"
                                               " WHERE state = ?",
                                     "t", state);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s has no %s model", cat->file, state);
    model_from_row(stmt, out);
    sqlite3_reset(stmt);
    return 0;
}

int catalog_model_by_id(struct catalog *cat, int64_t id, struct library_model *out, bool *active,
                        struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT id, name, dir, hash, precision, dim, distance,"
                                               " state = 'active'"
                                               " FROM models WHERE id = ?",
                                     "i", id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s has no model %lld", cat->file,
                       (long long)id);
    model_from_row(stmt, out);
    *active = sqlite3_column_int(stmt, 7) != 0;
    sqlite3_reset(stmt);
    return 0;
}

int catalog_model_register(struct catalog *cat, struct library_model *model, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = catalog_query(cat, &stmt, err, "SELECT id, dim, state FROM models WHERE hash = ?", "t",
                           model->hash);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    bool known = rc > 0, current = false;
    if (known) {
        int dim   = sqlite3_column_int(stmt, 1);
        model->id = sqlite3_column_int64(stmt, 0);
        current   = strcmp((const char *)sqlite3_column_text(stmt, 2), "retired") != 0;
        sqlite3_reset(stmt);
        if (dim != model->dim)
            return err_set(err, ERR_USAGE,
                           "model %s has %d dimensions, the library knows the same weights with %d",
                           model->name, model->dim, dim);
    }
    if (!current) /* there is one being filled at most: the newest */
        rc = catalog_run(cat, err, "UPDATE models SET state = 'retired' WHERE state = 'filling'",
                         "");
    if (rc < 0)
        return rc;
    if (known)
        return catalog_run(cat, err,
                           "UPDATE models SET name = ?2, dir = ?3, precision = ?4, state ="
                           " iif(state = 'retired', 'filling', state) WHERE id = ?1",
                           "ittt", model->id, model->name, model->dir, model->precision);
    rc = catalog_run(cat, err,
                     "INSERT INTO models (name, dir, hash, precision, dim, distance, state)"
                     " VALUES (?, ?, ?, ?, ?, ?, 'filling')",
                     "ttttit", model->name, model->dir, model->hash, model->precision,
                     (int64_t)model->dim, distance_name(model->distance));
    if (rc == 0)
        model->id = sqlite3_last_insert_rowid(cat->db);
    return rc;
}

int catalog_model_activate(struct catalog *cat, int64_t id, struct err *err)
{
    struct library_model model;
    bool                 active;
    int                  rc = catalog_model_by_id(cat, id, &model, &active, err);
    if (rc || active)
        return rc;
    rc = catalog_run(cat, err, "UPDATE models SET state = 'retired' WHERE id <> ?", "i", id);
    if (rc == 0)
        rc = catalog_run(cat, err, "UPDATE models SET state = 'active' WHERE id = ?", "i", id);
    /* The index of the old model ends here: what comes after is another's. */
    return rc ? rc : catalog_change_note(cat, 0, err);
}

int catalog_retired_trim(struct catalog *cat, int limit, int64_t *n, struct err *err)
{
    *n     = 0;
    int rc = catalog_run(cat, err,
                         "DELETE FROM embeddings WHERE key IN (SELECT e.key FROM models m,"
                         " embeddings e WHERE m.state = 'retired' AND e.key > m.id << 40"
                         " AND e.key < (m.id + 1) << 40 LIMIT ?)",
                         "i", (int64_t)limit);
    if (rc == 0)
        *n = sqlite3_changes(cat->db);
    return rc;
}

/* ---- Embeddings ---- */

static int room_for_vector(struct catalog *cat, size_t bytes, struct err *err)
{
    if (bytes <= cat->vector_cap && cat->vector)
        return 0;
    free(cat->vector);
    cat->vector_cap = bytes < 2048 ? 2048 : bytes;
    cat->vector     = mem_aligned(cat->vector_cap, 1);
    if (cat->vector)
        return 0;
    cat->vector_cap = 0;
    return err_set(err, ERR_NOMEM, "cannot read an embedding: out of memory");
}

/* Blobs may lie at odd addresses within SQLite's page: copied to where uint16_t
 * may be read, which also lets the statement go. */
static int copy_vector(struct catalog *cat, sqlite3_stmt *stmt, int column, size_t *bytes,
                       struct err *err)
{
    const void *blob = sqlite3_column_blob(stmt, column);
    *bytes           = (size_t)sqlite3_column_bytes(stmt, column);
    int rc           = room_for_vector(cat, *bytes, err);
    if (rc == 0 && *bytes > 0)
        memcpy(cat->vector, blob, *bytes);
    return rc;
}

int catalog_embedding_get(struct catalog *cat, int64_t model_id, int64_t image_id, int dim,
                          const uint16_t **vector, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = catalog_query(cat, &stmt, err, "SELECT vector FROM embeddings WHERE key = ?", "i",
                           embedding_key(model_id, image_id));
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "image %lld has no embedding", (long long)image_id);
    size_t bytes = 0;
    rc           = copy_vector(cat, stmt, 0, &bytes, err);
    sqlite3_reset(stmt);
    if (rc == 0 && bytes != (size_t)dim * 2)
        rc = err_set(err, ERR_DAMAGED, "the embedding of image %lld has %zu bytes, not %d",
                     (long long)image_id, bytes, dim * 2);
    *vector = cat->vector;
    return rc;
}

int catalog_embeddings_read(struct catalog *cat, int64_t model_id, const int64_t *ids, size_t n,
                            int   dim, void (*take)(void *ctx, int64_t id, const uint16_t *vector),
                            void *ctx, struct err *err)
{
    sqlite3_blob *blob = NULL; /* moved from row to row, which a statement can't be */
    int           size = dim * 2, rc = room_for_vector(cat, (size_t)size, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        int64_t key  = embedding_key(model_id, ids[i]);
        int     code = blob ? sqlite3_blob_reopen(blob, key)
                            : sqlite3_blob_open(cat->db, "main", "embeddings", "vector", key, 0, &blob);
        bool    fits = code == SQLITE_OK && sqlite3_blob_bytes(blob) == size;
        if (fits)
            code = sqlite3_blob_read(blob, cat->vector, size, 0);
        if (fits && code == SQLITE_OK)
            take(ctx, ids[i], cat->vector);
        if (code == SQLITE_ERROR || (code & 0xff) == SQLITE_CORRUPT) {
            /* No such row, or damage; the blob is of no use any more. */
            sqlite3_blob_close(blob);
            blob = NULL;
        } else if (code != SQLITE_OK) {
            rc = catalog_fail(cat, code, "read an embedding", err);
        }
    }
    sqlite3_blob_close(blob);
    return rc;
}

int catalog_embedding_put(struct catalog *cat, int64_t model_id, int64_t image_id,
                          const uint16_t *vector, int dim, struct err *err)
{
    return catalog_run(cat, err, "INSERT OR REPLACE INTO embeddings (key, vector) VALUES (?, ?)",
                       "ib", embedding_key(model_id, image_id), (const void *)vector,
                       (size_t)dim * 2);
}

int catalog_embeddings_copy(struct catalog *cat, int64_t from, int64_t to, int64_t model_id,
                            bool *active, bool *wanted, struct err *err)
{
    int64_t has_active = 0, has_wanted = 0;
    int     rc =
        catalog_int(cat, &has_wanted, err, "SELECT EXISTS (SELECT 1 FROM embeddings WHERE key = ?)",
                    "i", embedding_key(model_id, from));
    if (rc == 0)
        rc = catalog_int(cat, &has_active, err,
                         "SELECT EXISTS (SELECT 1 FROM models m JOIN embeddings e"
                         " ON e.key = (m.id << 40) | ? WHERE m.state = 'active')",
                         "i", from);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT OR REPLACE INTO embeddings (key, vector)"
                         " SELECT (m.id << 40) | ?2, e.vector FROM models m JOIN embeddings e"
                         " ON e.key = (m.id << 40) | ?1",
                         "ii", from, to);
    *active = has_active != 0;
    *wanted = has_wanted != 0;
    return rc;
}

int catalog_embeddings_count(struct catalog *cat, int64_t model_id, int64_t *n, struct err *err)
{
    return catalog_int(cat, n, err, "SELECT count(*) FROM embeddings WHERE key > ? AND key < ?",
                       "ii", embedding_key(model_id, 0), embedding_key(model_id + 1, 0));
}

int catalog_embeddings_drop(struct catalog *cat, int64_t image_id, struct err *err)
{
    return catalog_run(cat, err,
                       "DELETE FROM embeddings WHERE key IN (SELECT (id << 40) | ? FROM models)",
                       "i", image_id);
}

int catalog_walk_begin(struct catalog *cat, int64_t model_id, int64_t after, struct err *err)
{
    cat->walk_model = model_id;
    return catalog_query(cat, &cat->walk, err,
                         "SELECT key, vector FROM embeddings WHERE key > ? AND key < ?"
                         " ORDER BY key",
                         "ii", embedding_key(model_id, after), embedding_key(model_id + 1, 0));
}

int catalog_walk_next(struct catalog *cat, int64_t *image_id, const uint16_t **vector,
                      size_t *bytes, struct err *err)
{
    int rc = catalog_step_row(cat, cat->walk, err);
    if (rc <= 0)
        return rc;
    *image_id = sqlite3_column_int64(cat->walk, 0) - embedding_key(cat->walk_model, 0);
    rc        = copy_vector(cat, cat->walk, 1, bytes, err);
    *vector   = cat->vector;
    return rc ? rc : 1;
}

/* ---- Changes ---- */

int catalog_change_note(struct catalog *cat, int64_t image_id, struct err *err)
{
    return catalog_run(cat, err, "INSERT INTO changes (image_id) VALUES (?)", "i", image_id);
}

int catalog_change_last(struct catalog *cat, int64_t *seq, int64_t *stamp, struct err *err)
{
    sqlite3_stmt *stmt;
    *seq = *stamp = 0;
    int rc        = catalog_query(cat, &stmt, err,
                                  "SELECT seq, stamp FROM changes ORDER BY seq DESC LIMIT 1", "");
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc > 0) {
        *seq   = sqlite3_column_int64(stmt, 0);
        *stamp = sqlite3_column_int64(stmt, 1);
        sqlite3_reset(stmt);
    }
    return rc < 0 ? rc : 0;
}

int catalog_change_belongs(struct catalog *cat, int64_t seq, int64_t stamp, bool *belongs,
                           struct err *err)
{
    int64_t yes = 0;
    int     rc;
    if (seq == 0) /* the very beginning: nothing may have been trimmed yet */
        rc = catalog_int(cat, &yes, err, "SELECT coalesce((SELECT min(seq) FROM changes), 1) = 1",
                         "");
    else
        rc = catalog_int(cat, &yes, err,
                         "SELECT EXISTS (SELECT 1 FROM changes WHERE seq = ? AND stamp = ?)", "ii",
                         seq, stamp);
    *belongs = yes != 0;
    return rc;
}

int catalog_changes_after(struct catalog *cat, int64_t seq, int64_t **ids, size_t *n,
                          struct err *err)
{
    sqlite3_stmt *stmt;
    int64_t      *list = NULL;
    size_t        len = 0, cap = 0;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT image_id FROM changes WHERE seq > ? ORDER BY seq", "i", seq);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap         = cap ? cap * 2 : 64;
            int64_t *to = mem_regrow(list, cap, sizeof(*list));
            if (!to) {
                rc = err_set(err, ERR_NOMEM, "cannot read the changes: out of memory");
                sqlite3_reset(stmt);
                break;
            }
            list = to;
        }
        list[len++] = sqlite3_column_int64(stmt, 0);
    }
    if (rc < 0) {
        free(list);
        return rc;
    }
    *ids = list;
    *n   = len;
    return 0;
}

int catalog_changes_count(struct catalog *cat, int64_t seq, int64_t *n, struct err *err)
{
    return catalog_int(
        cat, n, err, "SELECT count(DISTINCT image_id) FROM changes WHERE seq > ? AND image_id > 0",
        "i", seq);
}

int catalog_changes_trim(struct catalog *cat, int64_t before_seq, struct err *err)
{
    return catalog_run(cat, err, "DELETE FROM changes WHERE seq < ?", "i", before_seq);
}
