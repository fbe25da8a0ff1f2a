/* Embeddings as other programs write them in JSON. */
#ifndef OSPREY_SEARCHD_VECTORS_H
#define OSPREY_SEARCHD_VECTORS_H

#include "base/err.h"
#include "base/json.h"

#include <stddef.h>

/* An array of numbers; NULL when out of memory. */
struct jnode *vector_to_array(const float *v, size_t dim);
/* "[0.1,0.2]"; freed by the caller, NULL when out of memory. */
char         *vector_to_text(const float *v, size_t dim);
/* Little-endian floats in base64; freed by the caller. */
char         *vector_to_base64(const float *v, size_t dim);
/* An array of at most max numbers; ERR_USAGE for anything else. Normalised. */
int vector_from_array(const struct jnode *node, size_t max, float *v, size_t *dim, struct err *err);

#endif
