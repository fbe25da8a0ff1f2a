/* What a re-ranker of the MMCA form learns from: the regions of pictures and the words
 * of texts, as the towers show them, and which pictures are easily mistaken for one
 * another.
 *
 * Regions are kept in 8 bits (rows8.h), as they come (with roots taken) and mirrored:
 * 126 kB a picture of osprey-small. Words are kept in half precision. All is computed
 * anew in each run; it takes about as long as indexing the pictures twice.
 */
#ifndef OSPREY_RERANK_MMCA_DATA_H
#define OSPREY_RERANK_MMCA_DATA_H

#include "base/err.h"
#include "base/hash.h"
#include "model/encoder.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#define MMCA_DATA_VIEWS 2
#define MMCA_DATA_NEAR  30 /* neighbours of a picture */
#define MMCA_DATA_WORDS 64 /* of a text, at most */

struct mmca_sources {
    size_t             n_images, n_texts;
    const char *const *paths; /* (n_images) of pictures that can be read */
    const char *const *texts; /* (n_texts) */
    const int         *first; /* (n_images + 1) picture i has the texts from first[i] on, one at
                                 least */
    const int         *group; /* (n_images) equal for pictures whose texts suit each other */
};

struct mmca_data {
    size_t    n;                   /* pictures */
    int       cells, region, word; /* sizes */
    uint8_t  *regions;             /* (n, MMCA_DATA_VIEWS) as rows8 of (cells, region) */
    uint16_t *words;               /* (starts[texts], word) half precision */
    int      *starts;              /* (texts + 1) */
    int      *first;               /* (n + 1), as in the sources */
    int      *group;               /* (n) */
    int      *near;                /* (n, n_near) pictures that a picture's texts find first */
    int       n_near;
};

struct mmca_data_listener {
    void *ctx;
    void (*progress)(void *ctx, size_t done, size_t total, size_t computed);
};

/* ERR_CANCELLED when *stop is set. */
int  mmca_data_make(const struct encoder *enc, const struct mmca_sources *from, int threads,
                    const struct mmca_data_listener *listener, const volatile sig_atomic_t *stop,
                    struct mmca_data *out, struct err *err);
void mmca_data_release(struct mmca_data *data); /* NULL-safe */

/* Over everything: what a checkpoint must have been made from to go on. */
void mmca_data_hash(const struct mmca_data *data, uint8_t out[HASH_BYTES]);

/* A view's regions: (cells, region). */
void mmca_data_regions(const struct mmca_data *data, int picture, int view, float *out);

#endif
