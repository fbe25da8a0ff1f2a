/* Merging a walk with the catalogue: see scan.h. */
#include "indexer/scan.h"

#include "base/file.h"
#include "base/mem.h"
#include "indexer/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 1000 /* known files asked for at a time */

struct scan {
    struct scan_reader   *reader;
    struct scan_target    target;
    struct walk          *walk;   /* NULL: what changed is no folder */
    char                 *dir;    /* what is scanned, absolute */
    char                 *prefix; /* "" or "a/b/" */
    char                 *known;  /* what is known of it lies below this */
    char                 *anchor; /* the folder that must stay there */
    bool                  empty;
    int                   root_fd;
    dev_t                 dev; /* of dir */
    ino_t                 ino;
    bool                  hidden;
    struct walk_entry     found; /* the walk's next */
    bool                  has_found;
    struct library_known *page; /* (page_n), what the catalogue knows next */
    size_t                page_n, page_next;
    char                 *after;     /* the last path of the page before */
    bool                  page_last; /* nothing comes after this page */
    char                 *keep;      /* "dir/" whose entries are kept, or NULL */
};

/* True when more pictures than SCAN_EMPTY_KEEPS are known below "dir/". */
static int known_many(struct scan *s, const char *dir, bool *many, struct err *err)
{
    struct library_known *known = NULL;
    size_t                n     = 0;
    size_t                count = 0;
    pthread_mutex_lock(&s->reader->lock);
    int rc = library_known_after(s->reader->lib, s->target.folder_id, s->target.model_id, dir, "",
                                 2 * SCAN_EMPTY_KEEPS, &known, &n, err);
    pthread_mutex_unlock(&s->reader->lock);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        count += known[i].id > 0;
    library_known_free(known, n);
    *many = count > SCAN_EMPTY_KEEPS;
    return 0;
}

static int64_t sidecar_time(const struct scan *s, const char *path)
{
    struct source sidecar;
    int64_t       ns;
    source_open_sidecar(s->root_fd, path, &sidecar, &ns);
    source_close(&sidecar);
    return ns;
}

/* One path that is a file, or nothing: the walk of a single entry. A link to a folder is
 * nothing, as to walk.h. */
static void single_entry(struct scan *s)
{
    struct stat st;
    int         why = source_stat(s->root_fd, s->target.below, &st);
    s->has_found    = true;
    s->found        = (struct walk_entry){.kind = WALK_END, .path = ""};
    if (why || !S_ISREG(st.st_mode) || !walk_is_candidate(s->target.below))
        return;
    s->found = (struct walk_entry){.kind       = WALK_FILE,
                                   .path       = s->target.below,
                                   .size       = (int64_t)st.st_size,
                                   .mtime_ns   = walk_mtime_ns(&st),
                                   .sidecar_ns = sidecar_time(s, s->target.below)};
}

/* What is to be walked, if it is a folder, and what may not go meanwhile. */
static int scan_find(struct scan *s, const struct walk_options *options, struct err *err)
{
    struct stat st;
    bool        whole  = !*s->target.below;
    bool        folder = true;
    s->root_fd         = open(s->target.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->target.changed) {
        folder = !lstat(s->dir, &st) && S_ISDIR(st.st_mode);
        if (s->root_fd < 0)
            return err_set(err, ERR_NOTFOUND, "cannot open %s: it went", s->target.root);
    }
    s->prefix = whole ? mem_strdup("") : path_join(s->target.below, "");
    s->known  = mem_strdup(s->target.changed ? s->target.below : s->prefix ? s->prefix : "");
    s->anchor = mem_strdup(folder ? s->dir : s->target.root);
    if (!s->prefix || !s->known || !s->anchor)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    if (folder)
        rc = walk_open(s->dir, s->prefix, options, &s->walk, err);
    else
        single_entry(s);
    if (!rc && (s->root_fd < 0 || stat(s->anchor, &st)))
        rc = err_set(err, ERR_NOTFOUND, "cannot open %s: it went while it was looked at", s->dir);
    if (rc)
        return rc;
    s->dev   = st.st_dev;
    s->ino   = st.st_ino;
    s->empty = s->walk && walk_is_empty(s->walk);
    return s->empty && s->target.changed ? known_many(s, s->prefix, &s->empty, err) : 0;
}

int scan_open(struct scan_reader *reader, const struct scan_target *target,
              const struct walk_options *options, struct scan **out, struct err *err)
{
    struct scan *s = mem_zeroed(1, sizeof *s);
    if (!s)
        return err_set(err, ERR_NOMEM, "out of memory");
    s->reader  = reader;
    s->target  = *target;
    s->hidden  = options->hidden;
    s->root_fd = -1;
    s->dir   = !*target->below ? mem_strdup(target->root) : path_join(target->root, target->below);
    s->after = mem_strdup("");
    int rc =
        s->dir && s->after ? scan_find(s, options, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc)
        scan_close(s);
    else
        *out = s;
    return rc;
}

void scan_close(struct scan *s)
{
    if (!s)
        return;
    walk_close(s->walk);
    library_known_free(s->page, s->page_n);
    if (s->root_fd >= 0)
        close(s->root_fd);
    free(s->dir);
    free(s->prefix);
    free(s->known);
    free(s->anchor);
    free(s->after);
    free(s->keep);
    free(s);
}

bool scan_is_empty(const struct scan *s)
{
    return s->empty;
}

bool scan_is_there(const struct scan *s)
{
    struct stat st;
    return !stat(s->anchor, &st) && st.st_dev == s->dev && st.st_ino == s->ino;
}

/* The next known file, or NULL at the end. The page holds it until the call
 * after it was taken. */
static int known_peek(struct scan *s, const struct library_known **known, struct err *err)
{
    if (s->page_next == s->page_n && !s->page_last) {
        if (s->page_n > 0) {
            char *after = mem_strdup(s->page[s->page_n - 1].path);
            if (!after)
                return err_set(err, ERR_NOMEM, "out of memory");
            free(s->after);
            s->after = after;
        }
        library_known_free(s->page, s->page_n);
        s->page   = NULL;
        s->page_n = s->page_next = 0;
        pthread_mutex_lock(&s->reader->lock);
        int rc = library_known_after(s->reader->lib, s->target.folder_id, s->target.model_id,
                                     s->known, s->after, PAGE, &s->page, &s->page_n, err);
        pthread_mutex_unlock(&s->reader->lock);
        if (rc)
            return rc;
        s->page_last = s->page_n < PAGE;
    }
    *known = s->page_next < s->page_n ? &s->page[s->page_next] : NULL;
    return 0;
}

static bool starts_with(const char *path, const char *prefix)
{
    return !strncmp(path, prefix, strlen(prefix));
}

static bool is_hidden(const char *path)
{
    return *path == '.' || strstr(path, "/.");
}

static int keep_below(struct scan *s, const char *dir, struct err *err)
{
    char *keep = mem_strdup(dir);
    if (!keep)
        return err_set(err, ERR_NOMEM, "out of memory");
    free(s->keep);
    s->keep = keep;
    return 0;
}

/* What is known at a path where the walk saw nothing. */
static void event_unseen(const struct scan *s, const struct library_known *known,
                         struct scan_event *event)
{
    struct stat st;
    bool        kept = s->keep && starts_with(known->path, s->keep);
    *event           = (struct scan_event){.kind     = kept ? SCAN_KEPT : SCAN_GONE,
                                           .path     = known->path,
                                           .known_id = known->id,
                                           .known    = true,
                                           .embedded = known->embedded};
    /* Hidden files that were once asked for stay, as long as they are there. */
    if (!kept && !s->hidden && is_hidden(known->path) &&
        !source_stat(s->root_fd, known->path, &st) && S_ISREG(st.st_mode)) {
        event->size       = (int64_t)st.st_size;
        event->mtime_ns   = walk_mtime_ns(&st);
        event->same_bytes = event->size == known->size && event->mtime_ns == known->mtime_ns;
        event->same_said  = known->sidecar_ns == sidecar_time(s, known->path);
        if (!event->same_bytes || (known->id && !(known->embedded && event->same_said)))
            event->kind = SCAN_FILE;
        else
            event->kind = known->id ? SCAN_SAME : SCAN_SAME_ERROR;
    }
}

/* What the walk saw, with what is known at the same path (or NULL). */
static int event_seen(struct scan *s, const struct library_known *known, struct scan_event *event,
                      struct err *err)
{
    const struct walk_entry *found = &s->found;
    *event                         = (struct scan_event){.path       = found->path,
                                                         .size       = found->size,
                                                         .mtime_ns   = found->mtime_ns,
                                                         .sidecar_ns = found->sidecar_ns,
                                                         .reason     = found->reason,
                                                         .known      = known != NULL};
    if (known) {
        event->known_id   = known->id;
        event->embedded   = known->embedded;
        event->same_bytes = known->size == found->size && known->mtime_ns == found->mtime_ns;
        event->same_said  = known->sidecar_ns == found->sidecar_ns;
    }
    bool same_error = known && !known->id && event->same_bytes;
    if (found->kind == WALK_FILE) {
        bool same   = event->same_bytes && event->known_id && event->embedded && event->same_said;
        event->kind = same ? SCAN_SAME : same_error ? SCAN_SAME_ERROR : SCAN_FILE;
        return 0;
    }
    event->kind = same_error ? SCAN_SAME_ERROR : SCAN_ERROR;
    return found->kind == WALK_UNREADABLE ? keep_below(s, found->path, err) : 0;
}

int scan_next(struct scan *s, struct scan_event *event, struct err *err)
{
    for (;;) {
        const struct library_known *known = NULL;
        int                         rc    = known_peek(s, &known, err);
        if (!rc && !s->has_found && s->walk)
            rc = walk_next(s->walk, &s->found, err);
        else if (!s->has_found)
            s->found = (struct walk_entry){.kind = WALK_END, .path = ""};
        if (rc)
            return rc;
        s->has_found = true;
        bool end     = s->found.kind == WALK_END;
        int  order   = !known ? 1 : end ? -1 : strcmp(known->path, s->found.path);
        if (end && !known) {
            *event = (struct scan_event){.kind = SCAN_END, .path = ""};
            return 0;
        }
        if (order < 0) {
            s->page_next++;
            event_unseen(s, known, event);
            return 0;
        }
        /* Folders of which there is nothing to tell but what becomes of their entries. */
        if (s->found.kind == WALK_VANISHED || s->found.kind == WALK_EMPTY) {
            bool keep = s->found.kind == WALK_VANISHED;
            if (!keep)
                rc = known_many(s, s->found.path, &keep, err);
            if (!rc && keep)
                rc = keep_below(s, s->found.path, err);
            if (rc)
                return rc;
            s->has_found = false;
            if (!keep || s->found.kind == WALK_VANISHED)
                continue;
            *event = (struct scan_event){.kind = SCAN_EMPTIED, .path = s->found.path};
            return 0;
        }
        s->has_found = false;
        if (order == 0)
            s->page_next++;
        return event_seen(s, order == 0 ? known : NULL, event, err);
    }
}
