/* Trained heads as a re-ranker of the kind "regions" (regions.h): the file. */
#ifndef OSPREY_RERANK_REGIONS_WRITE_H
#define OSPREY_RERANK_REGIONS_WRITE_H

#include "base/err.h"
#include "learn/head_data.h"
#include "learn/heads.h"
#include "model/encoder.h"
#include "rerank/regions.h"

struct regions_heads {
    const struct encoder *base;  /* whose towers the heads are for, and whose classes' names */
    const struct heads   *heads; /* as trained, by cosine */
    struct head_inputs    inputs;
    struct regions_config config;
};

/* Replaces the file at path atomically. */
int regions_write(const char *path, const struct regions_heads *of, struct err *err);

#endif
