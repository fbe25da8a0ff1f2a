/* NumPy's array files (numpy.lib.format): float32 out, float32 and float16 in. */
#ifndef OSPREY_CLI_NPY_H
#define OSPREY_CLI_NPY_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Replaces path by a one-dimensional float32 array, atomically. */
int npy_write(const char *path, const float *values, size_t n, struct err *err);

/* A two-dimensional float32 array that is written row by row, without knowing how many rows
 * there will be. The file appears when it is finished, whole. */
struct npy_writer;
int  npy_writer_open(const char *path, size_t dim, struct npy_writer **out, struct err *err);
int  npy_writer_row(struct npy_writer *w, const float *row /* (dim) */, struct err *err);
int  npy_writer_finish(struct npy_writer *w, struct err *err); /* replaces path */
void npy_writer_close(struct npy_writer *w); /* NULL-safe; what is not finished leaves nothing */

/* A two-dimensional array in C order, mapped. */
struct npy {
    struct file_map map;
    const uint8_t  *data; /* (rows, dim) */
    size_t          rows, dim;
    bool            half; /* float16, else float32 */
};
/* ERR_FORMAT says what is wrong with the file; other types of numbers are ERR_UNSUPPORTED. */
int  npy_open(const char *path, struct npy *out, struct err *err);
void npy_close(struct npy *npy);
/* out: (dim). */
void npy_row(const struct npy *npy, size_t row, float *out);

#endif
