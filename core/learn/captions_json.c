/* The captions files of Karpathy and of COCO: see captions.h.
 *
 * Karpathy and Fei-Fei, "Deep visual-semantic alignments for generating image
 * descriptions" (2015), whose splits everybody uses; Chen et al., "Microsoft
 * COCO captions" (2015). Only the keys named in captions.h are looked at.
 */
#include "learn/captions_rows.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPLITS 16 /* that a message lists */

static int bad_entry(const char *path, const char *list, size_t i, const char *what,
                     struct err *err)
{
    return err_set(err, ERR_FORMAT, "cannot read %s: %s[%zu] %s", path, list, i, what);
}

/* ---- Karpathy's ---- */

struct split {
    const char *name;
    size_t      n;
};

/* Which splits there are; returns how many of them are listed. */
static size_t list_splits(const struct jnode *images, struct split *out)
{
    size_t n = 0;
    for (size_t i = 0; i < jnode_len(images); i++) {
        const char *name;
        size_t      at = 0;
        if (!jnode_to_str(jnode_get(jnode_at(images, i), "split"), &name))
            continue;
        while (at < n && strcmp(out[at].name, name) != 0)
            at++;
        if (at == MAX_SPLITS)
            continue;
        if (at == n)
            out[n++] = (struct split){name, 0};
        out[at].n++;
    }
    return n;
}

/* What to say where split does not tell which one is meant. */
static int wrong_split(const struct split *splits, size_t n, const char *path, const char *split,
                       struct err *err)
{
    char   names[512] = "";
    size_t len        = 0;
    for (size_t i = 0; i < n && len < sizeof names; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%.32s (%zu)", i ? ", " : "",
                                splits[i].name, splits[i].n);
    if (split)
        return err_set(err, ERR_USAGE, "%s has no split %s, but %s", path, split,
                       n ? names : "none at all");
    return err_set(err, ERR_USAGE, "%s has several splits: choose one with --split, or all: %s",
                   path, names);
}

static int check_split(const struct jnode *images, const char *path, const char *split,
                       struct err *err)
{
    struct split splits[MAX_SPLITS];
    size_t       n = list_splits(images, splits);
    if (split && !strcmp(split, "all"))
        return 0;
    if (!split)
        return n > 1 ? wrong_split(splits, n, path, split, err) : 0;
    for (size_t i = 0; i < jnode_len(images); i++) {
        const char *name;
        if (jnode_to_str(jnode_get(jnode_at(images, i), "split"), &name) && !strcmp(name, split))
            return 0;
    }
    return wrong_split(splits, n, path, split, err);
}

static bool in_split(const struct jnode *image, const char *split)
{
    const char *name;
    if (!split || !strcmp(split, "all"))
        return true;
    return jnode_to_str(jnode_get(image, "split"), &name) && !strcmp(name, split);
}

static int karpathy_image(const struct jnode *image, size_t i, const char *path, struct rows *rows,
                          struct err *err)
{
    struct row          row       = {0};
    const struct jnode *sentences = jnode_get(image, "sentences");
    if (!jnode_to_str(jnode_get(image, "filename"), &row.file) || !*row.file)
        return bad_entry(path, "images", i, "has no filename", err);
    if (!jnode_to_str(jnode_get(image, "filepath"), &row.folder) || !*row.folder)
        row.folder = NULL;
    if (!jnode_is_array(sentences) || jnode_len(sentences) == 0)
        return bad_entry(path, "images", i, "has no sentences", err);
    for (size_t s = 0; s < jnode_len(sentences); s++) {
        if (!jnode_to_str(jnode_get(jnode_at(sentences, s), "raw"), &row.text) ||
            text_is_blank(row.text))
            return bad_entry(path, "images", i, "has a sentence without text (raw)", err);
        int rc = rows_push(rows, row, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int parse_karpathy(const struct jnode *images, const char *path, const char *split,
                          struct rows *rows, struct err *err)
{
    int rc = check_split(images, path, split, err);
    for (size_t i = 0; !rc && i < jnode_len(images); i++)
        if (in_split(jnode_at(images, i), split))
            rc = karpathy_image(jnode_at(images, i), i, path, rows, err);
    return rc;
}

/* ---- COCO's ---- */

struct numbered {
    int64_t     id;
    const char *file;
};

static int by_id(const void *a, const void *b)
{
    const struct numbered *x = a;
    const struct numbered *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* files: (jnode_len(images)), sorted by id. */
static int number_files(const struct jnode *images, const char *path, struct numbered *files,
                        struct err *err)
{
    size_t n = jnode_len(images);
    for (size_t i = 0; i < n; i++) {
        const struct jnode *image = jnode_at(images, i);
        if (!jnode_to_int(jnode_get(image, "id"), &files[i].id))
            return bad_entry(path, "images", i, "has no id", err);
        if (!jnode_to_str(jnode_get(image, "file_name"), &files[i].file) || !*files[i].file)
            return bad_entry(path, "images", i, "has no file_name", err);
    }
    qsort(files, n, sizeof *files, by_id);
    for (size_t i = 1; i < n; i++)
        if (files[i].id == files[i - 1].id)
            return err_set(err, ERR_FORMAT, "cannot read %s: two images have the id %lld", path,
                           (long long)files[i].id);
    return 0;
}

static int parse_coco(const struct jnode *images, const struct jnode *annotations, const char *path,
                      struct rows *rows, struct err *err)
{
    size_t           n     = jnode_len(images);
    struct numbered *files = mem_array(n, sizeof *files);
    int              rc    = files ? number_files(images, path, files, err)
                                   : err_set(err, ERR_NOMEM, "out of memory for %zu images", n);
    for (size_t i = 0; !rc && i < jnode_len(annotations); i++) {
        const struct jnode *one = jnode_at(annotations, i);
        struct numbered     key;
        struct row          row = {0};
        if (!jnode_to_str(jnode_get(one, "caption"), &row.text) || text_is_blank(row.text)) {
            rc = bad_entry(path, "annotations", i, "has no caption", err);
            break;
        }
        if (!jnode_to_int(jnode_get(one, "image_id"), &key.id)) {
            rc = bad_entry(path, "annotations", i, "has no image_id", err);
            break;
        }
        const struct numbered *found = bsearch(&key, files, n, sizeof *files, by_id);
        if (!found) {
            rc = bad_entry(path, "annotations", i, "is of an image_id that no image has", err);
            break;
        }
        row.file = found->file;
        rc       = rows_push(rows, row, err);
    }
    free(files);
    return rc;
}

int captions_parse_json(const struct jnode *root, const char *path, const char *split,
                        struct rows *rows, struct err *err)
{
    const struct jnode *images      = jnode_get(root, "images");
    const struct jnode *annotations = jnode_get(root, "annotations");
    if (jnode_is_array(images) && jnode_is_array(annotations)) {
        if (split)
            return err_set(err, ERR_USAGE, "%s has no splits: it is of COCO's form", path);
        return parse_coco(images, annotations, path, rows, err);
    }
    if (jnode_is_array(images) && jnode_get(jnode_at(images, 0), "sentences"))
        return parse_karpathy(images, path, split, rows, err);
    return err_set(err, ERR_FORMAT,
                   "cannot read %s: JSON, but neither Karpathy's form (images with sentences) nor "
                   "COCO's (images and annotations)",
                   path);
}
