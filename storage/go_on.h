/* How long work asks whether it shall go on, and tells how much is done: part of a caller's
 * options. What is all zero, or NULL, is never asked.
 */
#ifndef OSPREY_STORAGE_GO_ON_H
#define OSPREY_STORAGE_GO_ON_H

#include "base/err.h"

struct go_on {
    /* done: 0 to 1, roughly. Not 0: stop and fail with it. By one thread at a time. */
    int (*ask)(void *ctx, double done, struct err *err);
    void  *ctx;
    double from, span; /* of the whole that this part is; span 0: all of it */
};

static inline int go_on_ask(const struct go_on *g, double done, struct err *err)
{
    if (!g || !g->ask)
        return 0;
    return g->ask(g->ctx, g->from + (g->span > 0 ? g->span : 1) * done, err);
}

/* The part of g that lies between two shares of it. */
static inline struct go_on go_on_part(const struct go_on *g, double from, double to)
{
    double span = g->span > 0 ? g->span : 1;
    return (struct go_on){g->ask, g->ctx, g->from + span * from, span * (to - from)};
}

#endif
