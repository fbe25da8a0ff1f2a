/* Reading the object under "reranker" in a re-ranker's metadata: what all kinds have
 * in common. Messages name the key; what is out of range is ERR_FORMAT.
 *
 *     "type", "weight"
 *     "model", "model_hash"   of what it was trained for: encoder_info's name and hash.
 *                             The hash decides; without it sizes have to.
 */
#ifndef OSPREY_RERANK_RERANKER_CONFIG_H
#define OSPREY_RERANK_RERANKER_CONFIG_H

#include "base/err.h"
#include "base/json.h"

#define RERANKER_MODEL      "model"
#define RERANKER_MODEL_HASH "model_hash"

/* Refuses what was trained for another model: it would fit in size and rank by chance. */
int reranker_config_model(const struct jnode *node, const char *name, const char *hash,
                          struct err *err);
int reranker_config_size(const struct jnode *node, const char *key, int low, int high, int *out,
                         struct err *err);
/* Of the score beside the first stage's. */
int reranker_config_weight(const struct jnode *node, float *out, struct err *err);

#endif
