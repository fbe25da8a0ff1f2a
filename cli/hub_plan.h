/* Which files of a repository make a model that Osprey can load. Looks at names,
 * and at two small files once they are here; knows nothing of networks.
 */
#ifndef OSPREY_CLI_HUB_PLAN_H
#define OSPREY_CLI_HUB_PLAN_H

#include "cli/hub.h"

struct hub_plan {
    const struct hub_file **files; /* of the repository, small ones first; (n) */
    size_t                  n;
};

/* What is needed besides the weights. The message says what is missing, and what
 * to do about a repository without safetensors. name: for messages. */
int hub_plan_small(const struct hub_repo *repo, const char *name, struct hub_plan *plan,
                   struct err *err);
/* Adds the weights. dir: where the small files are now; that they describe a
 * model that can be loaded is checked. */
int hub_plan_weights(const struct hub_repo *repo, const char *name, const char *dir,
                     struct hub_plan *plan, struct err *err);

int64_t hub_plan_bytes(const struct hub_plan *plan);
void    hub_plan_release(struct hub_plan *plan);

#endif
