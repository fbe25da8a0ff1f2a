/* From what the index finds to images: a page of a scan, a frame of a video is
 * found by itself, and is shown as its image (library.h, LIBRARY_FIRST_PART).
 */
#include "storage/library_impl.h"

#include <stdlib.h>

/* Names the image and the page that a hit is of. 1: there is none any more. */
static int name_page(struct library *lib, struct library_hit *hit, struct err *err)
{
    struct catalog_part part = {.page = 1};
    int                 rc;
    if (hit->id >= LIBRARY_FIRST_PART) {
        rc = catalog_part_get(lib->cat, hit->id, &part, err);
        if (rc == ERR_NOTFOUND)
            return 1;
        hit->id      = part.image_id;
        hit->page    = part.page;
        hit->timed   = part.time_ms != CATALOG_NO_TIME;
        hit->time_ms = hit->timed ? part.time_ms : 0;
        return rc;
    }
    rc        = catalog_part_next(lib->cat, hit->id, 1, &part, err);
    hit->page = rc == 0;
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int by_image(const void *a, const void *b)
{
    const struct library_hit *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->score != y->score ? (x->score > y->score ? -1 : 1) : x->page - y->page;
}

int library_fold_parts(struct library *lib, struct library_hit *hits, size_t *n, bool every_page,
                       struct err *err)
{
    size_t named = 0, kept = 0;
    for (size_t i = 0; i < *n; i++) {
        int rc = name_page(lib, &hits[i], err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            hits[named++] = hits[i];
    }
    *n = named;
    if (every_page || named == 0)
        return 0;
    qsort(hits, named, sizeof *hits, by_image);
    for (size_t i = 0; i < named; i++)
        if (i == 0 || hits[i].id != hits[i - 1].id)
            hits[kept++] = hits[i];
    *n = kept;
    return 0;
}

int library_name_times(struct library *lib, struct library_hit *hits, size_t n, struct err *err)
{
    bool any = false;
    int  rc  = catalog_has_times(lib->cat, &any, err);
    for (size_t i = 0; i < n && any && rc == 0; i++) {
        struct library_hit *hit = &hits[i];
        int32_t             ms  = hit->time_ms;
        if (!hit->timed && hit->page < 2) {
            rc         = catalog_time_get(lib->cat, hit->id, &ms, err);
            hit->timed = rc == 0 && ms != CATALOG_NO_TIME;
        }
        if (hit->timed) {
            hit->time_ms = ms;
            hit->page    = 0;
        }
    }
    return rc;
}
