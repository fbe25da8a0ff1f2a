/* Labels learned from examples: see lesson.h. */
#include "learn/lesson.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "learn/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TYPICAL      3.0 /* where held-out examples should lie (v of tagger.h) */
#define MOST_STRETCH 3.0
#define ALONE        3.25   /* where those of a label alone should, negatives being around 0 */
#define SAME         0.9995 /* how close one embedding lies to itself, kept in half precision */
#define UNSEEN       0.5    /* how far out pictures like a single example lie, beside it */

/* What the probe is fitted on: examples, then negatives of the background. */
struct material {
    float *x;      /* (n, dim) */
    int   *labels; /* (n) */
    int    n, n_labels;
};

void lesson_release(struct lesson *l)
{
    free(l->rows.rows);
    free(l->rows.bias);
    free(l->rows.known);
    *l = (struct lesson){.folds = 0};
}

static int rows_init(struct tagger_rows *r, size_t n, size_t dim, struct err *err)
{
    *r = (struct tagger_rows){.n     = n,
                              .dim   = dim,
                              .rows  = mem_zeroed(n * dim, sizeof *r->rows),
                              .bias  = mem_zeroed(n, sizeof *r->bias),
                              .known = mem_array(n, sizeof *r->known)};
    for (size_t i = 0; i < n && r->known; i++)
        r->known[i] = true;
    return r->rows && r->bias && r->known
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu labels", n);
}

/* ---- A label alone ---- */

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The sum of the examples (dim), and the least closeness of one to that of the others,
 * whose lengths are not taken out: for a mean of n, divide by n. */
static double least_closeness(const struct lesson_examples *e, float *sum, size_t *n)
{
    double least = 1;
    *n           = 0;
    memset(sum, 0, e->dim * sizeof *sum);
    for (size_t i = 0; i < e->n; i++) {
        if (e->labels[i] != 0)
            continue;
        for (size_t d = 0; d < e->dim; d++)
            sum[d] += e->x[i * e->dim + d];
        ++*n;
    }
    for (size_t i = 0; i < e->n; i++) {
        if (e->labels[i] != 0)
            continue;
        const float *own  = e->x + i * e->dim;
        double       rest = dot(own, sum, e->dim) - dot(own, own, e->dim);
        double       near = *n > 1 ? rest / (double)(*n - 1) : 1;
        least             = near < least ? near : least;
    }
    return least;
}

/* Whether a picture of the background is one of the label's examples. */
static bool is_example(const struct lesson_examples *e, const float *x)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->labels[i] == 0 && dot(e->x + i * e->dim, x, e->dim) > SAME)
            return true;
    return false;
}

/* Appends the reliable negatives of the background. room: (background->n). */
static int add_negatives(const struct lesson_examples *e, struct material *m, struct err *err)
{
    const struct tagger_background *b    = e->background;
    float                          *sum  = mem_array(e->dim, sizeof *sum);
    double                         *near = mem_array(2 * b->n + 1, sizeof *near);
    size_t                          n    = 0;
    if (!sum || !near) {
        free(sum);
        free(near);
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", b->n);
    }
    double least = least_closeness(e, sum, &n), *sorted = near + b->n;
    for (size_t i = 0; i < b->n; i++)
        sorted[i] = near[i] = dot(b->x + i * e->dim, sum, e->dim) / (double)(n ? n : 1);
    qsort(sorted, b->n, sizeof *sorted, descending);
    double half = b->n ? sorted[b->n / 2] : 0;
    for (size_t i = 0; i < b->n; i++) {
        const float *x = b->x + i * e->dim;
        if ((near[i] >= least && near[i] > half) || is_example(e, x))
            continue;
        memcpy(m->x + (size_t)m->n * e->dim, x, e->dim * sizeof *m->x);
        m->labels[m->n++] = 1;
    }
    free(sum);
    free(near);
    return 0;
}

static int gather(const struct lesson_examples *e, struct material *m, struct err *err)
{
    bool   alone = e->n_labels == 1;
    size_t most  = e->n + (alone ? e->background->n : 0);
    m->n_labels  = (int)e->n_labels + alone;
    m->x         = mem_array(most * e->dim, sizeof *m->x);
    m->labels    = mem_array(most, sizeof *m->labels);
    if (!m->x || !m->labels)
        return err_set(err, ERR_NOMEM, "out of memory for %zu examples", most);
    memcpy(m->x, e->x, e->n * e->dim * sizeof *m->x);
    for (size_t i = 0; i < e->n; i++)
        m->labels[i] = alone && e->labels[i] < 0 ? 1 : e->labels[i];
    m->n   = (int)e->n;
    int rc = alone ? add_negatives(e, m, err) : 0;
    for (int i = 0; alone && !rc && i < m->n; i++)
        if (m->labels[i] == 1)
            return 0;
    return rc || !alone ? rc
                        : err_set(err, ERR_USAGE,
                                  "there are no other pictures that the label could be told from");
}

/* ---- All of it ---- */

/* How much further out pictures that the probe has not seen should lie. */
static double stretch_of(const struct probe *p)
{
    double stretch = p->typical > 0 ? TYPICAL / p->typical : 1;
    return stretch < 1 ? 1 : stretch > MOST_STRETCH ? MOST_STRETCH : stretch;
}

/* Mean and deviation of a row over pictures (n, dim), those of one label or (label -1) all. */
static void moments(const float *row, double bias, const float *x, const int *labels, size_t n,
                    size_t dim, int label, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (label >= 0 && labels[i] != label)
            continue;
        double v = bias + dot(row, x + i * dim, dim);
        sum += v;
        squares += v * v;
        m++;
    }
    double left = m ? squares / (double)m - sum / (double)m * sum / (double)m : 0;
    *mean       = m ? sum / (double)m : 0;
    *deviation  = left > 0 ? sqrt(left) : 0;
}

/* The row that tells the label from none of it (row 0 less row 1, halved: logits less
 * their mean), moved and scaled so that negatives lie around 0 and held-out examples around
 * ALONE. */
static void calibrate_alone(const struct lesson_examples *e, const struct material *m,
                            const struct probe *p, struct tagger_rows *r)
{
    const struct tagger_background *b = e->background;
    double                          background, spread, negatives, examples, unused;
    for (size_t d = 0; d < r->dim; d++)
        r->rows[d] = (r->rows[d] - r->rows[r->dim + d]) / 2;
    double bias = ((double)r->bias[0] - (double)r->bias[1]) / 2;
    moments(r->rows, bias, b->x, NULL, b->n, r->dim, -1, &background, &spread);
    moments(r->rows, bias, m->x, m->labels, (size_t)m->n, r->dim, 1, &negatives, &unused);
    moments(r->rows, bias, m->x, m->labels, (size_t)m->n, r->dim, 0, &examples, &unused);
    double out   = p->folds && spread > 0 ? p->typical_of[0] * spread - negatives
                                          : UNSEEN * (examples - negatives);
    double least = spread > 0 ? spread : 1e-6;
    double scale = ALONE / (out > least ? out : least);
    for (size_t d = 0; d < r->dim; d++)
        r->rows[d] = (float)((double)r->rows[d] * scale);
    r->bias[0] = (float)((bias - negatives) * scale);
}

/* The probe's rows, calibrated; "none of it" then goes. */
static int take_rows(const struct lesson_examples *e, const struct material *m,
                     const struct probe *p, struct lesson *out, struct err *err)
{
    size_t dim = e->dim, n = (size_t)p->n_labels;
    int    rc = rows_init(&out->rows, n, dim, err);
    if (rc)
        return rc;
    for (size_t l = 0; l < n; l++) {
        const float *from = p->weights + l * (dim + 1);
        memcpy(out->rows.rows + l * dim, from, dim * sizeof *from);
        out->rows.bias[l] = from[dim];
    }
    if (e->n_labels > 1)
        return tagger_calibrate(&out->rows, NULL, 0, e->background, 0, stretch_of(p), err);
    calibrate_alone(e, m, p, &out->rows);
    out->rows.n = 1;
    return 0;
}

int lesson_learn(const struct lesson_examples *e, int threads, struct lesson *out, struct err *err)
{
    struct material m     = {.n = 0};
    struct probe    probe = {.folds = 0};
    struct compute *c     = NULL;
    *out                  = (struct lesson){.folds = 0};
    int rc                = gather(e, &m, err);
    if (!rc)
        rc = compute_new(cpu_detect(), threads, &c, err);
    if (!rc) {
        const struct probe_examples all = {.x            = m.x,
                                           .labels       = m.labels,
                                           .n            = m.n,
                                           .dim          = (int)e->dim,
                                           .n_labels     = m.n_labels,
                                           .background   = e->background->x,
                                           .n_background = (int)e->background->n};
        rc                              = probe_fit(c, &all, &probe, err);
    }
    if (!rc)
        rc = take_rows(e, &m, &probe, out, err);
    out->folds    = probe.folds;
    out->accuracy = probe.accuracy;
    probe_release(&probe);
    compute_free(c);
    free(m.x);
    free(m.labels);
    return rc;
}
