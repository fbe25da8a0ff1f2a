/* A data set of captioned pictures: which captions belong to which picture.
 *
 * Read from a TSV file: picture's file name, tab, caption; several lines for a
 * picture are several captions. Pictures are numbered in order of first
 * appearance, captions in the order of the file.
 */
#ifndef OSPREY_LEARN_CAPTIONS_H
#define OSPREY_LEARN_CAPTIONS_H

#include "base/err.h"

#include <stddef.h>

struct captions {
    size_t n_images, n_captions;
    char **files;    /* (n_images) names as in the file */
    char **texts;    /* (n_captions) */
    int   *image_of; /* (n_captions) caption -> picture */
};

/* Messages name the file and the line. An empty file is an error. */
int  captions_read_tsv(const char *path, struct captions *out, struct err *err);
void captions_release(struct captions *captions); /* NULL-safe */

#endif
