/* The background of a model's embeddings, which scores are measured by: see
 * library_match.h. */
#include "storage/catalog_db.h"

#include <string.h>

int catalog_background_get(struct catalog *cat, int64_t model_id, int dim, struct background *out,
                           struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(
                  cat, &stmt, err, "SELECT seq, images, vectors, spread FROM backgrounds WHERE model_id = ?",
                  "i", model_id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s keeps no background of its model",
                       cat->file);
    const void *blob  = sqlite3_column_blob(stmt, 2);
    size_t      bytes = (size_t)sqlite3_column_bytes(stmt, 2), row = (size_t)dim * 2;
    rc = 0;
    if (bytes % row != 0 || bytes / row > LIBRARY_BACKGROUND) {
        rc = err_set(err, ERR_DAMAGED, "the background in %s has %zu bytes, which fit no model",
                     cat->file, bytes);
    } else {
        out->seq    = sqlite3_column_int64(stmt, 0);
        out->images = sqlite3_column_int64(stmt, 1);
        out->spread = sqlite3_column_double(stmt, 3);
        out->n      = bytes / row;
        if (bytes)
            memcpy(out->vectors, blob, bytes);
    }
    sqlite3_reset(stmt);
    return rc;
}

int catalog_background_size(struct catalog *cat, int64_t model_id, int dim,
                            struct library_background *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc =
        catalog_query(cat, &stmt, err,
                      "SELECT images, length(vectors), spread FROM backgrounds WHERE model_id = ?",
                      "i", model_id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s keeps no background of its model",
                       cat->file);
    out->images = sqlite3_column_int64(stmt, 0);
    out->n      = (size_t)sqlite3_column_int64(stmt, 1) / ((size_t)dim * 2);
    out->spread = sqlite3_column_double(stmt, 2);
    sqlite3_reset(stmt);
    return 0;
}

int catalog_background_put(struct catalog *cat, int dim, const struct background *b,
                           struct err *err)
{
    /* As text: catalog_run binds no reals. */
    char spread[32];
    snprintf(spread, sizeof(spread), "%.9g", b->spread);
    return catalog_run(cat, err,
                       "INSERT OR REPLACE INTO backgrounds (model_id, seq, images, spread, vectors)"
                       " VALUES (?, ?, ?, CAST(? AS REAL), ?)",
                       "iiitb", b->model_id, b->seq, b->images, spread, (const void *)b->vectors,
                       b->n * (size_t)dim * 2);
}

/* The embedding with the least key from `from` on and before `end`; 0 when there is
 * none, else 1. */
static int next_embedding(struct catalog *cat, int64_t from, int64_t end, size_t bytes,
                          int64_t *key, uint16_t *out, bool *sound, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT key, vector FROM embeddings WHERE key >= ? AND key < ?"
                                               " ORDER BY key LIMIT 1",
                                     "ii", from, end);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc <= 0)
        return rc;
    *key   = sqlite3_column_int64(stmt, 0);
    *sound = (size_t)sqlite3_column_bytes(stmt, 1) == bytes;
    if (*sound)
        memcpy(out, sqlite3_column_blob(stmt, 1), bytes);
    sqlite3_reset(stmt);
    return 1;
}

int catalog_background_sample(struct catalog *cat, int64_t model_id, int dim, int64_t images,
                              uint16_t *vectors, size_t *n, struct err *err)
{
    int64_t first = 0, last = 0;
    int64_t from = embedding_key(model_id, 0), end = embedding_key(model_id, LIBRARY_FIRST_PART);
    bool    all = images <= LIBRARY_BACKGROUND;
    int     rc  = catalog_int(cat, &first, err,
                              "SELECT coalesce(min(key), 0) FROM embeddings WHERE key > ? AND key < ?",
                              "ii", from, end);
    if (rc == 0)
        rc = catalog_int(cat, &last, err,
                         "SELECT coalesce(max(key), 0) FROM embeddings WHERE key > ? AND key < ?",
                         "ii", from, end);
    from = first;
    for (int64_t i = 0; rc == 0 && first > 0 && *n < LIBRARY_BACKGROUND && from <= last; i++) {
        int64_t even  = first + (int64_t)((double)(last - first) * (double)i / LIBRARY_BACKGROUND);
        int64_t key   = 0;
        bool    sound = false;
        if (!all && i >= LIBRARY_BACKGROUND)
            break;
        if (!all && even > from)
            from = even;
        rc = next_embedding(cat, from, end, (size_t)dim * 2, &key, vectors + *n * (size_t)dim,
                            &sound, err);
        if (rc <= 0)
            break;
        rc = 0;
        *n += sound;
        from = key + 1;
    }
    return rc;
}
