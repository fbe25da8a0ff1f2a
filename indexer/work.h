/* The workers: each takes files from a queue, reads, hashes, decodes, resizes
 * and encodes them, and hands the results on. Reading one, decoding another and
 * encoding a third overlap because every worker does all of it, one thread a
 * core; nothing inside a worker uses more threads.
 *
 * Memory is bounded by the queues and by a budget on what decoding may take at
 * a time; very long files pass one by one.
 */
#ifndef OSPREY_INDEXER_WORK_H
#define OSPREY_INDEXER_WORK_H

#include "base/parallel.h"
#include "indexer/item.h"
#include "indexer/scan.h"
#include "model/encoder.h"
#include "rerank/rerank.h"

#include <stdatomic.h>

struct work; /* the crew */

struct work_setup {
    const struct encoder  *encoder;
    const struct reranker *reranker; /* NULL: no regions are wanted */
    struct scan_reader    *reader;   /* to look for known content */
    int64_t                model_id;
    struct flight         *flight;
    struct queue          *jobs;    /* in: ITEM_FOUND; closing it ends the workers */
    struct queue          *results; /* out: every item that came in, in another state */
    atomic_bool           *stop;    /* set: what is still queued is dropped as ITEM_SKIPPED */
    int                    threads;
    int                    frames; /* of a video, at most; 0: as it comes */
};

int work_start(const struct work_setup *setup, struct work **out, struct err *err);
/* Waits until all have ended (jobs must be closed). A worker that failed for a
 * reason that is not a file's set stop, and its error comes out here. */
int work_join(struct work *crew, struct err *err); /* NULL-safe */

#endif
