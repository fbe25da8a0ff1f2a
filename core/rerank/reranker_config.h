/* Reading the object under "reranker" in a re-ranker's metadata: what all kinds have
 * in common. Messages name the key; what is out of range is ERR_FORMAT.
 */
#ifndef OSPREY_RERANK_RERANKER_CONFIG_H
#define OSPREY_RERANK_RERANKER_CONFIG_H

#include "base/err.h"
#include "base/json.h"

int reranker_config_size(const struct jnode *node, const char *key, int low, int high, int *out,
                         struct err *err);
/* Of the score beside the first stage's. */
int reranker_config_weight(const struct jnode *node, float *out, struct err *err);

#endif
