/* A data set of captioned pictures: see captions.h. */
#include "learn/captions.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learn/captions_rows.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FILE_CEILING ((size_t)1 << 30)   /* bytes */
#define JSON_CEILING ((size_t)512 << 20) /* bytes */

static const char white[] = " \t\r\n\v\f";

bool text_is_blank(const char *text)
{
    return text[strspn(text, white)] == '\0';
}

int rows_push(struct rows *rows, struct row row, struct err *err)
{
    if (rows->n == INT_MAX)
        return err_set(err, ERR_LIMIT, "more than %d captions", INT_MAX);
    if (rows->n == rows->cap) {
        size_t      cap  = rows->cap ? rows->cap * 2 : 1024;
        struct row *data = mem_regrow(rows->data, cap, sizeof *data);
        if (!data)
            return err_set(err, ERR_NOMEM, "out of memory for %zu captions", cap);
        rows->data = data;
        rows->cap  = cap;
    }
    rows->data[rows->n++] = row;
    return 0;
}

/* Cuts the text into rows, in place; blank lines are passed over. */
static int parse_tsv(char *text, const char *path, struct rows *rows, struct err *err)
{
    size_t line = 0;
    for (char *at = text; at && *at;) {
        char *end = strchr(at, '\n');
        if (end)
            *end = '\0';
        line++;
        size_t len = strlen(at);
        if (len > 0 && at[len - 1] == '\r')
            at[--len] = '\0';
        char *tab = strchr(at, '\t');
        if (len > 0 && (!tab || tab == at || text_is_blank(tab + 1)))
            return err_set(err, ERR_FORMAT,
                           "cannot read %s: line %zu is not a file name, a tab and a caption", path,
                           line);
        if (len > 0) {
            *tab   = '\0';
            int rc = rows_push(rows, (struct row){.file = at, .text = tab + 1}, err);
            if (rc)
                return rc;
        }
        at = end ? end + 1 : NULL;
    }
    return 0;
}

/* Orders by picture; 0: the same. */
static int compare_pictures(const struct row *x, const struct row *y)
{
    int c = x->folder && y->folder ? strcmp(x->folder, y->folder) : !!x->folder - !!y->folder;
    return c ? c : strcmp(x->file, y->file);
}

static int by_file(const void *a, const void *b)
{
    const struct row *const *x = a;
    const struct row *const *y = b;
    int                      c = compare_pictures(*x, *y);
    if (c)
        return c;
    return (*x > *y) - (*x < *y); /* the first appearance leads */
}

/* Numbers the pictures in order of first appearance; returns how many. */
static int number_images(struct rows *rows, size_t *n_images, struct err *err)
{
    struct row **sorted = mem_array(rows->n, sizeof *sorted);
    if (!sorted)
        return err_set(err, ERR_NOMEM, "out of memory for %zu captions", rows->n);
    for (size_t i = 0; i < rows->n; i++)
        sorted[i] = &rows->data[i];
    qsort(sorted, rows->n, sizeof *sorted, by_file);
    /* The first row of each run stands for the picture: -1 marks it, the others
     * hold the row that leads them. */
    for (size_t i = 0, first = 0; i < rows->n; i++) {
        if (compare_pictures(sorted[i], sorted[first]) != 0)
            first = i;
        sorted[i]->image = i == first ? -1 : (int)(sorted[first] - rows->data);
    }
    free(sorted);
    *n_images = 0;
    for (size_t i = 0; i < rows->n; i++) {
        int leader          = rows->data[i].image;
        rows->data[i].image = leader < 0 ? (int)(*n_images)++ : rows->data[leader].image;
    }
    return 0;
}

/* Copies what the rows say into a set of its own. */
static int fill(const struct rows *rows, struct captions *made, struct err *err)
{
    made->files    = mem_zeroed(made->n_images, sizeof *made->files);
    made->texts    = mem_zeroed(rows->n, sizeof *made->texts);
    made->image_of = mem_array(rows->n, sizeof *made->image_of);
    if (!made->files || !made->texts || !made->image_of)
        return err_set(err, ERR_NOMEM, "out of memory for %zu captions", rows->n);
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->data[i];
        made->image_of[i]     = row->image;
        made->texts[i]        = mem_strdup(row->text);
        made->n_captions      = i + 1;
        if (!made->files[row->image])
            made->files[row->image] =
                row->folder ? path_join(row->folder, row->file) : mem_strdup(row->file);
        if (!made->texts[i] || !made->files[row->image])
            return err_set(err, ERR_NOMEM, "out of memory for %zu captions", rows->n);
    }
    return 0;
}

/* root: what the rows point into, if it is JSON. */
static int parse(char *text, size_t len, const char *path, const char *split, struct jnode **root,
                 struct rows *rows, struct err *err)
{
    if (text[strspn(text, white)] == '{') {
        if (len > JSON_CEILING)
            return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %zu of JSON are read", path,
                           len, JSON_CEILING);
        int rc = jnode_parse(text, len, path, root, err);
        return rc ? rc : captions_parse_json(*root, path, split, rows, err);
    }
    if (memchr(text, '\0', len))
        return err_set(err, ERR_FORMAT, "cannot read %s: it is not a text file", path);
    if (split)
        return err_set(err, ERR_USAGE, "%s has no splits: it is a table", path);
    return parse_tsv(text, path, rows, err);
}

int captions_read(const char *path, const char *split, struct captions *out, struct err *err)
{
    uint8_t        *text = NULL;
    size_t          len  = 0;
    struct jnode   *root = NULL;
    struct rows     rows = {0};
    struct captions made = {0};
    int             rc   = file_read(path, FILE_CEILING, &text, &len, err);
    if (!rc)
        rc = parse((char *)text, len, path, split, &root, &rows, err);
    if (!rc && rows.n == 0)
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it has no captions", path);
    if (!rc)
        rc = number_images(&rows, &made.n_images, err);
    if (!rc)
        rc = fill(&rows, &made, err);
    if (rc)
        captions_release(&made);
    else
        *out = made;
    free(rows.data);
    jnode_free(root);
    free(text);
    return rc;
}

void captions_release(struct captions *captions)
{
    if (!captions)
        return;
    for (size_t i = 0; captions->files && i < captions->n_images; i++)
        free(captions->files[i]);
    for (size_t i = 0; captions->texts && i < captions->n_captions; i++)
        free(captions->texts[i]);
    free(captions->files);
    free(captions->texts);
    free(captions->image_of);
    *captions = (struct captions){0};
}
