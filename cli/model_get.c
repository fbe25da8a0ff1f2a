/* osprey model get (model_get.h).
 *
 * Everything is put together in a folder beside the place where the model will
 * be, ".NAME.partial", and gets its name when it is whole; what was fetched stays
 * there when a run is cut short, for the next one to go on with.
 */
#include "cli/model_get.h"

#include "cli/hub.h"
#include "cli/hub_cache.h"
#include "cli/hub_plan.h"
#include "cli/output.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/models.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ORIGIN "osprey-origin.json" /* where the model is from; marks a folder as ours */
#define LOCK   ".lock"

static volatile sig_atomic_t interrupted; /* set by the first signal; a second one ends at once */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* One run. */
struct get {
    const struct common *common;
    struct model_id      id;
    char                 name[MODEL_ID_MAX]; /* as given, normalised */
    char                *dir;                /* where the model will be */
    char                *stage;              /* where it is put together */
    int                  lock;
    struct progress      progress;
    struct hub           hub;
    struct hub_repo      repo;
    struct hub_plan      plan;
    char                *snapshot; /* in the cache, when it came from there */
};

static void get_release(struct get *g)
{
    progress_finish(&g->progress);
    hub_plan_release(&g->plan);
    hub_repo_release(&g->repo);
    hub_close(&g->hub);
    if (g->lock >= 0)
        close(g->lock);
    free(g->snapshot);
    free(g->stage);
    free(g->dir);
}

/* A model was put there, and no link in it has lost its end since. */
static bool is_whole(const char *dir)
{
    bool whole = models_is_model(dir);
    DIR *d     = whole ? opendir(dir) : NULL;
    for (struct dirent *e; d && whole && (e = readdir(d));) {
        struct stat st;
        whole = !fstatat(dirfd(d), e->d_name, &st, 0);
    }
    if (d)
        closedir(d);
    return whole;
}

static int find_places(struct get *g, struct err *err)
{
    char  folder[MODEL_ID_MAX];
    char *models = NULL;
    int   rc     = models_fetched_dir(&models, err);
    if (rc)
        return rc;
    model_id_folder(&g->id, folder);
    g->dir = path_join(models, folder);
    if (asprintf(&g->stage, "%s/.%s.partial", models, folder) < 0)
        g->stage = NULL;
    free(models);
    return g->dir && g->stage ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

/* Makes the stage and takes it for this process alone. */
static int take_stage(struct get *g, struct err *err)
{
    char *path = path_join(g->stage, LOCK);
    int   rc   = path ? file_mkdirs(g->stage, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc) {
        g->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (g->lock < 0)
            rc = err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
        else if (flock(g->lock, LOCK_EX | LOCK_NB))
            rc = err_set(err, ERR_BUSY, "another osprey is fetching %s right now", g->name);
    }
    free(path);
    return rc;
}

/* A run that brought nothing leaves nothing. */
static void leave_stage(const struct get *g)
{
    char *path = g->lock >= 0 ? path_join(g->stage, LOCK) : NULL;
    if (path) {
        (void)unlink(path);
        (void)rmdir(g->stage); /* stays where there is something to go on with */
    }
    free(path);
}

/* Removes a folder that holds files and links only. */
static int remove_flat(const char *dir, struct err *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return err_set(err, ERR_IO, "cannot read %s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    return rmdir(dir) ? err_set(err, ERR_IO, "cannot remove %s: %s", dir, strerror(errno)) : 0;
}

/* ---- From the cache, from the hub ---- */

/* Leaves only what goes on being of use to a fetch: the stage may hold links of a
 * run that found the cache. */
static void drop_links(const char *stage)
{
    DIR *d = opendir(stage);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

/* 0 linked; ERR_NOTFOUND nothing to use there. */
static int from_cache(struct get *g, struct err *err)
{
    struct err why = ERR_INIT;
    int        rc  = hub_cache_link(&g->id, &interrupted, g->stage, &g->repo, &g->snapshot, &why);
    if (!rc)
        return 0;
    drop_links(g->stage);
    if (rc == ERR_CANCELLED)
        return err_set(err, rc, "%s", why.msg);
    if (rc != ERR_NOTFOUND && !g->hub.offline)
        progress_note(&g->progress, "not using the copy in the cache: %s", why.msg);
    return err_set(err, ERR_NOTFOUND, "%s", why.msg);
}

/* What is missing must fit; better to say so before than after half of it. */
static int check_space(const struct get *g, struct err *err)
{
    struct statvfs fs;
    int64_t        need = hub_plan_bytes(&g->plan) - g->progress.whole;
    DIR           *d    = opendir(g->stage);
    char           a[32], b[32];
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        size_t      n = strlen(e->d_name);
        if (n > 5 && strcmp(e->d_name + n - 5, ".part") == 0 &&
            !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            need -= st.st_size;
    }
    if (d)
        closedir(d);
    if (statvfs(g->stage, &fs))
        return 0; /* writing will tell */
    int64_t free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (need <= free_bytes)
        return 0;
    return err_set(err, ERR_IO, "cannot fetch %s: %s are missing, and %s has only %s free", g->name,
                   bytes_text(need, a), g->stage, bytes_text(free_bytes, b));
}

static int fetch_planned(struct get *g, size_t from, struct err *err)
{
    int rc            = 0;
    g->progress.total = hub_plan_bytes(&g->plan);
    for (size_t i = from; i < g->plan.n && !rc; i++)
        rc = hub_fetch(&g->hub, &g->id, &g->repo, g->plan.files[i], g->stage, err);
    return rc;
}

/* That the bytes are the hub's is known; that they are weights, not yet. */
static int check_weights(const struct get *g, size_t from, struct err *err)
{
    int rc = 0;
    for (size_t i = from; i < g->plan.n && !rc; i++) {
        struct safetensors *st   = NULL;
        char               *path = path_join(g->stage, g->plan.files[i]->name);
        rc = path ? safetensors_open(path, &st, err) : err_set(err, ERR_NOMEM, "out of memory");
        if (rc == ERR_FORMAT)
            rc = err_prefix(err, "%s on the hub is broken", g->name);
        safetensors_close(st);
        free(path);
    }
    return rc;
}

/* Where only other formats are published, someone may have proposed the right one. */
static int no_weights(struct get *g, struct err *err)
{
    int64_t number = g->id.revision[0] || !hub_repo_find(&g->repo, "config.json")
                         ? 0
                         : hub_find_conversion(&g->hub, &g->id);
    if (number == 0)
        return ERR_UNSUPPORTED;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s has no weights as safetensors, the one format that osprey reads. Pull "
                   "request %" PRId64 " on the model's page proposes to add them: look at who "
                   "made it, then `osprey model get %s@refs/pr/%" PRId64 "`",
                   g->name, number, g->name, number);
}

static int from_hub(struct get *g, struct err *err)
{
    int rc = hub_list(&g->hub, &g->id, &g->repo, err);
    if (!rc)
        rc = hub_plan_small(&g->repo, g->name, &g->plan, err);
    if (rc == ERR_UNSUPPORTED)
        rc = no_weights(g, err);
    size_t small = g->plan.n;
    if (!rc)
        rc = fetch_planned(g, 0, err);
    if (!rc)
        rc = hub_plan_weights(&g->repo, g->name, g->stage, &g->plan, err);
    if (!rc)
        rc = check_space(g, err);
    if (!rc)
        rc = fetch_planned(g, small, err);
    return rc ? rc : check_weights(g, small, err);
}

/* ---- In place ---- */

static int write_origin(const struct get *g, struct err *err)
{
    char         *path = path_join(g->stage, ORIGIN), *line = NULL;
    struct jnode *o   = jnode_object();
    int           bad = !o || !path;
    if (!bad) {
        bad |= jnode_set_str(o, "model", g->id.name);
        bad |= jnode_set_str(o, "revision", g->id.revision[0] ? g->id.revision : "main");
        bad |= jnode_set_str(o, "commit", g->repo.commit);
        if (g->snapshot)
            bad |= jnode_set_path(o, "linked_to", g->snapshot);
    }
    line   = bad ? NULL : jnode_write(o);
    int rc = line ? file_replace(path, line, strlen(line), err)
                  : err_set(err, ERR_NOMEM, "out of memory");
    jnode_free(o);
    free(line);
    free(path);
    return rc;
}

static bool planned(const struct get *g, const char *name)
{
    for (size_t i = 0; i < g->plan.n; i++) {
        if (strcmp(g->plan.files[i]->name, name) == 0)
            return true;
    }
    return strcmp(name, ORIGIN) == 0;
}

/* Drops parts, and files of other commits. Links all belong to what was found. */
static void drop_rest(const struct get *g)
{
    DIR *d = opendir(g->stage);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        bool        keep = planned(g, e->d_name) || strcmp(e->d_name, ".") == 0 ||
                    strcmp(e->d_name, "..") == 0 ||
                    (g->snapshot && !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
                     S_ISLNK(st.st_mode));
        if (!keep)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

/* Takes away what lies in the way and was ours: links whose cache is gone. */
static int clear_target(const struct get *g, struct err *err)
{
    struct stat st;
    char       *origin = path_join(g->dir, ORIGIN);
    int         rc     = 0;
    if (!origin)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (!lstat(g->dir, &st)) {
        if (S_ISDIR(st.st_mode) && file_exists(origin))
            rc = remove_flat(g->dir, err);
        else if (rmdir(g->dir))
            rc = err_set(err, ERR_FAILED, "%s is in the way and is no model: remove it", g->dir);
    }
    free(origin);
    return rc;
}

static int put_in_place(struct get *g, struct err *err)
{
    int rc = write_origin(g, err);
    if (!rc)
        rc = clear_target(g, err);
    if (rc)
        return rc;
    drop_rest(g);
    rc = file_sync(g->stage, err);
    if (!rc && rename(g->stage, g->dir))
        rc = err_set(err, ERR_IO, "cannot name %s: %s", g->dir, strerror(errno));
    return rc ? rc : file_sync_parent(g->dir, err);
}

static int report(const struct get *g, bool already, struct err *err)
{
    if (g->common->json) {
        struct jnode *o   = jnode_object();
        int           bad = !o;
        if (o) {
            bad |= jnode_set_str(o, "model", g->name);
            bad |= jnode_set_path(o, "dir", g->dir);
            if (!already)
                bad |= jnode_set_str(o, "commit", g->repo.commit);
            bad |= jnode_set_int(o, "fetched", g->progress.arrived);
            bad |= jnode_set_bool(o, "linked", g->snapshot != NULL);
        }
        return out_json(o, bad, err);
    }
    char size[32];
    if (already)
        printf("%s is here already: ", g->name);
    else if (g->snapshot)
        printf("%s was in the cache, and is used as it is there: ", g->name);
    else
        printf("%s is here (%s fetched): ", g->name, bytes_text(g->progress.arrived, size));
    out_path(g->dir);
    putchar('\n');
    note(g->common, "try it: osprey index --model %s DIR", g->name);
    return 0;
}

static int bring(struct get *g, struct err *err)
{
    int rc = take_stage(g, err);
    if (rc)
        return rc;
    rc = from_cache(g, err);
    if (rc == ERR_NOTFOUND)
        rc = g->hub.offline ? err_set(err, ERR_NOTFOUND,
                                      "%s, and HF_HUB_OFFLINE forbids to ask the hub for it",
                                      err ? err->msg : "")
                            : from_hub(g, err);
    if (!rc && interrupted)
        rc = err_set(err, ERR_CANCELLED, "stopped");
    return rc ? rc : put_in_place(g, err);
}

int model_get(const struct common *common, const char *name, struct err *err)
{
    struct get g  = {.common = common, .lock = -1};
    int        rc = 0;
    if (!name)
        return err_set(err, ERR_USAGE, "model get takes the name of a model, ORG/NAME[@REVISION]");
    rc = model_id_parse(name, &g.id, err);
    if (rc)
        return rc;
    (void)snprintf(g.name, sizeof g.name, "%s%s%s", g.id.name, g.id.revision[0] ? "@" : "",
                   g.id.revision);
    progress_init(&g.progress, common);
    rc           = find_places(&g, err);
    bool already = !rc && is_whole(g.dir);
    if (!rc && !already) {
        signals_catch();
        rc = hub_open(&g.progress, &interrupted, &g.hub, err);
        if (!rc)
            rc = bring(&g, err);
        if (rc && rc != ERR_BUSY)
            leave_stage(&g);
        progress_finish(&g.progress);
    }
    if (rc == ERR_CANCELLED) {
        char size[32];
        rc = err_set(err, rc, "stopped with %s fetched; the same command goes on from there",
                     bytes_text(g.progress.arrived, size));
    }
    if (!rc)
        rc = report(&g, already, err);
    get_release(&g);
    return rc;
}
