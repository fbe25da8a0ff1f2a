/* Calibrating labels by what the library holds: see tagger.h. */
#include "learn/tagger.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "nn/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWN_MEAN       0.25 /* a: how much of a label's own mean is taken away */
#define LEAST_PICTURES 8    /* of a background that can tell a deviation */
#define FLAT           1e-6 /* a deviation that is none */

static bool is_known(const struct tagger_rows *r, size_t i)
{
    return !r->known || r->known[i];
}

/* Raw scores (b->n, n) of rows (n, dim) and biases (n, or NULL) over the background. */
static int score_background(const struct tagger_background *b, const float *rows, const float *bias,
                            size_t n, size_t dim, float *out, struct err *err)
{
    float *packed = mem_aligned(gemm_packed_size((int)n, (int)dim), sizeof *packed);
    if (!packed)
        return err_set(err, ERR_NOMEM, "out of memory for %zu labels", n);
    gemm_pack(rows, (int)n, (int)dim, packed);
    const struct gemm g = {.m    = (int)b->n,
                           .n    = (int)n,
                           .k    = (int)dim,
                           .a    = b->x,
                           .lda  = (int)dim,
                           .w    = packed,
                           .bias = bias,
                           .c    = out,
                           .ldc  = (int)n};
    gemm_kernel_for(cpu_detect())(&g);
    free(packed);
    return 0;
}

/* Mean and deviation of each column of scores (b, n). */
static void moments(const float *scores, size_t b, size_t n, double *mean, double *deviation)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0, squares = 0;
        for (size_t k = 0; k < b; k++)
            sum += (double)scores[k * n + i];
        mean[i] = b ? sum / (double)b : 0;
        for (size_t k = 0; k < b; k++) {
            double d = (double)scores[k * n + i] - mean[i];
            squares += d * d;
        }
        deviation[i] = b ? sqrt(squares / (double)b) : 0;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the deviations of those that are known (known NULL: all); 0 for none. */
static double usual(const double *deviation, const bool *known, size_t n, double *scratch)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (!known || known[i])
            scratch[m++] = deviation[i];
    qsort(scratch, m, sizeof *scratch, ascending);
    return m ? scratch[m / 2] : 0;
}

/* What is known of rows over the background: labels', then references'. */
struct measured {
    double *mean, *deviation, *scratch; /* (n + n_refs) each */
    float  *scores;
};

static int measure(const struct tagger_rows *r, const float *refs, size_t n_refs,
                   const struct tagger_background *b, struct measured *m, struct err *err)
{
    size_t more = r->n > n_refs ? r->n : n_refs;
    m->mean     = mem_array(3 * (r->n + n_refs), sizeof *m->mean);
    m->scores   = mem_array(b->n * more, sizeof *m->scores);
    if (!m->mean || !m->scores)
        return err_set(err, ERR_NOMEM, "out of memory for %zu labels", r->n);
    m->deviation = m->mean + r->n + n_refs;
    m->scratch   = m->deviation + r->n + n_refs;
    int rc       = score_background(b, r->rows, r->bias, r->n, r->dim, m->scores, err);
    if (rc)
        return rc;
    moments(m->scores, b->n, r->n, m->mean, m->deviation);
    if (n_refs == 0)
        return 0;
    rc = score_background(b, refs, NULL, n_refs, r->dim, m->scores, err);
    if (!rc)
        moments(m->scores, b->n, n_refs, m->mean + r->n, m->deviation + r->n);
    return rc;
}

/* The mean over labels and references of rows, and (the last number) of what is added to
 * them. centre: (dim + 1). */
static void find_centre(const struct tagger_rows *r, const float *refs, size_t n_refs,
                        const double *mean, double *centre)
{
    size_t n = 0, dim = r->dim;
    memset(centre, 0, (dim + 1) * sizeof *centre);
    for (size_t i = 0; i < r->n + n_refs; i++) {
        const float *row = i < r->n ? r->rows + i * dim : refs + (i - r->n) * dim;
        if (i < r->n && !is_known(r, i))
            continue;
        for (size_t d = 0; d < dim; d++)
            centre[d] += (double)row[d];
        centre[dim] += (i < r->n ? (double)r->bias[i] : 0) - OWN_MEAN * mean[i];
        n++;
    }
    for (size_t d = 0; d <= dim; d++)
        centre[d] /= n ? (double)n : 1;
}

int tagger_calibrate(struct tagger_rows *r, const float *refs, size_t n_refs,
                     const struct tagger_background *b, double own, double stretch, struct err *err)
{
    struct measured m      = {0};
    double         *centre = mem_array(r->dim + 1, sizeof *centre);
    int             rc =
        centre ? measure(r, refs, n_refs, b, &m, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc) {
        double spread = n_refs ? usual(m.deviation + r->n, NULL, n_refs, m.scratch)
                               : usual(m.deviation, r->known, r->n, m.scratch);
        bool   flat   = b->n < LEAST_PICTURES || spread < FLAT;
        find_centre(r, refs, n_refs, m.mean, centre);
        for (size_t i = 0; i < r->n; i++) {
            double scale =
                flat ? 1
                     : sqrt(own * m.deviation[i] * m.deviation[i] + (1 - own) * spread * spread);
            if (!is_known(r, i))
                continue;
            for (size_t d = 0; d < r->dim; d++) {
                float *x = &r->rows[i * r->dim + d];
                *x       = (float)(((double)*x - centre[d]) * stretch / scale);
            }
            r->bias[i] = (float)(((double)r->bias[i] - OWN_MEAN * m.mean[i] - centre[r->dim]) *
                                 stretch / scale);
        }
    }
    free(centre);
    free(m.mean);
    free(m.scores);
    return rc;
}

/* Adds b's row to a's; what only b knows is copied. both: (n) set where they are added. */
static void add_rows(struct tagger_rows *a, const struct tagger_rows *b, bool *both)
{
    for (size_t i = 0; i < a->n; i++) {
        both[i] = is_known(a, i) && is_known(b, i);
        if (!is_known(b, i))
            continue;
        for (size_t d = 0; d < a->dim; d++) {
            float *x = &a->rows[i * a->dim + d];
            *x       = b->rows[i * a->dim + d] + (both[i] ? *x : 0);
        }
        a->bias[i] = b->bias[i] + (both[i] ? a->bias[i] : 0);
        if (a->known)
            a->known[i] = true;
    }
}

int tagger_mix(struct tagger_rows *a, const struct tagger_rows *b,
               const struct tagger_background *background, struct err *err)
{
    struct measured ma = {0}, mb = {0}, sum = {0};
    bool           *both = mem_array(a->n, sizeof *both);
    int             rc   = both ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = measure(a, NULL, 0, background, &ma, err);
    if (!rc)
        rc = measure(b, NULL, 0, background, &mb, err);
    if (!rc) {
        add_rows(a, b, both);
        rc = measure(a, NULL, 0, background, &sum, err);
    }
    for (size_t i = 0; !rc && i < a->n; i++) {
        double alone = (ma.deviation[i] + mb.deviation[i]) / 2;
        double scale = sum.deviation[i] > FLAT && background->n >= LEAST_PICTURES
                           ? alone / sum.deviation[i]
                           : 0.5;
        if (!both[i])
            continue;
        for (size_t d = 0; d < a->dim; d++)
            a->rows[i * a->dim + d] = (float)((double)a->rows[i * a->dim + d] * scale);
        a->bias[i] = (float)((double)a->bias[i] * scale);
    }
    free(both);
    struct measured *all[] = {&ma, &mb, &sum};
    for (size_t i = 0; i < 3; i++) {
        free(all[i]->mean);
        free(all[i]->scores);
    }
    return rc;
}
