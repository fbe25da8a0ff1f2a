/* From what the index finds to images: a page of a scan, a frame of a video is
 * found by itself, and is shown as its image (library.h, LIBRARY_FIRST_PART).
 */
#include "storage/library_parts.h"

#include "base/mem.h"
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

/* ---- An image with all of its parts ---- */

/* Adds a page with the embedding that is the image's, or the part's, of this id. */
static int add_page(struct library *lib, const struct library_model *model, int64_t id, int page,
                    int32_t time_ms, struct library_whole *whole, struct err *err)
{
    size_t          dim = (size_t)whole->dim, n = whole->n;
    int            *pages      = mem_regrow(whole->pages, n + 1, sizeof *pages);
    int32_t        *times      = NULL;
    float          *embeddings = NULL;
    const uint16_t *vector;
    if (pages)
        whole->pages = pages;
    if (pages && (embeddings = mem_regrow(whole->embeddings, (n + 1) * dim, sizeof *embeddings)))
        whole->embeddings = embeddings;
    if (embeddings && (times = mem_regrow(whole->times, n + 1, sizeof *times)))
        whole->times = times;
    if (!times)
        return err_set(err, ERR_NOMEM, "out of memory for %zu pages", n + 1);
    int rc = catalog_embedding_get(lib->cat, model->id, id, model->dim, &vector, err);
    if (rc)
        return rc;
    lib->half.to_float(embeddings + n * dim, vector, dim);
    pages[n] = page;
    times[n] = time_ms;
    whole->n++;
    return 0;
}

static int page_of_last(const struct library_whole *whole)
{
    return whole->n ? whole->pages[whole->n - 1] : 0;
}

static int read_whole(struct library *lib, int64_t id, struct library_whole *out, struct err *err)
{
    struct library_model model;
    struct catalog_part  part = {.page = 1};
    int32_t              time = CATALOG_NO_TIME;
    int                  rc   = library_model_active(lib, &model, err);
    if (rc == 0)
        rc = catalog_image_get(lib->cat, id, &out->image, err);
    if (rc)
        return rc;
    out->dim = model.dim;
    rc       = catalog_time_get(lib->cat, id, &time, err);
    if (rc == 0)
        rc = add_page(lib, &model, id, 1, time, out, err);
    while (rc == 0 && (rc = catalog_part_next(lib->cat, id, part.page, &part, err)) == 0)
        rc = add_page(lib, &model, part.id, part.page, part.time_ms, out, err);
    if (rc == ERR_NOTFOUND && part.page == page_of_last(out))
        rc = 0; /* the end of the parts, not a missing embedding */
    if (time == CATALOG_NO_TIME) {
        free(out->times);
        out->times = NULL;
    }
    return rc;
}

int library_whole_get(struct library *lib, int64_t id, struct library_whole *out, struct err *err)
{
    *out   = (struct library_whole){.n = 0};
    int rc = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    rc = read_whole(lib, id, out, err);
    catalog_rollback(lib->cat); /* nothing was written */
    if (rc)
        library_whole_release(out);
    return rc;
}

void library_whole_release(struct library_whole *whole)
{
    library_image_release(&whole->image);
    free(whole->pages);
    free(whole->times);
    free(whole->embeddings);
    *whole = (struct library_whole){.n = 0};
}

static int add_part(struct library_part **list, size_t *n, const struct catalog_part *part,
                    struct err *err)
{
    struct library_part *more = mem_regrow(*list, *n + 1, sizeof *more);
    if (!more)
        return err_set(err, ERR_NOMEM, "out of memory for %zu pages", *n + 1);
    *list        = more;
    more[(*n)++] = (struct library_part){.page = part->page, .time_ms = part->time_ms};
    return 0;
}

static int read_parts(struct library *lib, int64_t id, struct library_part **list, size_t *n,
                      struct err *err)
{
    struct library_image image;
    struct catalog_part  part = {.page = 1};
    int                  rc   = catalog_image_get(lib->cat, id, &image, err);
    if (rc)
        return rc;
    library_image_release(&image);
    rc = catalog_time_get(lib->cat, id, &part.time_ms, err);
    while (rc == 0 && (rc = add_part(list, n, &part, err)) == 0)
        rc = catalog_part_next(lib->cat, id, part.page, &part, err);
    return rc == ERR_NOTFOUND ? 0 : rc; /* the end of the parts */
}

int library_parts_get(struct library *lib, int64_t id, struct library_part **out, size_t *n,
                      struct err *err)
{
    *out   = NULL;
    *n     = 0;
    int rc = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    rc = read_parts(lib, id, out, n, err);
    catalog_rollback(lib->cat); /* nothing was written */
    if (rc) {
        free(*out);
        *out = NULL;
        *n   = 0;
    }
    return rc;
}

int library_part_find(struct library *lib, int64_t image_id, int page, int32_t time_ms, bool *first,
                      struct err *err)
{
    bool                timed = time_ms >= 0;
    struct catalog_part part  = {.page = timed ? 1 : page - 1};
    int32_t             own   = CATALOG_NO_TIME;
    int                 rc    = timed ? catalog_time_get(lib->cat, image_id, &own, err) : 0;
    *first                    = timed ? own == time_ms : page == 1;
    while (rc == 0 && !*first) {
        rc = catalog_part_next(lib->cat, image_id, part.page, &part, err);
        if (rc == 0 && (timed ? part.time_ms == time_ms
                              : part.time_ms == CATALOG_NO_TIME && part.page == page))
            return 0;
        if (rc == 0 && !timed)
            rc = ERR_NOTFOUND;
    }
    if (rc == ERR_NOTFOUND)
        return timed ? err_set(err, rc, "the image has no frame at %d ms", time_ms)
                     : err_set(err, rc, "the image has no page %d", page);
    return rc;
}
