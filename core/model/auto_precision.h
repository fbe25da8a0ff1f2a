/* What "--precision auto" means for a model on this processor: the fastest
 * precision whose embeddings agree with single precision's. Decided once from
 * fixed pictures, and kept beside the prepared weights.
 */
#ifndef OSPREY_MODEL_AUTO_PRECISION_H
#define OSPREY_MODEL_AUTO_PRECISION_H

#include "base/cpu.h"
#include "base/err.h"
#include "nn/precision.h"

#include <stddef.h>

#define AUTO_BF16_AGREES 0.9995f /* least cosine with the vectors of single precision */
#define AUTO_INT8_AGREES 0.998f

/* How a family lets its model be tried. */
struct auto_trial {
    void *ctx;
    int   n, dim; /* vectors that encode makes, and their numbers */
    /* Makes the model ready in a precision, in place of the one before. */
    int (*load)(void *ctx, enum precision precision, struct err *err);
    /* Fixed inputs to out: (n, dim), of length 1. */
    int (*encode)(void *ctx, float *out, struct err *err);
    /* The time, in seconds; NULL: the system's clock. */
    double (*now)(void *ctx);
};

/* files: those that the weights derive from. */
int auto_precision(const struct auto_trial *trial, const char *const *files, size_t n_files,
                   struct cpu cpu, enum precision *out, struct err *err);

#endif
