/* Which folder a watch belongs to: its root and the path below it, by the kernel's
 * number. */
#ifndef OSPREY_INDEXER_WATCH_TABLE_H
#define OSPREY_INDEXER_WATCH_TABLE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct watched {
    int    wd;
    size_t root;
    char  *path; /* "" or "a/b" */
};

struct watch_table {
    struct watched *entries; /* (n), by wd */
    size_t          n, room;
};

void table_release(struct watch_table *t);
/* Puts or replaces; takes path over, also when it fails. */
int  table_put(struct watch_table *t, int wd, size_t root, char *path, struct err *err);
/* NULL where there is none. */
const struct watched *table_find(const struct watch_table *t, int wd);
void                  table_drop(struct watch_table *t, int wd);
/* Drops a folder and those inside it; each is told first. */
void                  table_drop_below(struct watch_table *t, size_t root, const char *path,
                                       void (*gone)(void *ctx, int wd), void *ctx);
/* Whether inner is outer or lies inside it; "" holds all. */
bool                  path_lies_in(const char *inner, const char *outer);

#endif
