/* What mmca.c and mmca_load.c share, and nobody else. */
#ifndef OSPREY_RERANK_MMCA_MODEL_H
#define OSPREY_RERANK_MMCA_MODEL_H

#include "rerank/mmca_net.h"

#include <stdint.h>

struct mmca {
    struct mmca_net net;
    int64_t         parameters;
};

#endif
