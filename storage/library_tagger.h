/* Tags for a library's pictures from their stored embeddings; the pictures are not read.
 *
 * A tagger (learn/tagger.h) is kept with the library for the model that answers, so that
 * pictures which come later get their tags as they are indexed. It goes when its model is
 * retired: its rows mean nothing to another. All tags are of the source LIBRARY_OSPREY.
 */
#ifndef OSPREY_STORAGE_LIBRARY_TAGGER_H
#define OSPREY_STORAGE_LIBRARY_TAGGER_H

#include "base/err.h"
#include "learn/tagger.h"
#include "storage/library.h"
#include "storage/library_tags.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Told of each picture what fits it, best first; not 0: stop and fail with it. */
typedef int (*library_tag_tell)(void *ctx, int64_t image_id, const struct library_said *tags,
                                size_t n, struct err *err);

struct library_tagging {
    const struct tagger         *tagger;
    const struct library_filter *filters;   /* (n_filters) the pictures that any allows */
    size_t                       n_filters; /* 0: all */
    bool                         dry_run;   /* only tell */
    library_tag_tell             tell;      /* or NULL */
    void                        *ctx;
};

struct library_tag_tally {
    int64_t images;  /* looked at */
    int64_t tagged;  /* that something fits */
    int64_t changed; /* of which Osprey says something else now */
};

/* Judges pictures, a thousand at a time, and replaces what Osprey said of each. ERR_USAGE
 * for a tagger of another dimension. */
int library_tag(struct library *lib, const struct library_tagging *job,
                struct library_tag_tally *out, struct err *err);

/* The background's embeddings (library_match.h): *x (*n, dim of the active model), freed
 * by the caller. */
int library_background_embeddings(struct library *lib, float **x, size_t *n, struct err *err);

/* Judges all pictures, and keeps the tagger for those to come. */
int library_tagger_keep(struct library *lib, const struct library_tagging *job,
                        struct library_tag_tally *out, struct err *err);
/* The kept one; ERR_NOTFOUND. Freed with tagger_free. */
int library_tagger_get(struct library *lib, struct tagger **out, struct err *err);
/* Keeps none any more; what it said stays. */
int library_tagger_forget(struct library *lib, struct err *err);
/* Judges with the kept tagger, if there is one, what came or changed since it did so last.
 * Called by the indexer at the end of a run. ERR_DAMAGED: the kept one cannot be read, and
 * nothing was judged. */
int library_tagger_catch_up(struct library *lib, struct library_tag_tally *out, struct err *err);

#endif
