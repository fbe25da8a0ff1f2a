/* The feeder: scans the planned folders one after another and hands what is to
 * be read to the workers, what is broken to the committer, and keeps the list
 * of what is gone until the run is over (a copy found later may be where it
 * went). Runs on a thread of its own.
 */
#ifndef OSPREY_INDEXER_FEED_H
#define OSPREY_INDEXER_FEED_H

#include "base/parallel.h"
#include "indexer/item.h"
#include "indexer/plan.h"
#include "indexer/scan.h"

#include <stdatomic.h>

/* What was known and is not there any more. */
struct gone {
    size_t  target; /* of the plan */
    int64_t id;     /* image id, 0 for an error */
    char   *path;
};

struct feed {
    /* Set by the caller. */
    struct plan        *plan;
    struct scan_reader *reader;
    struct walk_options options;
    int64_t             model_id;
    struct queue       *jobs;    /* out: ITEM_FOUND */
    struct queue       *results; /* out: ITEM_ERROR, ITEM_NOTE */
    atomic_bool        *stop;
    /* Read by others while it runs. */
    atomic_llong        handed; /* items put into either queue */
    atomic_llong        seen;   /* files looked at */
    atomic_llong        same, same_errors;
    atomic_bool         done;
    /* To be read once it is done. */
    int64_t             kept;       /* entries that could not be seen */
    int64_t             unembedded; /* of those, pictures without an embedding of the model */
    struct gone        *gone;       /* (n_gone), released by feed_release */
    size_t              n_gone, room;
    char              **old_errors; /* (n_old), absolute paths of known broken files, unchanged */
    size_t              n_old, room_old;
    struct err          err;
};

/* A thread's main function; arg is a struct feed. */
void *feed_run(void *arg);
void  feed_release(struct feed *feed);

#endif
