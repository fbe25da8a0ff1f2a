/* NumPy's array files, format version 1.0 (numpy.lib.format), writing alone. */
#ifndef OSPREY_CLI_NPY_H
#define OSPREY_CLI_NPY_H

#include "base/err.h"

#include <stddef.h>

/* Replaces path by a one-dimensional float32 array, atomically. */
int npy_write(const char *path, const float *values, size_t n, struct err *err);

#endif
