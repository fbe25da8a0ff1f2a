/* The two kinds of files that osprey import reads. */
#ifndef OSPREY_CLI_IMPORT_H
#define OSPREY_CLI_IMPORT_H

#include "base/err.h"
#include "cli/session.h"
#include "meta/strings.h"

#include <stdbool.h>
#include <stdint.h>

#define IMPORT_BATCH 256 /* pictures of one transaction */

struct import_tally {
    int64_t images;
    int64_t missing; /* pictures that are not there, or cannot be read */
    int64_t left;    /* scans and films of which older exports, and clip-retrieval's files, have the
                        first page or frame alone: taken in, they would count as done, and the
                        others never be found */
};

/* What osprey export wrote. target: as it was given. */
int  import_osprey(struct session *s, const char *target, struct import_tally *tally,
                   struct err *err);
/* A folder of clip-retrieval: img_emb/img_emb_*.npy, metadata/metadata_*.parquet, .jsonl or .csv,
 * made by --model. root: where relative paths begin, or NULL. */
bool import_is_clip_retrieval(const char *dir);
int  import_clip_retrieval(struct session *s, const char *dir, const char *root,
                           struct import_tally *tally, struct err *err);

/* Makes sure that the library answers with this model: that it does already, or has none.
 * enc: opened, for a library without a model; may be NULL else. */
int import_model(struct session *s, struct library_model *model, struct err *err);

/* A batch into the library, with captions (n), for which the user answers, in place of those
 * that the picture had by the user; one without any keeps what it had. */
int import_add(struct session *s, int64_t model, struct library_item *items,
               const struct strings *captions, size_t n, struct err *err);

/* The row's embedding with length 1; ERR_FORMAT for what is no direction. */
int import_normalise(float *vector, size_t dim, const char *what, size_t row, struct err *err);

#endif
