/* From the terms of a query to one vector (query.h).
 *
 * Sums are taken in double precision in the order of the terms, so that a query
 * equals the sum computed by hand from single embeddings to the last bits of a
 * float.
 */
#include "storage/query.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below this share of the weights' sum what is left of the terms is rounding. */
#define QUERY_CANCELLED 1e-5

int query_combine(const float *embeddings, const float *weights, size_t n, int dim, float *out,
                  struct err *err)
{
    double *sum = mem_zeroed((size_t)dim, sizeof *sum);
    if (!sum)
        return err_set(err, ERR_NOMEM, "out of memory for a query of %d numbers", dim);
    double parts = 0;
    for (size_t i = 0; i < n; i++) {
        const float *e = embeddings + i * (size_t)dim;
        for (int d = 0; d < dim; d++)
            sum[d] += (double)weights[i] * (double)e[d];
        parts += fabs((double)weights[i]);
    }
    double squares = 0;
    for (int d = 0; d < dim; d++)
        squares += sum[d] * sum[d];
    double norm = sqrt(squares);
    int    rc   = 0;
    if (!(norm > QUERY_CANCELLED * parts)) {
        rc = err_set(err, ERR_USAGE, "the terms of the query cancel each other out");
        goto out;
    }
    for (int d = 0; d < dim; d++)
        out[d] = (float)(sum[d] / norm);
out:
    free(sum);
    return rc;
}

/* Encodes all texts in one call, into their terms' rows of embeddings (n, dim). */
static int encode_texts(const struct encoder *enc, struct encoder_scratch *scratch,
                        const struct query_term *terms, size_t n, float *embeddings,
                        struct err *err)
{
    size_t      dim = (size_t)encoder_info(enc)->dim;
    const char *texts[QUERY_MAX_TERMS];
    size_t      row[QUERY_MAX_TERMS];
    int         n_texts = 0;
    for (size_t i = 0; i < n; i++) {
        if (terms[i].text) {
            texts[n_texts] = terms[i].text;
            row[n_texts++] = i;
        }
    }
    if (n_texts == 0)
        return 0;
    float *batch = mem_array((size_t)n_texts * dim, sizeof *batch);
    if (!batch)
        return err_set(err, ERR_NOMEM, "out of memory for %d texts", n_texts);
    int rc = encoder_texts(enc, scratch, texts, n_texts, batch, err);
    for (int i = 0; !rc && i < n_texts; i++)
        memcpy(embeddings + row[i] * dim, batch + (size_t)i * dim, dim * sizeof *batch);
    free(batch);
    return rc;
}

int query_encode(const struct encoder *enc, struct encoder_scratch *scratch,
                 const struct query_term *terms, size_t n, float *out, struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_USAGE, "a query needs at least one term");
    if (n > QUERY_MAX_TERMS)
        return err_set(err, ERR_USAGE, "a query has at most %d terms, not %zu", QUERY_MAX_TERMS, n);
    size_t dim        = (size_t)encoder_info(enc)->dim;
    float *embeddings = mem_array(n * dim, sizeof *embeddings);
    if (!embeddings)
        return err_set(err, ERR_NOMEM, "out of memory for %zu query terms", n);
    float weights[QUERY_MAX_TERMS];
    int   rc = encode_texts(enc, scratch, terms, n, embeddings, err);
    if (rc)
        goto out;
    for (size_t i = 0; i < n; i++) {
        const struct query_term *t   = &terms[i];
        float                   *row = embeddings + i * dim;
        weights[i]                   = t->weight;
        if (t->embedding) {
            memcpy(row, t->embedding, dim * sizeof *row);
        } else if (t->image) {
            rc = encoder_image_bytes(enc, scratch, t->image, t->image_len, row, err);
            if (rc) {
                err_prefix(err, "cannot search with %s", t->name ? t->name : "the picture");
                goto out;
            }
        } else if (!t->text) {
            rc = err_set(err, ERR_USAGE, "query term %zu is empty", i + 1);
            goto out;
        }
    }
    rc = query_combine(embeddings, weights, n, (int)dim, out, err);
out:
    free(embeddings);
    return rc;
}
