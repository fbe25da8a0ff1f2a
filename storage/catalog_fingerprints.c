/* The catalogue's fingerprints, by the hash of a picture's contents. */
#include "storage/catalog_db.h"

#include "image/fingerprint.h"

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
