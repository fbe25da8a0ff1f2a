/* Choosing a precision: see auto_precision.h. */
#include "model/auto_precision.h"

#include "base/mem.h"
#include "model/prepared.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS  5     /* of each precision; the fastest counts */
#define GAIN  1.05f /* times faster than a more exact one, or it is not worth it */
#define KNOWN 3     /* precisions */
#define FACTS 3     /* of what is kept: the choice, then cosines and seconds of each */

static double now(const struct auto_trial *trial)
{
    struct timespec t;
    if (trial->now)
        return trial->now(trial->ctx);
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The least cosine between rows of a and b, which have length 1. */
static float agreement(const float *a, const float *b, int n, int dim)
{
    float least = 1;
    for (int i = 0; i < n; i++, a += dim, b += dim) {
        float sum = 0;
        for (int d = 0; d < dim; d++)
            sum += a[d] * b[d];
        if (!(sum >= least))
            least = sum;
    }
    return least;
}

static bool agrees(enum precision precision, float cosine)
{
    return precision == PRECISION_F32 ||
           cosine >= (precision == PRECISION_BF16 ? AUTO_BF16_AGREES : AUTO_INT8_AGREES);
}

/* Cosine with what want holds, and the least seconds of a run. */
static int try_one(const struct auto_trial *trial, enum precision precision, float *got,
                   const float *want, float *cosine, float *seconds, struct err *err)
{
    int rc   = trial->load(trial->ctx, precision, err);
    *seconds = 1e9f;
    for (int i = 0; i < RUNS && !rc; i++) {
        double start = now(trial);
        rc           = trial->encode(trial->ctx, got, err);
        float took   = (float)(now(trial) - start);
        *seconds     = took < *seconds ? took : *seconds;
    }
    if (!rc)
        *cosine = agreement(got, want, trial->n, trial->dim);
    return rc;
}

/* facts: [0][0] the choice; [1] cosines, [2] seconds of each precision. */
static int decide(const struct auto_trial *trial, float facts[FACTS][KNOWN], struct err *err)
{
    size_t         n    = (size_t)trial->n * (size_t)trial->dim;
    float         *want = mem_array(n, sizeof *want), *got = mem_array(n, sizeof *got);
    enum precision best = PRECISION_F32;
    int            rc   = want && got ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (int p = PRECISION_F32; p < KNOWN && !rc; p++) {
        float *to = p == PRECISION_F32 ? want : got;
        rc        = try_one(trial, (enum precision)p, to, want, &facts[1][p], &facts[2][p], err);
        if (!rc && agrees((enum precision)p, facts[1][p]) && facts[2][p] * GAIN < facts[2][best])
            best = (enum precision)p;
    }
    facts[0][0] = (float)best;
    free(want);
    free(got);
    return rc;
}

int auto_precision(const struct auto_trial *trial, const char *const *files, size_t n_files,
                   struct cpu cpu, enum precision *out, struct err *err)
{
    struct prepared *kept   = NULL;
    float           *stored = NULL, facts[FACTS][KNOWN] = {{0}};
    char             form[64];
    (void)snprintf(form, sizeof form, "auto-%s%s%s", cpu_level_name(cpu.level),
                   cpu.avx512_bf16 ? "-bf16" : "", cpu.avx512_vnni ? "-vnni" : "");
    int rc = prepared_open_as(form, files, n_files, &kept, err);
    if (!rc)
        rc = prepared_floats(kept, "auto.choice", FACTS * KNOWN, &stored, err);
    if (rc == ERR_DAMAGED && !prepared_building(kept)) {
        prepared_discard(kept);
        rc = prepared_floats(kept, "auto.choice", FACTS * KNOWN, &stored, err);
    }
    if (!rc && prepared_building(kept)) {
        rc = decide(trial, facts, err);
        for (int i = 0; i < FACTS * KNOWN && !rc; i++)
            stored[i] = facts[i / KNOWN][i % KNOWN];
        if (!rc)
            rc = prepared_finish(kept, err);
    }
    *out = PRECISION_F32;
    if (!rc && stored[0] >= 0 && stored[0] < KNOWN)
        *out = (enum precision)(int)stored[0];
    prepared_close(kept);
    return rc;
}
