/* The filters of the command line (filters.h). */
#include "cli/filters.h"

#include "storage/filter_text.h"

static int parse_taken(struct filters *f, struct err *err)
{
    struct library_filter *out = &f->filter;
    int                    rc  = 0;
    out->has_taken             = f->after || f->before;
    out->taken_from            = INT64_MIN;
    out->taken_to              = INT64_MAX;
    if (f->after)
        rc = filter_text_date("--after", f->after, false, &out->taken_from, err);
    if (!rc && f->before)
        rc = filter_text_date("--before", f->before, true, &out->taken_to, err);
    return rc;
}

int filters_parse(struct filters *f, struct err *err)
{
    struct library_filter *out = &f->filter;
    *out                       = (struct library_filter){.camera     = f->camera,
                                                         .lens       = f->lens,
                                                         .caption    = f->caption,
                                                         .tags       = f->tags.items,
                                                         .n_tags     = f->tags.n,
                                                         .not_tags   = f->not_tags.items,
                                                         .n_not_tags = f->not_tags.n};
    int rc                     = parse_taken(f, err);
    if (!rc && f->type)
        rc = filter_text_kind("--type", f->type, out, err);
    if (!rc && f->rating)
        rc = filter_text_rating("--rating", f->rating, out, err);
    if (!rc && f->near)
        rc = filter_text_near("--near", f->near, out, err);
    if (!rc && f->orientation)
        rc = filter_text_shape("--orientation", f->orientation, &out->shape, err);
    if (!rc && f->min_size)
        rc = filter_text_size("--min-size", f->min_size, out, err);
    return rc;
}

bool filters_given(const struct filters *f)
{
    return f->after || f->before || f->in || f->camera || f->lens || f->tags.n || f->not_tags.n ||
           f->rating || f->near || f->orientation || f->min_size || f->type || f->caption;
}

static int set_text(struct jnode *node, const char *key, const char *text)
{
    return text ? jnode_set_str(node, key, text) : 0;
}

static int set_list(struct jnode *node, const char *key, const struct option_list *list)
{
    struct jnode *array  = list->n ? jnode_array() : NULL;
    int           failed = 0;
    for (size_t i = 0; i < list->n; i++)
        failed |= jnode_push_str(array, list->items[i]);
    return list->n ? failed | jnode_set(node, key, array) : 0;
}

int filters_to_json(const struct filters *f, const char *folder, struct jnode *node)
{
    const struct library_filter *filter = &f->filter;
    int failed = set_text(node, "folder", folder) | set_text(node, "camera", f->camera) |
                 set_text(node, "lens", f->lens) | set_text(node, "kind", f->type) |
                 set_text(node, "caption", f->caption) | set_text(node, "rating", f->rating) |
                 set_text(node, "near", f->near) | set_text(node, "orientation", f->orientation) |
                 set_list(node, "tag", &f->tags) | set_list(node, "not_tag", &f->not_tags);
    if (f->after)
        failed |= jnode_set_int(node, "taken_from", filter->taken_from);
    if (f->before)
        failed |= jnode_set_int(node, "taken_to", filter->taken_to);
    if (filter->min_size)
        failed |= jnode_set_int(node, "min_size", filter->min_size);
    if (filter->min_width)
        failed |= jnode_set_int(node, "min_width", filter->min_width);
    if (filter->min_height)
        failed |= jnode_set_int(node, "min_height", filter->min_height);
    return failed;
}
