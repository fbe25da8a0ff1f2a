/* The head: from what two towers see to one joint space.
 *
 * config.json names it ("osprey": {"head": NAME, ...}); its tensors lie in
 * heads.safetensors. A head is read-only after loading and shared by threads.
 */
#ifndef OSPREY_MODEL_HEAD_H
#define OSPREY_MODEL_HEAD_H

#include "base/cpu.h"
#include "base/err.h"
#include "base/json.h"
#include "model/prepared.h"
#include "model/safetensors.h"

#include <stddef.h>
#include <stdint.h>

struct head;

/* What the towers give. */
struct head_towers {
    int features; /* of the image tower, pooled: 1280 */
    int classes;  /* of its classifier: 1000 */
    int hidden;   /* of the text tower, pooled: 384 */
};

/* config: the object "osprey" of config.json. st and p must outlive the head. */
int  head_load(const struct safetensors *st, const struct jnode *config,
               const struct head_towers *towers, struct prepared *p, struct cpu cpu,
               struct head **out, struct err *err);
void head_free(struct head *head); /* NULL-safe */

int     head_dim(const struct head *head);
int64_t head_parameters(const struct head *head);

/* Bytes of 64-byte aligned scratch for n pictures. */
size_t head_scratch_size(const struct head *head, int n);

/* pooled: (n, features). logits: (n, classes), overwritten. out: (n, dim), of
 * length 1. */
void head_images(const struct head *head, const float *pooled, float *logits, int n, int threads,
                 void *scratch, float *out);
/* pooled: (n, hidden). out: (n, dim), of length 1. */
void head_texts(const struct head *head, const float *pooled, int n, float *out);

#endif
