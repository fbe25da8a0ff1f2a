/* The answers of searchd's routes: see handlers.h. */
#include "searchd/handlers.h"

#include "storage/query.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory for the answer");
}

int handle_stats(struct service *service, struct jnode **out, struct err *err)
{
    struct library_stats stats;
    int                  rc = library_stats(service->lib, &stats, err);
    if (rc)
        return rc;
    const struct encoder_info *model = encoder_info(service->enc);
    struct jnode              *node  = jnode_object();
    int                        failed =
        jnode_set_int(node, "images", stats.images) | jnode_set_int(node, "errors", stats.errors) |
        jnode_set_str(node, "model", model->name) | jnode_set_int(node, "dimension", model->dim) |
        jnode_set_int(node, "generation", stats.generation);
    if (failed) {
        jnode_free(node);
        return no_memory(err);
    }
    *out = node;
    return 0;
}

/* An image's fields; never an absolute path of a picture. */
static int describe_image(const struct library_image *image, struct jnode *node)
{
    int failed =
        jnode_set_int(node, "id", image->id) | jnode_set_str(node, "folder", image->folder) |
        jnode_set_str(node, "path", image->path) | jnode_set_int(node, "size", image->size) |
        jnode_set_int(node, "width", image->width) | jnode_set_int(node, "height", image->height) |
        jnode_set_str(node, "kind", image->kind);
    if (image->taken_at)
        failed |= jnode_set_int(node, "taken_at", image->taken_at);
    if (image->camera && *image->camera)
        failed |= jnode_set_str(node, "camera", image->camera);
    return failed;
}

int handle_image(struct service *service, int64_t id, struct jnode **out, struct err *err)
{
    struct library_image image;
    int                  rc = library_image_get(service->lib, id, &image, err);
    if (rc)
        return rc;
    struct jnode *node   = jnode_object();
    int           failed = describe_image(&image, node);
    library_image_release(&image);
    if (failed) {
        jnode_free(node);
        return no_memory(err);
    }
    *out = node;
    return 0;
}

/* The hits as an array; one whose image has just gone is left out. */
static int list_hits(struct service *service, const struct library_hit *hits, size_t n,
                     struct jnode *results, struct err *err)
{
    for (size_t i = 0, rank = 1; i < n; i++) {
        struct library_image image;
        int                  rc = library_image_get(service->lib, hits[i].id, &image, err);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc)
            return rc;
        struct jnode *node   = jnode_object();
        int           failed = jnode_set_int(node, "rank", (int64_t)rank++) |
                     jnode_set_real(node, "score", (double)hits[i].score) |
                     describe_image(&image, node);
        library_image_release(&image);
        if (failed | jnode_push(results, node))
            return no_memory(err);
    }
    return 0;
}

static int search(struct service *service, size_t k, double encode_ms, struct jnode **out,
                  struct err *err)
{
    struct library_hit *hits  = NULL;
    size_t              n     = 0;
    double              start = now_ms();
    int                 rc = library_search(service->lib, service->vector, k, NULL, &hits, &n, err);
    if (rc)
        return rc;
    double        search_ms = now_ms() - start;
    struct jnode *results   = jnode_array();
    struct jnode *took      = jnode_object();
    struct jnode *node      = jnode_object();
    rc                      = list_hits(service, hits, n, results, err);
    double catalogue_ms     = now_ms() - start - search_ms;
    int    failed           = jnode_set_real(took, "encode", encode_ms) |
                 jnode_set_real(took, "search", search_ms) |
                 jnode_set_real(took, "catalogue", catalogue_ms);
    failed |= jnode_set_int(node, "total", (int64_t)jnode_len(results)) |
              jnode_set(node, "results", results) | jnode_set(node, "took_ms", took);
    free(hits);
    if (!rc && failed)
        rc = no_memory(err);
    if (rc)
        jnode_free(node);
    else
        *out = node;
    return rc;
}

int handle_search(struct service *service, const char *text, size_t k, struct jnode **out,
                  struct err *err)
{
    double            start = now_ms();
    struct query_term term  = {.weight = 1, .text = text};
    int rc = query_encode(service->enc, service->scratch, &term, 1, service->vector, err);
    return rc ? rc : search(service, k, now_ms() - start, out, err);
}

int handle_similar(struct service *service, int64_t id, size_t k, struct jnode **out,
                   struct err *err)
{
    int rc = library_embedding_get(service->lib, id, service->vector, err);
    return rc ? rc : search(service, k, 0, out, err);
}
