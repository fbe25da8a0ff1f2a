/* Fitting a linear probe, and choosing the weight of its penalty: see probe.h. */
#include "learn/probe.h"

#include "base/mem.h"
#include "learn/lbfgs.h"
#include "learn/product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FOLDS 4
#define MOST_STEPS 200
#define TOLERANCE  1e-5

/* The usual C of logistic regression, for which decay = 1 / (C * examples). Accuracy is
 * flat around the middle one, which is taken where nothing tells them apart. */
static const double strengths[] = {10, 1, 100};
#define STRENGTHS (sizeof strengths / sizeof *strengths)

/* ---- One fit ---- */

struct fit {
    struct compute       *c;
    struct probe_data_f32 data;
};

static double evaluate(void *ctx, const float *x, float *gradient)
{
    struct fit *f = ctx;
    return probe_loss_f32(f->c, &f->data, x, gradient);
}

/* weights: (n_labels, dim + 1), where to begin. */
static int fit(struct compute *c, const float *x, const int *labels, int n, int dim, int n_labels,
               double strength, float *weights, struct err *err)
{
    float *scores = mem_array((size_t)n * (size_t)n_labels, sizeof *scores);
    if (!scores)
        return err_set(err, ERR_NOMEM, "out of memory for %d examples", n);
    struct fit         f  = {c, {x, labels, n, dim, n_labels, 1 / (strength * n), scores}};
    const struct lbfgs l  = {.n          = (size_t)n_labels * (size_t)(dim + 1),
                             .function   = evaluate,
                             .ctx        = &f,
                             .most_steps = MOST_STEPS,
                             .tolerance  = TOLERANCE};
    int                rc = lbfgs_minimise(&l, weights, NULL, err);
    free(scores);
    return rc ? rc : compute_check(c, err);
}

/* out: (n, n_labels), logits less their mean over the labels. */
static void logits(struct compute *c, const float *weights, int dim, int n_labels, const float *x,
                   int n, float *out)
{
    const struct product_f32 p = {.m        = n,
                                  .n        = n_labels,
                                  .k        = dim,
                                  .a        = x,
                                  .lda      = dim,
                                  .b        = weights,
                                  .ldb      = dim + 1,
                                  .b_turned = true,
                                  .c        = out,
                                  .ldc      = n_labels};
    product_run_f32(c, &p);
    for (int i = 0; i < n; i++) {
        float *row  = out + (size_t)i * (size_t)n_labels;
        double mean = 0;
        for (int l = 0; l < n_labels; l++) {
            row[l] += weights[(size_t)l * (size_t)(dim + 1) + (size_t)dim];
            mean += (double)row[l] / n_labels;
        }
        for (int l = 0; l < n_labels; l++)
            row[l] -= (float)mean;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of n numbers, which are sorted thereby. */
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return x[n / 2];
}

/* The median, over labels, of the deviation of logits (n, n_labels). */
static double usual_deviation(const float *z, int n, int n_labels, double *scratch)
{
    for (int l = 0; l < n_labels; l++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < n; i++) {
            double v = (double)z[(size_t)i * (size_t)n_labels + (size_t)l];
            sum += v;
            squares += v * v;
        }
        scratch[l] = sqrt(fmax(0, squares / n - sum / n * sum / n));
    }
    return median(scratch, n_labels);
}

/* ---- Cross-validation ---- */

struct trial {
    struct compute              *c;
    const struct probe_examples *e;
    int                          folds;
    int                         *fold;    /* (n) which one holds an example out */
    float                       *x;       /* (n, dim) the others, then those held out */
    int                         *labels;  /* (n) theirs */
    float                       *weights; /* (n_labels, dim + 1) */
    float                       *z;       /* (the more of n and n_background, n_labels) */
    double                      *out;     /* (2 n) how far out the held-out ones lie; room */
    int                         *told;    /* (n) their labels */
    double                      *scratch; /* (n_labels) */
};

static int least_examples(const struct probe_examples *e)
{
    int least = e->n;
    for (int l = 0; l < e->n_labels; l++) {
        int n = 0;
        for (int i = 0; i < e->n; i++)
            n += e->labels[i] == l;
        least = n < least ? n : least;
    }
    return least;
}

/* Each label's examples go round the folds. */
static void deal(const struct probe_examples *e, int folds, int *fold)
{
    for (int l = 0; l < e->n_labels; l++)
        for (int i = 0, next = l; i < e->n; i++)
            if (e->labels[i] == l)
                fold[i] = next++ % folds;
}

/* Fits without one fold; counts those of it that are right, and says how far out they
 * lie (from t->out[*n_out] on). */
static int try_fold(struct trial *t, int fold, double strength, int *right, int *n_out,
                    struct err *err)
{
    const struct probe_examples *e   = t->e;
    size_t                       dim = (size_t)e->dim;
    int                          n   = 0;
    for (int held = 0, at = 0; held < 2; held++) {
        for (int i = 0; i < e->n; i++) {
            if ((t->fold[i] == fold) != (held == 1))
                continue;
            memcpy(t->x + (size_t)at * dim, e->x + (size_t)i * dim, dim * sizeof *t->x);
            t->labels[at++] = e->labels[i];
        }
        n = held ? n : at;
    }
    memset(t->weights, 0, (size_t)e->n_labels * (dim + 1) * sizeof *t->weights);
    int rc = fit(t->c, t->x, t->labels, n, e->dim, e->n_labels, strength, t->weights, err);
    if (rc)
        return rc;
    double deviation = 0;
    if (e->n_background) {
        logits(t->c, t->weights, e->dim, e->n_labels, e->background, e->n_background, t->z);
        deviation = usual_deviation(t->z, e->n_background, e->n_labels, t->scratch);
    }
    logits(t->c, t->weights, e->dim, e->n_labels, t->x + (size_t)n * dim, e->n - n, t->z);
    for (int i = n; i < e->n; i++) {
        const float *z    = t->z + (size_t)(i - n) * (size_t)e->n_labels;
        int          best = 0;
        for (int l = 1; l < e->n_labels; l++)
            best = z[l] > z[best] ? l : best;
        *right += best == t->labels[i];
        t->told[*n_out]    = t->labels[i];
        t->out[(*n_out)++] = deviation > 0 ? (double)z[t->labels[i]] / deviation : 0;
    }
    return compute_check(t->c, err);
}

/* The median of how far out the held-out ones of a label lie. room: (n) */
static double typical_of(const struct trial *t, int label, int n, double *room)
{
    int m = 0;
    for (int i = 0; i < n; i++)
        if (t->told[i] == label)
            room[m++] = t->out[i];
    return median(room, m);
}

/* Takes the strength that tells most of the held-out examples, and what it tells. */
static int choose(struct trial *t, double *strength, struct probe *out, struct err *err)
{
    int best = -1, rc = 0;
    for (size_t s = 0; s < STRENGTHS && !rc; s++) {
        int right = 0, n = 0;
        for (int fold = 0; fold < t->folds && !rc; fold++)
            rc = try_fold(t, fold, strengths[s], &right, &n, err);
        if (rc || right <= best)
            continue;
        best          = right;
        *strength     = strengths[s];
        out->accuracy = (double)right / t->e->n;
        for (int l = 0; l < t->e->n_labels; l++)
            out->typical_of[l] = typical_of(t, l, n, t->out + n);
        out->typical = median(t->out, n);
    }
    return rc;
}

static int cross_validate(struct compute *c, const struct probe_examples *e, double *strength,
                          struct probe *out, struct err *err)
{
    int least = least_examples(e), rows = e->n > e->n_background ? e->n : e->n_background;
    if (least < 2)
        return 0;
    struct trial t  = {.c      = c,
                       .e      = e,
                       .folds  = least < MOST_FOLDS ? least : MOST_FOLDS,
                       .fold   = mem_array((size_t)e->n, sizeof *t.fold),
                       .x      = mem_array((size_t)e->n * (size_t)e->dim, sizeof *t.x),
                       .labels = mem_array((size_t)e->n, sizeof *t.labels),
                       .weights =
                           mem_array((size_t)e->n_labels * (size_t)(e->dim + 1), sizeof(float)),
                       .z       = mem_array((size_t)rows * (size_t)e->n_labels, sizeof *t.z),
                       .out     = mem_array(2 * (size_t)e->n, sizeof *t.out),
                       .told    = mem_array((size_t)e->n, sizeof *t.told),
                       .scratch = mem_array((size_t)e->n_labels, sizeof *t.scratch)};
    int          rc = t.fold && t.x && t.labels && t.weights && t.z && t.out && t.told && t.scratch
                          ? 0
                          : err_set(err, ERR_NOMEM, "out of memory for %d examples", e->n);
    if (!rc) {
        deal(e, t.folds, t.fold);
        rc         = choose(&t, strength, out, err);
        out->folds = t.folds;
    }
    free(t.fold);
    free(t.x);
    free(t.labels);
    free(t.weights);
    free(t.z);
    free(t.out);
    free(t.told);
    free(t.scratch);
    return rc;
}

int probe_fit(struct compute *c, const struct probe_examples *e, struct probe *out, struct err *err)
{
    double strength = strengths[0];
    *out            = (struct probe){.n_labels = e->n_labels, .dim = e->dim};
    if (e->n_labels < 2 || least_examples(e) < 1)
        return err_set(err, ERR_USAGE, "a probe takes examples of two labels at least");
    out->weights    = mem_zeroed((size_t)e->n_labels * (size_t)(e->dim + 1), sizeof *out->weights);
    out->typical_of = mem_zeroed((size_t)e->n_labels, sizeof *out->typical_of);
    int rc          = out->weights && out->typical_of
                          ? cross_validate(c, e, &strength, out, err)
                          : err_set(err, ERR_NOMEM, "out of memory for %d labels", e->n_labels);
    if (!rc)
        rc = fit(c, e->x, e->labels, e->n, e->dim, e->n_labels, strength, out->weights, err);
    out->decay = 1 / (strength * e->n);
    if (rc)
        probe_release(out);
    return rc;
}

void probe_release(struct probe *p)
{
    free(p->weights);
    free(p->typical_of);
    *p = (struct probe){0};
}
