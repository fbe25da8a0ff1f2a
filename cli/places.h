/* Where to look: folders that a user names, as filters over the library. */
#ifndef OSPREY_CLI_PLACES_H
#define OSPREY_CLI_PLACES_H

#include "base/err.h"
#include "cli/session.h"
#include "storage/library.h"
#include "storage/library_places.h"

#include <stdbool.h>
#include <stddef.h>

/* One filter without conditions, or one for each library folder that lies in a folder asked
 * for, or that it lies in. */
struct places {
    struct library_filter *filters;
    size_t                 n;
    struct library_folder *folders; /* (n_folders) of the library */
    size_t                 n_folders;
    struct library_places *dirs; /* (n_dirs) each that was asked for; own what filters point to */
    size_t                 n_dirs;
};

/* dirs (n): none means everywhere. ERR_NOTFOUND for a folder that has nothing to do with the
 * library; of one inside it that is not there, nor has pictures that the library knows, a
 * note is made. Released also after a failure. */
int  places_init(struct places *p, const struct session *s, const char *const *dirs, size_t n,
                 struct err *err);
void places_release(struct places *p);
/* Whether an absolute path, its folder's and what is below, lies in one of them. */
bool places_have(const struct places *p, const char *folder, const char *below);

#endif
