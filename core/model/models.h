/* Where models are: names to folders.
 *
 * A name that contains a slash is a folder. Other names are looked up in
 * ../models and ../share/osprey/models relative to the running program, then in
 * $OSPREY_MODELS (folders separated by colons); never in the current folder.
 */
#ifndef OSPREY_MODEL_MODELS_H
#define OSPREY_MODEL_MODELS_H

#include "base/err.h"

#include <stddef.h>

#define MODELS_DEFAULT "osprey-small"

/* The absolute folder of a model; freed by the caller. The message lists where
 * it was looked for. */
int models_find(const char *name, char **dir, struct err *err);

struct models_entry {
    char *name;
    char *dir;
};
/* All folders with a config.json, sorted by name, first found wins. */
int  models_list(struct models_entry **out, size_t *n, struct err *err);
void models_list_free(struct models_entry *entries, size_t n);

#endif
