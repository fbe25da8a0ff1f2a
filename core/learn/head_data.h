/* The numbers that heads are fitted on: what goes into a head, for each view of
 * each picture and for each text, from the towers' features.
 *
 * Pictures that could not be read are left out here, so that nothing after this
 * meets them. Rows are kept in half precision, which halves the memory and is
 * finer than what dropout leaves of them.
 */
#ifndef OSPREY_LEARN_HEAD_DATA_H
#define OSPREY_LEARN_HEAD_DATA_H

#include "base/err.h"
#include "base/hash.h"
#include "learn/examples.h"
#include "learn/features.h"

#include <stdint.h>

/* What inputs are made of, end to end, in this order; model/head.h has their names. */
struct head_inputs {
    bool root;    /* of pictures: square roots of the pooled features, instead of these */
    bool stages;  /* of pictures: what the tower's earlier stages saw */
    bool classes; /* of pictures: what the likeliest classes' names mean: norm(p W) */
    bool first;   /* of texts, behind the pooled state: the words' mean before any layer */
};

/* All that the model has to give. */
struct head_inputs head_inputs_of(const struct encoder *enc);

struct head_data {
    size_t    n_images, n_texts, n_groups;
    int       views, image_dim, text_dim;
    int       whole;      /* of the views, the first ones: those that a caption still fits */
    int       classes_at; /* where the class part begins in an image's row, or -1 */
    uint16_t *images;     /* (n_images, views, image_dim) half precision */
    uint16_t *texts;      /* (n_texts, text_dim) half precision */
    int       n_classes, phrasings; /* of the image tower's classifier; 0: not named */
    uint16_t *logits;      /* (n_images, n_classes) of the first view, half precision, or NULL */
    uint16_t *class_texts; /* (n_classes, phrasings, text_dim) half precision, or NULL */
    int      *example;     /* (n_images) which of the examples it is */
    int      *group;       /* (n_images) below n_groups */
    int      *first_text;  /* (n_images + 1), as in struct examples */
    int      *text_of;     /* (first_text[n_images]) */
};

/* What rows are made of; texts, parts and classes may be NULL where there are none. */
struct head_sources {
    const struct examples *examples;
    const struct features *images, *texts;
    const struct features *parts;   /* more views of the pictures, which show little of them */
    const struct features *classes; /* (classes * phrasings) names of the classifier's classes */
    int                    phrasings;
    struct head_inputs     inputs;
};

/* threads: to compute with. */
int  head_data_make(const struct encoder *enc, const struct head_sources *from, int threads,
                    struct head_data *out, struct err *err);
void head_data_release(struct head_data *data); /* NULL-safe */

/* Column means of the first view's rows of some pictures, and 1 / their standard
 * deviation. mean, scale: (image_dim); and (text_dim) of their texts. At most
 * ROWS_TO_STANDARDISE rows are looked at. */
#define ROWS_TO_STANDARDISE 20000
int head_data_standardise_images(const struct head_data *data, const int *images, size_t n,
                                 float *mean, float *scale, struct err *err);
int head_data_standardise_texts(const struct head_data *data, const int *images, size_t n,
                                float *mean, float *scale, struct err *err);

/* Over everything: what a checkpoint must have been made from to go on. */
void head_data_hash(const struct head_data *data, uint8_t out[HASH_BYTES]);

static inline const uint16_t *head_data_image(const struct head_data *d, int i, int view)
{
    return d->images + ((size_t)i * (size_t)d->views + (size_t)view) * (size_t)d->image_dim;
}

static inline const uint16_t *head_data_text(const struct head_data *d, int i)
{
    return d->texts + (size_t)i * (size_t)d->text_dim;
}

static inline int head_data_texts_of(const struct head_data *d, int image)
{
    return d->first_text[image + 1] - d->first_text[image];
}

#endif
