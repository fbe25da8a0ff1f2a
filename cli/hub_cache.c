/* Hugging Face's cache (hub_cache.h):
 *
 *   models--ORG--NAME/refs/REVISION      the commit that a revision was last
 *   models--ORG--NAME/snapshots/COMMIT/  files, as links to
 *   models--ORG--NAME/blobs/HASH         their bytes, large ones named by SHA-256
 *
 * A snapshot may be partial: it holds what some program once asked for.
 */
#include "cli/hub_cache.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/hub_plan.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *cache_dir(void)
{
    const char *cache = getenv("HF_HUB_CACHE"), *hf = getenv("HF_HOME");
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        return mem_strdup(cache);
    if (hf && *hf)
        return path_join(hf, "hub");
    if (xdg && xdg[0] == '/')
        return path_join(xdg, "huggingface/hub");
    return home && *home ? path_join(home, ".cache/huggingface/hub") : NULL;
}

static bool is_commit(const char *text)
{
    return strlen(text) == 40 && strspn(text, "0123456789abcdef") == 40;
}

/* The snapshot's folder, or NULL. */
static char *find_snapshot(const struct model_id *id, char commit[HASH_HEX_MAX])
{
    const char     *revision = id->revision[0] ? id->revision : "main";
    char            folder[MODEL_ID_MAX];
    struct model_id bare = *id;
    bare.revision[0]     = '\0';
    model_id_folder(&bare, folder);
    char    *dir = cache_dir(), *ref = NULL, *snapshot = NULL;
    uint8_t *text = NULL;
    size_t   len  = 0;
    (void)snprintf(commit, HASH_HEX_MAX, "%.40s", revision);
    if (!dir || asprintf(&ref, "%s/models--%s/refs/%s", dir, folder, revision) < 0)
        ref = NULL;
    if (ref && !file_read(ref, 1000, &text, &len, NULL))
        (void)snprintf(commit, HASH_HEX_MAX, "%.40s", (char *)text);
    if (!dir || !is_commit(commit) ||
        asprintf(&snapshot, "%s/models--%s/snapshots/%s", dir, folder, commit) < 0)
        snapshot = NULL;
    if (snapshot && !file_is_dir(snapshot)) {
        free(snapshot);
        snapshot = NULL;
    }
    free(text);
    free(ref);
    free(dir);
    return snapshot;
}

/* The snapshot's files, as if a hub had listed them. A blob that is named by a
 * SHA-256 is one to be checked. */
static int list_snapshot(const char *snapshot, struct hub_repo *repo, struct err *err)
{
    DIR *d  = opendir(snapshot);
    int  rc = 0;
    if (!d)
        return err_set(err, ERR_NOTFOUND, "cannot read %s: %s", snapshot, strerror(errno));
    for (struct dirent *e; !rc && (e = readdir(d));) {
        struct stat st;
        char       *path = path_join(snapshot, e->d_name), *real = NULL;
        if (!path) {
            rc = err_set(err, ERR_NOMEM, "out of memory");
        } else if (!stat(path, &st) && S_ISREG(st.st_mode) && !path_real(path, &real, NULL)) {
            const char *blob = path_base(real);
            bool        sha  = strlen(blob) == 64 && strspn(blob, "0123456789abcdef") == 64;
            rc = hub_repo_add(repo, e->d_name, st.st_size, HASH_SHA256, sha ? blob : NULL, err);
        }
        free(real);
        free(path);
    }
    closedir(d);
    return rc;
}

/* Whole, as far as one can see. */
static int check_file(const struct hub_file *f, const char *path, const volatile sig_atomic_t *stop,
                      struct err *err)
{
    struct safetensors *st = NULL;
    char                hash[HASH_HEX_MAX];
    size_t              n  = strlen(f->name);
    int                 rc = 0;
    if (n > 12 && strcmp(f->name + n - 12, ".safetensors") == 0) {
        rc = safetensors_open(path, &st, err);
        safetensors_close(st);
    }
    if (!rc && f->hash[0])
        rc = hash_file(path, f->kind, stop, hash, err);
    if (!rc && f->hash[0] && strcmp(hash, f->hash) != 0)
        rc =
            err_set(err, ERR_FORMAT, "%s is damaged: its SHA-256 is not the one in its name", path);
    return rc;
}

static int link_files(const struct hub_plan *plan, const char *snapshot, const char *stage,
                      const volatile sig_atomic_t *stop, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < plan->n && !rc; i++) {
        char *from = path_join(snapshot, plan->files[i]->name);
        char *to   = path_join(stage, plan->files[i]->name);
        if (!from || !to)
            rc = err_set(err, ERR_NOMEM, "out of memory");
        if (!rc)
            rc = check_file(plan->files[i], from, stop, err);
        if (!rc)
            (void)unlink(to);
        if (!rc && symlink(from, to))
            rc = err_set(err, ERR_IO, "cannot link %s: %s", to, strerror(errno));
        free(from);
        free(to);
    }
    return rc;
}

int hub_cache_link(const struct model_id *id, const volatile sig_atomic_t *stop, const char *stage,
                   struct hub_repo *repo, char **snapshot, struct err *err)
{
    struct hub_plan plan = {0};
    char           *dir  = NULL;
    *repo                = (struct hub_repo){0};
    char *found          = find_snapshot(id, repo->commit);
    if (!found)
        return err_set(err, ERR_NOTFOUND, "there is no copy of %s in the cache", id->name);
    int rc = path_real(found, &dir, err);
    if (!rc)
        rc = list_snapshot(dir, repo, err);
    if (!rc)
        rc = hub_plan_small(repo, id->name, &plan, err);
    if (!rc)
        rc = hub_plan_weights(repo, id->name, dir, &plan, err);
    if (!rc)
        rc = link_files(&plan, dir, stage, stop, err);
    hub_plan_release(&plan);
    free(found);
    if (rc) {
        hub_repo_release(repo);
        free(dir);
        return rc;
    }
    *snapshot = dir;
    return 0;
}
