/* The library's regions: what a re-ranker keeps of pictures (library.h). */
#include "storage/library_impl.h"

#define TRIM_STEP 500 /* pictures' regions deleted in one transaction */

int library_regions_find(struct library *lib, const char *hash, struct library_regions *out,
                         struct err *err)
{
    struct library_model model;
    int                  rc = library_model_active(lib, &model, err);
    return rc ? rc : catalog_reranker_find(lib->cat, model.id, hash, out, err);
}

int library_regions_get(struct library *lib, const struct library_regions *of, int64_t image_id,
                        uint8_t *out, struct err *err)
{
    return catalog_regions_get(lib->cat, of, image_id, out, err);
}

int library_regions_want(struct library *lib, int64_t model_id, const char *hash, size_t bytes,
                         struct err *err)
{
    struct library_regions found;
    lib->regions = (struct library_regions){0};
    if (!hash)
        return 0;
    int rc = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_reranker_register(lib->cat, model_id, hash, bytes, &found, err);
    if (rc == 0)
        rc = catalog_commit(lib->cat, err);
    if (rc) {
        catalog_rollback(lib->cat);
        return rc;
    }
    lib->regions = found;
    return 0;
}

/* In small steps: writers in between need not wait. */
int library_regions_settle(struct library *lib, struct err *err)
{
    int64_t gone = 1;
    int     rc   = 0;
    while (rc == 0 && gone > 0) {
        rc = catalog_begin_write(lib->cat, err);
        if (rc)
            return rc;
        rc = catalog_regions_trim(lib->cat, lib->regions.id, TRIM_STEP, &gone, err);
        if (rc == 0)
            rc = catalog_commit(lib->cat, err);
        if (rc)
            catalog_rollback(lib->cat);
    }
    return rc;
}
