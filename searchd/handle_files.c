/* /v1/images/{id}/thumbnail and /file: the library's pictures themselves. */
#include "searchd/handlers.h"

#include "image/formats.h"
#include "searchd/answers.h"
#include "searchd/beneath.h"
#include "searchd/range.h"
#include "searchd/reply.h"
#include "searchd/thumbnail.h"
#include "storage/library_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whatever a file is, a browser that shows it on its own runs nothing from it. */
#define FILE_POLICY "default-src 'none'; style-src 'unsafe-inline'; sandbox"

struct thumbnail_input {
    int64_t size, page, time;
};

static const struct field thumbnail_fields[] = {
    {"size", FIELD_INT, 1, THUMBNAIL_MAX_SIDE, offsetof(struct thumbnail_input, size)},
    {"page", FIELD_INT, 1, 1e6, offsetof(struct thumbnail_input, page)},
    {"time", FIELD_INT, 0, INT32_MAX, offsetof(struct thumbnail_input, time)},
};

/* part: NULL, or what of it is to be shown: a page or frame that the library knows, so that no
 * more than those are ever made. *first: the image is shown by that anyway. */
static int fetch_image(struct call *call, const struct image_part *part, struct library_image *out,
                       bool *first, struct err *err)
{
    struct library *lib = NULL;
    int             rc  = call_library(call, &lib, err);
    if (!rc)
        rc = library_image_get(lib, call->id, out, err);
    if (!rc && part) {
        rc = library_part_find(lib, call->id, part->page + 1, part->time_ms, first, err);
        if (rc)
            library_image_release(out);
    }
    call_done(call, lib);
    return rc;
}

/* Whether a tag is in If-None-Match: "*", or a list; weak ones match as well. */
static bool tag_matches(const char *header, const char *tag)
{
    if (!header)
        return false;
    for (const char *at = header; *at;) {
        at += strspn(at, " \t,");
        size_t n    = strcspn(at, ",");
        size_t weak = !strncmp(at, "W/", 2) ? 2 : 0;
        while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        if ((n == 1 && *at == '*') ||
            (n - weak == strlen(tag) && !strncmp(at + weak, tag, n - weak)))
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

static void not_modified(struct http_reply *reply, const char *tag)
{
    reply_fixed(reply, 304, NULL, NULL, 0);
    reply_header(reply, "ETag", tag);
}

int handle_thumbnail(struct call *call, struct err *err)
{
    struct thumbnail_input input  = {.size = 320, .page = 1, .time = IMAGE_ANY_TIME};
    struct fields          fields = {.table = thumbnail_fields,
                                     .n     = sizeof thumbnail_fields / sizeof *thumbnail_fields,
                                     .into  = &input};
    struct library_image   image  = {0};
    struct http_reply     *reply  = &call->x->reply;
    uint8_t               *jpeg   = NULL;
    size_t                 len    = 0;
    bool                   stale = false, first = true;
    char                   tag[THUMBNAIL_ETAG];
    int                    rc = fields_take_query(&fields, &call->x->request, err);
    if (!rc && fields_has(&fields, "page") && fields_has(&fields, "time"))
        rc = err_set(err, ERR_USAGE, "page and time do not go together");
    struct image_part part = {.page = (int)input.page - 1, .time_ms = (int32_t)input.time};
    if (!rc)
        rc = fetch_image(call, &part, &image, &first, err);
    if (rc)
        return rc;
    const struct image_part *wanted = first ? NULL : &part;
    int                      side   = thumbnail_side(input.size);
    thumbnail_etag(&image, wanted, side, tag);
    if (tag_matches(call->x->request.if_none_match, tag)) {
        not_modified(reply, tag);
    } else {
        double start = clock_ms();
        rc           = thumbnail_get(call->app->darkroom, call->x->request.deadline_ms,
                                     shelf_thumbnails(call->shelf), &image, wanted, side, &jpeg, &len, &stale,
                                     err);
        call_stage(call, STAGE_DECODE, clock_ms() - start);
    }
    if (!rc && jpeg) {
        reply->status = 200;
        reply->type   = "image/jpeg";
        reply->body   = (char *)jpeg;
        reply->len    = len;
        if (!stale)
            reply_header(reply, "ETag", tag);
    }
    if (!rc)
        reply_header(reply, "Cache-Control", stale ? "no-store" : "private, max-age=300");
    library_image_release(&image);
    /* The file was a picture when it was indexed: now there is none. */
    if (rc == ERR_FORMAT || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED)
        rc = err_set(err, ERR_NOTFOUND, "the picture cannot be shown now");
    return rc;
}

/* A range holds for one version of the file. */
static enum range_kind wanted_range(const struct http_request *r, const char *tag, uint64_t size,
                                    uint64_t *first, uint64_t *last)
{
    if (r->if_range && strcmp(r->if_range, tag) != 0)
        return RANGE_WHOLE;
    return range_parse(r->range, size, first, last);
}

static void reply_part(struct call *call, int fd, const struct stat *st, const char *tag)
{
    struct http_reply *reply = &call->x->reply;
    uint64_t           size = (uint64_t)st->st_size, first = 0, last = 0;
    char               range[80];
    enum range_kind    kind = wanted_range(&call->x->request, tag, size, &first, &last);
    if (kind == RANGE_BEYOND) {
        close(fd);
        snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)size);
        reply_error(reply, 416, "the file is shorter than the range asked for");
        reply_header(reply, "Content-Range", range);
        return;
    }
    reply->status    = kind == RANGE_PART ? 206 : 200;
    reply->from_file = true;
    reply->fd        = fd;
    reply->offset    = kind == RANGE_PART ? first : 0;
    reply->len       = kind == RANGE_PART ? last - first + 1 : size;
    if (kind == RANGE_PART) {
        snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)last, (unsigned long long)size);
        reply_header(reply, "Content-Range", range);
    }
}

int handle_file(struct call *call, struct err *err)
{
    struct library_image image = {0};
    struct stat          st;
    int                  fd;
    char                 tag[64];
    int                  rc = call_no_query(call, err);
    if (!rc)
        rc = fetch_image(call, NULL, &image, NULL, err);
    if (rc)
        return rc;
    rc               = beneath_open(image.folder, image.path, &fd, &st, err);
    const char *type = format_mime(image.kind);
    library_image_release(&image);
    if (rc)
        return rc;
    snprintf(tag, sizeof tag, "\"%llx-%llx-%lx\"", (unsigned long long)st.st_size,
             (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
    if (tag_matches(call->x->request.if_none_match, tag)) {
        close(fd);
        not_modified(&call->x->reply, tag);
        return 0;
    }
    reply_part(call, fd, &st, tag);
    if (call->x->reply.from_file) {
        call->x->reply.type = type;
        reply_header(&call->x->reply, "ETag", tag);
        reply_header(&call->x->reply, "Accept-Ranges", "bytes");
        reply_header(&call->x->reply, "Cache-Control", "private, no-cache");
        reply_header(&call->x->reply, "Content-Security-Policy", FILE_POLICY);
    }
    return 0;
}
