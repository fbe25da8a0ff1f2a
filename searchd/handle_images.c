/* /v1/images and /v1/images/{id}. */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT 100
#define MAX_LIMIT     1000

struct images_input {
    const char         *order;
    struct field_texts  after;
    int64_t             limit;
    struct filter_input filter;
};

static const struct field images_fields[] = {
    {"limit", FIELD_INT, 1, MAX_LIMIT, offsetof(struct images_input, limit)},
    {"after", FIELD_TEXTS, 0, 0, offsetof(struct images_input, after)},
    {"order", FIELD_TEXT, 0, 0, offsetof(struct images_input, order)},
    FILTER_FIELDS(struct images_input, filter),
};

/* "SECONDS.ID", as `next` gave it out. */
static bool parse_cursor(const char *text, struct library_cursor *out)
{
    long long taken, id;
    int       end = 0;
    if (strlen(text) > 40 || sscanf(text, "%lld.%lld%n", &taken, &id, &end) != 2 ||
        text[end] != '\0' || id < 1)
        return false;
    *out = (struct library_cursor){.taken_at = taken, .id = id};
    return true;
}

/* Where to go on, a date as everywhere else, or one of each: a date has no point. */
static int parse_after(const struct field_texts *texts, struct fields *fields,
                       struct library_cursor *out, struct err *err)
{
    for (size_t i = 0; i < texts->n; i++) {
        struct library_cursor cursor;
        int64_t               seconds;
        bool                  place = parse_cursor(texts->items[i], &cursor);
        if (place && out->id)
            return err_set(err, ERR_USAGE, "after is given twice");
        if (place) {
            *out = cursor;
            continue;
        }
        if (!fields_parse_time(texts->items[i], false, &seconds))
            return err_set(err, ERR_USAGE,
                           "after must be what an answer's next was, or a date such as 2024-05");
        int rc = fields_take_text(fields, "taken_from", texts->items[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

static int parse_order(const char *text, enum library_order *out, struct err *err)
{
    if (!text || !strcmp(text, "date"))
        *out = LIBRARY_BY_DATE;
    else if (!strcmp(text, "id"))
        *out = LIBRARY_BY_ID;
    else
        return err_set(err, ERR_USAGE, "order must be date or id");
    return 0;
}

static int fill(struct call *call, const struct library_image *images, size_t n, size_t limit,
                int64_t total, struct err *err)
{
    struct jnode *list   = jnode_array();
    struct jnode *node   = jnode_object();
    int           failed = 0;
    for (size_t i = 0; i < n && i < limit; i++) {
        struct jnode *image = jnode_object();
        failed |= answers_image(call, &images[i], image);
        failed |= jnode_push(list, image);
    }
    failed |= jnode_set(node, "images", list);
    if (total >= 0)
        failed |= jnode_set_int(node, "total", total);
    if (n > limit) {
        char next[48];
        snprintf(next, sizeof next, "%lld.%lld", (long long)images[limit - 1].taken_at,
                 (long long)images[limit - 1].id);
        failed |= jnode_set_str(node, "next", next);
    }
    failed |= jnode_set(node, "took_ms", call_took(call));
    return answers_send(call, node, 0, failed, err);
}

int handle_images(struct call *call, struct err *err)
{
    struct images_input   input  = {.limit = DEFAULT_LIMIT};
    struct library_cursor after  = {.id = 0};
    struct library_filter filter = {.folder_id = 0};
    enum library_order    order  = LIBRARY_BY_DATE;
    struct library       *lib    = NULL;
    struct library_image *images = NULL;
    size_t                n      = 0;
    int64_t               total  = -1;
    struct fields         fields = {
                .table = images_fields, .n = sizeof images_fields / sizeof *images_fields, .into = &input};
    int rc = fields_take_query(&fields, &call->x->request, err);
    if (!rc)
        rc = parse_after(&input.after, &fields, &after, err);
    if (!rc)
        rc = parse_order(input.order, &order, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    double start = clock_ms();
    if (!rc)
        rc = answers_filter(call, lib, &input.filter, &fields, &filter, err);
    if (!rc && !after.id) /* counted once, with the first page */
        rc = library_count(lib, &filter, &total, err);
    if (!rc) /* one more, to know whether there is more */
        rc = library_list(lib, &filter, order, &after, (size_t)input.limit + 1, &images, &n, err);
    call_done(call, lib);
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    if (!rc)
        rc = fill(call, images, n, (size_t)input.limit, total, err);
    for (size_t i = 0; i < n; i++)
        library_image_release(&images[i]);
    free(images);
    return rc;
}

int handle_image(struct call *call, struct err *err)
{
    struct library      *lib = NULL;
    struct library_image image;
    int                  rc = call_no_query(call, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    if (!rc)
        rc = library_image_get(lib, call->id, &image, err);
    if (rc) {
        call_done(call, lib);
        return rc;
    }
    struct jnode *node = jnode_object();
    if (answers_image(call, &image, node))
        rc = answers_no_memory(err);
    if (!rc)
        rc = answers_parts(call, lib, &image, node, err);
    library_image_release(&image);
    if (!rc)
        rc = answers_said(lib, call->id, node, err);
    call_done(call, lib);
    return answers_send(call, node, rc, false, err);
}
