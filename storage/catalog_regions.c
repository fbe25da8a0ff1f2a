/* The catalogue's regions: what re-rankers keep of pictures, for a model each. */
#include "storage/catalog_db.h"

#include <string.h>

int catalog_reranker_find(struct catalog *cat, int64_t model_id, const char *hash,
                          struct library_regions *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT id, bytes, images, hash FROM rerankers"
                                               " WHERE model_id = ? AND (?2 IS NULL OR hash = ?2)"
                                               " ORDER BY images DESC, id DESC LIMIT 1",
                                     "it", model_id, hash);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s keeps no regions of %s", cat->file,
                       hash ? "this re-ranker" : "any re-ranker");
    *out = (struct library_regions){.id     = sqlite3_column_int64(stmt, 0),
                                    .bytes  = (size_t)sqlite3_column_int64(stmt, 1),
                                    .images = sqlite3_column_int64(stmt, 2)};
    snprintf(out->hash, sizeof(out->hash), "%s", (const char *)sqlite3_column_text(stmt, 3));
    sqlite3_reset(stmt);
    return 0;
}

int catalog_reranker_register(struct catalog *cat, int64_t model_id, const char *hash, size_t bytes,
                              struct library_regions *out, struct err *err)
{
    int rc = catalog_run(cat, err,
                         "INSERT OR IGNORE INTO rerankers (model_id, hash, bytes) VALUES (?, ?, ?)",
                         "iti", model_id, hash, (int64_t)bytes);
    if (rc == 0)
        rc = catalog_reranker_find(cat, model_id, hash, out, err);
    if (rc == 0 && out->bytes != bytes)
        rc = err_set(err, ERR_DAMAGED,
                     "catalogue %s records %zu bytes for a picture's regions, not %zu", cat->file,
                     out->bytes, bytes);
    return rc;
}

int catalog_regions_put(struct catalog *cat, const struct library_regions *of, int64_t image_id,
                        const uint8_t *kept, struct err *err)
{
    /* Not OR REPLACE, which would count the picture again. */
    return catalog_run(cat, err,
                       "INSERT INTO regions (key, kept) VALUES (?, ?)"
                       " ON CONFLICT (key) DO UPDATE SET kept = excluded.kept",
                       "ib", regions_key(of->id, image_id), (const void *)kept, of->bytes);
}

int catalog_regions_get(struct catalog *cat, const struct library_regions *of, int64_t image_id,
                        uint8_t *kept, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err, "SELECT kept FROM regions WHERE key = ?", "i",
                                     regions_key(of->id, image_id));
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "image %lld has no regions", (long long)image_id);
    const void *blob  = sqlite3_column_blob(stmt, 0);
    size_t      bytes = (size_t)sqlite3_column_bytes(stmt, 0);
    rc                = 0;
    if (bytes != of->bytes || !blob)
        rc = err_set(err, ERR_DAMAGED, "the regions of image %lld have %zu bytes, not %zu",
                     (long long)image_id, bytes, of->bytes);
    else
        memcpy(kept, blob, bytes);
    sqlite3_reset(stmt);
    return rc;
}

int catalog_regions_copy(struct catalog *cat, int64_t from, int64_t to, struct err *err)
{
    return catalog_run(cat, err,
                       "INSERT OR IGNORE INTO regions (key, kept)"
                       " SELECT (r.id << 40) | ?2, g.kept FROM rerankers r JOIN regions g"
                       " ON g.key = (r.id << 40) | ?1",
                       "ii", from, to);
}

int catalog_regions_drop(struct catalog *cat, int64_t image_id, struct err *err)
{
    return catalog_run(cat, err,
                       "DELETE FROM regions WHERE key IN (SELECT (id << 40) | ? FROM rerankers)",
                       "i", image_id);
}

int catalog_regions_trim(struct catalog *cat, int64_t keep_id, int limit, int64_t *n,
                         struct err *err)
{
    *n     = 0;
    int rc = catalog_run(cat, err,
                         "DELETE FROM regions WHERE key IN (SELECT g.key FROM rerankers r"
                         " JOIN models m ON m.id = r.model_id JOIN regions g"
                         " ON g.key > r.id << 40 AND g.key < (r.id + 1) << 40"
                         " WHERE m.state = 'retired' OR (r.id <> ?1 AND r.model_id ="
                         " (SELECT model_id FROM rerankers WHERE id = ?1)) LIMIT ?2)",
                         "ii", keep_id, (int64_t)limit);
    if (rc == 0)
        *n = sqlite3_changes(cat->db);
    return rc;
}
