/* What a daemon asks of a library beside searches: pages of its images, and to keep
 * in step while nobody waits.
 */
#include "storage/library_impl.h"

/* What the filter looks up, and what it lets pass, are of one moment. */
static int begin(struct library *lib, const struct library_filter *filter, struct err *err)
{
    int rc = filter && filter->caption ? catalog_words_catch_up(lib->cat, err) : 0;
    return rc ? rc : catalog_begin_read(lib->cat, err);
}

int library_list(struct library *lib, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err)
{
    int rc = begin(lib, filter, err);
    if (rc)
        return rc;
    rc = catalog_list(lib->cat, filter, order, after, limit, out, n, err);
    catalog_rollback(lib->cat); /* nothing was written */
    return rc;
}

int library_count(struct library *lib, const struct library_filter *filter, int64_t *n,
                  struct err *err)
{
    struct library_stats stats;
    if (filter && catalog_filter_restricts(filter)) {
        int rc = begin(lib, filter, err);
        if (rc)
            return rc;
        rc = catalog_filter_count(lib->cat, filter, n, err);
        catalog_rollback(lib->cat); /* nothing was written */
        return rc;
    }
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
