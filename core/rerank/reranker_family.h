/* What stands behind rerank.h: one kind of re-rankers a file. Only those and
 * rerank.c include this.
 */
#ifndef OSPREY_RERANK_RERANKER_FAMILY_H
#define OSPREY_RERANK_RERANKER_FAMILY_H

#include "base/json.h"
#include "model/prepared.h"
#include "model/safetensors.h"
#include "rerank/rerank.h"

struct reranker_family {
    const char *type; /* config's */

    /* Builds or maps the re-ranker, whichever p is up to; st and p outlive it.
     * Fills kept_bytes, parameters and weight of info. */
    int (*open)(const struct safetensors *st, const struct jnode *config, const struct encoder *enc,
                struct prepared *p, struct reranker_info *info, void **out, struct err *err);
    void (*close)(void *model); /* NULL-safe */

    /* As in rerank.h; n >= 1. */
    int (*pictures)(const void *model, const struct encoder *enc, struct encoder_scratch *scratch,
                    const uint8_t *pixels, int n, float *embedding, uint8_t *kept, struct err *err);
    int (*query_new)(const void *model, const struct encoder *enc, struct encoder_scratch *scratch,
                     const char *text, void **out, struct err *err);
    void (*query_free)(void *query); /* NULL-safe */
    int (*score)(const void *model, const void *query, const uint8_t *const *kept, int n,
                 int threads, float *scores, struct err *err);
};

extern const struct reranker_family mmca_family;
extern const struct reranker_family regions_family;
extern const struct reranker_family both_family;

#endif
