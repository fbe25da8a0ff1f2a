/* Walking a folder: the pictures below it, in the bytewise order of their paths.
 *
 * What comes out is ordered as memcmp orders the full relative paths, so that a
 * scan can merge it with what the catalogue knows, page by page. That order
 * falls out of sorting each folder's entries with the folders' names followed
 * by "/" (as git sorts its trees).
 *
 * Candidates are chosen by extension: .jpg .jpeg .jpe .jfif .png in any case. A
 * folder of such a name is one, too (WALK_BAD), and is walked like any other.
 * Hidden files and folders are passed over unless asked for. Symbolic links to
 * files are followed, those to folders are not: what they lead to is indexed
 * where it lies, and not twice. Names may hold any bytes, and trees may be
 * deeper than PATH_MAX: everything is opened relative to its folder, and no
 * more than a few dozen folders are open at a time. Memory: the names of the
 * folders on the way down, no more.
 */
#ifndef OSPREY_INDEXER_WALK_H
#define OSPREY_INDEXER_WALK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct walk;

struct walk_options {
    bool  hidden;   /* also names that begin with a dot */
    bool  count;    /* only paths are wanted: regular files are not looked at */
    bool  has_skip; /* a folder to stay out of: the library's own */
    dev_t skip_dev;
    ino_t skip_ino;
};

enum walk_kind {
    WALK_END,
    WALK_FILE,       /* a candidate: a regular file, or a link to one */
    WALK_BAD,        /* a candidate by name that cannot be read: reason */
    WALK_EMPTY,      /* "dir/": a folder with nothing in it, hidden files included */
    WALK_UNREADABLE, /* "dir/": what lies (further) below cannot be seen: reason */
    WALK_VANISHED    /* "dir/": the same, for it went while we looked */
};

struct walk_entry {
    enum walk_kind kind;
    const char    *path;       /* prefix and what lies below the folder; until the next call */
    int64_t        size;       /* bytes */
    int64_t        mtime_ns;   /* -1 when it cannot be known */
    int64_t        sidecar_ns; /* of NAME.xmp beside it; 0: there is none */
    const char    *reason;
};

/* True for names that look like pictures. */
bool walk_is_candidate(const char *name);
/* st_mtim in nanoseconds since 1970. */
struct stat;
int64_t walk_mtime_ns(const struct stat *st);

/* dir: absolute. prefix: put before each path, "" or "a/b/". */
int  walk_open(const char *dir, const char *prefix, const struct walk_options *options,
               struct walk **out, struct err *err);
void walk_close(struct walk *w); /* NULL-safe */
/* True when the folder itself holds nothing at all. */
bool walk_is_empty(const struct walk *w);
/* The next entry; WALK_END at the end, again and again. */
int  walk_next(struct walk *w, struct walk_entry *entry, struct err *err);

#endif
