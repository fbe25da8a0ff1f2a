/* Fingerprints: see library_fingerprints.h. */
#include "storage/library_fingerprints.h"

#include "storage/library_impl.h"

int library_fingerprints_put(struct library *lib, const struct library_fingerprint *prints,
                             size_t n, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = catalog_fingerprint_put(lib->cat, prints[i].hash, prints[i].bytes, err);
    if (rc == 0)
        return catalog_commit(lib->cat, err);
    catalog_rollback(lib->cat);
    return rc;
}

int library_fingerprint_get(struct library *lib, const uint8_t hash[LIBRARY_HASH_BYTES],
                            uint8_t out[FINGERPRINT_BYTES], struct err *err)
{
    return catalog_fingerprint_get(lib->cat, hash, out, err);
}

int library_fingerprints_missing(struct library *lib, int64_t after, size_t limit,
                                 struct library_image **out, size_t *n, struct err *err)
{
    return catalog_fingerprints_missing(lib->cat, after, limit, out, n, err);
}

int library_marks(struct library *lib, struct library_marks *out, struct err *err)
{
    int rc = catalog_change_last(lib->cat, &out->change, &out->stamp, err);
    return rc ? rc : catalog_fingerprints_count(lib->cat, &out->prints, &out->last, err);
}
