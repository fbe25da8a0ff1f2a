/* CLIP (Radford et al. 2021): a vision transformer and a text transformer into
 * one space, of any size, from transformers' layout or OpenCLIP's.
 */
#ifndef OSPREY_MODEL_CLIP_H
#define OSPREY_MODEL_CLIP_H

#include "base/cpu.h"
#include "base/err.h"
#include "image/preprocess.h"
#include "model/checkpoint.h"
#include "model/clip_config.h"
#include "model/prepared.h"
#include "nn/precision.h"

#include <stddef.h>
#include <stdint.h>

struct clip; /* read-only after loading, shared by threads */

/* c and p must outlive the model. preprocess: whose rescale, mean and std the
 * image tower applies to bytes. precision: of the linear layers, and what p was
 * opened for; not auto. */
int  clip_load(const struct checkpoint *c, const struct clip_config *config,
               const struct preprocess *preprocess, struct prepared *p, struct cpu cpu,
               enum precision precision, struct clip **out, struct err *err);
void clip_free(struct clip *clip); /* NULL-safe */

const struct clip_config *clip_config_of(const struct clip *clip);
int64_t                   clip_parameters(const struct clip *clip);
/* exp(logit_scale): what the training multiplied similarities by. */
float                     clip_scale(const struct clip *clip);
/* Pictures that one call likes to get together. */
int                       clip_image_batch(const struct clip *clip);

/* Bytes of scratch, 64-byte aligned memory from the caller, for a call with n
 * pictures, or n texts of total_tokens in all. Bounded: long calls are worked
 * through in parts. */
size_t clip_images_scratch(const struct clip *clip, int n, int threads);
size_t clip_texts_scratch(const struct clip *clip, int n, int total_tokens, int threads);

/* What a call wants of each picture or text; NULL: not that. */
struct clip_seen {
    float *embedding; /* (n, dim), L2-normalised */
    float *pooled;    /* (n, the tower's width): after the last norm, before the projection */
    float *states;    /* (tokens, width) after the last norm, end to end: a picture's patches, a
                         text's tokens up to the one that is pooled */
    int   *starts;    /* (n + 1) with the states of texts: rows starts[i] to starts[i + 1] - 1 are
                         text i's; the caller sets starts[0] */
};

/* pixels: (n, image_size, image_size, 3) bytes RGB. out: (n, dim). */
void clip_images(const struct clip *clip, const uint8_t *pixels, int n, int threads, void *scratch,
                 float *out);
void clip_image_features(const struct clip *clip, const uint8_t *pixels, int n, int threads,
                         void *scratch, const struct clip_seen *out);

/* n texts laid end to end without padding: ids[starts[i] .. starts[i + 1]) are
 * text i's 1 to positions ids with start and end token, each at least 0 and
 * below the vocabulary; starts has n + 1 entries and begins with 0. What follows
 * the pooled token changes nothing and is skipped. out: (n, dim). */
void clip_texts(const struct clip *clip, const int32_t *ids, const int *starts, int n, int threads,
                void *scratch, float *out);
void clip_text_features(const struct clip *clip, const int32_t *ids, const int *starts, int n,
                        int threads, void *scratch, const struct clip_seen *out);

#endif
