/* The inside of mmca.h: weights as they are loaded, and a transformer over sets
 * of tokens. Only the mmca_*.c files include this.
 */
#ifndef OSPREY_RERANK_MMCA_NET_H
#define OSPREY_RERANK_MMCA_NET_H

#include "nn/attention.h"
#include "nn/linear.h"
#include "rerank/mmca_config.h"

#include <stddef.h>

struct mmca_affine {
    const float *weight, *bias; /* (width) of a layer norm */
};

struct mmca_block {
    struct linear      qkv;  /* (3 * width, width) */
    struct linear      out;  /* (width, width) */
    struct linear      up;   /* (mlp, width) */
    struct linear      down; /* (width, mlp) */
    struct mmca_affine norm1, norm2;
};

struct mmca_net {
    struct mmca_config   config;
    struct linear        region, word; /* the standardisation is folded in */
    const float         *position;     /* (cells, width) */
    struct mmca_block    block[MMCA_MODULES][MMCA_MAX_LAYERS];
    struct mmca_affine   last[MMCA_MODULES];  /* with norm "pre" */
    struct linear        pooled[MMCA_POOLED]; /* (width, width) */
    float                alpha;               /* of the form "full" */
    const float         *pool[2];             /* "pooled": (width), of the image, of the text */
    struct linear        match[2];            /* likewise */
    float                parts[3];
    struct linear_kernel linear;
    attention_kernel     attention;
};

/* Scratch of one thread. Parts begin at multiples of 64 bytes. */
struct mmca_work {
    float *x;         /* (tokens, width): the states, filled by the caller */
    float *y;         /* (tokens, width) */
    float *wide;      /* (tokens, max(3 * width, mlp)) */
    float *attention; /* for one head over the longest sequence */
    void  *low;       /* activations in reduced precision */
    size_t bytes;     /* in all */
};

/* base NULL: sizes alone. */
struct mmca_work mmca_work_lay_out(const struct mmca_net *net, int tokens, int longest, void *base);

/* Runs a module over n sequences that lie end to end in w->x: sequence i is rows
 * starts[i] to starts[i + 1] - 1. On this thread. */
void mmca_module_run(const struct mmca_net *net, enum mmca_module m, const struct mmca_work *w,
                     const int *starts, int n);

/* The weights by which rows (rows, width) are pooled in the form "pooled". pool: (width). */
void mmca_weigh(const struct mmca_net *net, const float *pool, const float *x, int rows,
                float *weights);
/* out (width) = sum of weights[i] * x[i]. */
void mmca_sum(const float *x, const float *weights, int rows, int width, float *out);

/* The cross-attention of the form "pooled": cells of a picture and words of a text, one
 * behind the other in w->x. weights: of both. i1, c1: (width). */
void mmca_cross_run(const struct mmca_net *net, const struct mmca_work *w, int cells, int words,
                    const float *weights, float *i1, float *c1);

/* Applies the linear layer, and gives the length 1. */
void mmca_embed(const struct mmca_net *net, const struct linear *l, const float *x, int rows,
                void *low, float *out);

/* Pools rows (rows, width) and applies the linear layer. out: (width). sum: scratch (width). */
void mmca_pool_run(const struct mmca_net *net, enum mmca_pooled which, const float *x, int rows,
                   const struct mmca_work *w, float *out);

/* x: (rows, in) to out: (rows, width). */
void mmca_project(const struct mmca_net *net, const struct linear *l, const float *x, int rows,
                  void *low, float *out);

#endif
