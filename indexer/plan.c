/* What a run is to scan: see plan.h. */
#include "indexer/plan.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* True when inner is outer, or lies below it. */
static bool lies_in(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    if (n > 0 && outer[n - 1] == '/')
        n--;
    return !strncmp(inner, outer, n) && (inner[n] == '/' || !inner[n]);
}

static int plan_push(struct plan *plan, int64_t folder_id, const char *root, const char *below,
                     struct err *err)
{
    struct target *more = mem_regrow(plan->targets, plan->n + 1, sizeof *more);
    if (!more)
        return err_set(err, ERR_NOMEM, "out of memory");
    plan->targets    = more;
    struct target *t = &plan->targets[plan->n];
    *t               = (struct target){.folder_id = folder_id, .root_fd = -1};
    t->root          = mem_strdup(root);
    t->below         = mem_strdup(below);
    if (!t->root || !t->below) {
        free(t->root);
        free(t->below);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    plan->n++;
    return 0;
}

/* Adds one target, unless one that is there holds it; those that it holds go. */
static int plan_add(struct plan *plan, int64_t folder_id, const char *root, const char *below,
                    struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const struct target *t = &plan->targets[i];
        if (t->folder_id == folder_id && (!*t->below || lies_in(below, t->below)))
            return 0;
    }
    for (size_t i = 0; i < plan->n; i++) {
        struct target *t = &plan->targets[i];
        if (t->folder_id == folder_id && (!*below || lies_in(t->below, below))) {
            free(t->root);
            free(t->below);
        } else {
            plan->targets[kept++] = *t;
        }
    }
    plan->n = kept;
    return plan_push(plan, folder_id, root, below, err);
}

bool plan_holds_nothing(const char *dir)
{
    DIR *d       = opendir(dir);
    bool nothing = true;
    for (const struct dirent *e; d && nothing && (e = readdir(d));)
        nothing = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    return nothing;
}

/* A new folder takes in the known ones inside it, and its scan would then drop
 * what an unmounted one of them holds. */
static int check_inner(struct library *lib, const char *path, struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(lib, &folders, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct library_folder *f = &folders[i];
        if (f->images > 0 && strcmp(f->path, path) != 0 && lies_in(f->path, path) &&
            plan_holds_nothing(f->path))
            rc = err_set(err, ERR_USAGE,
                         "cannot index %s: the library knows pictures in %s, which is missing, "
                         "empty or not mounted: mount it first, or osprey forget it",
                         path, f->path);
    }
    library_folders_free(folders, n);
    return rc;
}

/* A folder of the command line: added to the library, or known to it though it
 * is not there now. *path: what to add; NULL when it is known. */
static int dir_resolve(struct library *lib, const char *dir, char **path, struct err *err)
{
    struct err why = ERR_INIT;
    if (!path_real(dir, path, &why)) {
        if (file_is_dir(*path))
            return check_inner(lib, *path, err);
        free(*path);
        *path = NULL;
        return err_set(err, ERR_USAGE, "cannot index %s: it is not a folder", dir);
    }
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(lib, &folders, &n, err);
    char                  *written = NULL;
    bool                   known   = false;
    if (!rc)
        rc = path_written(dir, &written, err);
    for (size_t i = 0; i < n && written; i++)
        known = known || !strcmp(folders[i].path, written);
    library_folders_free(folders, n);
    if (!rc && known)
        *path = written;
    else
        free(written);
    if (!rc && !known)
        rc = err_set(err, ERR_USAGE, "cannot index %s: %s", dir, why.msg);
    return rc;
}

/* The path of a folder by its id; freed by the caller. */
static int folder_path(struct library *lib, int64_t id, char **path, struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(lib, &folders, &n, err);
    if (rc)
        return rc;
    *path = NULL;
    for (size_t i = 0; i < n; i++) {
        if (folders[i].id == id)
            *path = mem_strdup(folders[i].path);
    }
    library_folders_free(folders, n);
    return *path ? 0 : err_set(err, ERR_FAILED, "the library lost a folder just added");
}

static int plan_all(struct library *lib, struct plan *plan, struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(lib, &folders, &n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = plan_add(plan, folders[i].id, folders[i].path, "", err);
    library_folders_free(folders, n);
    return rc;
}

int plan_make(struct library *lib, char *const *dirs, size_t n_dirs, bool all, struct plan *plan,
              struct err *err)
{
    int    rc    = 0;
    char **paths = mem_zeroed(n_dirs, sizeof *paths);
    *plan        = (struct plan){0};
    if (!paths)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n_dirs && !rc; i++) /* first all checks, then changes */
        rc = dir_resolve(lib, dirs[i], &paths[i], err);
    for (size_t i = 0; i < n_dirs && !rc; i++) {
        int64_t id;
        char   *below = NULL;
        rc            = library_folder_add(lib, paths[i], &id, &below, err);
        free(below);
    }
    /* A later folder may have taken in an earlier one: only now are ids final. */
    for (size_t i = 0; i < n_dirs && !rc && !all; i++) {
        int64_t id    = 0;
        char   *below = NULL;
        char   *root  = NULL;
        rc            = library_folder_add(lib, paths[i], &id, &below, err);
        if (!rc)
            rc = folder_path(lib, id, &root, err);
        if (!rc)
            rc = plan_add(plan, id, root, below ? below : "", err);
        free(below);
        free(root);
    }
    if (!rc && (all || n_dirs == 0))
        rc = plan_all(lib, plan, err);
    if (!rc && plan->n == 0)
        rc = err_set(err, ERR_NOTFOUND,
                     "there is nothing to index: the library in %s knows no folder yet (give one: "
                     "osprey index DIR)",
                     library_dir(lib));
    for (size_t i = 0; i < n_dirs; i++)
        free(paths[i]);
    free(paths);
    if (rc)
        plan_release(plan);
    return rc;
}

int plan_change(struct plan *plan, const struct target *folder, const char *below, bool changed,
                struct err *err)
{
    int rc = plan_push(plan, folder->folder_id, folder->root, below, err);
    if (!rc)
        plan->targets[plan->n - 1].changed = changed;
    return rc;
}

void plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->targets[i].root_fd >= 0 && !plan->targets[i].borrows)
            close(plan->targets[i].root_fd);
        free(plan->targets[i].root);
        free(plan->targets[i].below);
    }
    free(plan->targets);
    *plan = (struct plan){0};
}
