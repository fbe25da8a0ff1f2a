/* A linear layer, c = act(a W^T + bias + residual), in the precision that was
 * chosen when its weights were packed. Activations come and go as floats.
 *
 * Packed weights are panels of GEMM_PANEL outputs, whatever the precision. A
 * panel begins with what its outputs need (int8: scales, then sums of weights)
 * and goes on with steps of 64 bytes: for each of the 16 outputs the weights of
 * 1 (f32), 2 (bf16) or 4 (int8) inputs. The layout is the same for every
 * instruction set. A reduced product first converts the rows of a into a form
 * of the kernel's own, in scratch that the caller provides.
 *
 * int8: w ~ scale[n] * q, q in [-127, 127]; a ~ scale[m] * (q - zero[m]), q in
 * [0, 255], so that zero is exact. Sums are integers and exact, so all kernels
 * give the same result up to the rounding of the last multiplications.
 */
#ifndef OSPREY_NN_LINEAR_H
#define OSPREY_NN_LINEAR_H

#include "base/cpu.h"
#include "nn/gemm.h"
#include "nn/precision.h"
#include "nn/team.h"

#include <stddef.h>

#define LINEAR_MAX_K 65536 /* of int8: beyond, 32 bits could not hold the sums */

struct low; /* linear_low.h */

/* How to run layers of one precision. */
struct linear_kernel {
    enum precision precision;
    gemm_kernel    gemm; /* f32 */
    void (*convert)(const float *a, int lda, int rows, int k, void *to, size_t row_bytes);
    void (*product)(const struct low *p);
    int wide; /* bytes of a converted activation */
};

struct linear {
    const void  *weight; /* packed */
    const float *bias;   /* (n) or NULL */
    int          n, k;
};

/* precision is one of the three that exist. */
struct linear_kernel linear_kernel_for(struct cpu cpu, enum precision precision);

/* Bytes of packed weights, a multiple of 64, to be aligned to 64. */
size_t        linear_packed_bytes(enum precision precision, int n, int k);
/* w: (n, k) row-major. */
void          linear_pack(enum precision precision, const float *w, int n, int k, void *packed);
/* Outputs [from, from + n) alone; from is a multiple of GEMM_PANEL. */
struct linear linear_outputs(enum precision precision, const struct linear *l, int from, int n);

/* One product: rows of a are lda floats apart, and so on. */
struct linear_call {
    int          rows;
    const float *a; /* (rows, k) */
    int          lda;
    const float *residual; /* (rows, n) or NULL; may be c itself */
    int          ldr;
    float       *c; /* (rows, n) */
    int          ldc;
    enum act     act;     /* applied after bias and residual */
    void        *scratch; /* linear_scratch bytes, 64-byte aligned; unused for f32 */
};

/* Bytes of scratch for products of up to rows rows of up to k inputs. */
size_t linear_scratch(const struct linear_kernel *kernel, int rows, int k);

/* On this thread alone. */
void linear_one(const struct linear_kernel *kernel, const struct linear *l,
                const struct linear_call *c);
/* The same in two steps, for a caller with many layers over the same rows. */
void linear_convert(const struct linear_kernel *kernel, int k, const struct linear_call *c);
void linear_converted(const struct linear_kernel *kernel, const struct linear *l,
                      const struct linear_call *c);
/* On up to threads OpenMP threads. */
void linear_run(const struct linear_kernel *kernel, const struct linear *l,
                const struct linear_call *c, int threads);
/* As phases of a team, every member of which calls this. */
void linear_shared(const struct linear_kernel *kernel, const struct linear *l,
                   const struct linear_call *c, struct team_member *m);

#endif
