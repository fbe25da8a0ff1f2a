/* Single-precision matrix multiplication with packed weights and a fused
 * epilogue: the one kernel behind every linear layer and 1x1 convolution.
 *
 *     C[m, n] = act(sum_k A[m, k] * W[n, k] + bias[n] + residual[m, n])
 *
 * W is packed once, in panels of GEMM_PANEL output channels, K-major inside a
 * panel: packed[(n / 16) * K * 16 + k * 16 + n % 16], zero-padded to whole
 * panels. The layout is the same for every instruction set, so that prepared
 * weights can be kept on disk and shared by all of them.
 *
 * The reference (gemm_ref.c) is plain C and is what the others are tested
 * against; gemm_avx2.c and gemm_avx512.c are compiled for their instruction
 * sets and are chosen at run time (gemm_kernel_for).
 */
#ifndef OSPREY_NN_GEMM_H
#define OSPREY_NN_GEMM_H

#include "base/cpu.h"
#include "nn/team.h"

#include <stddef.h>

#define GEMM_PANEL 16

enum act {
    ACT_NONE,
    ACT_RELU,
    ACT_RELU6,
    ACT_GELU /* erf */,
    ACT_QUICK_GELU /* x sigmoid(1.702 x) */,
    ACT_GELU_TANH /* gelu_new: GELU's tanh approximation */,
    ACT_TANH
};

/* Floats that a packed (n, k) matrix takes. */
size_t gemm_packed_size(int n, int k);
/* w: (n, k) row-major, as PyTorch's Linear and 1x1 Conv2d store it. */
void   gemm_pack(const float *w, int n, int k, float *packed);

struct gemm {
    int          m, n, k;
    const float *a; /* (m, k), rows lda floats apart */
    int          lda;
    const float *w;        /* packed (n, k) */
    const float *bias;     /* (n) or NULL */
    const float *residual; /* (m, n), rows ldr apart, or NULL; may be c itself */
    int          ldr;
    float       *c; /* (m, n), rows ldc apart */
    int          ldc;
    enum act     act; /* applied after bias and residual */
};

/* One call on one thread; the caller splits m (or n, by whole panels) over threads. */
typedef void (*gemm_kernel)(const struct gemm *g);

void        gemm_ref(const struct gemm *g);
gemm_kernel gemm_kernel_for(struct cpu cpu);

/* The whole product on up to threads OpenMP threads. */
void gemm_run(gemm_kernel kernel, const struct gemm *g, int threads);

/* How a team shares a product of which a panel of W takes so many bytes: across
 * times down items, by whole groups of panels and by rows. */
struct gemm_parts {
    int across, down;
    int group; /* panels that kernels take together */
};

struct gemm_parts gemm_parts_for(int m, int n, int k, size_t panel, int members);

/* Item i of p.across * p.down of the product. */
void gemm_item(gemm_kernel kernel, const struct gemm *g, struct gemm_parts p, int i);

/* The whole product as one phase of a team, every member of which calls this. */
void gemm_shared(gemm_kernel kernel, const struct gemm *g, struct team_member *m);

#endif
