/* osprey model get: a checkpoint from a hub, or from the cache of another program. */
#ifndef OSPREY_CLI_MODEL_GET_H
#define OSPREY_CLI_MODEL_GET_H

#include "base/err.h"
#include "cli/options.h"

int model_get(const struct common *common, const char *name, struct err *err);

#endif
