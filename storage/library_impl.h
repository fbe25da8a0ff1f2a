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

#define LIBRARY_TRIES                                                                              \
    4 /* to read catalogue and index while another process replaces the latter                     \
       */

/* Which kind of base for how many images, and when it is rewritten. */
struct library_tuning {
    int64_t flat_max;  /* images up to which the base is exact */
    int64_t hnsw_max;  /* ... a graph; inverted lists beyond */
    int64_t delta_min; /* changes that are no reason to rewrite it yet */
};

/* Images that a filter let pass last, and what is kept of them (library_few.c). */
struct library_few {
    int64_t   seq, stamp; /* of the change that the index reached to */
    int64_t  *ids;        /* (n) */
    size_t    n;
    uint16_t *vectors; /* (held, dim), NULL unless they were asked for again */
    int64_t  *owners;  /* (held) whose these are: an image without an embedding has none */
    size_t    held;
};

struct library {
    char                 *dir;
    char                 *catalog_path, *vectors_path, *lock_path, *build_lock_path;
    struct catalog       *cat;
    struct half_ops       half;
    struct library_tuning tuning;
    int                   lock_fd; /* -1: not held */

    struct library_regions regions; /* wanted of pictures; id 0: none */

    struct background background; /* what scores are measured by, as far as it was read */

    /* The vector index as far as it was read. */
    bool                 loaded;
    bool                 keeps; /* no newer base is taken while this one serves */
    struct library_model model; /* whose vectors these are */
    struct vindex       *base;  /* NULL: the delta holds everything */
    struct vindex_file   tried; /* the file that was looked at for it */
    struct delta         delta;
    int64_t              seq, stamp; /* of the change that it reaches to */
    struct library_stats stats;      /* of the catalogue then */
    struct library_few   few;        /* what a filter left of it */
};

/* Catches the index up with the catalogue, inside a read transaction. ERR_NOTFOUND
 * when no model is active. *again: the base file is newer than this transaction
 * sees; begin another one (never with last_try). */
int   library_refresh(struct library *lib, bool last_try, bool *again, struct err *err);
/* Begins a read transaction with the index caught up. *model is false, and the
 * transaction open nevertheless, when no model is active. */
int   library_begin_search(struct library *lib, bool *model, struct err *err);
/* The same; with words, those of the catalogue are up to date in it. */
int   library_begin_filtered(struct library *lib, bool words, bool *model, struct err *err);
/* A search inside such a transaction. ready: filter's, where it restricts images. */
int   library_search_here(struct library *lib, bool model, const float *query, size_t k,
                          const struct library_filter *filter, struct catalog_filter *ready,
                          struct library_hit **hits, size_t *n, struct err *err);
/* An image's score; ERR_NOTFOUND where it has no embedding, ERR_DAMAGED. */
int   library_score_here(struct library *lib, const float *query, int64_t id, float *score,
                         struct err *err);
void  library_unload(struct library *lib);
/* catalog_embeddings_read of the active model, for questions that come again. Inside a
 * transaction, the index caught up. */
int   library_few_read(struct library *lib, const int64_t *ids, size_t n,
                       void (*take)(void *ctx, int64_t id, const uint16_t *vector), void *ctx,
                       struct err *err);
void  library_few_release(struct library_few *few);
/* How near a query (dim) is to a stored embedding: model/distance.h. */
float library_closeness(const struct library *lib, const struct library_model *model,
                        const float *query, const uint16_t *vector);
/* Fills b from the catalogue, or, where that has none that stands, from the embeddings
 * (*fresh); nothing to do where it stands itself. Inside a transaction. */
int   library_background_take(struct library *lib, const struct library_model *model,
                              struct background *b, bool *fresh, struct err *err);
void  library_background_release(struct background *b);
/* Removes the folders of models that are no longer in use (library_kept.c). */
void  library_kept_clear(struct library *lib);
/* The kept files on the disk against the catalogue's; *damage grows by what stays
 * wrong. */
int   library_kept_check(struct library *lib, bool                             repair,
                         void (*report)(void *ctx, const char *finding), void *ctx, int64_t *damage,
                         struct err *err);
/* The kept tagger, likewise (library_tagger.c). */
int   library_tagger_check(struct library *lib, bool                             repair,
                           void (*report)(void *ctx, const char *finding), void *ctx, int64_t *damage,
                           struct err *err);
/* How the vector index measures for a model. */
enum vindex_metric library_metric(const struct library_model *model);
/* So many changes since a base of so many entries that it should be rewritten. */
bool               library_delta_is_large(const struct library *lib, int64_t base, int64_t delta);

/* What the index's file and the catalogue say, with neither index nor embeddings
 * loaded. */
struct index_state {
    bool                 has_model; /* one is active; nothing else counts without */
    bool                 has_base;  /* the file belongs to it and to this catalogue */
    struct library_model model;
    struct vindex_info   base;  /* with has_base */
    int64_t              delta; /* with has_base: images that came, changed or went since */
};
/* Begins a read transaction, and leaves it open on success. */
int library_index_state(struct library *lib, struct index_state *out, struct err *err);

/* Names the image and page of each hit, ids of parts among them, in no order afterwards;
 * each image's best page remains, or every one (library_parts.c). */
int library_fold_parts(struct library *lib, struct library_hit *hits, size_t *n, bool every_page,
                       struct err *err);
/* Of hits on videos the time is told, not the page. */
int library_name_times(struct library *lib, struct library_hit *hits, size_t n, struct err *err);

#endif
