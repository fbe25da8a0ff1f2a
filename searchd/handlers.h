/* The answers of searchd's routes, as JSON. Each fills *out or the error;
 * ERR_NOTFOUND means that the id is unknown. */
#ifndef OSPREY_SEARCHD_HANDLERS_H
#define OSPREY_SEARCHD_HANDLERS_H

#include "base/json.h"
#include "searchd/routes.h"

#include <stdint.h>

int handle_stats(struct service *service, struct jnode **out, struct err *err);
int handle_search(struct service *service, const char *text, size_t k, struct jnode **out,
                  struct err *err);
int handle_similar(struct service *service, int64_t id, size_t k, struct jnode **out,
                   struct err *err);
int handle_image(struct service *service, int64_t id, struct jnode **out, struct err *err);

#endif
