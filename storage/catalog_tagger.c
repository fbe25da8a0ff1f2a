/* The tagger that the catalogue keeps of a model: see library_tagger.h. */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <string.h>

int catalog_tagger_get(struct catalog *cat, int64_t model_id, struct kept_tagger *out,
                       struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(
                  cat, &stmt, err, "SELECT seq, stamp, data FROM taggers WHERE model_id = ?", "i", model_id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s keeps no labels", cat->file);
    const void *blob = sqlite3_column_blob(stmt, 2);
    *out             = (struct kept_tagger){.seq   = sqlite3_column_int64(stmt, 0),
                                            .stamp = sqlite3_column_int64(stmt, 1),
                                            .len   = (size_t)sqlite3_column_bytes(stmt, 2)};
    out->data        = mem_array(out->len + 1, 1);
    if (out->data && blob)
        memcpy(out->data, blob, out->len);
    sqlite3_reset(stmt);
    return out->data ? 0
                     : err_set(err, ERR_NOMEM, "catalogue %s: out of memory for labels", cat->file);
}

int catalog_tagger_put(struct catalog *cat, int64_t model_id, const struct kept_tagger *kept,
                       struct err *err)
{
    return catalog_run(cat, err,
                       "INSERT OR REPLACE INTO taggers (model_id, seq, stamp, data)"
                       " VALUES (?, ?, ?, ?)",
                       "iiib", model_id, kept->seq, kept->stamp, (const void *)kept->data,
                       kept->len);
}

int catalog_tagger_reach(struct catalog *cat, int64_t model_id, int64_t seq, int64_t stamp,
                         struct err *err)
{
    return catalog_run(cat, err, "UPDATE taggers SET seq = ?2, stamp = ?3 WHERE model_id = ?1",
                       "iii", model_id, seq, stamp);
}

int catalog_tagger_drop(struct catalog *cat, struct err *err)
{
    return catalog_run(cat, err, "DELETE FROM taggers", "");
}
