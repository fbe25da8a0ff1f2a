/* BERT text encoder (Devlin et al. 2019), as in all-MiniLM-L6-v2: post-norm
 * transformer, erf GELU, learned positions; pooled by the mean over all tokens
 * ([CLS] and [SEP] included), as Sentence-Transformers does it.
 */
#ifndef OSPREY_MODEL_BERT_H
#define OSPREY_MODEL_BERT_H

#include "base/cpu.h"
#include "base/err.h"
#include "base/json.h"
#include "model/prepared.h"
#include "model/safetensors.h"
#include "nn/precision.h"

#include <stddef.h>
#include <stdint.h>

struct bert; /* read-only after loading, shared by threads */

/* config: the model's config.json (hidden_size, num_hidden_layers, ...). */
int  bert_load(const struct safetensors *st, const char *prefix, const struct jnode *config,
               struct prepared *p, struct cpu cpu, enum precision precision, struct bert **out,
               struct err *err);
void bert_free(struct bert *bert); /* NULL-safe */

int     bert_hidden(const struct bert *bert);     /* 384 */
int     bert_max_tokens(const struct bert *bert); /* positions: 512 */
int     bert_vocabulary(const struct bert *bert); /* ids are below this: 30522 */
int64_t bert_parameters(const struct bert *bert);

/* Bytes of scratch for a call over total_tokens tokens in all. */
size_t bert_scratch_size(const struct bert *bert, int total_tokens, int threads);

/* A stage's output, for tests ("embeddings", "layer0" ..., "pooled"): data is
 * (tokens, hidden) over all texts of the batch, (n, hidden) for "pooled". */
struct bert_tap {
    void (*see)(void *ctx, const char *stage, const float *data, int tokens, int hidden);
    void *ctx;
};

/* n texts laid end to end without padding: ids[starts[i] .. starts[i + 1]) are
 * text i's token ids with [CLS] and [SEP]; starts has n + 1 entries. pooled:
 * (n, hidden), not normalised. first: (n, hidden), the same mean before the first
 * layer (of words without context), or NULL. states: (total_tokens, hidden) or NULL. starts[0]
 * is 0; no text is empty or longer than bert_max_tokens; ids are from 0 to below
 * bert_vocabulary: the caller sees to that. scratch is 64-byte aligned. */
void bert_forward(const struct bert *bert, const int32_t *ids, const int *starts, int n,
                  int threads, void *scratch, float *pooled, float *first, float *states,
                  const struct bert_tap *tap);

#endif
