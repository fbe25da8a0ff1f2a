/* Attention: the plain reference, and the choice of a kernel. See attention.h. */
#include "nn/attention.h"

#include <math.h>

size_t attention_scratch(int tokens, int head_dim)
{
    size_t padded = ((size_t)tokens + GEMM_PANEL - 1) / GEMM_PANEL * GEMM_PANEL;
    return padded * ((size_t)head_dim + ATTENTION_ROWS) + gemm_packed_size(head_dim, tokens);
}

void attention_ref(const struct attention *a, int head, float *scratch)
{
    const int    dim   = a->heads * a->head_dim;
    const float *q     = a->qkv + (ptrdiff_t)head * a->head_dim;
    const float  scale = 1.0f / sqrtf((float)a->head_dim);
    const int    first = a->queries ? a->first : 0;
    const int    count = a->queries ? a->queries : a->tokens;
    for (ptrdiff_t i = first; i < first + count; i++) {
        float     most = -INFINITY, sum = 0;
        ptrdiff_t seen = a->causal ? i + 1 : a->tokens;
        for (ptrdiff_t j = 0; j < seen; j++) {
            float score = 0;
            for (int d = 0; d < a->head_dim; d++)
                score += q[i * a->ld + d] * q[j * a->ld + dim + d];
            scratch[j] = score * scale;
            most       = fmaxf(most, scratch[j]);
        }
        for (ptrdiff_t j = 0; j < seen; j++) {
            scratch[j] = expf(scratch[j] - most);
            sum += scratch[j];
        }
        for (int d = 0; d < a->head_dim; d++) {
            float mean = 0;
            for (ptrdiff_t j = 0; j < seen; j++)
                mean += scratch[j] * q[j * a->ld + 2 * dim + d];
            a->out[(i - first) * a->ldo + (ptrdiff_t)head * a->head_dim + d] = mean / sum;
        }
    }
}

attention_kernel attention_kernel_for(struct cpu cpu)
{
#if defined(__x86_64__)
    if (cpu.level == CPU_AVX512)
        return attention_avx512;
    if (cpu.level == CPU_AVX2)
        return attention_avx2;
#endif
    (void)cpu;
    return attention_ref;
}
