/* A model folder's weights: one safetensors file, or several with an index,
 * behind one look-up.
 *
 * model.safetensors; model.safetensors.index.json ("weight_map": tensor to
 * file) with its shards; or open_clip_model.safetensors. Pickled checkpoints
 * (pytorch_model.bin) are never read: a message says how to convert them.
 */
#ifndef OSPREY_MODEL_CHECKPOINT_H
#define OSPREY_MODEL_CHECKPOINT_H

#include "base/err.h"
#include "model/safetensors.h"

#include <stddef.h>
#include <stdint.h>

struct checkpoint; /* read-only, shared by threads */

enum checkpoint_kind {
    CHECKPOINT_HUGGING_FACE, /* model.safetensors, whole or in shards */
    CHECKPOINT_OPEN_CLIP     /* open_clip_model.safetensors */
};

int  checkpoint_open(const char *dir, enum checkpoint_kind kind, struct checkpoint **out,
                     struct err *err);
void checkpoint_close(struct checkpoint *c); /* NULL-safe */

/* The files, in an order that depends on their names alone: for prepared_open. */
size_t      checkpoint_files(const struct checkpoint *c);
const char *checkpoint_file(const struct checkpoint *c, size_t i);

/* NULL when absent. */
const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name);
/* As safetensors_require: the message names file, tensor, expected and found shape. */
int                  checkpoint_require(const struct checkpoint *c, const char *name, int n_dims,
                                        const int64_t *dims, const struct tensor **out, struct err *err);
/* Converts a tensor of this checkpoint; the message names the file. */
int checkpoint_floats(const struct checkpoint *c, const struct tensor *t, float *out,
                      struct err *err);

#endif
