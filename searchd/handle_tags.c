/* A person's own tags: of one picture (/v1/images/{id}/tags), and a label for many
 * (/v1/tags). What the pictures' metadata and Osprey say is not touched here.
 */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/label.h"
#include "storage/library_tags.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LABELS 100  /* added, or removed, at once */
#define MAX_TAGGED 5000 /* pictures that get a label at once */
#define MAX_LISTED 10000

/* ---- One picture ---- */

struct image_tags_input {
    const struct jnode *add, *remove;
};

static const struct field image_tags_fields[] = {
    {"add", FIELD_NODE, 0, 0, offsetof(struct image_tags_input, add)},
    {"remove", FIELD_NODE, 0, 0, offsetof(struct image_tags_input, remove)},
};

/* The labels of an array, or none. */
static int read_labels(struct call *call, const struct jnode *node, const char *name,
                       const char **out, size_t *n, struct err *err)
{
    *n = node ? jnode_len(node) : 0;
    if (node && (!jnode_is_array(node) || *n > MAX_LABELS))
        return err_set(err, ERR_USAGE, "%s must be an array of at most %d labels", name,
                       MAX_LABELS);
    for (size_t i = 0; i < *n; i++) {
        if (!jnode_to_str(jnode_at(node, i), &out[i]))
            return err_set(err, ERR_USAGE, "%s[%zu] must be a text", name, i);
        int rc = label_check(call, &out[i], err);
        for (size_t k = 0; k < i && !rc; k++)
            if (strcmp(out[k], out[i]) == 0)
                rc = err_set(err, ERR_USAGE, "%s names a label twice", name);
        if (rc)
            return rc;
    }
    return 0;
}

int handle_image_tags(struct call *call, struct err *err)
{
    const char              *add[MAX_LABELS], *remove[MAX_LABELS];
    struct image_tags_input  input = {.add = NULL};
    struct library_tags_edit edit  = {.add = add, .remove = remove};
    struct library_image     image;
    struct library          *lib    = NULL;
    struct fields            fields = {.table = image_tags_fields, .n = 2, .into = &input};
    int                      rc     = call_no_query(call, err);
    if (!rc)
        rc = call_take_json(call, &fields, err);
    if (!rc)
        rc = read_labels(call, input.add, "add", add, &edit.n_add, err);
    if (!rc)
        rc = read_labels(call, input.remove, "remove", remove, &edit.n_remove, err);
    if (!rc && edit.n_add + edit.n_remove == 0)
        rc = err_set(err, ERR_USAGE, "what to add or to remove is missing");
    if (!rc)
        rc = call_library(call, &lib, err);
    if (!rc)
        rc = library_image_get(lib, call->id, &image, err);
    if (!rc) {
        library_image_release(&image);
        rc = library_tags_change(lib, LIBRARY_USER, &call->id, 1, &edit, NULL, err);
    }
    struct jnode *node = jnode_object();
    if (!rc)
        rc = answers_said(lib, call->id, node, err);
    call_done(call, lib);
    return answers_send(call, node, rc, false, err);
}

/* ---- All tags, and many pictures ---- */

struct tags_input {
    const char         *label;
    const struct jnode *ids;
};

static const struct field tags_fields[] = {
    {"label", FIELD_TEXT, 0, 0, offsetof(struct tags_input, label)},
    {"ids", FIELD_NODE, 0, 0, offsetof(struct tags_input, ids)},
};

static int give_label(struct call *call, struct err *err)
{
    struct tags_input input   = {.label = NULL};
    struct library   *lib     = NULL;
    int64_t          *ids     = NULL;
    int64_t           changed = 0;
    size_t            n       = 0;
    struct fields     fields  = {.table = tags_fields, .n = 2, .into = &input};
    int               rc      = call_take_json(call, &fields, err);
    if (!rc)
        rc = label_check(call, &input.label, err);
    if (!rc)
        rc = label_ids(call, input.ids, "ids", 1, MAX_TAGGED, &ids, &n, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    const struct library_tags_edit edit = {.add = &input.label, .n_add = 1};
    if (!rc)
        rc = library_tags_change(lib, LIBRARY_USER, ids, n, &edit, &changed, err);
    call_done(call, lib);
    if (rc)
        return rc;
    struct jnode *node = jnode_object();
    bool          failed =
        jnode_set_str(node, "label", input.label) | jnode_set_int(node, "changed", changed);
    return answers_send(call, node, 0, failed, err);
}

static int list_tags(struct call *call, struct err *err)
{
    struct library           *lib    = NULL;
    struct library_tag_count *counts = NULL;
    size_t                    n      = 0;
    int                       rc     = call_library(call, &lib, err);
    if (!rc)
        rc = library_tags_list(lib, &counts, &n, err);
    call_done(call, lib);
    if (rc)
        return rc;
    struct jnode *node = jnode_object(), *list = jnode_array();
    int           failed = jnode_set_int(node, "total", (int64_t)n);
    for (size_t i = 0; i < n && i < MAX_LISTED; i++) {
        struct jnode *one = jnode_object();
        failed |= jnode_set_str(one, "label", counts[i].tag) |
                  jnode_set_int(one, "images", counts[i].images) | jnode_push(list, one);
    }
    failed |= jnode_set(node, "tags", list);
    library_tag_counts_free(counts, n);
    return answers_send(call, node, 0, failed, err);
}

int handle_tags(struct call *call, struct err *err)
{
    int rc = call_no_query(call, err);
    if (rc)
        return rc;
    return strcmp(call->x->request.method, "POST") == 0 ? give_label(call, err)
                                                        : list_tags(call, err);
}
