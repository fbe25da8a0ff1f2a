/* Scaled dot-product attention of one sequence, head by head (Vaswani et al.
 * 2017, section 3.2.1). Every token sees every token, or, where causal, itself
 * and those before it. A caller that wants few tokens' answers asks for a range.
 *
 * The reference (attention.c) is plain C and is what the others are tested
 * against. Scores exist for a few queries at a time, never as a whole matrix.
 */
#ifndef OSPREY_NN_ATTENTION_H
#define OSPREY_NN_ATTENTION_H

#include "base/cpu.h"
#include "nn/gemm.h"

#include <stdbool.h>
#include <stddef.h>

#define ATTENTION_ROWS 28 /* queries at a time */

#define ATTENTION_ROWS 28 /* queries at a time */

struct attention {
    int          tokens, heads, head_dim;
    const float *qkv; /* (tokens, 3, heads, head_dim), rows ld apart */
    int          ld;
    float       *out; /* (queries, heads, head_dim), rows ldo apart */
    int          ldo;
    bool         causal;
    int          first, queries; /* the tokens that ask; queries 0: all of them */
};

/* Floats of scratch for one head, 64-byte aligned memory from the caller. */
size_t attention_scratch(int tokens, int head_dim);

/* One head on one thread. */
typedef void (*attention_kernel)(const struct attention *a, int head, float *scratch);

void             attention_ref(const struct attention *a, int head, float *scratch);
attention_kernel attention_kernel_for(struct cpu cpu);

#if defined(__x86_64__)
void attention_avx2(const struct attention *a, int head, float *scratch);
void attention_avx512(const struct attention *a, int head, float *scratch);
#endif

#endif
