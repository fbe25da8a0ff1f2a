/* Where models are: see models.h. */
#include "model/models.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLACES 64
#define MAX_MODELS 10000

/* The folders that hold models, in the order in which they are looked through. */
struct places {
    char  *dirs[MAX_PLACES];
    size_t n;
};

static void places_release(struct places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->dirs[i]);
    p->n = 0;
}

/* Takes dir over. */
static int add_place(struct places *p, char *dir, struct err *err)
{
    if (!dir)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (p->n == MAX_PLACES) {
        free(dir);
        return err_set(err, ERR_LIMIT, "$OSPREY_MODELS names more than %d folders", MAX_PLACES);
    }
    p->dirs[p->n++] = dir;
    return 0;
}

static int find_places(struct places *p, struct err *err)
{
    static const char *const beside[] = {"../models", "../share/osprey/models"};
    char                    *program  = NULL;
    int                      rc       = path_of_program(&program, err);
    for (size_t i = 0; i < 2 && !rc; i++)
        rc = add_place(p, path_join(program, beside[i]), err);
    free(program);
    const char *list = getenv("OSPREY_MODELS");
    while (!rc && list && *list) {
        size_t len = strcspn(list, ":");
        if (len) /* an empty entry would mean the current folder: never */
            rc = add_place(p, mem_strndup(list, len), err);
        list += len + (list[len] == ':');
    }
    return rc;
}

static bool holds_model(const char *dir)
{
    char *config = path_join(dir, "config.json");
    bool  yes    = config && file_exists(config);
    free(config);
    return yes;
}

static int find_folder(const char *name, char **dir, struct err *err)
{
    int rc = path_real(name, dir, err);
    if (rc)
        return err_prefix(err, "cannot find the model");
    if (!holds_model(*dir)) {
        rc = err_set(err, ERR_NOTFOUND, "%s is not a model: it has no config.json", *dir);
        free(*dir);
        *dir = NULL;
    }
    return rc;
}

static int not_found(const struct places *p, const char *name, struct err *err)
{
    struct buf where;
    buf_init(&where, 700);
    for (size_t i = 0; i < p->n; i++) {
        if (buf_appendf(&where, NULL, "%s%s", i ? ", " : "", p->dirs[i]))
            break;
    }
    int rc =
        err_set(err, ERR_NOTFOUND, "there is no model named %.100s in %s%s", name, buf_str(&where),
                strcmp(name, MODELS_DEFAULT) == 0 ? " (`make build` assembles it)" : "");
    buf_release(&where);
    return rc;
}

int models_find(const char *name, char **dir, struct err *err)
{
    if (strchr(name, '/'))
        return find_folder(name, dir, err);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, ERR_USAGE, "\"%s\" is not the name of a model", name);
    struct places p    = {0};
    bool          done = false;
    int           rc   = find_places(&p, err);
    for (size_t i = 0; i < p.n && !rc && !done; i++) {
        char *candidate = path_join(p.dirs[i], name);
        if (candidate && holds_model(candidate)) {
            rc   = path_real(candidate, dir, err);
            done = true;
        }
        free(candidate);
    }
    if (!rc && !done)
        rc = not_found(&p, name, err);
    places_release(&p);
    return rc;
}

static int compare_entries(const void *a, const void *b)
{
    const struct models_entry *x = a;
    const struct models_entry *y = b;
    return strcmp(x->name, y->name);
}

static bool is_listed(const struct models_entry *entries, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Adds one folder's entry if it is a model; takes candidate over. */
static int add_entry(struct models_entry *entries, size_t *n, const char *name, char *candidate,
                     struct err *err)
{
    struct models_entry entry = {0};
    int                 rc    = 0;
    if (!candidate)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (holds_model(candidate) && *n < MAX_MODELS && !is_listed(entries, *n, name)) {
        rc         = path_real(candidate, &entry.dir, err);
        entry.name = rc ? NULL : mem_strdup(name);
        if (!rc && !entry.name) {
            free(entry.dir);
            rc = err_set(err, ERR_NOMEM, "out of memory");
        }
        if (!rc)
            entries[(*n)++] = entry;
    }
    free(candidate);
    return rc;
}

static int list_place(struct models_entry *entries, size_t *n, const char *place, struct err *err)
{
    DIR *d  = opendir(place);
    int  rc = 0;
    if (!d)
        return 0; /* most of these folders do not exist */
    for (struct dirent *e; !rc && (e = readdir(d));) {
        if (e->d_name[0] != '.')
            rc = add_entry(entries, n, e->d_name, path_join(place, e->d_name), err);
    }
    closedir(d);
    return rc;
}

int models_list(struct models_entry **out, size_t *n, struct err *err)
{
    struct places        p       = {0};
    size_t               count   = 0;
    struct models_entry *entries = mem_array(MAX_MODELS, sizeof *entries);
    int rc = entries ? find_places(&p, err) : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < p.n && !rc; i++)
        rc = list_place(entries, &count, p.dirs[i], err);
    places_release(&p);
    if (rc) {
        models_list_free(entries, count);
        return rc;
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    *out = entries;
    *n   = count;
    return 0;
}

void models_list_free(struct models_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].name);
        free(entries[i].dir);
    }
    free(entries);
}
