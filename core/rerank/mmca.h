/* Re-ranking by cross-attention: the Multi-Modality Cross Attention network (Wei,
 * Zhang, Li, Zhang and Wu, CVPR 2020, sections 3.2 to 3.4).
 *
 * A picture is a set of regions, a text a set of words, both projected to one
 * width. One transformer for each (the self-attention module) yields i0 and c0,
 * pooled; another over both sets together (the cross-attention module) yields i1
 * and c1, pooled over the regions and over the words.
 *
 *     score = i0 . c0 + alpha i1 . c1
 *
 * That is the form "full". The form "pooled" does per pair only what it must, so that
 * it can be trained on a CPU. Rows are pooled by learned weights (a softmax of one
 * linear layer); the cross-attention works on what the self-attention made of both
 * sets, and what it yields is pooled by the same weights before the residual, the norm
 * and the MLP; and a third part lets each word find its region (the late interaction of
 * Khattab and Zaharia, "ColBERT", 2020, section 3.3):
 *
 *     score = a i0 . c0 + b sum_w weight_w max_r match_w . match_r + c i1 . c1
 *
 * Departures from the paper: regions are the cells of the image tower's grid, with
 * learned positions, instead of a detector's boxes; the words' states come from a
 * locked text tower; pooling is a mean or a maximum and a linear layer, where the
 * paper has a convolution over the words; norms may come before instead of after.
 *
 * What is kept of a picture (mmca_keep) is what does not depend on the text: i0 in
 * half precision, and its projected regions, each in 8 bits with a scale. Scores
 * come from that form alone, so that a picture whose regions lie in a library
 * scores as one whose regions were computed a moment ago.
 */
#ifndef OSPREY_RERANK_MMCA_H
#define OSPREY_RERANK_MMCA_H

#include "base/cpu.h"
#include "base/err.h"
#include "base/json.h"
#include "model/prepared.h"
#include "model/safetensors.h"
#include "nn/precision.h"
#include "rerank/mmca_config.h"

#include <stddef.h>
#include <stdint.h>

struct mmca; /* read-only after loading, shared by threads */

/* config: the object under "reranker". precision: of the linear layers, and what p
 * was opened for; not auto. p must outlive the network, st need not. */
int  mmca_load(const struct safetensors *st, const struct jnode *config, struct prepared *p,
               struct cpu cpu, enum precision precision, struct mmca **out, struct err *err);
void mmca_free(struct mmca *m); /* NULL-safe */

const struct mmca_config *mmca_config_of(const struct mmca *m);
int64_t                   mmca_parameters(const struct mmca *m);

/* Bytes of one picture as kept: (width + 2) for each cell, 2 width more. */
size_t mmca_kept_bytes(const struct mmca *m);
/* regions: (n, cells, region), as the image tower gives them; with config's root their
 * square roots. kept: (n, kept
 * bytes). ERR_DAMAGED when numbers are not finite. */
int    mmca_keep(const struct mmca *m, const float *regions, int n, int threads, uint8_t *kept,
                 struct err *err);

/* A text's words, made ready for any number of pictures. */
struct mmca_query;
/* words: (n_words, word), as the text tower gives them; n_words >= 1. */
int  mmca_query_new(const struct mmca *m, const float *words, int n_words, struct mmca_query **out,
                    struct err *err);
void mmca_query_free(struct mmca_query *q); /* NULL-safe */

/* kept: n pictures as mmca_keep left them. scores: (n). On up to threads OpenMP
 * threads. ERR_DAMAGED when a score is not finite. */
int mmca_score(const struct mmca *m, const struct mmca_query *q, const uint8_t *const *kept, int n,
               int threads, float *scores, struct err *err);

#endif
