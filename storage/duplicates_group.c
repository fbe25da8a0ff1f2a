/* Complete linkage: see duplicates_group.h.
 *
 * A group is a ring through next[]; two rings are joined by exchanging two links. Pairs
 * between two groups are looked up among the edges and, where there is none, asked for
 * once they matter: candidates are few, and groups small.
 */
#include "storage/duplicates_group.h"

#include "base/mem.h"

#include <stdlib.h>

struct grouping {
    struct duplicate_edge *by_nodes; /* (n_edges) sorted by a and b */
    size_t                 n_edges;
    uint32_t              *group, *next, *size; /* (n); size at the group's least node */
    duplicate_alike        alike;
    void                  *ctx;
};

static int by_nearness(const void *a, const void *b)
{
    const struct duplicate_edge *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static int by_nodes(const void *a, const void *b)
{
    const struct duplicate_edge *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static int resemble(const struct grouping *g, uint32_t a, uint32_t b, struct err *err)
{
    struct duplicate_edge wanted = {.a = a < b ? a : b, .b = a < b ? b : a};
    if (bsearch(&wanted, g->by_nodes, g->n_edges, sizeof wanted, by_nodes))
        return 1;
    return g->alike(g->ctx, wanted.a, wanted.b, err);
}

/* Whether all of one group resemble all of the other. */
static int all_resemble(const struct grouping *g, uint32_t one, uint32_t other, struct err *err)
{
    uint32_t i = one;
    do {
        uint32_t j = other;
        do {
            int yes = resemble(g, i, j, err);
            if (yes <= 0)
                return yes;
            j = g->next[j];
        } while (j != other);
        i = g->next[i];
    } while (i != one);
    return 1;
}

static void join(struct grouping *g, uint32_t one, uint32_t other)
{
    uint32_t least = one < other ? one : other, at = one, link;
    g->size[least] = g->size[one] + g->size[other];
    link           = g->next[one];
    g->next[one]   = g->next[other];
    g->next[other] = link;
    do {
        g->group[at] = least;
        at           = g->next[at];
    } while (at != one);
}

int duplicates_group(struct duplicate_edge *edges, size_t n_edges, size_t n, size_t most,
                     duplicate_alike alike, void *ctx, uint32_t *groups, struct err *err)
{
    struct grouping g  = {.n_edges = n_edges, .group = groups, .alike = alike, .ctx = ctx};
    int             rc = 0;
    g.by_nodes         = mem_array(n_edges + 1, sizeof *g.by_nodes);
    g.next             = mem_array(n + 1, sizeof *g.next);
    g.size             = mem_array(n + 1, sizeof *g.size);
    if (!g.by_nodes || !g.next || !g.size)
        rc = err_set(err, ERR_NOMEM, "out of memory for groups of %zu pictures", n);
    for (size_t i = 0; i < n && !rc; i++) {
        groups[i] = g.next[i] = (uint32_t)i;
        g.size[i]             = 1;
    }
    for (size_t i = 0; i < n_edges && !rc; i++)
        g.by_nodes[i] = edges[i];
    if (!rc && n_edges) {
        qsort(g.by_nodes, n_edges, sizeof *edges, by_nodes);
        qsort(edges, n_edges, sizeof *edges, by_nearness);
    }
    for (size_t i = 0; i < n_edges && !rc; i++) {
        uint32_t one = groups[edges[i].a], other = groups[edges[i].b];
        if (one == other || g.size[one] + g.size[other] > most)
            continue;
        int yes = all_resemble(&g, one, other, err);
        if (yes > 0)
            join(&g, one, other);
        rc = yes < 0 ? yes : 0;
    }
    free(g.by_nodes);
    free(g.next);
    free(g.size);
    return rc;
}
