/* A data set of captioned pictures: see captions.h. */
#include "learn/captions.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FILE_CEILING ((size_t)1 << 30) /* bytes */

/* A line's parts; they point into the file's text, which is cut in place. */
struct row {
    char *file;
    char *text;
    int   image;
};

struct rows {
    struct row *data;
    size_t      n, cap;
};

static int rows_push(struct rows *rows, struct row row, struct err *err)
{
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

/* Cuts the text into rows; blank lines are passed over. */
static int parse_rows(char *text, const char *path, struct rows *rows, struct err *err)
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
        if (len > 0 && (!tab || tab == at || !tab[1]))
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
    return rows->n ? 0 : err_set(err, ERR_FORMAT, "cannot read %s: it has no captions", path);
}

static int by_file(const void *a, const void *b)
{
    const struct row *const *x = a;
    const struct row *const *y = b;
    int                      c = strcmp((*x)->file, (*y)->file);
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
        if (strcmp(sorted[i]->file, sorted[first]->file) != 0)
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

int captions_read_tsv(const char *path, struct captions *out, struct err *err)
{
    uint8_t        *text = NULL;
    size_t          len  = 0;
    struct rows     rows = {0};
    struct captions made = {0};
    int             rc   = file_read(path, FILE_CEILING, &text, &len, err);
    if (!rc && memchr(text, '\0', len))
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it is not a text file", path);
    if (!rc)
        rc = parse_rows((char *)text, path, &rows, err);
    if (!rc)
        rc = number_images(&rows, &made.n_images, err);
    if (rc)
        goto out;
    made.files    = mem_zeroed(made.n_images, sizeof *made.files);
    made.texts    = mem_zeroed(rows.n, sizeof *made.texts);
    made.image_of = mem_array(rows.n, sizeof *made.image_of);
    if (!made.files || !made.texts || !made.image_of) {
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu captions", rows.n);
        goto out;
    }
    for (size_t i = 0; i < rows.n; i++) {
        int image        = rows.data[i].image;
        made.image_of[i] = image;
        made.texts[i]    = mem_strdup(rows.data[i].text);
        made.n_captions  = i + 1;
        if (!made.files[image])
            made.files[image] = mem_strdup(rows.data[i].file);
        if (!made.texts[i] || !made.files[image]) {
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu captions", rows.n);
            goto out;
        }
    }
    *out = made;
    made = (struct captions){0};
out:
    captions_release(&made);
    free(rows.data);
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
