/* The one writer: takes finished items, commits them in batches, and settles
 * at the end what moved and what is gone.
 *
 * Everything about copies is decided here, where nothing else writes: a copy is
 * looked up again just before its batch, and never refers to an image that the
 * same batch replaces (files that swapped their names). What cannot be settled
 * goes back to the workers, to be encoded.
 */
#ifndef OSPREY_INDEXER_COMMIT_H
#define OSPREY_INDEXER_COMMIT_H

#include "base/err.h"
#include "indexer/feed.h"
#include "indexer/item.h"
#include "indexer/progress.h"
#include "storage/library.h"

#include <stddef.h>
#include <stdint.h>

/* What became of the files of a run; each is counted once. */
struct tally {
    int64_t added;   /* new, and encoded */
    int64_t updated; /* known before: new content, or encoded for another model */
    int64_t moved;   /* known before, at another path */
    int64_t copied;  /* new, with content that the library had */
    int64_t removed; /* pictures that are gone */
    int64_t touched; /* new times, old content; or given regions alone */
    int64_t regions; /* pictures whose regions were kept */
    int64_t errors;  /* broken, and found so in this run */
    int64_t skipped; /* went or changed while they were read */
    int64_t encoded; /* pictures that went through the encoder */
    int64_t missing; /* skipped ones without an embedding of the model */
};

struct commit;

int  commit_new(struct library *lib, int64_t model_id, struct flight *flight,
                struct progress *progress, struct tally *tally, struct commit **out,
                struct err *err);
void commit_free(struct commit *c); /* NULL-safe */

/* Takes an item over; commits when a batch is full. */
int          commit_take(struct commit *c, struct item *item, struct err *err);
/* Commits what is there when it is due (or now, with force). */
int          commit_tick(struct commit *c, bool force, struct err *err);
/* Nothing is held back any more. */
bool         commit_is_idle(const struct commit *c);
/* An item that is to be encoded after all, or NULL; then it is the caller's. */
struct item *commit_again(struct commit *c);
void         commit_again_back(struct commit *c, struct item *item); /* the queue had no room */

/* After the last item: gives moved images their ids back and, with removals,
 * takes what is gone out of folders that were scanned to the end. */
int commit_settle(struct commit *c, const struct feed *feed, bool removals, struct err *err);

#endif
