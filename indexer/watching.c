/* osprey watch: see watching.h.
 *
 * Folders are watched first and looked through then, so that nothing falls in between.
 * What changes later is looked at by its path; all is looked through again when the
 * kernel lost events, when it has too few watches (then from time to time), when folders
 * come to the library or go, and with --every.
 */
#include "indexer/watching.h"

#include "base/json.h"
#include "base/mem.h"
#include "indexer/run.h"
#include "indexer/watch.h"
#include "storage/library_encoder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_MS      300 /* how often signals, folders and the clock are looked at */
#define FEW_EVERY    300 /* seconds between scans where watches ran out */
#define FOLDERS_MS   2000
#define FAILURES_MAX 5 /* in a row */
#define FAILURE_MS   5000

const char watching_help[] =
    "usage: osprey watch [OPTION...] [DIR...]\n"
    "\n"
    "Keeps the library in step with its folders: what comes, changes, moves or goes below\n"
    "each DIR (without DIR: below all folders of the library) is found within seconds.\n"
    "Begins as osprey index does, and goes on until it is stopped.\n"
    "\n"
    "  --library DIR      the library ($OSPREY_LIBRARY, else ~/.local/share/osprey/library)\n"
    "  --model NAME|DIR   the model of a library that has none yet\n"
    "  --precision P      auto, f32, bf16 or int8\n" RUN_HELP
    "  --every SECONDS    also look through all folders so often: for drives whose changes\n"
    "                     the system does not tell, such as those of other machines\n"
    "  --max-watches N    watch at most N folders, so that other programs can, too\n"
    "  --json             one JSON object a line on standard output for each event\n"
    "  -q, --quiet        tell of failures alone\n"
    "  -h, --help         this text\n"
    "\n"
    "Where the system lends fewer watches than there are folders\n"
    "(fs.inotify.max_user_watches), it says so and looks through all every 5 minutes.\n"
    "While another process indexes, changes wait, and are done then. Ctrl-C stops cleanly.\n"
    "\n"
    "Exit status: 0 stopped, 2 wrong usage, 3 failed.\n";

struct loop {
    const struct watching *w;
    struct choice          choice;
    bool                   has_choice;
    struct plan            base;  /* what is watched */
    struct watch_root     *roots; /* (base.n) */
    struct watch          *watch;
    size_t                 told_unwatched;
    int64_t                looked_ms; /* when folders of the library were compared last */
    int64_t                scanned_ms;
    int                    failures;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_ms(const struct watching *w, int64_t ms)
{
    for (int64_t until = now_ms() + ms; !*w->interrupted && now_ms() < until;) {
        const struct timespec t = {.tv_nsec = 50000000};
        nanosleep(&t, NULL);
    }
}

/* ---- Telling ---- */

static void print_json(struct jnode *node, int failed)
{
    char *line = failed ? NULL : jnode_write(node);
    if (line) {
        puts(line);
        fflush(stdout);
    }
    free(line);
    jnode_free(node);
}

/* Something that happened, with a message for people. */
__attribute__((format(printf, 3, 4))) static void tell(const struct watching *w, const char *event,
                                                       const char *fmt, ...)
{
    char    text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (w->json) {
        struct jnode *node = jnode_object();
        int failed = jnode_set_str(node, "event", event) | jnode_set_str(node, "message", text);
        print_json(node, failed);
    } else if (!w->quiet) {
        fprintf(stderr, "osprey watch: %s\n", text);
    }
}

static void tell_watching(const struct loop *l)
{
    const struct watching   *w     = l->w;
    const struct watch_state state = watch_state(l->watch);
    if (w->json) {
        struct jnode *node   = jnode_object();
        int           failed = jnode_set_str(node, "event", "watching") |
                     jnode_set_int(node, "folders", (int64_t)l->base.n) |
                     jnode_set_int(node, "watches", (int64_t)state.watched);
        print_json(node, failed);
    } else if (!w->quiet) {
        printf("Watching %zu folder%s, %zu with those inside. Ctrl-C stops.\n", l->base.n,
               l->base.n == 1 ? "" : "s", state.watched);
        fflush(stdout);
    }
}

static void tell_unwatched(struct loop *l)
{
    struct watch_state state = {0};
    long               most  = -1;
    if (l->watch)
        state = watch_state(l->watch);
    if (!l->watch || state.unwatched == l->told_unwatched)
        return;
    l->told_unwatched = state.unwatched;
    if (state.unwatched == 0)
        return;
    FILE *f = l->w->most ? NULL : fopen("/proc/sys/fs/inotify/max_user_watches", "re");
    if (f && fscanf(f, "%ld", &most) != 1)
        most = -1;
    if (f)
        fclose(f);
    char limit[80] = "--max-watches";
    if (!l->w->most)
        (void)snprintf(limit, sizeof limit, "fs.inotify.max_user_watches is %ld, for all programs",
                       most);
    tell(l->w, "exhausted",
         "%zu folders are watched, and for %zu there are no watches left (%s): all folders are "
         "looked through every %d seconds instead",
         state.watched, state.unwatched, limit, l->w->every ? l->w->every : FEW_EVERY);
}

static void tell_updated(const struct loop *l, const struct run *run, double seconds)
{
    const struct tally  *t     = &run->ingest.tally;
    struct library_stats stats = {0};
    if (t->added + t->updated + t->moved + t->copied + t->removed + t->errors + t->skipped == 0)
        return;
    if (library_stats(l->w->lib, &stats, NULL))
        stats.images = -1;
    if (l->w->json) {
        struct jnode *node = jnode_object();
        int           failed =
            jnode_set_str(node, "event", "updated") | jnode_set_int(node, "added", t->added) |
            jnode_set_int(node, "updated", t->updated) | jnode_set_int(node, "moved", t->moved) |
            jnode_set_int(node, "copied", t->copied) | jnode_set_int(node, "removed", t->removed) |
            jnode_set_int(node, "errors", t->errors) | jnode_set_int(node, "skipped", t->skipped) |
            jnode_set_int(node, "images", stats.images) | jnode_set_real(node, "seconds", seconds);
        print_json(node, failed);
    } else if (!l->w->quiet) {
        printf("%lld added, %lld updated, %lld moved, %lld copied, %lld removed, %lld broken in "
               "%.1f s; %lld pictures.\n",
               (long long)t->added, (long long)t->updated, (long long)t->moved,
               (long long)t->copied, (long long)t->removed, (long long)t->errors, seconds,
               (long long)stats.images);
        fflush(stdout);
    }
}

/* ---- The lock and the model ---- */

/* ERR_CANCELLED when it was interrupted meanwhile. */
static int lock(struct loop *l, struct err *err)
{
    bool told = false;
    for (;;) {
        struct err why = ERR_INIT;
        int        rc  = library_lock(l->w->lib, &why);
        if (rc != ERR_BUSY) {
            if (rc)
                *err = why;
            return rc;
        }
        if (!told)
            tell(l->w, "waiting", "%s: waiting", why.msg);
        told = true;
        sleep_ms(l->w, TICK_MS);
        if (*l->w->interrupted)
            return err_set(err, ERR_CANCELLED, "interrupted");
    }
}

static int choose(struct loop *l, struct err *err)
{
    struct library_model active = {0};
    bool                 known  = !library_model_active(l->w->lib, &active, NULL);
    const char          *model  = known ? NULL : l->w->model;
    if (l->has_choice && known && strcmp(active.hash, l->choice.model.hash) == 0)
        return 0;
    if (l->has_choice) {
        tell(l->w, "model", "the library's model is another one now: %s", active.name);
        choice_release(&l->choice);
        l->has_choice = false;
    }
    int rc = choice_make(l->w->lib, model, l->w->precision, &l->choice, err);
    if (rc)
        return rc;
    l->has_choice = true;
    return l->w->regions ? choice_rerank(l->w->lib, l->w->reranker, &l->choice, err) : 0;
}

/* ---- Runs ---- */

static int run_locked(struct loop *l, struct plan *plan, struct err *err)
{
    struct progress *progress = NULL;
    struct run       run      = {.lib         = l->w->lib,
                                 .choice      = &l->choice,
                                 .plan        = plan,
                                 .hidden      = l->w->hidden,
                                 .threads     = l->w->threads,
                                 .frames      = l->w->frames,
                                 .interrupted = l->w->interrupted};
    int64_t          begun    = now_ms();
    int              rc       = choose(l, err);

    struct library_tag_tally tagged;
    if (!rc)
        rc = progress_new(library_dir(l->w->lib), l->w->json, l->w->quiet, &progress, err);
    run.progress = progress;
    if (!rc)
        rc = run_plan(&run, err);
    if (!rc)
        rc = run_tag(l->w->lib, progress, &tagged, err);
    progress_free(progress);
    if (!rc)
        tell_updated(l, &run, (double)(now_ms() - begun) * 1e-3);
    return rc;
}

static int run_unlocking(struct loop *l, struct plan *plan, struct err *err)
{
    int rc = lock(l, err);
    if (rc)
        return rc;
    rc = run_locked(l, plan, err);
    library_unlock(l->w->lib);
    return rc;
}

/* All that is watched. */
static int scan_all(struct loop *l, struct err *err)
{
    struct plan plan = {0};
    int         rc   = 0;
    for (size_t i = 0; i < l->base.n && !rc; i++)
        rc = plan_change(&plan, &l->base.targets[i], l->base.targets[i].below, false, err);
    if (!rc)
        rc = run_unlocking(l, &plan, err);
    l->scanned_ms = now_ms();
    plan_release(&plan);
    return rc;
}

/* A folder that is gone or empty is no proof that its pictures are: as a whole, it is
 * marked offline. */
static int scan_changes(struct loop *l, const struct watch_news *news, struct err *err)
{
    struct plan plan  = {0};
    size_t      whole = SIZE_MAX; /* the last root that is taken whole */
    int         rc    = 0;
    for (size_t i = 0; i < news->n && !rc; i++) {
        const struct watch_change *c     = &news->changes[i];
        const struct target       *t     = &l->base.targets[c->root];
        bool                       first = i == 0 || news->changes[i - 1].root != c->root;
        if (whole == c->root)
            continue;
        if (!strcmp(c->path, t->below) || (first && plan_holds_nothing(t->root))) {
            whole = c->root;
            rc    = plan_change(&plan, t, t->below, false, err);
        } else {
            rc = plan_change(&plan, t, c->path, true, err);
        }
    }
    if (!rc)
        rc = run_unlocking(l, &plan, err);
    plan_release(&plan);
    return rc;
}

/* ---- What is watched ---- */

static void stop_watching(struct loop *l)
{
    watch_close(l->watch);
    free(l->roots);
    l->watch = NULL;
    l->roots = NULL;
}

static int start_watching(struct loop *l, struct err *err)
{
    struct walk_options options = run_walk_options(l->w->lib, l->w->hidden);
    stop_watching(l);
    l->roots = mem_array(l->base.n + 1, sizeof *l->roots);
    if (!l->roots)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->base.n; i++)
        l->roots[i] = (struct watch_root){l->base.targets[i].root, l->base.targets[i].below};
    return watch_open(&options, l->roots, l->base.n, l->w->most, &l->watch, err);
}

static const struct library_folder *folder_of(const struct library_folder *folders, size_t n,
                                              int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (folders[i].id == id)
            return &folders[i];
    return NULL;
}

/* The folders that were asked for, as far as the library still has them, and where they
 * are now. */
static int narrow(struct loop *l, const struct library_folder *folders, size_t n, struct err *err)
{
    struct plan plan = {0};
    int         rc   = 0;
    for (size_t i = 0; i < l->base.n && !rc; i++) {
        struct target                t = l->base.targets[i];
        const struct library_folder *f = folder_of(folders, n, t.folder_id);
        if (!f)
            continue;
        t.root = f->path;
        rc     = plan_change(&plan, &t, t.below, false, err);
    }
    if (!rc && plan.n == 0)
        rc = err_set(err, ERR_NOTFOUND, "the library has no folder left to watch");
    if (rc) {
        plan_release(&plan);
        return rc;
    }
    plan_release(&l->base);
    l->base = plan;
    return 0;
}

/* Whether what is watched is not what the library has now. */
static int compare(struct loop *l, bool *changed, struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(l->w->lib, &folders, &n, err);
    *changed                       = !rc && l->w->n_dirs == 0 && n != l->base.n;
    for (size_t i = 0; i < l->base.n && !rc; i++) {
        const struct library_folder *f = folder_of(folders, n, l->base.targets[i].folder_id);
        *changed = *changed || !f || strcmp(f->path, l->base.targets[i].root) != 0;
    }
    if (!rc && *changed && l->w->n_dirs)
        rc = narrow(l, folders, n, err);
    library_folders_free(folders, n);
    if (!rc && *changed && !l->w->n_dirs) {
        plan_release(&l->base);
        rc = plan_make(l->w->lib, NULL, 0, true, &l->base, err);
    }
    return rc;
}

/* Watches, looks through all, and says so. */
static int begin(struct loop *l, struct err *err)
{
    int rc = start_watching(l, err);
    if (!rc)
        rc = scan_all(l, err);
    if (!rc && !*l->w->interrupted) {
        tell_watching(l);
        tell_unwatched(l);
    }
    return rc;
}

/* ---- The loop ---- */

static int step(struct loop *l, struct err *err)
{
    struct watch_news news;
    bool              changed = false;
    int               every   = l->w->every ? l->w->every : l->told_unwatched ? FEW_EVERY : 0;
    int               rc      = watch_wait(l->watch, TICK_MS, &news, err);
    if (rc < 0)
        return rc;
    bool lost = news.lost;
    rc        = 0;
    if (now_ms() - l->looked_ms >= FOLDERS_MS) {
        l->looked_ms = now_ms();
        rc           = compare(l, &changed, err);
        if (!rc && !changed && watch_is_outdated(l->watch))
            changed = true;
    }
    if (!rc && changed) {
        rc = begin(l, err);
    } else if (!rc && (lost || (every && now_ms() - l->scanned_ms >= (int64_t)every * 1000))) {
        if (lost)
            tell(l->w, "overflow", "too much changed at once: all folders are looked through");
        rc = scan_all(l, err);
    } else if (!rc && news.n) {
        rc = scan_changes(l, &news, err);
    }
    watch_news_release(&news);
    tell_unwatched(l);
    return rc;
}

/* What may be otherwise in a moment: a folder that was forgotten just now, a catalogue
 * that another process holds. All is looked through then. */
static bool passes(struct loop *l, int rc, const struct err *err)
{
    if ((rc != ERR_NOTFOUND && rc != ERR_BUSY && rc != ERR_IO) || ++l->failures >= FAILURES_MAX)
        return false;
    tell(l->w, "failed", "%s: trying again", err->msg);
    sleep_ms(l->w, FAILURE_MS);
    return true;
}

/* A model that was named must be the library's, where that has one: switching takes a
 * run of its own. */
static int check_model(const struct watching *w, struct err *err)
{
    struct library_model active;
    struct encoder      *named = NULL;
    if (!w->model || library_model_active(w->lib, &active, NULL))
        return 0;
    int rc = library_open_encoder(w->lib, w->model, w->precision, &named, err);
    encoder_close(named);
    return rc;
}

int watching_run(struct watching *w, struct err *err)
{
    struct loop l    = {.w = w};
    struct err  why  = ERR_INIT;
    bool        anew = false;
    int         rc   = check_model(w, err);
    if (!rc)
        rc = lock(&l, err);
    if (!rc) {
        rc = choose(&l, err);
        if (!rc)
            rc = plan_make(w->lib, w->dirs, w->n_dirs, false, &l.base, err);
        library_unlock(w->lib);
    }
    if (!rc)
        rc = begin(&l, err);
    l.looked_ms = now_ms();
    while (!rc && !*w->interrupted) {
        bool changed = false;
        why          = (struct err)ERR_INIT;
        if (anew)
            rc = compare(&l, &changed, &why);
        if (!rc)
            rc = anew ? begin(&l, &why) : step(&l, &why);
        anew = rc && rc != ERR_CANCELLED && passes(&l, rc, &why);
        if (!rc)
            l.failures = 0;
        else if (anew)
            rc = 0;
        else
            *err = why;
    }
    if (rc == ERR_CANCELLED && *w->interrupted)
        rc = 0;
    stop_watching(&l);
    plan_release(&l.base);
    choice_release(&l.choice);
    if (!rc)
        tell(w, "stopped", "stopped");
    return rc;
}
