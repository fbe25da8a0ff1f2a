/* What a daemon asks of a library beside searches: pages of its images, and to keep
 * in step while nobody waits.
 */
#include "storage/library_impl.h"

int library_list(struct library *lib, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err)
{
    return catalog_list(lib->cat, filter, order, after, limit, out, n, err);
}

int library_count(struct library *lib, const struct library_filter *filter, int64_t *n,
                  struct err *err)
{
    struct library_stats stats;
    if (filter && catalog_filter_restricts(filter))
        return catalog_filter_count(lib->cat, filter, n, err);
    int rc = catalog_stats(lib->cat, &stats, err);
    if (rc == 0)
        *n = stats.images;
    return rc;
}

int library_catch_up(struct library *lib, struct err *err)
{
    bool model = false;
    int  rc    = library_begin_search(lib, &model, err);
    if (rc == 0)
        catalog_rollback(lib->cat); /* nothing was written */
    return rc;
}

void library_keep_index(struct library *lib, bool keep)
{
    lib->keeps = keep;
}
