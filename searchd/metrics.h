/* What the daemon counts, as Prometheus reads it (text format 0.0.4). Every thread
 * may count; nothing locks. */
#ifndef OSPREY_SEARCHD_METRICS_H
#define OSPREY_SEARCHD_METRICS_H

#include "base/buf.h"

#include <stdint.h>

enum metrics_stage {
    STAGE_ENCODE,
    STAGE_SEARCH,
    STAGE_CATALOGUE,
    STAGE_RERANK,
    STAGE_DECODE,
    STAGE_REQUEST, /* from its arrival to its reply */
    N_STAGES
};

struct metrics;

int  metrics_new(struct metrics **out, struct err *err);
void metrics_free(struct metrics *m); /* NULL-safe */

void metrics_observe(struct metrics *m, enum metrics_stage stage, double ms);
/* A reply: route is one of the names given to metrics_new's table (static). */
void metrics_reply(struct metrics *m, const char *route, int status);
void metrics_cache(struct metrics *m, int64_t hits, int64_t misses);
/* A batch of so many texts was encoded in one go. */
void metrics_batch(struct metrics *m, int texts);

/* What is read off elsewhere when the page is made. */
struct metrics_gauges {
    int64_t connections, in_flight, queued, cached;
    double  uptime_s;
};
struct metrics_library {
    const char *name;
    int64_t     images, errors, generation;
};
int metrics_write(struct metrics *m, const struct metrics_gauges *gauges,
                  const struct metrics_library *libraries, size_t n_libraries, struct buf *out,
                  struct err *err);

#endif
