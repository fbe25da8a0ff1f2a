/* Which pictures an evaluation is over, and their embeddings. */
#ifndef OSPREY_CLI_EVAL_SETS_H
#define OSPREY_CLI_EVAL_SETS_H

#include "cli/session.h"

struct pictures {
    char **paths; /* (n) */
    size_t n;
    int   *label;  /* (n) below n_labels; NULL without labels */
    char **labels; /* (n_labels) */
    size_t n_labels;
};

/* Those of a captions file, in its order. */
int  pictures_below(const char *dir, char *const *files, size_t n, struct pictures *out,
                    struct err *err);
/* All below a folder (learn/picture_files.h). */
int  pictures_in(const char *dir, struct pictures *out, struct err *err);
/* All below the folders in a folder, each of which is a label: its name,
 * underscores as spaces. ERR_FORMAT where there are fewer than least (1 at least). */
int  pictures_labelled(const char *dir, size_t least, struct pictures *out, struct err *err);
void pictures_release(struct pictures *set); /* NULL-safe */

/* Encodes the set. What cannot be read is listed as a note, left out of the set
 * and counted. *out: (n, dim), freed by the caller; *pooled: (n, features of the image
 * tower) likewise, unless pooled is NULL. ERR_FORMAT when nothing is left. */
int pictures_encode(struct session *s, struct pictures *set, float **out, float **pooled,
                    size_t *broken, struct err *err);

#endif
