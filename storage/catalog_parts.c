/* The parts of images in the catalogue: pages that are found by themselves, each
 * with an id, and an embedding, of its own (library.h).
 *
 * A part's row goes with its image's, by the foreign key; its embedding goes with
 * the row, and the change is noted, by a trigger (catalog_schema.c).
 */
#include "storage/catalog_db.h"

int catalog_parts_count(struct catalog *cat, int64_t *n, struct err *err)
{
    return catalog_int(cat, n, err, "SELECT count(*) FROM parts", "");
}

int catalog_part_get(struct catalog *cat, int64_t id, struct catalog_part *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT image_id, page, coalesce(time_ms, -1) FROM parts WHERE id = ?",
                                     "i", id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "the library has no part %lld", (long long)id);
    *out = (struct catalog_part){.id       = id,
                                 .image_id = sqlite3_column_int64(stmt, 0),
                                 .page     = sqlite3_column_int(stmt, 1),
                                 .time_ms  = sqlite3_column_int(stmt, 2)};
    sqlite3_reset(stmt);
    return 0;
}

int catalog_part_next(struct catalog *cat, int64_t image_id, int after_page,
                      struct catalog_part *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(
                  cat, &stmt, err,
                  "SELECT id, page, coalesce(time_ms, -1) FROM parts WHERE image_id = ? AND page > ?"
                            " ORDER BY page LIMIT 1",
                  "ii", image_id, (int64_t)after_page);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return ERR_NOTFOUND;
    *out = (struct catalog_part){.id       = sqlite3_column_int64(stmt, 0),
                                 .image_id = image_id,
                                 .page     = sqlite3_column_int(stmt, 1),
                                 .time_ms  = sqlite3_column_int(stmt, 2)};
    sqlite3_reset(stmt);
    return 0;
}

int catalog_part_put(struct catalog *cat, struct catalog_part *part, struct err *err)
{
    int rc =
        catalog_int(cat, &part->id, NULL, "SELECT id FROM parts WHERE image_id = ? AND page = ?",
                    "ii", part->image_id, (int64_t)part->page);
    if (rc == 0)
        return catalog_run(cat, err, "UPDATE parts SET time_ms = nullif(?2, -1) WHERE id = ?1",
                           "ii", part->id, (int64_t)part->time_ms);
    if (rc != ERR_NOTFOUND)
        return err_set(err, rc, "catalogue %s: cannot look up a page", cat->file);
    rc = catalog_run(cat, err,
                     "INSERT INTO parts (image_id, page, time_ms) VALUES (?, ?, nullif(?, -1))",
                     "iii", part->image_id, (int64_t)part->page, (int64_t)part->time_ms);
    if (rc == 0)
        part->id = sqlite3_last_insert_rowid(cat->db);
    if (rc == 0 && part->id >= (int64_t)1 << 40)
        rc = err_set(err, ERR_LIMIT, "catalogue %s: ids of pages are used up", cat->file);
    return rc;
}

int catalog_parts_drop(struct catalog *cat, int64_t image_id, struct err *err)
{
    return catalog_run(cat, err, "DELETE FROM parts WHERE image_id = ?", "i", image_id);
}

int catalog_has_times(struct catalog *cat, bool *yes, struct err *err)
{
    int64_t found = 0;
    int     rc    = catalog_int(cat, &found, err,
                                "SELECT EXISTS (SELECT 1 FROM images WHERE time_ms IS NOT NULL)", "");
    *yes          = found != 0;
    return rc;
}

int catalog_time_get(struct catalog *cat, int64_t image_id, int32_t *ms, struct err *err)
{
    int64_t found = CATALOG_NO_TIME;
    int     rc =
        catalog_int(cat, &found, err, "SELECT coalesce(max(time_ms), -1) FROM images WHERE id = ?",
                    "i", image_id);
    *ms = (int32_t)found;
    return rc;
}

int catalog_time_put(struct catalog *cat, const struct library_item *item, struct err *err)
{
    return catalog_run(cat, err,
                       "UPDATE images SET time_ms = CASE ?3 WHEN 0 THEN nullif(?2, -1)"
                       " ELSE (SELECT time_ms FROM images WHERE id = ?3) END"
                       " WHERE id = ?1",
                       "iii", item->id, item->time_ms ? (int64_t)*item->time_ms : CATALOG_NO_TIME,
                       item->copy_of);
}
