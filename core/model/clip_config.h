/* The sizes and choices of a CLIP model, from either of the two layouts in which
 * such models are published: transformers' config.json and OpenCLIP's
 * open_clip_config.json. Everything is range-checked here, so that no later
 * size can overflow an int.
 */
#ifndef OSPREY_MODEL_CLIP_CONFIG_H
#define OSPREY_MODEL_CLIP_CONFIG_H

#include "base/err.h"
#include "base/json.h"
#include "image/preprocess.h"
#include "nn/gemm.h"

#include <stdbool.h>

#define CLIP_EOS_LARGEST (-1)

struct clip_tower_config {
    int      width, layers, heads, mlp; /* mlp: the hidden layer's width */
    enum act act;
    float    eps; /* of the layer norms */
};

struct clip_config {
    bool                     open_clip; /* tensor names and layouts of OpenCLIP */
    struct clip_tower_config vision, text;
    int                      image_size, patch; /* pixels, square */
    int                      vocabulary, positions;
    int                      dim; /* of the joint space */
    int                      eos; /* id whose first place is pooled, or CLIP_EOS_LARGEST */
};

/* root: config.json, with "model_type": "clip". path names it in messages. */
int clip_config_parse(const struct jnode *root, const char *path, struct clip_config *out,
                      struct err *err);
/* root: open_clip_config.json. */
int clip_config_parse_open(const struct jnode *root, const char *path, struct clip_config *out,
                           struct err *err);
/* The "preprocess_cfg" of the same file. */
int clip_preprocess_parse_open(const struct jnode *root, const char *path,
                               const struct clip_config *config, struct preprocess *out,
                               struct err *err);

#endif
