/* Folders that a command line asks for, as filters of a library: a folder may lie in one
 * of the library's, or hold several of them. */
#ifndef OSPREY_CLI_PLACES_H
#define OSPREY_CLI_PLACES_H

#include "base/err.h"
#include "storage/library.h"

#include <stddef.h>

/* Where to look: one filter, or one for each library folder inside --in. */
struct places {
    struct library_filter *filters;
    size_t                 n;
    struct library_folder *folders; /* own the strings that filters point into */
    size_t                 n_folders;
    char                  *dir; /* the folder asked for, absolute, ends with '/' */
};

/* in NULL: everything, one empty filter. ERR_NOTFOUND for a folder of which the library
 * knows nothing. */
int  places_init(struct places *p, struct library *lib, const char *in, struct err *err);
void places_release(struct places *p);

#endif
