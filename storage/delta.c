/* The delta: a hash table from ids to slots of a dense array of vectors, so that
 * an exact search is one pass over contiguous memory.
 */
#include "storage/delta.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void delta_init(struct delta *delta, int dim)
{
    memset(delta, 0, sizeof(*delta));
    delta->dim = dim;
}

void delta_release(struct delta *delta)
{
    free(delta->table);
    free(delta->ids);
    free(delta->vectors);
    delta_init(delta, delta->dim);
}

/* The entry of id, or the free one where it would go. */
static struct delta_entry *find(const struct delta *delta, int64_t id)
{
    size_t at = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 20) & (delta->table_size - 1);
    while (delta->table[at].id != 0 && delta->table[at].id != id)
        at = (at + 1) & (delta->table_size - 1);
    return &delta->table[at];
}

bool delta_has(const struct delta *delta, int64_t id)
{
    return delta->count > 0 && find(delta, id)->id != 0;
}

static int table_grow(struct delta *delta, struct err *err)
{
    struct delta old  = *delta;
    size_t       size = old.table_size ? old.table_size * 2 : 256;
    delta->table      = mem_zeroed(size, sizeof(*delta->table));
    if (!delta->table) {
        delta->table = old.table;
        return err_set(err, ERR_NOMEM, "cannot extend the vector index: out of memory");
    }
    delta->table_size = size;
    for (size_t i = 0; i < old.table_size; i++)
        if (old.table[i].id != 0)
            *find(delta, old.table[i].id) = old.table[i];
    free(old.table);
    return 0;
}

static int slots_grow(struct delta *delta, struct err *err)
{
    size_t   cap = delta->cap ? delta->cap * 2 : 64, bytes;
    int64_t *ids = mem_regrow(delta->ids, cap, sizeof(*ids));
    if (ids)
        delta->ids = ids;
    uint16_t *vectors = NULL;
    if (ids && size_mul(cap, (size_t)delta->dim * 2, &bytes))
        vectors = mem_regrow(delta->vectors, bytes, 1);
    if (!vectors)
        return err_set(err, ERR_NOMEM, "cannot extend the vector index: out of memory");
    delta->vectors = vectors;
    delta->cap     = cap;
    return 0;
}

/* The last slot moves into the hole. */
static void slot_drop(struct delta *delta, int64_t slot)
{
    size_t dim = (size_t)delta->dim, last = --delta->live;
    if ((size_t)slot == last)
        return;
    delta->ids[slot] = delta->ids[last];
    memcpy(delta->vectors + (size_t)slot * dim, delta->vectors + last * dim, dim * 2);
    find(delta, delta->ids[slot])->slot = slot;
}

int delta_put(struct delta *delta, int64_t id, const uint16_t *vector, struct err *err)
{
    int rc = 0;
    if (delta->count * 2 >= delta->table_size)
        rc = table_grow(delta, err);
    if (rc == 0 && vector && delta->live == delta->cap)
        rc = slots_grow(delta, err);
    if (rc)
        return rc;
    struct delta_entry *entry = find(delta, id);
    if (entry->id == 0) {
        *entry = (struct delta_entry){id, -1};
        delta->count++;
    }
    if (!vector) {
        if (entry->slot >= 0)
            slot_drop(delta, entry->slot);
        entry->slot = -1;
        return 0;
    }
    if (entry->slot < 0) {
        entry->slot             = (int64_t)delta->live++;
        delta->ids[entry->slot] = id;
    }
    memcpy(delta->vectors + (size_t)entry->slot * (size_t)delta->dim, vector,
           (size_t)delta->dim * 2);
    return 0;
}
