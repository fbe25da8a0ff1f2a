/* The pictures below a folder, for training and measuring: nothing is remembered
 * of them. (What fills libraries is the indexer's walk.)
 *
 * By extension (image/formats.h), hidden files and folders left
 * out, symbolic links to folders not followed. Sorted by path as bytes, so that
 * the same folder gives the same order everywhere.
 */
#ifndef OSPREY_LEARN_PICTURE_FILES_H
#define OSPREY_LEARN_PICTURE_FILES_H

#include "base/err.h"

#include <stddef.h>

struct picture_files {
    size_t n;
    char **paths; /* (n) below the folder: "cats/1.jpg" */
};

int  picture_files_list(const char *dir, struct picture_files *out, struct err *err);
void picture_files_release(struct picture_files *files); /* NULL-safe */

#endif
