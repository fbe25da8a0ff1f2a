/* What the library_*.c files share. Not for anyone else (tests reach in for
 * tuning).
 */
#ifndef OSPREY_STORAGE_LIBRARY_IMPL_H
#define OSPREY_STORAGE_LIBRARY_IMPL_H

#include "storage/library.h"

#include "base/half.h"
#include "storage/catalog.h"
#include "storage/delta.h"
#include "storage/vindex.h"

/* Which kind of base for how many images, and when it is rewritten. */
struct library_tuning {
    int64_t flat_max;  /* images up to which the base is exact */
    int64_t hnsw_max;  /* ... a graph; inverted lists beyond */
    int64_t delta_min; /* changes that are no reason to rewrite it yet */
};

struct library {
    char                 *dir;
    char                 *catalog_path, *vectors_path, *lock_path, *build_lock_path;
    struct catalog       *cat;
    struct half_ops       half;
    struct library_tuning tuning;
    int                   lock_fd; /* -1: not held */

    /* The vector index as far as it was read. */
    bool                 loaded;
    struct library_model model; /* whose vectors these are */
    struct vindex       *base;  /* NULL: the delta holds everything */
    struct vindex_file   tried; /* the file that was looked at for it */
    struct delta         delta;
    int64_t              seq, stamp; /* of the change that it reaches to */
};

/* Catches the index up with the catalogue, inside a read transaction. ERR_NOTFOUND
 * when no model is active. *again: the base file is newer than this transaction
 * sees; begin another one (never with last_try). */
int  library_refresh(struct library *lib, bool last_try, bool *again, struct err *err);
/* Begins a read transaction with the index caught up. *model is false, and the
 * transaction open nevertheless, when no model is active. */
int  library_begin_search(struct library *lib, bool *model, struct err *err);
void library_unload(struct library *lib);
/* So much has come since the base that it should be rewritten. */
bool library_delta_is_large(const struct library *lib);

#endif
