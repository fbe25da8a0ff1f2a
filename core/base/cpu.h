/* What this processor can do, detected at run time.
 *
 * Kernels ask here once, when a model is opened, and keep the function they
 * chose. $OSPREY_CPU ("portable", "avx2", "avx512") lowers the answer, so that
 * tests can run every variant on one machine; it never raises it. "avx512" means
 * its base alone, without BF16 and VNNI.
 */
#ifndef OSPREY_BASE_CPU_H
#define OSPREY_BASE_CPU_H

#include <stdbool.h>

enum cpu_level {
    CPU_PORTABLE, /* plain C */
    CPU_AVX2,     /* AVX2, FMA, F16C */
    CPU_AVX512    /* AVX-512 F, BW, DQ, VL */
};

struct cpu {
    enum cpu_level level;
    bool           avx512_bf16; /* only with CPU_AVX512 */
    bool           avx512_vnni; /* only with CPU_AVX512 */
    bool           avx_vnni;    /* only with CPU_AVX2 or above */
};

/* The highest level that the processor and the operating system support,
 * lowered by $OSPREY_CPU. Pure: reads cpuid and the environment each time. */
struct cpu cpu_detect(void);

const char *cpu_level_name(enum cpu_level level);

#endif
