/* What changes below folders, as the kernel tells it (inotify, Linux).
 *
 * A thread of its own takes the kernel's events and keeps the paths that they name, so
 * that its queue stays short while a long run goes on. Changes come out together once
 * nothing has happened for a moment: a file when it was closed, renamed or removed, not
 * while it is written; a folder when it came or went, as a whole.
 *
 * Hidden names, and what walk.h does not look at, are passed over, and links to folders
 * are not followed. Not seen: what other machines change on a network's file system, and
 * what changes where a link leads.
 */
#ifndef OSPREY_INDEXER_WATCH_H
#define OSPREY_INDEXER_WATCH_H

#include "base/err.h"
#include "indexer/walk.h"

#include <stdbool.h>
#include <stddef.h>

/* Paths that are known one by one; where more changed, all is looked through. */
#define WATCH_CHANGES 4096

struct watch_root {
    const char *root;  /* absolute */
    const char *below; /* "" or "a/b": the part to watch */
};

struct watch_change {
    size_t root; /* of the roots */
    char  *path; /* below root->root; "" or the root's `below`: all of it */
};

struct watch_news {
    struct watch_change *changes; /* (n), none inside another */
    size_t               n;
    bool                 lost; /* events were lost: any of the roots may have changed */
};

struct watch_state {
    size_t watched;   /* folders */
    size_t unwatched; /* for which no watch was to be had */
};

struct watch;

/* Begins to watch; a root that is not there now is not watched. The strings of roots
 * must outlive it. most: watches to use at most, 0: what the system grants. */
int  watch_open(const struct walk_options *options, const struct watch_root *roots, size_t n,
                size_t most, struct watch **out, struct err *err);
void watch_close(struct watch *w); /* NULL-safe */
struct watch_state watch_state(struct watch *w);
/* Waits up to ms for changes that have come to rest: 1 with news, 0 without. */
int                watch_wait(struct watch *w, int ms, struct watch_news *news, struct err *err);
void               watch_news_release(struct watch_news *news);
/* True when a root that is watched went, or one that is not came: open it anew. */
bool               watch_is_outdated(struct watch *w);

#endif
