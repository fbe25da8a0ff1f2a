/* The feeder: see feed.h. */
#include "indexer/feed.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Puts an item into a queue; it is freed when nobody takes it any more. */
static int hand(struct feed *feed, struct queue *to, struct item *item, struct err *err)
{
    if (!item)
        return err_set(err, ERR_NOMEM, "out of memory");
    atomic_fetch_add(&feed->handed, 1);
    if (queue_push(to, item))
        return 0;
    atomic_fetch_sub(&feed->handed, 1);
    item_free(item);
    return err_set(err, ERR_CANCELLED, "interrupted");
}

__attribute__((format(printf, 3, 4))) static int note(struct feed *feed, struct err *err,
                                                      const char *fmt, ...)
{
    struct err   text = ERR_INIT;
    struct item *item = item_new(ITEM_NOTE, "");
    va_list      ap;
    va_start(ap, fmt);
    (void)vsnprintf(text.msg, sizeof text.msg, fmt, ap);
    va_end(ap);
    if (item) {
        item_fail(item, text.msg);
        item->state = ITEM_NOTE;
    }
    return hand(feed, feed->results, item, err);
}

static int gone_add(struct feed *feed, size_t target, const struct scan_event *event,
                    struct err *err)
{
    if (feed->n_gone == feed->room) {
        size_t       more = feed->room ? feed->room * 2 : 64;
        struct gone *list = mem_regrow(feed->gone, more, sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "out of memory for %zu removed files", more);
        feed->gone = list;
        feed->room = more;
    }
    char *path = mem_strdup(event->path);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    feed->gone[feed->n_gone++] =
        (struct gone){.target = target, .id = event->known_id, .path = path};
    return 0;
}

static int old_error_add(struct feed *feed, const char *root, const char *path, struct err *err)
{
    if (feed->n_old == feed->room_old) {
        size_t more = feed->room_old ? feed->room_old * 2 : 64;
        char **list = mem_regrow(feed->old_errors, more, sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "out of memory for %zu broken files", more);
        feed->old_errors = list;
        feed->room_old   = more;
    }
    char *whole = path_join(root, path);
    if (!whole)
        return err_set(err, ERR_NOMEM, "out of memory");
    feed->old_errors[feed->n_old++] = whole;
    return 0;
}

static struct item *item_of(const struct target *target, const struct scan_event *event)
{
    struct item *item = item_new(event->kind == SCAN_ERROR ? ITEM_ERROR : ITEM_FOUND, event->path);
    if (!item)
        return NULL;
    item->folder_id = target->folder_id;
    item->root      = target->root;
    item->root_fd   = target->root_fd;
    item->size      = event->size;
    item->mtime_ns  = event->mtime_ns;
    item->known_id  = event->known_id;
    item->embedded  = event->embedded;
    if (event->kind == SCAN_ERROR)
        item_fail(item, event->reason);
    return item;
}

static int feed_event(struct feed *feed, size_t i, const struct scan_event *event, struct err *err)
{
    const struct target *target = &feed->plan->targets[i];
    switch (event->kind) {
    case SCAN_FILE:
        atomic_fetch_add(&feed->seen, 1);
        return hand(feed, feed->jobs, item_of(target, event), err);
    case SCAN_ERROR:
        atomic_fetch_add(&feed->seen, 1);
        return hand(feed, feed->results, item_of(target, event), err);
    case SCAN_SAME:
        atomic_fetch_add(&feed->seen, 1);
        atomic_fetch_add(&feed->same, 1);
        return 0;
    case SCAN_SAME_ERROR:
        atomic_fetch_add(&feed->seen, 1);
        atomic_fetch_add(&feed->same_errors, 1);
        return old_error_add(feed, target->root, event->path, err);
    case SCAN_GONE:
        return gone_add(feed, i, event, err);
    case SCAN_KEPT:
        feed->kept++;
        feed->unembedded += event->known_id && !event->embedded;
        return 0;
    case SCAN_EMPTIED:
        return note(
            feed, err,
            "%s/%s is empty, and pictures are known below it: they are kept, for a drive may "
            "not be mounted (osprey forget removes them)",
            target->root, event->path);
    case SCAN_END:
    default:
        return 0;
    }
}

/* Counts what a folder that cannot be scanned holds: a model that is being
 * filled cannot be completed without it. */
static int feed_offline(struct feed *feed, size_t i, struct err *err)
{
    struct target *target = &feed->plan->targets[i];
    char          *after  = mem_strdup("");
    size_t         n      = 1;
    int            rc     = 0;
    target->offline       = true;
    while (!rc && after && n > 0) {
        struct library_known *known = NULL;
        n                           = 0;
        pthread_mutex_lock(&feed->reader->lock);
        rc = library_known_after(feed->reader->lib, target->folder_id, feed->model_id,
                                 target->below, after, 1000, &known, &n, err);
        pthread_mutex_unlock(&feed->reader->lock);
        if (rc)
            break;
        for (size_t k = 0; k < n; k++) {
            feed->kept++;
            feed->unembedded += known[k].id && !known[k].embedded;
        }
        free(after);
        after = n ? mem_strdup(known[n - 1].path) : NULL;
        library_known_free(known, n);
    }
    free(after);
    return rc;
}

/* Changed paths come in thousands: those of one folder share its descriptor. */
static int open_root(struct feed *feed, size_t i)
{
    struct target       *t      = &feed->plan->targets[i];
    const struct target *before = i && t->changed ? t - 1 : NULL;
    if (before && before->changed && before->folder_id == t->folder_id && before->root_fd >= 0) {
        t->root_fd = before->root_fd;
        t->borrows = true;
        return 0;
    }
    t->root_fd = open(t->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return t->root_fd < 0 ? ERR_IO : 0;
}

static int feed_target(struct feed *feed, size_t i, struct err *err)
{
    struct target     *target = &feed->plan->targets[i];
    struct scan       *scan   = NULL;
    struct err         why    = ERR_INIT;
    struct scan_event  event  = {.kind = SCAN_KEPT};
    struct scan_target what   = {.folder_id = target->folder_id,
                                 .root      = target->root,
                                 .below     = target->below,
                                 .model_id  = feed->model_id,
                                 .changed   = target->changed};
    int                rc     = scan_open(feed->reader, &what, &feed->options, &scan, &why);
    if (rc == ERR_NOMEM) {
        *err = why;
        return rc;
    }
    if (rc || scan_is_empty(scan)) {
        rc = rc ? note(feed, err, "%s: the folder is marked offline, its entries are kept", why.msg)
                : note(feed, err,
                       "%s%s%s is empty: the folder is marked offline, what is known "
                       "there is kept",
                       target->root, *target->below ? "/" : "", target->below);
        scan_close(scan);
        return rc ? rc : feed_offline(feed, i, err);
    }
    if ((rc = open_root(feed, i)))
        err_set(err, rc, "cannot open %s: %s", target->root, strerror(errno));
    while (!rc && event.kind != SCAN_END && !atomic_load(feed->stop)) {
        rc = scan_next(scan, &event, err);
        if (!rc)
            rc = feed_event(feed, i, &event, err);
    }
    if (!rc && event.kind == SCAN_END) {
        target->scanned = scan_is_there(scan);
        target->offline = !target->scanned;
        if (target->offline)
            rc = note(feed, err,
                      "%s went while it was scanned: it is marked offline, its entries are kept",
                      target->root);
    }
    scan_close(scan);
    return rc;
}

void *feed_run(void *arg)
{
    struct feed *feed = arg;
    int          rc   = 0;
    for (size_t i = 0; i < feed->plan->n && !rc && !atomic_load(feed->stop); i++)
        rc = feed_target(feed, i, &feed->err);
    if (rc)
        atomic_store(feed->stop, true);
    atomic_store(&feed->done, true);
    return NULL;
}

void feed_release(struct feed *feed)
{
    for (size_t i = 0; i < feed->n_gone; i++)
        free(feed->gone[i].path);
    for (size_t i = 0; i < feed->n_old; i++)
        free(feed->old_errors[i]);
    free(feed->gone);
    free(feed->old_errors);
    feed->gone       = NULL;
    feed->old_errors = NULL;
    feed->n_gone = feed->n_old = 0;
}
