/* Where models are: names to folders.
 *
 * A name that contains a slash is a folder; where there is no such folder, it is
 * the name of a fetched model ("openai/clip-vit-base-patch32", model_id.h). Names
 * are looked up in ../models and ../share/osprey/models relative to the running
 * program, then in $OSPREY_MODELS (folders separated by colons), then in
 * $XDG_DATA_HOME/osprey/models, where `osprey model get` puts what it fetched;
 * never in the current folder.
 */
#ifndef OSPREY_MODEL_MODELS_H
#define OSPREY_MODEL_MODELS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define MODELS_DEFAULT  "osprey-small"
#define MODELS_ZEROSHOT "osprey-small-zeroshot" /* what the default was before it had learned */

/* The absolute folder of a model; freed by the caller. The message lists where
 * it was looked for. NULL stands for the default model. */
int models_find(const char *name, char **dir, struct err *err);

struct models_entry {
    char *name; /* as models_find takes it: "osprey-small", "openai/clip-vit-base-patch32" */
    char *dir;
};
/* All folders that hold a model's configuration, sorted by name, first found wins. */
int  models_list(struct models_entry **out, size_t *n, struct err *err);
void models_list_free(struct models_entry *entries, size_t n);

/* Whether a folder holds a model's configuration. */
bool models_is_model(const char *dir);

/* $XDG_DATA_HOME/osprey/models, else ~/.local/share/osprey/models; freed by the
 * caller. */
int models_fetched_dir(char **dir, struct err *err);

/* ---- The default model (models_default.c) ---- */

/* The name or absolute folder that $XDG_CONFIG_HOME/osprey/default-model holds,
 * else MODELS_DEFAULT; freed by the caller. */
int models_default(char **name, struct err *err);
/* Sets it; MODELS_DEFAULT removes the file. */
int models_set_default(const char *name, struct err *err);

#endif
