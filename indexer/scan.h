/* One folder's scan: what lies on the disk, merged with what the catalogue knows.
 *
 * Both come in bytewise order of their paths, so that this is a merge of two
 * streams: memory does not grow with the library. What cannot be seen (an
 * unreadable folder, one that went while we looked) keeps its entries. So does
 * a folder that is there, empty, with more than SCAN_EMPTY_KEEPS known pictures
 * below it: that is what a drive that is not mounted looks like.
 */
#ifndef OSPREY_INDEXER_SCAN_H
#define OSPREY_INDEXER_SCAN_H

#include "base/err.h"
#include "indexer/walk.h"
#include "storage/library.h"

#include <pthread.h>

#define SCAN_EMPTY_KEEPS 100

/* A library handle that threads share; reads alone go through it. */
struct scan_reader {
    struct library *lib;
    pthread_mutex_t lock;
};

struct scan_target {
    int64_t     folder_id;
    const char *root;  /* absolute */
    const char *below; /* "" or "a/b": the part to scan */
    int64_t     model_id;
    bool        changed; /* below may be a file or nothing any more, as long as root is there */
};

enum scan_kind {
    SCAN_END,
    SCAN_FILE,       /* new, changed, or without an embedding: to be read */
    SCAN_ERROR,      /* cannot be read, and that is news: reason */
    SCAN_SAME,       /* known and unchanged */
    SCAN_SAME_ERROR, /* known as broken, and unchanged */
    SCAN_GONE,       /* known, but not there any more */
    SCAN_KEPT,       /* known; cannot be seen now */
    SCAN_EMPTIED     /* an empty folder whose entries are kept */
};

struct scan_event {
    enum scan_kind kind;
    const char    *path;       /* below the root; until the next call */
    int64_t        size;       /* of what is on the disk; bytes */
    int64_t        mtime_ns;   /* -1 when it cannot be known */
    int64_t        sidecar_ns; /* of what lies beside it; 0: nothing */
    const char    *reason;
    int64_t        known_id;   /* the image known at this path, or 0 */
    bool           known;      /* as an image or as an error */
    bool           embedded;   /* with known_id: has an embedding of the model */
    bool           same_bytes; /* size and mtime are those known */
    bool           same_said;  /* with known_id: what it and its sidecar say was read */
};

struct scan;

/* ERR_NOTFOUND or ERR_IO: the folder cannot be looked at. reader outlives the scan. */
int  scan_open(struct scan_reader *reader, const struct scan_target *target,
               const struct walk_options *options, struct scan **out, struct err *err);
void scan_close(struct scan *s); /* NULL-safe */
/* The folder holds nothing at all; where it is known to have changed, that is news only
 * if much was known in it. */
bool scan_is_empty(const struct scan *s);
/* True while the path still leads to the folder that was opened. */
bool scan_is_there(const struct scan *s);
int  scan_next(struct scan *s, struct scan_event *event, struct err *err);

#endif
