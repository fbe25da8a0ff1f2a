/* What a run is to scan: the folders asked for, or all that the library knows.
 */
#ifndef OSPREY_INDEXER_PLAN_H
#define OSPREY_INDEXER_PLAN_H

#include "base/err.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
    int64_t folder_id;
    char   *root;    /* absolute */
    char   *below;   /* "" or "a/b": the part to scan */
    int     root_fd; /* open while a run goes on, else -1 */
    bool    scanned; /* seen to the end: what was not found there is gone */
    bool    offline; /* missing, empty or not mounted */
    bool    changed; /* below is known to have changed: a folder, a file, or nothing any more */
    bool    borrows; /* root_fd is that of the target before */
};

struct plan {
    struct target *targets; /* (n), none inside another */
    size_t         n;
};

/* Adds the n_dirs folders to the library, and plans them; with n_dirs 0, or
 * with all, every folder that the library knows. ERR_USAGE: something that is
 * not a folder, or does not exist and is not known; ERR_NOTFOUND: nothing to
 * scan. */
int  plan_make(struct library *lib, char *const *dirs, size_t n_dirs, bool all, struct plan *plan,
               struct err *err);
/* Plans one path more, which is in none of the others, nor they in it: below "" all of a
 * folder, else one that changed. */
int  plan_change(struct plan *plan, const struct target *folder, const char *below, bool changed,
                 struct err *err);
void plan_release(struct plan *plan);
/* Whether a folder is empty, or cannot be looked at. */
bool plan_holds_nothing(const char *dir);

#endif
