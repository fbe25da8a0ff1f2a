/* Attention for AVX2 and FMA: see attention.h. */
#include "nn/attention.h"
#include "nn/attention_inl.h"
#include "nn/kernels.h"

void attention_avx2(const struct attention *a, int head, float *scratch)
{
    attention_inl(a, gemm_avx2, head, scratch);
}
