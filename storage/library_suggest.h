/* Which other pictures would get a label that is learned from a few (learn/lesson.h), from
 * stored embeddings alone. Nothing is written.
 */
#ifndef OSPREY_STORAGE_LIBRARY_SUGGEST_H
#define OSPREY_STORAGE_LIBRARY_SUGGEST_H

#include "base/err.h"
#include "storage/go_on.h"
#include "storage/library.h"

#include <stddef.h>
#include <stdint.h>

struct library_suggesting {
    const int64_t *like; /* (n_like) pictures that have the label, 1 at least */
    size_t         n_like;
    const int64_t *unlike; /* (n_unlike) pictures that do not */
    size_t         n_unlike;
    double         min_score; /* 0 to 1 */
    size_t         limit;     /* suggestions at most */
    int            threads;   /* of the learning */
    struct go_on   go_on;     /* asked while the pictures are judged */
};

struct library_suggestion {
    int64_t id;
    double  score; /* 0 to 1, as a tag's */
};

/* *out (*n): pictures that were not given, best first, then by id; freed by the caller.
 * ERR_NOTFOUND for a given one that is not there. */
int library_suggest(struct library *lib, const struct library_suggesting *s,
                    struct library_suggestion **out, size_t *n, struct err *err);

#endif
