/* The small files of the models that fill a library, kept in it, so that it goes on
 * working when a model of the same name comes with other heads.
 *
 * The catalogue holds them (so a copy of it is complete); LIB/models/HASH is a
 * folder made from it, which the encoder opens. A folder appears whole, by a
 * rename; what a crash leaves of one begins with a dot and goes at the next
 * clearing. Towers are not kept: dual_files.h says how they are found.
 */
#include "storage/library_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE_NAME 64

/* Names come from the catalogue, which is data from outside. */
static bool is_plain(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) <= MAX_FILE_NAME && !strchr(name, '/');
}

static char *models_dir(const struct library *lib)
{
    return path_join(lib->dir, "models");
}

static char *kept_dir(const struct library *lib, const char *hash)
{
    char *models = models_dir(lib);
    char *dir    = models && is_plain(hash) ? path_join(models, hash) : NULL;
    free(models);
    return dir;
}

static int cannot_keep(const struct library *lib, const char *hash, struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot keep the model %.12s in %s: out of memory", hash,
                   lib->dir);
}

/* Removes the plain files of a folder, then the folder. */
static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    (void)rmdir(dir);
}

static bool file_equals(const char *path, const struct library_file *file)
{
    struct file_map map;
    if (file_map(&map, path, NULL))
        return false;
    bool equal = map.len == file->len && (!file->len || memcmp(map.data, file->data, map.len) == 0);
    file_unmap(&map);
    return equal;
}

static bool folder_equals(const char *dir, const struct library_file *files, size_t n)
{
    bool equal = true;
    for (size_t i = 0; i < n && equal; i++) {
        char *path = path_join(dir, files[i].name);
        equal      = path && file_equals(path, &files[i]);
        free(path);
    }
    return equal;
}

static int fill_folder(const char *dir, const struct library_file *files, size_t n, struct err *err)
{
    int rc = file_mkdirs(dir, err);
    for (size_t i = 0; i < n && !rc; i++) {
        char *path = path_join(dir, files[i].name);
        rc         = path ? file_replace(path, files[i].data, files[i].len, err)
                          : err_set(err, ERR_NOMEM, "out of memory");
        free(path);
    }
    return rc;
}

/* Puts a model's folder where it is missing or another than it should be. */
static int put_folder(struct library *lib, const char *hash, const struct library_file *files,
                      size_t n, struct err *err)
{
    char  name[MAX_FILE_NAME + 32];
    char *dir = kept_dir(lib, hash), *models = models_dir(lib), *aside = NULL;
    (void)snprintf(name, sizeof name, ".%.64s.%ld", hash, (long)getpid());
    int rc = 0;
    if (models)
        aside = path_join(models, name);
    if (!dir || !aside)
        rc = cannot_keep(lib, hash, err);
    else if (file_is_dir(dir) && folder_equals(dir, files, n))
        goto out;
    else if (file_is_dir(dir))
        rc = fill_folder(dir, files, n, err); /* each file is replaced whole */
    else
        rc = fill_folder(aside, files, n, err);
    if (!rc && !file_is_dir(dir) && rename(aside, dir) != 0 && !folder_equals(dir, files, n))
        rc = err_set(err, ERR_IO, "cannot rename %s to %s: %s", aside, dir, strerror(errno));
    if (!rc)
        rc = file_sync_parent(dir, err);
    if (aside)
        remove_folder(aside);
out:
    free(aside);
    free(models);
    free(dir);
    return rc;
}

static void files_free(struct library_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)files[i].name);
        free((void *)files[i].data);
    }
    free(files);
}

static int read_files(struct library *lib, int64_t model_id, struct library_file **files, size_t *n,
                      struct err *err)
{
    int rc = catalog_model_files(lib->cat, model_id, files, n, err);
    for (size_t i = 0; !rc && i < *n; i++)
        if (!is_plain((*files)[i].name))
            rc =
                err_set(err, ERR_DAMAGED, "library %s keeps a file of a model under the name %.80s",
                        lib->dir, (*files)[i].name);
    if (rc) {
        files_free(*files, *n);
        *files = NULL;
        *n     = 0;
    }
    return rc;
}

/* Whether the catalogue has these very files of a model. */
static bool is_kept(const struct library_file *a, size_t n_a, const struct library_file *b,
                    size_t n_b)
{
    size_t same = 0;
    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++)
            same += strcmp(a[i].name, b[j].name) == 0 && a[i].len == b[j].len &&
                    memcmp(a[i].data, b[j].data, a[i].len) == 0;
    return n_a == n_b && same == n_a;
}

int library_model_keep(struct library *lib, const struct library_model *model,
                       const struct library_file *files, size_t n, struct err *err)
{
    struct library_file *old   = NULL;
    size_t               n_old = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_plain(files[i].name))
            return err_set(err, ERR_USAGE, "cannot keep a file named %.80s", files[i].name);
    int rc = read_files(lib, model->id, &old, &n_old, err);
    if (rc)
        return rc;
    bool kept = is_kept(files, n, old, n_old);
    files_free(old, n_old);
    if (!kept) {
        rc = catalog_begin_write(lib->cat, err);
        if (!rc)
            rc = catalog_model_files_put(lib->cat, model->id, files, n, err);
        if (!rc)
            rc = catalog_commit(lib->cat, err);
        else
            catalog_rollback(lib->cat);
    }
    return rc || n == 0 ? rc : put_folder(lib, model->hash, files, n, err);
}

int library_model_kept(struct library *lib, const struct library_model *model, char **dir,
                       struct err *err)
{
    struct library_file *files = NULL;
    size_t               n     = 0;
    *dir                       = kept_dir(lib, model->hash);
    int rc                     = *dir ? 0 : cannot_keep(lib, model->hash, err);
    if (!rc && file_is_dir(*dir))
        return 0;
    if (!rc)
        rc = read_files(lib, model->id, &files, &n, err);
    if (!rc && n == 0)
        rc = err_set(err, ERR_NOTFOUND, "library %s keeps nothing of the model %s", lib->dir,
                     model->name);
    else if (!rc)
        rc = put_folder(lib, model->hash, files, n, err);
    files_free(files, n);
    if (rc) {
        free(*dir);
        *dir = NULL;
    }
    return rc;
}

/* Whether a folder's name is the hash of a model in use. */
static bool in_use(struct library *lib, const char *name)
{
    struct library_model model;
    return (!library_model_active(lib, &model, NULL) && strcmp(model.hash, name) == 0) ||
           (!library_model_filling(lib, &model, NULL) && strcmp(model.hash, name) == 0);
}

void library_kept_clear(struct library *lib)
{
    char *models = models_dir(lib);
    DIR  *d      = models ? opendir(models) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || in_use(lib, e->d_name))
            continue;
        char *dir = path_join(models, e->d_name);
        if (dir)
            remove_folder(dir);
        free(dir);
    }
    if (d)
        closedir(d);
    free(models);
}

/* ---- Checking ---- */

static int check_model(struct library *lib, const struct library_model *model, bool repair,
                       void (*report)(void *ctx, const char *finding), void *ctx, int64_t *damage,
                       struct err *err)
{
    struct library_file *files = NULL;
    size_t               n     = 0;
    char                 text[600];
    char                *dir = kept_dir(lib, model->hash);
    int rc = dir ? read_files(lib, model->id, &files, &n, err) : cannot_keep(lib, model->hash, err);
    /* A missing folder is no damage: it is made when it is needed. */
    if (!rc && file_is_dir(dir) && (n == 0 || !folder_equals(dir, files, n))) {
        ++*damage;
        (void)snprintf(text, sizeof text, "%.400s is not what the catalogue keeps of the model %s",
                       dir, model->name);
        if (report)
            report(ctx, text);
        if (repair && n == 0)
            remove_folder(dir);
        else if (repair)
            rc = put_folder(lib, model->hash, files, n, err);
        if (repair && !rc) {
            --*damage;
            if (report)
                report(ctx, "the kept files of the model were written anew");
        }
    }
    files_free(files, n);
    free(dir);
    return rc;
}

int library_kept_check(struct library *lib, bool                             repair,
                       void (*report)(void *ctx, const char *finding), void *ctx, int64_t *damage,
                       struct err *err)
{
    struct library_model model;
    int                  rc = 0;
    if (!library_model_active(lib, &model, NULL))
        rc = check_model(lib, &model, repair, report, ctx, damage, err);
    if (!rc && !library_model_filling(lib, &model, NULL))
        rc = check_model(lib, &model, repair, report, ctx, damage, err);
    return rc;
}
