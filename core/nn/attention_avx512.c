/* Attention for AVX-512: see attention.h. */
#include "nn/attention.h"
#include "nn/attention_inl.h"
#include "nn/kernels.h"

void attention_avx512(const struct attention *a, int head, float *scratch)
{
    attention_inl(a, gemm_avx512, head, scratch);
}
