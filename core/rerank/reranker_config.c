/* What the configurations of all re-rankers have in common: see reranker_config.h. */
#include "rerank/reranker_config.h"

#include <string.h>

int reranker_config_model(const struct jnode *node, const char *name, const char *hash,
                          struct err *err)
{
    const char *own = "a model without a name", *own_hash;
    if (!jnode_get(node, RERANKER_MODEL_HASH))
        return 0;
    if (!jnode_to_str(jnode_get(node, RERANKER_MODEL_HASH), &own_hash))
        return err_set(err, ERR_FORMAT, "its \"" RERANKER_MODEL_HASH "\" is not a string");
    if (strcmp(own_hash, hash) == 0)
        return 0;
    (void)jnode_to_str(jnode_get(node, RERANKER_MODEL), &own);
    return err_set(err, ERR_FORMAT,
                   "it was trained for the model %.100s (%.16s), not for %s (%.16s): `osprey train "
                   "reranker` makes one for that",
                   own, own_hash, name, hash);
}

int reranker_config_size(const struct jnode *node, const char *key, int low, int high, int *out,
                         struct err *err)
{
    int64_t value;
    if (!jnode_to_int(jnode_get(node, key), &value) || value < low || value > high)
        return err_set(err, ERR_FORMAT, "its \"%s\" is not a whole number from %d to %d", key, low,
                       high);
    *out = (int)value;
    return 0;
}

int reranker_config_weight(const struct jnode *node, float *out, struct err *err)
{
    double weight;
    if (!jnode_to_double(jnode_get(node, "weight"), &weight) || !(weight >= 0 && weight <= 1e6))
        return err_set(err, ERR_FORMAT, "its \"weight\" is not a number from 0 to 1e6");
    *out = (float)weight;
    return 0;
}
