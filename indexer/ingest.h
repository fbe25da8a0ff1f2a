/* The pipeline: one run over the planned folders with one model.
 *
 *     feed (1 thread) -> jobs -> work (a thread a core) -> results -> commit (the caller)
 *
 * Both queues are bounded. The caller's thread is the only one that writes.
 */
#ifndef OSPREY_INDEXER_INGEST_H
#define OSPREY_INDEXER_INGEST_H

#include "base/err.h"
#include "indexer/commit.h"
#include "indexer/plan.h"
#include "indexer/progress.h"
#include "indexer/walk.h"
#include "model/encoder.h"
#include "rerank/rerank.h"
#include "storage/library.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct ingest {
    /* Set by the caller. */
    struct library              *lib; /* locked */
    struct plan                 *plan;
    const struct encoder        *encoder;
    const struct reranker       *reranker; /* NULL: no regions are kept */
    int64_t                      model_id;
    struct walk_options          walk;
    int                          frames; /* of a video, at most; 0: as it comes */
    int                          threads;
    struct progress             *progress;
    const volatile sig_atomic_t *interrupted; /* set: stop cleanly */
    /* What came of it. */
    struct tally                 tally;
    int64_t                      unchanged;
    int64_t                      old_errors; /* broken, and known before */
    int64_t                      kept;       /* entries that could not be seen */
    int64_t                      unembedded; /* pictures left without an embedding of the model */
    bool                         stopped;    /* interrupted before the end */
};

/* 0 also when it was interrupted; then everything finished so far is committed. */
int ingest_run(struct ingest *run, struct err *err);

#endif
