/* Choosing kernels for linear layers and sharing their products among threads:
 * see linear.h.
 */
#include "nn/linear.h"

#include "nn/linear_low.h"

#include <omp.h>

#include <stdint.h>
#include <string.h>

#define CONVERT_EACH 16384  /* activations to convert in an item of a team */
#define MIN_WORK     200000 /* multiply-adds for which waking a thread pays */

static const char *const NAMES[] = {"f32", "bf16", "int8", "auto"};

const char *precision_name(enum precision precision)
{
    return NAMES[precision];
}

bool precision_of(const char *name, enum precision *out)
{
    for (int i = 0; i <= (int)PRECISION_AUTO; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *out = (enum precision)i;
            return true;
        }
    }
    return false;
}

static struct linear_kernel bf16_kernel(struct cpu cpu)
{
    struct linear_kernel kernel = {.precision = PRECISION_BF16,
                                   .convert   = low_bf16_convert_ref,
                                   .product   = low_bf16_ref,
                                   .wide      = 2};
#if defined(__x86_64__)
    if (cpu.level == CPU_AVX512 && cpu.avx512_bf16) {
        kernel.convert = low_bf16_convert_avx512bf16;
        kernel.product = low_bf16_avx512bf16;
    } else if (cpu.level >= CPU_AVX2) {
        kernel.convert = low_bf16_convert_avx2;
        kernel.product = low_bf16_avx2;
        kernel.wide    = 4;
    }
#endif
    (void)cpu;
    return kernel;
}

static struct linear_kernel int8_kernel(struct cpu cpu)
{
    struct linear_kernel kernel = {.precision = PRECISION_INT8,
                                   .convert   = low_int8_convert_ref,
                                   .product   = low_int8_ref,
                                   .wide      = 1};
#if defined(__x86_64__)
    if (cpu.level == CPU_AVX512 && cpu.avx512_vnni) {
        kernel.convert = low_int8_convert_avx512vnni;
        kernel.product = low_int8_avx512vnni;
    } else if (cpu.level >= CPU_AVX2) {
        kernel.convert = low_int8_convert_avx2;
        kernel.product = low_int8_avx2;
        kernel.wide    = 2;
    }
#endif
    (void)cpu;
    return kernel;
}

struct linear_kernel linear_kernel_for(struct cpu cpu, enum precision precision)
{
    if (precision == PRECISION_BF16)
        return bf16_kernel(cpu);
    if (precision == PRECISION_INT8)
        return int8_kernel(cpu);
    return (struct linear_kernel){.precision = PRECISION_F32, .gemm = gemm_kernel_for(cpu)};
}

static size_t panel_bytes(enum precision precision, int k)
{
    return linear_packed_bytes(precision, GEMM_PANEL, k);
}

struct linear linear_outputs(enum precision precision, const struct linear *l, int from, int n)
{
    size_t        at   = (size_t)(from / GEMM_PANEL) * panel_bytes(precision, l->k);
    struct linear part = {.weight = (const char *)l->weight + at,
                          .bias   = l->bias ? l->bias + from : NULL,
                          .n      = n,
                          .k      = l->k};
    return part;
}

/* A line more than is needed, so that rows do not all begin in one set of the
 * nearest cache. */
static size_t row_bytes(const struct linear_kernel *kernel, int k)
{
    size_t activations = (size_t)k * (size_t)kernel->wide + 2 * LOW_STEP - 1;
    return LOW_ROW_AT + activations / LOW_STEP * LOW_STEP;
}

size_t linear_scratch(const struct linear_kernel *kernel, int rows, int k)
{
    return kernel->convert ? (size_t)rows * row_bytes(kernel, k) : 0;
}

static struct gemm as_gemm(const struct linear *l, const struct linear_call *c)
{
    return (struct gemm){.m        = c->rows,
                         .n        = l->n,
                         .k        = l->k,
                         .a        = c->a,
                         .lda      = c->lda,
                         .w        = l->weight,
                         .bias     = l->bias,
                         .residual = c->residual,
                         .ldr      = c->ldr,
                         .c        = c->c,
                         .ldc      = c->ldc,
                         .act      = c->act};
}

static struct low as_low(const struct linear_kernel *kernel, const struct linear *l,
                         const struct linear_call *c)
{
    return (struct low){.m        = c->rows,
                        .n        = l->n,
                        .k        = l->k,
                        .a        = c->scratch,
                        .lda      = row_bytes(kernel, l->k),
                        .w        = l->weight,
                        .panel    = panel_bytes(kernel->precision, l->k),
                        .bias     = l->bias,
                        .residual = c->residual,
                        .ldr      = c->ldr,
                        .c        = c->c,
                        .ldc      = c->ldc,
                        .act      = c->act};
}

static void convert_rows(const struct linear_kernel *kernel, int k, const struct linear_call *c,
                         int from, int to)
{
    size_t bytes = row_bytes(kernel, k);
    if (to > from)
        kernel->convert(c->a + (ptrdiff_t)from * c->lda, c->lda, to - from, k,
                        (char *)c->scratch + (size_t)from * bytes, bytes);
}

void linear_convert(const struct linear_kernel *kernel, int k, const struct linear_call *c)
{
    if (kernel->convert)
        convert_rows(kernel, k, c, 0, c->rows);
}

void linear_converted(const struct linear_kernel *kernel, const struct linear *l,
                      const struct linear_call *c)
{
    if (!kernel->convert) {
        struct gemm g = as_gemm(l, c);
        kernel->gemm(&g);
        return;
    }
    struct low p = as_low(kernel, l, c);
    kernel->product(&p);
}

void linear_one(const struct linear_kernel *kernel, const struct linear *l,
                const struct linear_call *c)
{
    linear_convert(kernel, l->k, c);
    linear_converted(kernel, l, c);
}

static int share_of(int64_t work, int64_t each, int most)
{
    int64_t items = work / each + 1;
    return items < most ? (int)items : most;
}

void linear_shared(const struct linear_kernel *kernel, const struct linear *l,
                   const struct linear_call *c, struct team_member *m)
{
    if (!kernel->convert) {
        struct gemm g = as_gemm(l, c);
        gemm_shared(kernel->gemm, &g, m);
        return;
    }
    int items = share_of((int64_t)c->rows * l->k, CONVERT_EACH, TEAM_ITEMS);
    items     = items < c->rows ? items : c->rows;
    for (int i = team_start(m, items); i >= 0; i = team_next(m))
        convert_rows(kernel, l->k, c, team_share(c->rows, i, items),
                     team_share(c->rows, i + 1, items));

    struct low        all   = as_low(kernel, l, c);
    struct gemm_parts p     = gemm_parts_for(all.m, all.n, all.k, all.panel, m->n);
    int               width = p.group * GEMM_PANEL, groups = (all.n + width - 1) / width;
    for (int i = team_start(m, p.across * p.down); i >= 0; i = team_next(m)) {
        struct low part = all; /* neighbours share panels of W */
        int        row  = team_share(all.m, i % p.down, p.down);
        int        col  = team_share(groups, i / p.down, p.across) * width;
        int        end  = team_share(groups, i / p.down + 1, p.across) * width;
        part.m          = team_share(all.m, i % p.down + 1, p.down) - row;
        part.n          = (end < all.n ? end : all.n) - col;
        part.a += (size_t)row * all.lda;
        part.w += (size_t)(col / GEMM_PANEL) * all.panel;
        part.c += (ptrdiff_t)row * all.ldc + col;
        if (part.bias)
            part.bias += col;
        if (part.residual)
            part.residual += (ptrdiff_t)row * all.ldr + col;
        if (part.m > 0 && part.n > 0)
            kernel->product(&part);
    }
}

void linear_run(const struct linear_kernel *kernel, const struct linear *l,
                const struct linear_call *c, int threads)
{
    if (c->rows <= 0 || l->n <= 0)
        return;
    if (!kernel->convert) {
        struct gemm g = as_gemm(l, c);
        gemm_run(kernel->gemm, &g, threads);
        return;
    }
    threads = share_of((int64_t)c->rows * l->n * l->k, MIN_WORK, threads);
    if (threads <= 1) {
        linear_one(kernel, l, c);
        return;
    }
    struct team team;
    team_init(&team);
#pragma omp parallel num_threads(threads)
    {
        struct team_member m = team_join(&team, omp_get_thread_num(), omp_get_num_threads());
        linear_shared(kernel, l, c, &m);
    }
}
