/* The one door to re-rankers: models that look at a picture and a text together
 * and say how well they fit, too slow for all pictures, worth it for the first
 * few that a search found.
 *
 * A re-ranker belongs to a model (encoder.h), whose towers see for it, and lies in
 * the model's folder or in one of its own, as reranker.safetensors. It works in
 * two steps. What it needs of a picture ("kept": a number of bytes that only it
 * understands) does not depend on the text and may be kept with a library; a text
 * is made ready once and then scored against any number of pictures.
 *
 * Only the family behind it (reranker_family.h) knows what is kept and how a score
 * comes about.
 */
#ifndef OSPREY_RERANK_RERANK_H
#define OSPREY_RERANK_RERANK_H

#include "base/err.h"
#include "model/encoder.h"

#include <stddef.h>
#include <stdint.h>

#define RERANKER_FILE "reranker.safetensors"

struct reranker; /* read-only after opening, shared by threads */

struct reranker_info {
    const char *type;       /* "regions", "mmca", "both" */
    const char *path;       /* of its file */
    const char *hash;       /* 32 hex digits over it: what is kept belongs to this */
    size_t      kept_bytes; /* of a picture */
    int64_t     parameters;
    float       weight; /* first-stage score + weight * score is what orders best */
};

/* Opens the re-ranker in a folder (or a file); dir NULL: the encoder's own folder.
 * ERR_NOTFOUND when there is none, ERR_FORMAT when it is another model's: says so by
 * the hash of the model that it was trained for, or where it does not say, is of other
 * sizes. enc must outlive it. */
int  reranker_open(const char *dir, const struct encoder *enc, struct reranker **out,
                   struct err *err);
void reranker_close(struct reranker *r); /* NULL-safe */

const struct reranker_info *reranker_info(const struct reranker *r);

/* pixels: (n, image_size, image_size, 3), as for encoder_images. kept: (n,
 * kept_bytes). embedding: (n, dim) from the same pass, or NULL. scratch: of enc. */
int reranker_pictures(const struct reranker *r, struct encoder_scratch *scratch,
                      const uint8_t *pixels, int n, float *embedding, uint8_t *kept,
                      struct err *err);

struct reranker_query;
int  reranker_query_new(const struct reranker *r, struct encoder_scratch *scratch, const char *text,
                        struct reranker_query **out, struct err *err);
void reranker_query_free(struct reranker_query *q); /* NULL-safe */

/* kept: n pictures, kept_bytes each. scores: (n), higher fits better. On up to
 * threads OpenMP threads. */
int reranker_score(const struct reranker *r, const struct reranker_query *q,
                   const uint8_t *const *kept, int n, int threads, float *scores, struct err *err);

#endif
