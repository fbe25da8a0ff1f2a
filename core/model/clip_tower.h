/* The pre-norm transformer that both towers of CLIP are made of (Vaswani et al.
 * 2017; Radford et al. 2021): sequences of tokens in, one pooled token of each
 * out. Only clip.c and clip_load.c include this.
 *
 * In the last block only the pooled token of each sequence asks and goes through
 * the MLP; the others are needed for their keys and values alone.
 */
#ifndef OSPREY_MODEL_CLIP_TOWER_H
#define OSPREY_MODEL_CLIP_TOWER_H

#include "model/clip.h"
#include "model/clip_config.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/team.h"

#include <stdbool.h>
#include <stddef.h>

struct clip_norm {
    const float *weight, *bias; /* (width) */
};

struct clip_layer {
    struct clip_norm before_attention, before_mlp;
    struct linear    qkv;    /* (3 * width, width) */
    struct linear    out;    /* (width, width) */
    struct linear    widen;  /* (mlp, width) */
    struct linear    narrow; /* (width, mlp) */
};

struct clip_tower {
    struct clip_tower_config config;
    bool                     causal;
    struct clip_layer       *layer; /* (config.layers) */
    struct clip_norm         last;  /* over the pooled tokens */
    struct linear            projection;
    struct linear_kernel     linear;
    attention_kernel         attention;
};

/* Scratch of a call; all parts begin at multiples of 64 bytes. */
struct clip_work {
    float *x;       /* (tokens, width): the states, filled by the caller */
    float *y;       /* (tokens, width) */
    float *wide;    /* (tokens, max(3 * width, mlp)); the caller's before the call */
    float *low;     /* activations in reduced precision */
    float *threads; /* attention's, for each thread */
    size_t each;    /* floats a thread */
    size_t floats;  /* in all */
};

/* wide, low: floats and bytes that the caller wants in them at least. base NULL:
 * sizes alone. */
struct clip_work clip_work_lay_out(const struct clip_tower *t, int tokens, int longest, size_t wide,
                                   size_t low, int threads, float *base);

/* Sequence i is rows starts[i] to starts[i + 1] - 1 of w->x, pooled at its first
 * token (or, where causal, its last). Every member of the team calls this. out->starts is
 * the caller's concern. */
void clip_tower_run(const struct clip_tower *t, const struct clip_work *w, const int *starts, int n,
                    struct team_member *m, const struct clip_seen *out);

/* A product over rows of k contiguous floats; phases of the team. */
void clip_linear_run(const struct linear_kernel *kernel, const struct linear *l, int rows,
                     const float *a, const float *residual, float *c, enum act act, void *low,
                     struct team_member *m);

#endif
