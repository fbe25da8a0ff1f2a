/* Watching folders: see watch.h. */
#include "indexer/watch.h"

#include "base/file.h"
#include "base/mem.h"
#include "indexer/watch_table.h"
#include "meta/metadata.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS    250   /* without an event, and changes have come to rest */
#define LONGEST_MS  1000  /* changes wait so long at most */
#define PENDING_MAX 65536 /* paths kept before all is looked through */
#define READ_BYTES  65536
#define EVENTS                                                                                     \
    (IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

struct watch {
    struct walk_options      options;
    const struct watch_root *roots; /* (n_roots) */
    size_t                   n_roots, most;
    bool                    *there; /* (n_roots): watched */
    int                      fd, wake;
    pthread_t                thread;
    bool                     has_thread, has_lock;
    struct watch_table       table; /* the thread's, once it runs */
    _Alignas(struct inotify_event) char buffer[READ_BYTES];

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t  news;

    struct watch_change *pending; /* (n), as they came */
    size_t               n, room;
    int64_t              first_ms, last_ms; /* of the pending ones */
    bool                 lost, outdated;
    struct watch_state   state;
    struct err           err; /* the thread ended by it */
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- What is pending (the lock is held) ---- */

static void touch(struct watch *w)
{
    w->last_ms = now_ms();
    if (w->n == 0 && !w->lost)
        w->first_ms = w->last_ms;
}

static void pending_clear(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->pending[i].path);
    w->n = 0;
}

static void pending_lost(struct watch *w)
{
    touch(w);
    pending_clear(w);
    w->lost = true;
}

/* Without memory, or with too many, all is looked through: that costs no memory. */
static void pending_add(struct watch *w, size_t root, const char *path)
{
    const struct watch_change *last = w->n ? &w->pending[w->n - 1] : NULL;
    touch(w);
    if (w->lost || (last && last->root == root && strcmp(last->path, path) == 0))
        return;
    if (w->n == w->room && w->n < PENDING_MAX) {
        size_t               room = w->room ? w->room * 2 : 256;
        struct watch_change *to   = mem_regrow(w->pending, room, sizeof *to);
        if (to) {
            w->pending = to;
            w->room    = room;
        }
    }
    char *copy = w->n < w->room ? mem_strdup(path) : NULL;
    if (!copy) {
        pending_lost(w);
        return;
    }
    w->pending[w->n++] = (struct watch_change){root, copy};
}

/* ---- Watches ---- */

static char *join_below(const char *path, const char *name)
{
    return *path ? path_join(path, name) : mem_strdup(name);
}

static bool is_ours(const struct watch *w, const char *dir)
{
    struct stat st;
    return w->options.has_skip && !stat(dir, &st) && st.st_dev == w->options.skip_dev &&
           st.st_ino == w->options.skip_ino;
}

/* Watches one folder; *watched says whether it could. ERR_NOMEM alone is an error. */
static int watch_one(struct watch *w, size_t root, const char *path, const char *dir, bool *watched,
                     struct err *err)
{
    *watched = false;
    if (is_ours(w, dir))
        return 0;
    bool full = w->most && w->table.n >= w->most;
    int  wd   = full ? -1 : inotify_add_watch(w->fd, dir, EVENTS);
    if (wd < 0) {
        bool refused = full || errno == ENOSPC || errno == ENOMEM;
        pthread_mutex_lock(&w->lock);
        w->state.unwatched += refused;
        pthread_mutex_unlock(&w->lock);
        *watched = refused; /* what is inside it counts, too */
        return 0;
    }
    *watched = true;
    return table_put(&w->table, wd, root, mem_strdup(path), err);
}

struct stack {
    char **paths;
    size_t n, room;
};

static int push(struct stack *s, char *path, struct err *err)
{
    if (path && s->n == s->room) {
        size_t room = s->room ? s->room * 2 : 32;
        char **to   = mem_regrow(s->paths, room, sizeof *to);
        if (!to) {
            free(path);
            path = NULL;
        } else {
            s->paths = to;
            s->room  = room;
        }
    }
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->paths[s->n++] = path;
    return 0;
}

static int push_folders(const struct watch *w, struct stack *todo, const char *path,
                        const char *dir, struct err *err)
{
    DIR *d  = opendir(dir);
    int  rc = 0;
    for (const struct dirent *e; d && !rc && (e = readdir(d));) {
        struct stat st;
        bool        folder = e->d_type == DT_DIR;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            (e->d_name[0] == '.' && !w->options.hidden))
            continue;
        if (e->d_type == DT_UNKNOWN)
            folder = !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
        if (folder)
            rc = push(todo, join_below(path, e->d_name), err);
    }
    if (d)
        closedir(d);
    return rc;
}

/* Watches a folder and all inside it: each first, then what lies in it, so that nothing
 * comes unseen in between. */
static int watch_below(struct watch *w, size_t root, const char *below, struct err *err)
{
    struct stack todo = {0};
    int          rc   = push(&todo, mem_strdup(below), err);
    while (!rc && todo.n > 0) {
        char *path = todo.paths[--todo.n];
        char *dir  = *path ? path_join(w->roots[root].root, path) : mem_strdup(w->roots[root].root);
        bool  seen = false;
        rc         = dir ? watch_one(w, root, path, dir, &seen, err)
                         : err_set(err, ERR_NOMEM, "out of memory");
        if (!rc && seen)
            rc = push_folders(w, &todo, path, dir, err);
        free(path);
        free(dir);
    }
    while (todo.n > 0)
        free(todo.paths[--todo.n]);
    free(todo.paths);
    return rc;
}

static bool root_is_there(const struct watch_root *r)
{
    char *dir   = *r->below ? path_join(r->root, r->below) : mem_strdup(r->root);
    bool  there = dir && file_is_dir(dir);
    free(dir);
    return there;
}

static int watch_all(struct watch *w, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    w->state.unwatched = 0;
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_roots && !rc; i++) {
        w->there[i] = root_is_there(&w->roots[i]);
        if (w->there[i])
            rc = watch_below(w, i, w->roots[i].below, err);
    }
    pthread_mutex_lock(&w->lock);
    w->state.watched = w->table.n;
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* ---- Events (on the thread) ---- */

static void forget_watch(void *ctx, int wd)
{
    inotify_rm_watch(((struct watch *)ctx)->fd, wd);
}

static void note_change(struct watch *w, size_t root, const char *path)
{
    pthread_mutex_lock(&w->lock);
    pending_add(w, root, path);
    w->state.watched = w->table.n;
    pthread_mutex_unlock(&w->lock);
}

static int folder_event(struct watch *w, uint32_t mask, size_t root, const char *path,
                        struct err *err)
{
    int rc = 0;
    if (mask & (IN_DELETE | IN_MOVED_FROM))
        table_drop_below(&w->table, root, path, forget_watch, w);
    else if (mask & (IN_CREATE | IN_MOVED_TO))
        rc = watch_below(w, root, path, err);
    else
        return 0;
    note_change(w, root, path);
    return rc;
}

/* A file that just came is looked at when it is closed; links are whole at once. */
static bool is_whole(const struct watch *w, size_t root, const char *path)
{
    struct stat st;
    char       *file  = path_join(w->roots[root].root, path);
    bool        whole = file && !lstat(file, &st) &&
                 (S_ISLNK(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink > 1));
    free(file);
    return whole;
}

/* What happened to a watched folder itself. */
static void self_event(struct watch *w, const struct inotify_event *e, const struct watched *dir)
{
    bool is_root = strcmp(dir->path, w->roots[dir->root].below) == 0;
    if (is_root || e->mask & IN_UNMOUNT) {
        pthread_mutex_lock(&w->lock);
        pending_add(w, dir->root, dir->path);
        w->outdated = w->outdated || is_root;
        pthread_mutex_unlock(&w->lock);
    }
}

/* How many bytes of a name make it a sidecar's, or 0. */
static size_t sidecar_ends(const char *name)
{
    size_t n = strlen(name), end = sizeof METADATA_SIDECAR - 1;
    return n > end && !strcmp(name + n - end, METADATA_SIDECAR) ? end : 0;
}

static int one_event(struct watch *w, const struct inotify_event *e, struct err *err)
{
    if (e->mask & IN_Q_OVERFLOW) {
        int rc = watch_all(w, err); /* first: folders may have come unseen */
        pthread_mutex_lock(&w->lock);
        pending_lost(w);
        pthread_mutex_unlock(&w->lock);
        return rc;
    }
    const struct watched *dir = table_find(&w->table, e->wd);
    if (!dir)
        return 0;
    if (e->mask & IN_IGNORED) {
        table_drop(&w->table, e->wd);
        return 0;
    }
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
        self_event(w, e, dir);
        return 0;
    }
    bool folder = (e->mask & IN_ISDIR) != 0;
    if (e->len == 0 || (e->name[0] == '.' && !w->options.hidden))
        return 0;
    size_t root = dir->root, sidecar = folder ? 0 : sidecar_ends(e->name);
    char  *path = join_below(dir->path, e->name);
    if (path && sidecar) /* what is said of a picture: then that is what changed */
        path[strlen(path) - sidecar] = '\0';
    if (path && !folder && !walk_is_candidate(path_base(path))) {
        free(path);
        return 0;
    }
    int rc = path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc && folder)
        rc = folder_event(w, e->mask, root, path, err);
    else if (!rc && (!(e->mask & IN_CREATE) || (!sidecar && is_whole(w, root, path))))
        note_change(w, root, path);
    free(path);
    return rc;
}

static int take_events(struct watch *w, struct err *err)
{
    ssize_t n  = read(w->fd, w->buffer, sizeof w->buffer);
    int     rc = 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : err_set(err, ERR_IO, "cannot watch: %s", strerror(errno));
    for (ssize_t at = 0; at < n && !rc;) {
        const struct inotify_event *e = (const struct inotify_event *)(w->buffer + at);
        at += (ssize_t)(sizeof *e + e->len);
        rc = one_event(w, e, err);
    }
    pthread_mutex_lock(&w->lock);
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void *watch_run(void *arg)
{
    struct watch *w       = arg;
    struct err    err     = ERR_INIT;
    struct pollfd both[2] = {{w->fd, POLLIN, 0}, {w->wake, POLLIN, 0}};
    int           rc      = 0;
    while (!rc && !(both[1].revents & POLLIN)) {
        if (poll(both, 2, -1) < 0 && errno != EINTR)
            rc = err_set(&err, ERR_IO, "cannot watch: %s", strerror(errno));
        else if (both[0].revents & POLLIN)
            rc = take_events(w, &err);
    }
    pthread_mutex_lock(&w->lock);
    w->err = err;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- Opening and closing ---- */

static int start(struct watch *w, struct err *err)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&w->lock, NULL))
        return err_set(err, ERR_FAILED, "cannot make a lock");
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->news, &attributes);
    pthread_condattr_destroy(&attributes);
    w->has_lock = true;
    w->fd       = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    w->wake     = eventfd(0, EFD_CLOEXEC);
    if (w->fd < 0 || w->wake < 0)
        return err_set(err, ERR_IO, "cannot watch folders: %s%s", strerror(errno),
                       errno == EMFILE ? " (fs.inotify.max_user_instances, or open files)" : "");
    int rc = watch_all(w, err);
    if (!rc && pthread_create(&w->thread, NULL, watch_run, w))
        rc = err_set(err, ERR_FAILED, "cannot start a thread to watch folders");
    w->has_thread = !rc;
    return rc;
}

int watch_open(const struct walk_options *options, const struct watch_root *roots, size_t n,
               size_t most, struct watch **out, struct err *err)
{
    struct watch *w = mem_zeroed(1, sizeof *w);
    if (!w)
        return err_set(err, ERR_NOMEM, "out of memory");
    *w = (struct watch){
        .options = *options, .roots = roots, .n_roots = n, .most = most, .fd = -1, .wake = -1};
    w->there = mem_zeroed(n + 1, sizeof *w->there);
    int rc   = w->there ? start(w, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc)
        watch_close(w);
    else
        *out = w;
    return rc;
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    const uint64_t one = 1;
    if (w->has_thread && write(w->wake, &one, sizeof one) == sizeof one)
        pthread_join(w->thread, NULL);
    if (w->fd >= 0)
        close(w->fd);
    if (w->wake >= 0)
        close(w->wake);
    pending_clear(w);
    free(w->pending);
    table_release(&w->table);
    if (w->has_lock) {
        pthread_cond_destroy(&w->news);
        pthread_mutex_destroy(&w->lock);
    }
    free(w->there);
    free(w);
}

struct watch_state watch_state(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    struct watch_state state = w->state;
    pthread_mutex_unlock(&w->lock);
    return state;
}

bool watch_is_outdated(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool outdated = w->outdated;
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->n_roots && !outdated; i++)
        outdated = !w->there[i] && root_is_there(&w->roots[i]);
    return outdated;
}

/* ---- News ---- */

/* A folder comes just before what lies in it: '/' is the least of all bytes. */
static int by_path(const void *a, const void *b)
{
    const struct watch_change *x = a, *y = b;
    const unsigned char *p = (const unsigned char *)x->path, *q = (const unsigned char *)y->path;
    if (x->root != y->root)
        return (x->root > y->root) - (x->root < y->root);
    while (*p && *p == *q) {
        p++;
        q++;
    }
    int c = *p == '/' ? 1 : *p ? *p + 1 : 0, d = *q == '/' ? 1 : *q ? *q + 1 : 0;
    return c - d;
}

/* Sorts, and drops what lies inside another; roots of which too much changed are taken
 * whole. */
static void settle(struct watch_news *news)
{
    size_t kept = 0;
    if (news->n > 1)
        qsort(news->changes, news->n, sizeof *news->changes, by_path);
    for (size_t i = 0; i < news->n; i++) {
        struct watch_change *c    = &news->changes[i];
        struct watch_change *last = kept ? &news->changes[kept - 1] : NULL;
        if (last && last->root == c->root && path_lies_in(c->path, last->path))
            free(c->path);
        else
            news->changes[kept++] = *c;
    }
    news->n    = kept;
    news->lost = news->lost || kept > WATCH_CHANGES;
}

/* Milliseconds until what is pending has come to rest; -1: nothing is. */
static int64_t rest_in(const struct watch *w)
{
    if (w->n == 0 && !w->lost)
        return -1;
    int64_t now = now_ms(), quiet = w->last_ms + QUIET_MS, longest = w->first_ms + LONGEST_MS;
    int64_t due = quiet < longest ? quiet : longest;
    return due > now ? due - now : 0;
}

int watch_wait(struct watch *w, int ms, struct watch_news *news, struct err *err)
{
    int64_t until = now_ms() + ms;
    *news         = (struct watch_news){0};
    pthread_mutex_lock(&w->lock);
    for (;;) {
        int64_t now = now_ms(), left = rest_in(w);
        if (w->err.code || left == 0 || now >= until)
            break;
        int64_t         wake = left > 0 && now + left < until ? now + left : until;
        struct timespec t    = {.tv_sec = wake / 1000, .tv_nsec = wake % 1000 * 1000000};
        pthread_cond_timedwait(&w->news, &w->lock, &t);
    }
    int rc = 0;
    if (w->err.code) {
        rc = err_set(err, w->err.code, "%s", w->err.msg);
    } else if (rest_in(w) == 0) {
        rc         = 1;
        *news      = (struct watch_news){w->pending, w->n, w->lost};
        w->pending = NULL;
        w->n = w->room = 0;
        w->lost        = false;
    }
    pthread_mutex_unlock(&w->lock);
    if (rc > 0)
        settle(news);
    return rc;
}

void watch_news_release(struct watch_news *news)
{
    for (size_t i = 0; i < news->n; i++)
        free(news->changes[i].path);
    free(news->changes);
    *news = (struct watch_news){0};
}
