/* osprey watch: keeps a library in step with its folders as they change.
 *
 * The model stays loaded. The indexer's lock is held for each batch of changes alone, so
 * that osprey index has its turn; while another process holds it, changes wait.
 */
#ifndef OSPREY_INDEXER_WATCHING_H
#define OSPREY_INDEXER_WATCHING_H

#include "base/err.h"
#include "nn/precision.h"
#include "storage/library.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

extern const char watching_help[];

struct watching {
    struct library              *lib;
    const char                  *model; /* as choice_make takes it */
    enum precision               precision;
    bool                         regions;
    const char                  *reranker;
    bool                         hidden;
    int                          frames; /* of a video, at most; 0: as it comes */
    int                          threads;
    char                       **dirs; /* (n_dirs); none: all that the library knows */
    size_t                       n_dirs;
    int                          every; /* seconds; 0: look through all only when it must be */
    size_t                       most;  /* folders to watch; 0: as many as the system grants */
    bool                         json, quiet;
    const volatile sig_atomic_t *interrupted; /* set: end */
};

/* Returns when it was interrupted, or failed. */
int watching_run(struct watching *watching, struct err *err);

#endif
