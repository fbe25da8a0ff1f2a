/* From the terms of a query to one vector.
 *
 * A query is a weighed sum of texts and pictures, wanted or not wanted:
 *
 *     q = normalise(sum_i weight_i * e_i),   e_i the L2-normalised embedding of term i,
 *
 * so that the score of a picture is its inner product with q. Where the terms
 * come from (the command line, a request) is not known here.
 */
#ifndef OSPREY_STORAGE_QUERY_H
#define OSPREY_STORAGE_QUERY_H

#include "base/err.h"
#include "model/encoder.h"

#include <stddef.h>
#include <stdint.h>

#define QUERY_MAX_TERMS       64
#define QUERY_MAX_WEIGHT      1e6
#define QUERY_MAX_IMAGE_BYTES ((size_t)1 << 30)

/* One term: exactly one of text, image and embedding is set. */
struct query_term {
    float          weight;    /* below zero: not wanted */
    const char    *text;      /* any bytes */
    const uint8_t *image;     /* a picture file's bytes (image_len) */
    size_t         image_len; /* bytes */
    const char    *name;      /* what messages call the picture, or NULL */
    const float   *embedding; /* (dim), L2-normalised: a term that is known already */
};

/* out: (dim), L2-normalised. Texts are encoded in one batch. ERR_USAGE when the
 * terms cancel each other out. */
int query_encode(const struct encoder *enc, struct encoder_scratch *scratch,
                 const struct query_term *terms, size_t n, float *out, struct err *err);

/* The sum alone: embeddings (n, dim), weights (n), out (dim), L2-normalised.
 * ERR_USAGE when it is (nearly) zero, beside the size of its parts. */
int query_combine(const float *embeddings, const float *weights, size_t n, int dim, float *out,
                  struct err *err);

#endif
