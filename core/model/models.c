/* Where models are: see models.h. */
#include "model/models.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/model_id.h"

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

int models_fetched_dir(char **dir, struct err *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && data[0] == '/') /* a relative one is to be ignored, says XDG */
        *dir = path_join(data, "osprey/models");
    else if (home && *home)
        *dir = path_join(home, ".local/share/osprey/models");
    else
        return err_set(err, ERR_USAGE,
                       "cannot tell where fetched models are: neither XDG_DATA_HOME nor HOME is "
                       "set");
    return *dir ? 0 : err_set(err, ERR_NOMEM, "out of memory");
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
    char *fetched = NULL;
    if (!rc && !models_fetched_dir(&fetched, NULL))
        rc = add_place(p, fetched, err);
    return rc;
}

bool models_is_model(const char *dir)
{
    static const char *const names[] = {"config.json", "open_clip_config.json"};
    bool                     yes     = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !yes; i++) {
        char *config = path_join(dir, names[i]);
        yes          = config && file_exists(config);
        free(config);
    }
    return yes;
}

static int find_folder(const char *name, char **dir, struct err *err)
{
    int rc = path_real(name, dir, err);
    if (rc)
        return err_prefix(err, "cannot find the model");
    if (!models_is_model(*dir)) {
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

/* Looks through the places; *dir stays NULL where none holds it. */
static int look_up(const struct places *p, const char *folder, char **dir, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < p->n && !rc && !*dir; i++) {
        char *candidate = path_join(p->dirs[i], folder);
        if (!candidate)
            rc = err_set(err, ERR_NOMEM, "out of memory");
        else if (models_is_model(candidate))
            rc = path_real(candidate, dir, err);
        free(candidate);
    }
    return rc;
}

static int find_named(const char *name, const char *folder, char **dir, struct err *err)
{
    struct places p     = {0};
    char         *found = NULL;
    int           rc    = find_places(&p, err);
    if (!rc)
        rc = look_up(&p, folder, &found, err);
    if (!rc && !found)
        rc = not_found(&p, name, err);
    places_release(&p);
    if (!rc)
        *dir = found;
    return rc;
}

static int find_default(char **dir, struct err *err)
{
    char *name = NULL;
    int   rc   = models_default(&name, err);
    if (!rc)
        rc = models_find(name, dir, err);
    if (rc && name && strcmp(name, MODELS_DEFAULT) != 0) {
        (void)err_prefix(err, "the default model is gone (`osprey model use " MODELS_DEFAULT
                              "` goes back to the one that came with osprey)");
    }
    free(name);
    return rc;
}

int models_find(const char *name, char **dir, struct err *err)
{
    struct model_id id;
    char            folder[MODEL_ID_MAX];
    if (!name)
        return find_default(dir, err);
    if (strchr(name, '/')) {
        if (file_exists(name) || model_id_parse(name, &id, NULL))
            return find_folder(name, dir, err);
        model_id_folder(&id, folder);
        int rc = find_named(name, folder, dir, err);
        if (rc == ERR_NOTFOUND)
            rc = err_set(err, rc,
                         "there is no folder %.200s, and no fetched model of that name: `osprey "
                         "model get %.200s` fetches it",
                         name, name);
        return rc;
    }
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, ERR_USAGE, "\"%s\" is not the name of a model", name);
    return find_named(name, name, dir, err);
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
    char                id[MODEL_ID_MAX];
    int                 rc = 0;
    if (!candidate)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (model_id_of_folder(name, id))
        name = id;
    if (models_is_model(candidate) && *n < MAX_MODELS && !is_listed(entries, *n, name)) {
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
