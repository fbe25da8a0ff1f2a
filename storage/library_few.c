/* The embeddings of the few images that a filter let pass, kept while the same few are
 * asked again: a person narrows the library once and looks for many things in it. They are
 * taken in with the second question, so that a first one costs no more than reading them.
 */
#include "storage/library_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX ((size_t)4 << 20) /* bytes of embeddings; of more none are kept */

void library_few_release(struct library_few *few)
{
    free(few->ids);
    free(few->owners);
    free(few->vectors);
    *few = (struct library_few){0};
}

/* Remembers who was asked for; without memory, nobody. */
static void remember(struct library *lib, const int64_t *ids, size_t n)
{
    struct library_few *few = &lib->few;
    library_few_release(few);
    few->ids = mem_array(n, sizeof *few->ids);
    if (!few->ids)
        return;
    memcpy(few->ids, ids, n * sizeof *ids);
    few->n     = n;
    few->seq   = lib->seq;
    few->stamp = lib->stamp;
}

static bool remembered(const struct library *lib, const int64_t *ids, size_t n)
{
    const struct library_few *few = &lib->few;
    return few->n == n && few->seq == lib->seq && few->stamp == lib->stamp &&
           memcmp(few->ids, ids, n * sizeof *ids) == 0;
}

static void keep(void *ctx, int64_t id, const uint16_t *vector)
{
    struct library     *lib = ctx;
    struct library_few *few = &lib->few;
    size_t              dim = (size_t)lib->model.dim;
    memcpy(few->vectors + few->held * dim, vector, dim * sizeof *vector);
    few->owners[few->held++] = id;
}

/* Takes in those that were asked for, where there is memory. */
static int fill(struct library *lib, struct err *err)
{
    struct library_few *few = &lib->few;
    few->owners             = mem_array(few->n, sizeof *few->owners);
    few->vectors            = mem_array(few->n * (size_t)lib->model.dim, sizeof *few->vectors);
    if (!few->owners || !few->vectors) {
        library_few_release(few);
        return 0;
    }
    int rc = catalog_embeddings_read(lib->cat, lib->model.id, few->ids, few->n, lib->model.dim,
                                     keep, lib, err);
    if (rc)
        library_few_release(few);
    return rc;
}

int library_few_read(struct library *lib, const int64_t *ids, size_t n,
                     void (*take)(void *ctx, int64_t id, const uint16_t *vector), void *ctx,
                     struct err *err)
{
    struct library_few *few = &lib->few;
    size_t              dim = (size_t)lib->model.dim;
    if (n > 0 && n <= KEPT_MAX / (dim * sizeof *few->vectors)) {
        bool again = remembered(lib, ids, n);
        int  rc    = again && !few->vectors ? fill(lib, err) : 0;
        if (rc)
            return rc;
        for (size_t i = 0; again && i < few->held; i++)
            take(ctx, few->owners[i], few->vectors + i * dim);
        if (again && few->vectors)
            return 0;
        if (!again)
            remember(lib, ids, n);
    }
    return catalog_embeddings_read(lib->cat, lib->model.id, ids, n, lib->model.dim, take, ctx, err);
}
