/* Pictures, filters and pages in answers: see answers.h. */
#include "searchd/answers.h"

#include "base/mem.h"
#include "image/formats.h"
#include "searchd/reply.h"
#include "searchd/search.h"
#include "storage/filter_text.h"
#include "storage/library_parts.h"
#include "storage/library_places.h"
#include "storage/library_tags.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int answers_no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory for the answer");
}

int answers_send(struct call *call, struct jnode *node, int rc, bool failed, struct err *err)
{
    if (!rc && failed)
        rc = answers_no_memory(err);
    if (rc)
        jnode_free(node);
    else
        reply_json(&call->x->reply, 200, node);
    return rc;
}

/* A copy of them in one piece, kept with the call. */
static int keep_places(struct call *call, const struct library_places *from,
                       struct library_filter *out, struct err *err)
{
    size_t bytes = from->n * sizeof *from->places;
    for (size_t i = 0; i < from->n; i++)
        bytes += from->places[i].below ? strlen(from->places[i].below) + 1 : 0;
    struct library_place *places = mem_array(bytes, 1);
    int                   rc     = call_keep(call, places, err);
    if (rc)
        return rc;
    char *text = (char *)(places + from->n);
    for (size_t i = 0; i < from->n; i++) {
        places[i] = from->places[i];
        if (!places[i].below)
            continue;
        size_t n = strlen(places[i].below) + 1;
        memcpy(text, places[i].below, n);
        places[i].below = text;
        text += n;
    }
    out->places   = places;
    out->n_places = from->n;
    return 0;
}

/* An absolute path, or one below any of the library's folders: there it must have pictures. */
static int find_folder(struct call *call, struct library *lib, const char *path,
                       struct library_filter *out, struct err *err)
{
    struct library_places found;
    int                   rc = library_places_find(lib, path, &found, err);
    if (rc)
        return rc;
    if (found.n == 0 || (found.empty && *path != '/'))
        rc = err_set(err, ERR_USAGE, "folder must be one of the library's, or one inside it");
    else
        rc = keep_places(call, &found, out, err);
    library_places_release(&found);
    return rc;
}

int answers_filter(struct call *call, struct library *lib, const struct filter_input *input,
                   const struct fields *fields, struct library_filter *out, struct err *err)
{
    *out = (struct library_filter){.name       = input->name,
                                   .camera     = input->camera,
                                   .lens       = input->lens,
                                   .caption    = input->caption,
                                   .tags       = input->tag.items,
                                   .n_tags     = input->tag.n,
                                   .not_tags   = input->not_tag.items,
                                   .n_not_tags = input->not_tag.n,
                                   .taken_from = INT64_MIN,
                                   .taken_to   = INT64_MAX,
                                   .min_size   = input->min_size,
                                   .max_size   = input->max_size,
                                   .min_width  = input->min_width,
                                   .min_height = input->min_height};
    if (fields_has(fields, "taken_from"))
        out->taken_from = input->taken_from;
    if (fields_has(fields, "taken_to"))
        out->taken_to = input->taken_to;
    out->has_taken = fields_has(fields, "taken_from") || fields_has(fields, "taken_to");
    int rc         = input->orientation
                         ? filter_text_shape("orientation", input->orientation, &out->shape, err)
                         : 0;
    if (!rc && input->kind)
        rc = filter_text_kind("kind", input->kind, out, err);
    if (!rc && input->rating)
        rc = filter_text_rating("rating", input->rating, out, err);
    if (!rc && input->near)
        rc = filter_text_near("near", input->near, out, err);
    if (!rc && input->folder)
        rc = find_folder(call, lib, input->folder, out, err);
    return rc;
}

static int set_link(const struct call *call, struct jnode *node, const char *key, int64_t id,
                    const char *what)
{
    char        link[200];
    bool        first = call->shelf == call->app->shelves[0];
    const char *more  = strchr(what, '?') ? "&library=" : "?library=";
    snprintf(link, sizeof link, "/v1/images/%lld/%s%s%s", (long long)id, what, first ? "" : more,
             first ? "" : shelf_name(call->shelf));
    return jnode_set_str(node, key, link);
}

int answers_image(const struct call *call, const struct library_image *image, struct jnode *node)
{
    int failed =
        jnode_set_int(node, "id", image->id) | jnode_set_path(node, "folder", image->folder) |
        jnode_set_path(node, "path", image->path) | jnode_set_int(node, "size", image->size) |
        jnode_set_int(node, "width", image->width) | jnode_set_int(node, "height", image->height) |
        jnode_set_str(node, "kind", image->kind) |
        jnode_set_int(node, "modified_at", image->mtime_ns / 1000000000);
    if (image->taken_at)
        failed |= jnode_set_int(node, "taken_at", image->taken_at);
    if (image->camera && *image->camera)
        failed |= jnode_set_str(node, "camera", image->camera);
    if (image->colour) {
        char colour[16];
        snprintf(colour, sizeof colour, "#%06x", image->colour & 0xffffff);
        failed |= jnode_set_str(node, "colour", colour);
    }
    if (image->pages > 1)
        failed |= jnode_set_int(node, "pages", image->pages);
    if (format_names_video(image->kind))
        failed |= jnode_set_bool(node, "film", true);
    return failed | set_link(call, node, "thumbnail", image->id, "thumbnail") |
           set_link(call, node, "file", image->id, "file");
}

/* NULL when out of memory. */
static struct jnode *said_list(const struct library_said *said, size_t n, const char *key)
{
    struct jnode *list   = jnode_array();
    int           failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct jnode *one = jnode_object();
        failed |= jnode_set_str(one, key, said[i].text) |
                  jnode_set_str(one, "source", library_source_name(said[i].source));
        if (!isnan(said[i].score))
            failed |= jnode_set_real(one, "score", said[i].score);
        failed |= jnode_push(list, one);
    }
    if (!failed)
        return list;
    jnode_free(list);
    return NULL;
}

int answers_said(struct library *lib, int64_t id, struct jnode *node, struct err *err)
{
    struct library_said *tags = NULL, *captions = NULL;
    size_t               n_tags = 0, n_captions = 0;
    int                  failed = 0;
    int                  rc     = library_tags_get(lib, id, &tags, &n_tags, err);
    if (!rc)
        rc = library_captions_get(lib, id, &captions, &n_captions, err);
    if (!rc) {
        failed |= jnode_set(node, "tags", said_list(tags, n_tags, "label"));
        failed |= jnode_set(node, "captions", said_list(captions, n_captions, "text"));
    }
    library_said_free(tags, n_tags);
    library_said_free(captions, n_captions);
    return rc || !failed ? rc : answers_no_memory(err);
}

static int set_fused(struct jnode *node, const struct library_fused *fused)
{
    int failed = jnode_set_real(node, "fused", fused->fused);
    if (fused->vector_rank)
        failed |= jnode_set_int(node, "vector_rank", (int64_t)fused->vector_rank);
    if (fused->words_rank)
        failed |= jnode_set_int(node, "words_rank", (int64_t)fused->words_rank);
    return failed;
}

/* Which page (0: of none) or, with a time that is not below 0, which frame of an image, and a
 * thumbnail of that one. */
static int set_part(const struct call *call, struct jnode *node, int64_t id, int page,
                    int32_t time_ms)
{
    char what[64] = "thumbnail";
    int  failed   = 0;
    if (time_ms >= 0) {
        failed |= jnode_set_int(node, "time_ms", time_ms);
        snprintf(what, sizeof what, "thumbnail?time=%d", time_ms);
    } else if (page) {
        failed |= jnode_set_int(node, "page", page);
        if (page > 1)
            snprintf(what, sizeof what, "thumbnail?page=%d", page);
    }
    return failed | set_link(call, node, "thumbnail", id, what);
}

int answers_parts(const struct call *call, struct library *lib, const struct library_image *image,
                  struct jnode *node, struct err *err)
{
    struct library_part *parts  = NULL;
    size_t               n      = 0;
    int                  failed = 0;
    if (image->pages < 2 && !format_names_video(image->kind))
        return 0;
    int rc = library_parts_get(lib, image->id, &parts, &n, err);
    if (rc)
        return rc;
    struct jnode *list = jnode_array();
    for (size_t i = 0; i < n; i++) {
        struct jnode *one = jnode_object();
        failed |=
            set_part(call, one, image->id, parts[i].page, parts[i].time_ms) | jnode_push(list, one);
    }
    free(parts);
    return failed | jnode_set(node, "parts", list) ? answers_no_memory(err) : 0;
}

int answers_hits(struct call *call, const struct search *search, size_t offset,
                 struct jnode *results, struct err *err)
{
    double start = clock_ms();
    for (size_t i = offset; i < search->n; i++) {
        const struct library_hit *hit = &search->hits[i];
        struct library_image      image;
        int                       rc = library_image_get(search->lib, hit->id, &image, err);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc)
            return rc;
        struct jnode *node   = jnode_object();
        int           failed = jnode_set_int(node, "rank", (int64_t)(i + 1)) |
                     jnode_set_real(node, "score", (double)hit->score) |
                     answers_image(call, &image, node);
        failed |= set_part(call, node, hit->id, hit->page, hit->timed ? hit->time_ms : -1);
        if (search->fused)
            failed |= set_fused(node, &search->fused[i]);
        if (search->match.known)
            failed |= jnode_set_real(node, "match", library_match_of(&search->match, hit->score));
        if (search->reranked && search->reranked[i].scored)
            failed |= jnode_set_real(node, "rerank", (double)search->reranked[i].rerank);
        library_image_release(&image);
        if (failed | jnode_push(results, node))
            return answers_no_memory(err);
    }
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    return 0;
}

int answers_part_text(struct call *call, const struct multipart_part *part, const char **out,
                      struct err *err)
{
    char *text = mem_strndup((const char *)part->data, part->len);
    *out       = text;
    int rc     = call_keep(call, text, err);
    if (!rc && strlen(text) != part->len)
        rc = err_set(err, ERR_USAGE, "%s holds a NUL", part->name);
    return rc;
}
