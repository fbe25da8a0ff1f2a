/* Watches by their numbers: see watch_table.h. Numbers come in rising order, so that a
 * new one nearly always goes to the end. */
#include "indexer/watch_table.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void table_release(struct watch_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->entries[i].path);
    free(t->entries);
    *t = (struct watch_table){0};
}

/* Where wd is, or belongs. */
static size_t table_at(const struct watch_table *t, int wd)
{
    size_t low = 0, high = t->n;
    if (t->n && t->entries[t->n - 1].wd < wd)
        return t->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->entries[mid].wd < wd)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int table_put(struct watch_table *t, int wd, size_t root, char *path, struct err *err)
{
    size_t at = table_at(t, wd);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (at < t->n && t->entries[at].wd == wd) {
        free(t->entries[at].path);
        t->entries[at] = (struct watched){wd, root, path};
        return 0;
    }
    if (t->n == t->room) {
        size_t          room = t->room ? t->room * 2 : 64;
        struct watched *to   = mem_regrow(t->entries, room, sizeof *to);
        if (!to) {
            free(path);
            return err_set(err, ERR_NOMEM, "out of memory for %zu watched folders", room);
        }
        t->entries = to;
        t->room    = room;
    }
    memmove(t->entries + at + 1, t->entries + at, (t->n - at) * sizeof *t->entries);
    t->entries[at] = (struct watched){wd, root, path};
    t->n++;
    return 0;
}

const struct watched *table_find(const struct watch_table *t, int wd)
{
    size_t at = table_at(t, wd);
    return at < t->n && t->entries[at].wd == wd ? &t->entries[at] : NULL;
}

void table_drop(struct watch_table *t, int wd)
{
    size_t at = table_at(t, wd);
    if (at == t->n || t->entries[at].wd != wd)
        return;
    free(t->entries[at].path);
    memmove(t->entries + at, t->entries + at + 1, (t->n - at - 1) * sizeof *t->entries);
    t->n--;
}

bool path_lies_in(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return n == 0 || (strncmp(inner, outer, n) == 0 && (inner[n] == '/' || !inner[n]));
}

void table_drop_below(struct watch_table *t, size_t root, const char *path,
                      void (*gone)(void *ctx, int wd), void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct watched *e = &t->entries[i];
        if (e->root == root && path_lies_in(e->path, path)) {
            gone(ctx, e->wd);
            free(e->path);
        } else {
            t->entries[kept++] = *e;
        }
    }
    t->n = kept;
}
