/* The head: from what two towers see to one joint space.
 *
 * config.json names it ("osprey": {"head": NAME, ...}); its tensors lie in
 * heads.safetensors, F32 or F16. A head is read-only after loading and shared by
 * threads. Two kinds exist.
 *
 * "conse" (head_conse.c), zero-shot: p = softmax(logits / temperature),
 *
 *     image = [sqrt(1 - w) norm(p W); sqrt(w) norm(V x)]
 *     text  = [norm(m); 0]                        m: the mean of the token states
 *
 *   conse.class_embeddings  (classes, hidden)   W
 *   conse.visual_projection (visual, features)  V, with visual_weight w > 0
 *   keys: temperature (1), top_classes (0: all), center (false: take the mean of
 *   W's rows away), visual_weight (0)
 *
 * "trained" (head_trained.c), fitted on pictures with captions:
 *
 *     image = norm [sqrt(a) f(x); sqrt(b) norm(p W); sqrt(c) norm(V x0)]
 *     text  = norm [sqrt(a) g(y); sqrt(b) norm(m);   0               ]
 *
 * x and y are concatenations of named inputs, x0 the pooled features. f and g
 * have the same form; M is image or text, "in" the length of its inputs, dim that
 * of the trained part, the same for both:
 *
 *     s = (x - mean) * scale              h = s linear^T + bias
 *     h = h + gelu(u up^T + up.bias) down^T + down.bias     (with an MLP; erf GELU)
 *     h = layernorm(h) (eps 1e-5)         (with a norm)     f = h / |h|
 *
 *   M.mean, M.scale       (in)          1 / standard deviation, both required
 *   M.linear.weight       (dim, in)     M.linear.bias   (dim), optional
 *   M.mlp.up.weight       (wide, dim), or (wide, in) with "mlp": "beside"
 *   M.mlp.up.bias         (wide), optional
 *   M.mlp.down.weight     (dim, wide)   M.mlp.down.bias (dim), optional
 *   M.norm.weight         (dim)         M.norm.bias     (dim); both or neither
 *   conse.class_embeddings              with the input "classes" or class_weight > 0
 *   conse.visual_projection             with visual_weight > 0
 *
 *   keys: image_inputs, text_inputs (lists of names, below), mlp ("after": u = h,
 *   the default; "beside": u = s), trained_weight a (1), class_weight b (0),
 *   visual_weight c (0); temperature, top_classes and center as above.
 *   projection_dim of config.json = dim + (hidden if b > 0) + (visual if c > 0).
 *   An MLP is there when M.mlp.up.weight is.
 *
 * Inputs of pictures: "pooled" (features), "classes" (hidden: norm(p W), as in the
 * class part), "logits" (classes), "stages" (effnet_seen's: what earlier blocks
 * saw). Inputs of texts: "mean" (hidden), "first" (hidden: the mean of the words
 * before the text tower's first layer). NAME:unit is NAME divided by its length,
 * NAME:root the square root of each of its numbers (of those below 0: 0).
 *
 * Keys that other parts read: max_tokens, distance ("cosine", "euclidean",
 * "manhattan": distance.h), towers and towers_hash (dual_files.h).
 */
#ifndef OSPREY_MODEL_HEAD_H
#define OSPREY_MODEL_HEAD_H

#include "base/cpu.h"
#include "base/err.h"
#include "base/json.h"
#include "model/prepared.h"
#include "model/safetensors.h"
#include "nn/precision.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct head;

/* What the towers give. */
struct head_towers {
    int features; /* of the image tower, pooled: 1280 */
    int stages;   /* of what its earlier stages saw: 1024 */
    int classes;  /* of its classifier: 1000 */
    int hidden;   /* of the text tower, pooled: 384 */
};

/* config: the object "osprey" of config.json. st and p must outlive the head.
 * precision: of the trained layers; not auto. */
int  head_load(const struct safetensors *st, const struct jnode *config,
               const struct head_towers *towers, struct prepared *p, struct cpu cpu,
               enum precision precision, struct head **out, struct err *err);
void head_free(struct head *head); /* NULL-safe */

int     head_dim(const struct head *head);
int64_t head_parameters(const struct head *head);

/* Bytes of 64-byte aligned scratch for n pictures or texts. */
size_t head_scratch_size(const struct head *head, int n);

/* Numbers of what the class part says of a picture; 0: the head has no such part. */
int  head_classes_dim(const struct head *head);
/* norm(p W). logits: (n, classes), overwritten. scratch: (classes). out: (n,
 * head_classes_dim). */
void head_classes(const struct head *head, float *logits, int n, int threads, float *scratch,
                  float *out);

/* What the image tower saw in n pictures. */
struct head_seen {
    const float *pooled; /* (n, features) */
    const float *stages; /* (n, stages); may be unset unless head_takes_stages */
    float       *logits; /* (n, classes), overwritten */
};

bool head_takes_stages(const struct head *head);

/* What the text tower saw in n texts. */
struct head_read {
    const float *pooled; /* (n, hidden) */
    const float *first;  /* (n, hidden) */
};

/* out: (n, dim), of length 1. */
void head_images(const struct head *head, const struct head_seen *seen, int n, int threads,
                 void *scratch, float *out);
/* out: (n, dim), of length 1. */
void head_texts(const struct head *head, const struct head_read *read, int n, int threads,
                void *scratch, float *out);

/* texts (n, dim), as head_texts leaves them: the class part of a trained head, where there
 * is one, weighs HEAD_NAMES times as much, and the length is 1 again. */
#define HEAD_NAMES 3
void head_as_names(const struct head *head, float *texts, int n);

#endif
