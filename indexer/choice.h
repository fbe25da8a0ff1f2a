/* Which model fills the library, and whether beside another that answers. */
#ifndef OSPREY_INDEXER_CHOICE_H
#define OSPREY_INDEXER_CHOICE_H

#include "base/err.h"
#include "model/encoder.h"
#include "rerank/rerank.h"
#include "storage/library.h"

#include <stdbool.h>

struct choice {
    struct encoder      *encoder;
    struct reranker     *reranker; /* whose regions are kept; NULL: none */
    struct library_model model;
    bool                 filling; /* another one answers until this one is complete */
    bool                 newer;   /* the model of that name is another one now */
};

/* name: what --model says, or NULL for the library's own (or the default in a
 * library that has none yet). A library whose model is not what its folder holds
 * now is an error that names both, unless name was given. precision auto: the
 * one that fills the library already; another one is an error, since vectors of
 * two precisions do not belong in one library. */
int  choice_make(struct library *lib, const char *name, enum precision precision,
                 struct choice *choice, struct err *err);
/* The model that an earlier run began to fill beside the active one; ERR_NOTFOUND. */
int  choice_filling(struct library *lib, struct choice *choice, struct err *err);
/* Keeps regions for the re-ranker in dir, or (NULL) the model's own. */
int  choice_rerank(struct library *lib, const char *dir, struct choice *choice, struct err *err);
void choice_release(struct choice *choice);

#endif
