/* What a model's towers see before the head: what heads and re-rankers learn
 * from. Not for searching: encoder.h yields the joint space.
 *
 * Features are the towers' alone: they do not depend on the head, and models
 * that share their towers have the same. Values are as the towers give them,
 * neither normalised nor standardised.
 */
#ifndef OSPREY_MODEL_ENCODER_FEATURES_H
#define OSPREY_MODEL_ENCODER_FEATURES_H

#include "base/err.h"
#include "model/encoder.h"

#include <stdint.h>

struct encoder_feature_sizes {
    int         image;   /* of the image tower's pooled features: 1280; of a CLIP its width */
    int         stages;  /* of what its earlier stages saw (efficientnet.h): 1024; 0: none */
    int         classes; /* of the image tower's classifier: 1000; 0 without one */
    int         grid;    /* regions along a side: 7; of a CLIP its patches */
    int         region;  /* numbers of a region: 1280 */
    int         text;    /* of the text tower's pooled state, and of each token's: 384 */
    int         first;   /* of the mean of a text's words before the first layer: 384; 0: none */
    int         named;   /* of what the names of a picture's likeliest classes mean together, in
                            the text tower's space: 384; 0: the names are not known */
    const char *hash;    /* over the towers' weights: what features depend on */
};

/* Where the features go; what is NULL is not wanted. */
struct image_features {
    float *pooled;    /* (n, image) */
    float *stages;    /* (n, stages) */
    float *logits;    /* (n, classes) */
    float *regions;   /* (n, grid * grid, region) */
    float *embedding; /* (n, dim), as encoder_images yields it, from the same pass */
};

struct text_features {
    float *pooled;    /* (n, text) */
    float *first;     /* (n, first) */
    float *states;    /* (capacity, text): the tokens of all texts, end to end */
    int   *starts;    /* (n + 1): text i's tokens are rows starts[i] .. starts[i + 1] - 1;
                         required with states */
    int    capacity;  /* rows of states; ERR_LIMIT when the texts have more tokens. n *
                         max_tokens is always enough */
    float *embedding; /* (n, dim), as encoder_texts yields it, from the same pass */
};

struct encoder_feature_sizes encoder_feature_sizes(const struct encoder *enc);

/* norm(p W), p the softmax of the logits, W the embeddings of the classes' names,
 * as the model's head has it (head.h). logits: (n, classes), overwritten. out: (n,
 * named). */
int encoder_named_classes(const struct encoder *enc, float *logits, int n, int threads, float *out,
                          struct err *err);

/* pixels as for encoder_images. */
int encoder_image_features(const struct encoder *enc, struct encoder_scratch *scratch,
                           const uint8_t *pixels, int n, const struct image_features *out,
                           struct err *err);
/* texts as for encoder_texts. */
int encoder_text_features(const struct encoder *enc, struct encoder_scratch *scratch,
                          const char *const *texts, int n, const struct text_features *out,
                          struct err *err);

#endif
