/* What a re-ranker of the MMCA form consists of: its sizes, and the names and
 * shapes of its tensors, the same for the network that answers (mmca.h) and the
 * one that learns.
 *
 * A file reranker.safetensors holds both: the tensors, and in its __metadata__
 * under "reranker" a JSON object with the keys below. One file, replaced
 * atomically, so that there is never half of one.
 *
 *     region.weight (width, region), region.bias (width)
 *     region.mean, region.scale (region)      1 / standard deviation
 *     region.position (cells, width)
 *     word.weight (width, word), word.bias (width)
 *     word.mean, word.scale (word)
 *     MODULE.N.qkv.weight (3 width, width), .bias    N = 0 .. layers - 1
 *     MODULE.N.out.weight (width, width), .bias
 *     MODULE.N.norm1.weight, .bias (width)
 *     MODULE.N.up.weight (mlp, width), .bias
 *     MODULE.N.down.weight (width, mlp), .bias
 *     MODULE.N.norm2.weight, .bias (width)
 *     MODULE.last.weight, .bias (width)       with norm "pre" and a layer
 *     POOL.weight (width, width), .bias       i0, c0, i1, c1
 *     alpha (1)                               of the form "full"
 *
 * MODULE: image, text, cross. The form "pooled" lacks cross's norm1 and last, and has
 *
 *     image.pool, text.pool (width)           a row's weight is exp(pool . z), normalised
 *     match.image.weight, .bias (width, width), match.text likewise
 *     parts (3)                               of i0 . c0, of the match, of i1 . c1
 */
#ifndef OSPREY_RERANK_MMCA_CONFIG_H
#define OSPREY_RERANK_MMCA_CONFIG_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mmca_norm {
    MMCA_POST, /* norm(x + f(x)), as in Vaswani et al. 2017 */
    MMCA_PRE   /* x + f(norm(x)), and a norm after the last layer */
};

enum mmca_pool { MMCA_MEAN, MMCA_MAX, MMCA_LEARNED };

/* What the cross-attention is made of: see mmca.h. */
enum mmca_form { MMCA_FULL, MMCA_POOLED_FORM };

enum mmca_module { MMCA_IMAGE, MMCA_TEXT, MMCA_CROSS, MMCA_MODULES };
enum mmca_pooled { MMCA_I0, MMCA_C0, MMCA_I1, MMCA_C1, MMCA_POOLED };

struct mmca_config {
    int            cells;                /* regions of a picture: 49 */
    int            region;               /* numbers of a region: 1280 */
    int            word;                 /* numbers of a word: 384 */
    int            width;                /* of everything inside: 256 */
    int            heads;                /* of attention */
    int            mlp;                  /* hidden numbers of a block's MLP */
    int            layers[MMCA_MODULES]; /* blocks of each module; 0: the module is its input */
    enum mmca_form form;                 /* "full" unless given; "pooled": one cross block, learned
                                            pools, norm "pre", and layers of image and text */
    bool           root;                 /* regions are the square roots of what the tower gives */
    enum mmca_norm norm;
    enum mmca_pool image_pool, text_pool; /* before the pooled vector's linear layer */
    bool           unit;                  /* i0, c0, i1, c1 are divided by their lengths */
    float          weight;                /* of the score when it is mixed with the first stage's */
};

#define MMCA_MAX_LAYERS 12
#define MMCA_MAX_SIZE   8192 /* of each size above */

extern const char *const mmca_module_names[MMCA_MODULES]; /* "image", "text", "cross" */
extern const char *const mmca_pooled_names[MMCA_POOLED];  /* "i0", "c0", "i1", "c1" */

/* The form "pooled" at the sizes that osprey train gives it. */
struct mmca_config mmca_config_pooled(int cells, int region, int word);
/* Messages name the key. What is out of range is ERR_FORMAT. */
int mmca_config_parse(const struct jnode *node, struct mmca_config *out, struct err *err);
/* Sets the same keys in an object; 0 or -1 as the setters of base/json.h. */
int mmca_config_write(const struct mmca_config *c, struct jnode *node);

/* Calls see for every tensor, always in the same order, until it returns nonzero,
 * which is returned. cols 0: a vector of rows numbers. */
typedef int (*mmca_see)(void *ctx, const char *name, int rows, int cols);
int mmca_tensors(const struct mmca_config *c, mmca_see see, void *ctx);

#endif
