/* Copies that other programs keep in Hugging Face's cache folder: found, checked,
 * linked to. Never written.
 */
#ifndef OSPREY_CLI_HUB_CACHE_H
#define OSPREY_CLI_HUB_CACHE_H

#include "cli/hub.h"

/* Looks for a whole snapshot of the model and fills the folder stage with links
 * to its files. ERR_NOTFOUND where there is none; the message says why one that is
 * there could not be used. snapshot: its path, freed by the caller. */
int hub_cache_link(const struct model_id *id, const volatile sig_atomic_t *stop, const char *stage,
                   struct hub_repo *repo, char **snapshot, struct err *err);

#endif
