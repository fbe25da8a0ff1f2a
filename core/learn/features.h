/* What a model's towers see of a data set, computed once and kept.
 *
 * With the towers locked a picture gives the same features in every epoch, so
 * they are computed with all cores, a few views of each picture (learn/augment.h),
 * and kept in half precision in $XDG_CACHE_HOME/osprey/features. They are kept in
 * shards of some hundred items: what was interrupted goes on from the last whole
 * shard, and what was added to the end of a data set is all that is computed.
 *
 * A shard is a safetensors file, written aside and renamed; its key covers the
 * model, its precision, the views, and each picture's path, size and time (each
 * text itself). One whose checksum is not that of its contents is made again. A
 * cache that cannot be written costs only time.
 */
#ifndef OSPREY_LEARN_FEATURES_H
#define OSPREY_LEARN_FEATURES_H

#include "base/err.h"
#include "learn/augment.h"
#include "model/encoder.h"
#include "model/encoder_features.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEATURES_MAX_VIEWS 64

struct features; /* read-only once made, shared by threads */

/* What the caller hears while features are computed. */
struct features_listener {
    void *ctx;
    /* Now and then, from the calling thread: items done of total, and how many of
     * them had to be computed. */
    void (*progress)(void *ctx, size_t done, size_t total, size_t computed);
    /* A picture that cannot be used, in the order of the data set. */
    void (*broken)(void *ctx, const char *path, const char *why);
};

struct features_plan {
    int                             threads;
    int                             views;    /* of each picture, the first as it is, the second
                                                 mirrored, the others random crops; at least 1 */
    bool                            parts;    /* views are random crops, all of them */
    struct augment                  augment;  /* of the crops */
    uint64_t                        seed;     /* of the crops */
    const char                     *cache;    /* a folder; NULL: the default one; "": none */
    const struct features_listener *listener; /* or NULL */
    const volatile sig_atomic_t    *stop;     /* set by a signal: ERR_CANCELLED; or NULL */
};

/* One row for each view of a picture: pooled features, what earlier stages saw, the
 * classifier's logits (encoder_feature_sizes). Pictures that cannot be read are
 * counted, not an error. */
int  features_of_images(const struct encoder *enc, const struct features_plan *plan,
                        char *const *paths, size_t n, struct features **out, struct err *err);
/* One row for each text: the pooled state, the words' mean before the first layer.
 * views is taken as 1. */
int  features_of_texts(const struct encoder *enc, const struct features_plan *plan,
                       char *const *texts, size_t n, struct features **out, struct err *err);
void features_free(struct features *f); /* NULL-safe */

size_t          features_count(const struct features *f);
int             features_views(const struct features *f);
int             features_width(const struct features *f); /* numbers in a row */
size_t          features_broken(const struct features *f);
bool            features_usable(const struct features *f, size_t i);
/* Row of item i, in half precision; all zeros for what is not usable. */
const uint16_t *features_row(const struct features *f, size_t i, int view);

#endif
