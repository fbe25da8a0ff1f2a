/* Which pictures an evaluation is over: see eval_sets.h. */
#include "cli/eval_sets.h"

#include "cli/eval_encode.h"
#include "cli/output.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names in a folder ---- */

struct names {
    char **data;
    size_t n, cap;
};

static void names_release(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->data[i]);
    free(names->data);
}

static int names_push(struct names *names, const char *name, struct err *err)
{
    if (names->n == names->cap) {
        size_t cap  = names->cap ? names->cap * 2 : 256;
        char **data = mem_regrow(names->data, cap, sizeof *data);
        if (!data)
            return err_set(err, ERR_NOMEM, "out of memory for %zu names", cap);
        names->data = data;
        names->cap  = cap;
    }
    char *copy = mem_strdup(name);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory");
    names->data[names->n++] = copy;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folders, or all else, in a folder; sorted, without hidden ones. */
static int list(const char *dir, bool folders, struct names *out, struct err *err)
{
    int  rc = 0;
    DIR *d  = opendir(dir);
    if (!d)
        return err_set(err, ERR_IO, "cannot read the folder %s: %s", dir, strerror(errno));
    for (struct dirent *e; !rc && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char *path = path_join(dir, e->d_name);
        if (!path)
            rc = err_set(err, ERR_NOMEM, "out of memory");
        else if (file_is_dir(path) == folders)
            rc = names_push(out, e->d_name, err);
        free(path);
    }
    closedir(d);
    if (out->n > 1)
        qsort(out->data, out->n, sizeof *out->data, by_name);
    return rc;
}

/* ---- Sets ---- */

/* Appends files, which lie in dir, with a label (-1: none). */
static int add(struct pictures *set, const char *dir, char *const *files, size_t n, int label,
               struct err *err)
{
    if (n > INT_MAX - set->n)
        return err_set(err, ERR_LIMIT, "more than %d pictures", INT_MAX);
    if (n == 0)
        return 0;
    char **paths = mem_regrow(set->paths, set->n + n, sizeof *paths);
    if (paths)
        set->paths = paths;
    int *labels = paths && label >= 0 ? mem_regrow(set->label, set->n + n, sizeof *labels) : NULL;
    if (labels)
        set->label = labels;
    if (!paths || (label >= 0 && !labels))
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set->n + n);
    for (size_t i = 0; i < n; i++) {
        if (!(set->paths[set->n] = path_join(dir, files[i])))
            return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set->n + n);
        if (label >= 0)
            set->label[set->n] = label;
        set->n++;
    }
    return 0;
}

int pictures_below(const char *dir, char *const *files, size_t n, struct pictures *out,
                   struct err *err)
{
    int rc = add(out, dir, files, n, -1, err);
    if (rc)
        pictures_release(out);
    return rc;
}

int pictures_in(const char *dir, struct pictures *out, struct err *err)
{
    struct names names = {0};
    int          rc    = list(dir, false, &names, err);
    if (!rc && names.n == 0)
        rc = err_set(err, ERR_FORMAT, "%s has no files", dir);
    if (!rc)
        rc = pictures_below(dir, names.data, names.n, out, err);
    names_release(&names);
    return rc;
}

static int add_label(struct pictures *set, const char *dir, int label, const char *folder,
                     struct err *err)
{
    struct names names = {0};
    char        *path  = path_join(dir, folder);
    int rc = path ? list(path, false, &names, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = add(set, path, names.data, names.n, label, err);
    names_release(&names);
    free(path);
    return rc;
}

int pictures_labelled(const char *dir, struct pictures *out, struct err *err)
{
    struct names names = {0};
    int          rc    = list(dir, true, &names, err);
    if (!rc && names.n < 2)
        rc = err_set(err, ERR_FORMAT, "%s has %s: a folder for each of several labels is needed",
                     dir, names.n ? "one folder alone" : "no folders");
    if (!rc && names.n > INT_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %d labels", INT_MAX);
    for (size_t i = 0; !rc && i < names.n; i++)
        rc = add_label(out, dir, (int)i, names.data[i], err);
    if (!rc && out->n == 0)
        rc = err_set(err, ERR_FORMAT, "no folder in %s has a file", dir);
    if (rc) {
        pictures_release(out);
        names_release(&names);
        return rc;
    }
    out->labels   = names.data;
    out->n_labels = names.n;
    for (size_t i = 0; i < names.n; i++)
        for (char *c = out->labels[i]; *c; c++)
            if (*c == '_')
                *c = ' ';
    return 0;
}

void pictures_release(struct pictures *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->n; i++)
        free(set->paths[i]);
    for (size_t i = 0; i < set->n_labels; i++)
        free(set->labels[i]);
    free(set->paths);
    free(set->label);
    free(set->labels);
    *set = (struct pictures){0};
}

/* ---- Their embeddings ---- */

/* Takes the broken ones out of the set; returns how many there were. */
static size_t drop_broken(struct session *s, struct pictures *set, char *const *why, float *out)
{
    size_t dim = (size_t)encoder_info(s->enc)->dim, kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (why[i]) {
            note(s->common, "%s", why[i]);
            free(set->paths[i]);
            continue;
        }
        set->paths[kept] = set->paths[i];
        if (set->label)
            set->label[kept] = set->label[i];
        if (kept != i)
            memcpy(out + kept * dim, out + i * dim, dim * sizeof *out);
        kept++;
    }
    size_t broken = set->n - kept;
    set->n        = kept;
    return broken;
}

int pictures_encode(struct session *s, struct pictures *set, float **out, size_t *broken,
                    struct err *err)
{
    size_t n   = set->n;
    char **why = mem_zeroed(n, sizeof *why);
    float *e   = mem_array(n * (size_t)encoder_info(s->enc)->dim, sizeof *e);
    int    rc  = why && e ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu embeddings", n);
    if (!rc) {
        const struct encode_pictures job = {
            .paths = (const char *const *)set->paths, .n = n, .broken = why};
        note(s->common, "encoding %zu pictures", n);
        rc = encode_pictures(s, &job, e, err);
    }
    if (!rc) {
        size_t gone = drop_broken(s, set, why, e);
        if (gone)
            note(s->common, "left out %zu of %zu files: they cannot be read as pictures", gone, n);
        if (set->n == 0)
            rc = err_set(err, ERR_FORMAT, "none of %zu files can be read as a picture", n);
        *broken = gone;
    }
    for (size_t i = 0; why && i < n; i++)
        free(why[i]);
    free(why);
    if (rc)
        free(e);
    else
        *out = e;
    return rc;
}
