/* The catalogue's fingerprints, by the hash of a picture's contents. */
#include "storage/catalog_db.h"

#include "image/fingerprint.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int catalog_fingerprint_put(struct catalog *cat, const uint8_t *hash, const uint8_t *bytes,
                            struct err *err)
{
    return catalog_run(cat, err,
                       "INSERT INTO fingerprints (hash, kept) SELECT ?1, ?2"
                       " WHERE EXISTS (SELECT 1 FROM images WHERE hash = ?1)"
                       " ON CONFLICT (hash) DO UPDATE SET kept = excluded.kept",
                       "bb", (const void *)hash, (size_t)LIBRARY_HASH_BYTES, (const void *)bytes,
                       (size_t)FINGERPRINT_BYTES);
}

int catalog_fingerprint_get(struct catalog *cat, const uint8_t *hash, uint8_t *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = catalog_query(cat, &stmt, err, "SELECT kept FROM fingerprints WHERE hash = ?", "b",
                           (const void *)hash, (size_t)LIBRARY_HASH_BYTES);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    const void *blob  = rc > 0 ? sqlite3_column_blob(stmt, 0) : NULL;
    bool        sound = blob && fingerprint_is_sound(blob, (size_t)sqlite3_column_bytes(stmt, 0));
    if (sound)
        memcpy(out, blob, FINGERPRINT_BYTES);
    sqlite3_reset(stmt);
    return sound ? 0
                 : err_set(err, ERR_NOTFOUND, "catalogue %s has no such fingerprint", cat->file);
}

int catalog_fingerprints_count(struct catalog *cat, int64_t *n, int64_t *last, struct err *err)
{
    int rc = catalog_int(cat, n, err, "SELECT count(*) FROM fingerprints", "");
    if (rc == 0)
        rc = catalog_int(cat, last, err, "SELECT coalesce(max(id), 0) FROM fingerprints", "");
    return rc;
}

int catalog_fingerprints_missing(struct catalog *cat, int64_t after, size_t limit,
                                 struct library_image **out, size_t *n, struct err *err)
{
    static const uint8_t version = FINGERPRINT_VERSION;
    sqlite3_stmt        *stmt;
    *n   = 0;
    *out = mem_array(limit, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "cannot list %zu images: out of memory", limit);
    int rc = catalog_query(
        cat, &stmt, err,
        "SELECT " IMAGE_COLUMNS " FROM images i"
        " JOIN folders f ON f.id = i.folder_id WHERE i.id > ?1 AND i.time_ms IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM fingerprints p WHERE p.hash = i.hash"
        "  AND length(p.kept) = ?3 AND substr(p.kept, 1, 1) = ?4)"
        " AND NOT EXISTS (SELECT 1 FROM images e WHERE e.hash = i.hash"
        "  AND e.id < i.id) ORDER BY i.id LIMIT ?2",
        "iiib", after, (int64_t)limit, (int64_t)FINGERPRINT_BYTES, (const void *)&version,
        sizeof version);
    while (rc >= 0 && *n < limit && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        rc = catalog_image_from_row(stmt, &(*out)[*n], err);
        *n += rc == 0;
    }
    if (rc >= 0)
        sqlite3_reset(stmt);
    if (rc < 0) {
        for (size_t i = 0; i < *n; i++)
            library_image_release(&(*out)[i]);
        free(*out);
        *out = NULL;
        *n   = 0;
    }
    return rc < 0 ? rc : 0;
}
