/* The kernels that are compiled for one instruction set each. Only gemm.c and
 * conv.c, which choose among them, and tests include this.
 */
#ifndef OSPREY_NN_KERNELS_H
#define OSPREY_NN_KERNELS_H

#include "nn/gemm.h"

#if defined(__x86_64__)
void gemm_avx2(const struct gemm *g);
void gemm_avx512(const struct gemm *g);
#endif

#endif
