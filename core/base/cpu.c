/* What this processor can do: see cpu.h. */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* The system saves the registers it uses if it saves AVX2's. Not every compiler's
 * __builtin_cpu_supports knows it. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static struct cpu cpu_of_hardware(void)
{
    struct cpu cpu = {.level = CPU_PORTABLE};
    __builtin_cpu_init(); /* also asks XGETBV whether the system saves the registers */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return cpu;
    cpu.level    = CPU_AVX2;
    cpu.avx_vnni = false; /* no kernel uses it yet, and old compilers cannot ask */
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return cpu;
    cpu.level       = CPU_AVX512;
    cpu.avx512_bf16 = __builtin_cpu_supports("avx512bf16") != 0;
    cpu.avx512_vnni = __builtin_cpu_supports("avx512vnni") != 0;
    return cpu;
}
#else
static struct cpu cpu_of_hardware(void)
{
    return (struct cpu){.level = CPU_PORTABLE};
}
#endif

struct cpu cpu_detect(void)
{
    struct cpu  cpu  = cpu_of_hardware();
    const char *want = getenv("OSPREY_CPU");
    if (!want)
        return cpu;
    for (int level = CPU_PORTABLE; level <= (int)cpu.level; level++) {
        if (!strcmp(want, cpu_level_name((enum cpu_level)level)))
            cpu = (struct cpu){.level = (enum cpu_level)level};
    }
    return cpu;
}

const char *cpu_level_name(enum cpu_level level)
{
    switch (level) {
    case CPU_AVX2:
        return "avx2";
    case CPU_AVX512:
        return "avx512";
    case CPU_PORTABLE:
    default:
        return "portable";
    }
}
