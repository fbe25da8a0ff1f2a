/* Tensors of a safetensors file, mapped, never copied.
 *
 * Format: 8 bytes little-endian header length, a JSON header {name: {dtype,
 * shape, data_offsets}}, then the data. Every offset, shape and size is checked
 * against the file before anything is believed; nothing in a file can make the
 * reader look outside the mapping.
 */
#ifndef OSPREY_MODEL_SAFETENSORS_H
#define OSPREY_MODEL_SAFETENSORS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I64, DTYPE_I32, DTYPE_U8, DTYPE_OTHER };

#define TENSOR_MAX_DIMS 8

struct tensor {
    const char *name;
    enum dtype  dtype;
    int         n_dims;
    int64_t     dims[TENSOR_MAX_DIMS];
    int64_t     elements;
    const void *data; /* in the mapping; aligned only as the file has it */
    size_t      bytes;
};

struct safetensors; /* one file, read-only, shared by threads */

int  safetensors_open(const char *path, struct safetensors **out, struct err *err);
void safetensors_close(struct safetensors *st); /* NULL-safe */

const char          *safetensors_path(const struct safetensors *st);
/* A string from the header's __metadata__, or NULL. */
const char          *safetensors_metadata(const struct safetensors *st, const char *key);
size_t               safetensors_count(const struct safetensors *st);
const struct tensor *safetensors_at(const struct safetensors *st, size_t i);
/* NULL when absent. */
const struct tensor *safetensors_find(const struct safetensors *st, const char *name);
/* Finds it and checks the shape; the message names file, tensor, what was
 * expected and what is there. n_dims 0 accepts any shape. */
int                  safetensors_require(const struct safetensors *st, const char *name, int n_dims,
                                         const int64_t *dims, const struct tensor **out, struct err *err);

/* Converts F32, F16 or BF16 to float: out has t->elements floats. */
int tensor_to_f32(const struct tensor *t, float *out, struct err *err);

/* Writing: a file whose tensors start at multiples of 64 bytes, replaced
 * atomically. metadata: n_metadata pairs key, value. */
int safetensors_write(const char *path, const struct tensor *tensors, size_t n,
                      const char *const *metadata, size_t n_metadata, struct err *err);

#endif
