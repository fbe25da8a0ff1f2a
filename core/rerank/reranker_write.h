/* What was trained as the file of a re-ranker: of the kind "regions" (regions.h),
 * "mmca" (mmca.h), or "both" (both_family.c).
 */
#ifndef OSPREY_RERANK_RERANKER_WRITE_H
#define OSPREY_RERANK_RERANKER_WRITE_H

#include "base/err.h"
#include "learn/head_data.h"
#include "learn/heads.h"
#include "model/encoder.h"
#include "rerank/mmca_fit.h"
#include "rerank/regions.h"

struct reranker_parts {
    const struct encoder *base;  /* the model it is for, whose classes' names it takes */
    const struct heads   *heads; /* as trained, by cosine; NULL: there are no regions */
    struct head_inputs    inputs;
    struct regions_config regions;
    struct mmca_fit_f32  *net; /* NULL: there is no mmca */
    struct mmca_config    mmca;
    float                 share;  /* of both: of mmca's score beside the regions' */
    float                 weight; /* of the score beside the first stage's */
};

/* Replaces the file at path atomically. */
int reranker_write(const char *path, const struct reranker_parts *of, struct err *err);

#endif
