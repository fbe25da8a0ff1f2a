/* What heads are fitted on: see examples.h. */
#include "learn/examples.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "learn/picture_files.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_CEILING ((size_t)1 << 20) /* bytes of a name */
#define WORDNET_ID    9                 /* characters of "n01440764" */

/* Room for so many more pictures, texts, and texts of pictures. */
static int reserve(struct examples *e, size_t images, size_t texts, size_t links, struct err *err)
{
    size_t have   = e->n_images ? (size_t)e->first_text[e->n_images] : 0;
    size_t counts = e->n_images + images;
    if (counts >= INT_MAX || e->n_texts + texts >= INT_MAX || have + links >= INT_MAX)
        return err_set(err, ERR_LIMIT, "more than %d pictures or captions", INT_MAX - 1);
    char **paths = mem_regrow(e->paths, counts + 1, sizeof *paths);
    e->paths     = paths ? paths : e->paths;
    int *group   = mem_regrow(e->group, counts + 1, sizeof *group);
    e->group     = group ? group : e->group;
    int *first   = mem_regrow(e->first_text, counts + 1, sizeof *first);
    if (first && !e->first_text)
        first[0] = 0;
    e->first_text = first ? first : e->first_text;
    int *of       = mem_regrow(e->text_of, have + links + 1, sizeof *of);
    e->text_of    = of ? of : e->text_of;
    char **kept   = mem_regrow(e->texts, e->n_texts + texts + 1, sizeof *kept);
    e->texts      = kept ? kept : e->texts;
    return paths && group && first && of && kept
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", counts);
}

/* A picture without texts yet. Room was reserved. */
static int add_image(struct examples *e, const char *dir, const char *name, int group,
                     struct err *err)
{
    char *path = path_join(dir, name);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", e->n_images);
    e->paths[e->n_images]          = path;
    e->group[e->n_images]          = group;
    e->first_text[e->n_images + 1] = e->first_text[e->n_images];
    e->n_images++;
    return 0;
}

/* Gives the last picture a text. */
static void link_text(struct examples *e, int text)
{
    e->text_of[e->first_text[e->n_images]++] = text;
}

static int add_text(struct examples *e, char *text, struct err *err)
{
    if (!text)
        return err_set(err, ERR_NOMEM, "out of memory for %zu texts", e->n_texts);
    e->texts[e->n_texts++] = text;
    return 0;
}

int examples_add_captions(struct examples *e, const char *dir, const struct captions *c,
                          struct err *err)
{
    int  rc     = reserve(e, c->n_images, c->n_captions, c->n_captions, err);
    int *count  = mem_zeroed(c->n_images + 1, sizeof *count);
    int *sorted = mem_array(c->n_captions + 1, sizeof *sorted);
    if (!rc && (!count || !sorted))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu captions", c->n_captions);
    if (rc)
        goto out;
    /* captions of a picture need not stand together in the file */
    for (size_t i = 0; i < c->n_captions; i++)
        count[c->image_of[i] + 1]++;
    for (size_t i = 0; i < c->n_images; i++)
        count[i + 1] += count[i];
    for (size_t i = 0; i < c->n_captions; i++)
        sorted[count[c->image_of[i]]++] = (int)i; /* count[g] ends where g's captions end */
    for (size_t i = 0, at = 0; !rc && i < c->n_images; i++) {
        rc = add_image(e, dir, c->files[i], (int)e->n_groups, err);
        e->n_groups += !rc;
        for (; !rc && at < (size_t)count[i]; at++) {
            rc = add_text(e, mem_strdup(c->texts[sorted[at]]), err);
            if (!rc)
                link_text(e, (int)e->n_texts - 1);
        }
    }
out:
    free(count);
    free(sorted);
    return rc;
}

char *examples_class_text(const char *name, int phrasing)
{
    static const char *const before[] = {"a photo of ", "", "", "there is "};
    static const char *const after[]  = {"", "", "", " in the picture"};
    const char *article = phrasing == 1 ? "" : *name && strchr("aeiouAEIOU", *name) ? "an " : "a ";
    struct buf  b;
    buf_init(&b, CLASS_CEILING);
    if (buf_appendf(&b, NULL, "%s%s%s%s", before[phrasing], article, name, after[phrasing])) {
        buf_release(&b);
        return NULL;
    }
    char *text = buf_steal(&b);
    for (char *c = text; c && *c; c++)
        *c = *c == '_' ? ' ' : *c;
    return text;
}

/* A picture and its class, while they are sorted. */
struct labelled {
    const char *file;  /* the set's */
    char       *label; /* owned */
};

static int by_label(const void *a, const void *b)
{
    const struct labelled *x = a;
    const struct labelled *y = b;
    int                    c = strcmp(x->label, y->label);
    return c ? c : strcmp(x->file, y->file);
}

static int add_labelled(struct examples *e, const char *dir, struct labelled *items, size_t n,
                        struct err *err)
{
    int rc = reserve(e, n, n * EXAMPLES_PHRASINGS, n * EXAMPLES_PHRASINGS, err);
    qsort(items, n, sizeof *items, by_label);
    for (size_t i = 0; !rc && i < n; i++) {
        if (i == 0 || strcmp(items[i].label, items[i - 1].label) != 0) {
            for (int k = 0; !rc && k < EXAMPLES_PHRASINGS; k++)
                rc = add_text(e, examples_class_text(items[i].label, k), err);
            e->n_groups += !rc;
        }
        if (!rc)
            rc = add_image(e, dir, items[i].file, (int)e->n_groups - 1, err);
        for (int k = 0; !rc && k < EXAMPLES_PHRASINGS; k++)
            link_text(e, (int)e->n_texts - EXAMPLES_PHRASINGS + k);
    }
    return rc;
}

static bool has_wordnet_id(const char *name)
{
    if (name[0] != 'n')
        return false;
    for (int i = 1; i < WORDNET_ID; i++) {
        if (!isdigit((unsigned char)name[i]))
            return false;
    }
    return name[WORDNET_ID] == '_';
}

/* The class that a path below a folder of classes says: the first folder, else
 * what an ImageNet name says. Its text without extension; NULL: out of memory. */
static int label_of(const char *path, const char *dir, char **label, struct err *err)
{
    const char *slash = strchr(path, '/');
    if (!slash && !has_wordnet_id(path))
        return err_set(err, ERR_FORMAT,
                       "%s/%s has no class: pictures are in folders named after their classes, or "
                       "named as ImageNet's (n01440764_tench.jpg)",
                       dir, path);
    const char *from = slash ? path : path + WORDNET_ID + 1;
    const char *to   = slash ? slash : strrchr(path, '.');
    if (slash && has_wordnet_id(path) && slash > path + WORDNET_ID + 1)
        from += WORDNET_ID + 1;
    *label = mem_strndup(from, (size_t)(to - from));
    return *label ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static void free_labels(struct labelled *items, size_t n)
{
    for (size_t i = 0; items && i < n; i++)
        free(items[i].label);
    free(items);
}

static int add_class_folder(struct examples *e, const char *dir, struct err *err)
{
    struct picture_files files = {0};
    struct labelled     *items = NULL;
    int                  rc    = picture_files_list(dir, &files, err);
    if (!rc && files.n == 0)
        rc = err_set(err, ERR_FORMAT, "there are no pictures below %s", dir);
    if (!rc) {
        items = mem_zeroed(files.n, sizeof *items);
        rc    = items ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", files.n);
    }
    for (size_t i = 0; !rc && i < files.n; i++) {
        items[i].file = files.paths[i];
        rc            = label_of(files.paths[i], dir, &items[i].label, err);
    }
    if (!rc)
        rc = add_labelled(e, dir, items, files.n, err);
    free_labels(items, files.n);
    picture_files_release(&files);
    return rc;
}

/* The folder that a file is in; NULL when out of memory. */
static char *folder_of(const char *path)
{
    const char *base = path_base(path);
    return base == path ? mem_strdup(".") : mem_strndup(path, (size_t)(base - path));
}

static int add_class_file(struct examples *e, const char *tsv, const char *dir, struct err *err)
{
    struct captions  set   = {0};
    struct labelled *items = NULL;
    char            *own   = dir ? NULL : folder_of(tsv);
    int              rc    = captions_read(tsv, NULL, &set, err);
    if (!rc) {
        items = mem_zeroed(set.n_captions, sizeof *items);
        if (!items || (!dir && !own))
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set.n_images);
    }
    if (!rc && set.n_captions != set.n_images)
        rc = err_set(err, ERR_FORMAT, "%s gives some picture several classes", tsv);
    for (size_t i = 0; !rc && i < set.n_captions; i++) {
        items[i].file  = set.files[set.image_of[i]];
        items[i].label = mem_strdup(set.texts[i]);
        if (!items[i].label)
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set.n_images);
    }
    if (!rc)
        rc = add_labelled(e, dir ? dir : own, items, set.n_captions, err);
    free_labels(items, set.n_captions);
    captions_release(&set);
    free(own);
    return rc;
}

int examples_add_classes(struct examples *e, const char *source, const char *dir, struct err *err)
{
    return file_is_dir(source) ? add_class_folder(e, source, err)
                               : add_class_file(e, source, dir, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int examples_add_pictures(struct examples *e, const char *dir, struct err *err)
{
    struct picture_files files = {0};
    int                  rc    = picture_files_list(dir, &files, err);
    if (!rc && files.n == 0)
        rc = err_set(err, ERR_FORMAT, "there are no pictures below %s", dir);
    if (!rc)
        rc = reserve(e, files.n, 0, 0, err);
    size_t known  = e->n_images;
    char **sorted = mem_array(known + 1, sizeof *sorted);
    if (!rc && !sorted)
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", known);
    if (!rc && known) {
        memcpy(sorted, e->paths, known * sizeof *sorted);
        qsort(sorted, known, sizeof *sorted, by_text);
    }
    for (size_t i = 0; !rc && i < files.n; i++) {
        char *path = path_join(dir, files.paths[i]);
        if (!path)
            rc = err_set(err, ERR_NOMEM, "out of memory");
        else if (!known || !bsearch(&path, sorted, known, sizeof *sorted, by_text)) {
            rc = add_image(e, dir, files.paths[i], (int)e->n_groups, err);
            e->n_groups += !rc;
        }
        free(path);
    }
    free(sorted);
    picture_files_release(&files);
    return rc;
}

void examples_release(struct examples *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->n_images; i++)
        free(e->paths[i]);
    for (size_t i = 0; i < e->n_texts; i++)
        free(e->texts[i]);
    free(e->paths);
    free(e->group);
    free(e->first_text);
    free(e->text_of);
    free(e->texts);
    *e = (struct examples)EXAMPLES_INIT;
}
