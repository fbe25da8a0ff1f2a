/* The desk where requests have texts and pictures encoded by one model.
 *
 * Each model has two lanes, for texts and for pictures, so that a word never waits
 * behind a picture. A lane has a few threads; each takes all that waits, up to a
 * small batch, and encodes it in one go: alone, a text goes at once, on all cores;
 * under load, the weights are read once for many, and each batch has a core. Embeddings of texts
 * are kept (embed_cache.h).
 */
#ifndef OSPREY_SEARCHD_DESK_H
#define OSPREY_SEARCHD_DESK_H

#include "base/err.h"
#include "model/encoder.h"
#include "rerank/rerank.h"
#include "searchd/embed_cache.h"
#include "searchd/metrics.h"

struct desk;

/* Takes the encoder over, also on failure. The caller holds one share. metrics may
 * be NULL. */
int  desk_open(struct encoder *enc, size_t cache, struct metrics *metrics, struct desk **out,
               struct err *err);
/* Shares: the last one to go closes it. */
void desk_share(struct desk *desk);
void desk_release(struct desk *desk); /* NULL-safe */

const struct encoder *desk_encoder(const struct desk *desk);
size_t                desk_cached(const struct desk *desk);
/* The model's own re-ranker, opened when first asked for; it stays the desk's. ERR_USAGE
 * when the model has none. */
int  desk_reranker(struct desk *desk, const struct reranker **out, struct err *err);
/* Whether it has one, as far as can be told without opening it. */
bool desk_has_reranker(const struct desk *desk);

/* out: (n, dim). Waits at most until deadline_ms on the monotonic clock for its
 * turn: ERR_BUSY. */
int desk_texts(struct desk *desk, const char *const *texts, int n, double deadline_ms, float *out,
               struct err *err);
/* pixels: (image_size, image_size, 3) of one picture. out: (dim). */
int desk_pixels(struct desk *desk, const uint8_t *pixels, double deadline_ms, float *out,
                struct err *err);

#endif
