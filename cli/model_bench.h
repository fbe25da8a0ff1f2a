/* How fast a model's towers are here, with made-up input. */
#ifndef OSPREY_CLI_MODEL_BENCH_H
#define OSPREY_CLI_MODEL_BENCH_H

#include "base/err.h"
#include "cli/session.h"

#include <stddef.h>

struct model_bench {
    size_t batch, threads; /* 0: 16, every processor */
};

int model_bench(struct session *s, const struct model_bench *bench, struct err *err);

#endif
