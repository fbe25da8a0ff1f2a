/* Training a re-ranker of the MMCA form: see mmca_trainer.h. */
#include "rerank/mmca_trainer.h"

#include "base/half.h"
#include "base/mem.h"
#include "learn/adamw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TELL       50              /* steps */
#define STANDARDS  ((size_t)20000) /* rows that means and deviations are taken from */
#define MOST_SCALE 3.912f          /* ln 50 */

struct trainer {
    const struct mmca_trainer_options *o;
    const struct mmca_data            *d;
    struct mmca_fit_f32               *net;
    struct compute                    *compute;
    struct adamw                       adamw;
    struct random                      random;
    int   *order; /* (n) pictures, seeds of groups; shuffled when all were one */
    size_t at;
    int   *stamp;   /* (n) the step that a picture was drawn in */
    int   *picked;  /* (n of a step) */
    int   *starts;  /* (n of a step + 1) */
    int   *owner;   /* (n of a step) */
    float *regions; /* (n of a step * cells, region) */
    float *words;   /* (n of a step * MMCA_DATA_WORDS, word) */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Batches ---- */

static bool take(struct trainer *t, int picture, int step, int *n)
{
    if (t->stamp[picture] == step)
        return false;
    t->stamp[picture] = step;
    t->picked[(*n)++] = picture;
    return true;
}

/* A seed and some of its neighbours, in random order; what is short is drawn from all. */
static void draw_group(struct trainer *t, int step, int *n)
{
    const struct mmca_data *d = t->d;
    int                     near[MMCA_DATA_NEAR], end = *n + t->o->size;
    do {
        if (t->at == d->n) {
            random_shuffle(&t->random, t->order, (int)d->n);
            t->at = 0;
        }
    } while (!take(t, t->order[t->at++], step, n));
    memcpy(near, d->near + (ptrdiff_t)t->picked[*n - 1] * d->n_near,
           (size_t)d->n_near * sizeof *near);
    random_shuffle(&t->random, near, d->n_near);
    for (int i = 0; i < d->n_near && *n < end; i++)
        (void)take(t, near[i], step, n);
    while (*n < end)
        (void)take(t, (int)random_below(&t->random, (uint32_t)d->n), step, n);
}

static void draw(struct trainer *t, int step, struct mmca_batch_f32 *batch)
{
    const struct mmca_data *d = t->d;
    int                     n = 0, row = 0;
    size_t                  word = (size_t)d->word;
    for (int g = 0; g < t->o->groups; g++)
        draw_group(t, step, &n);
    for (int i = 0; i < n; i++) {
        int picture = t->picked[i], texts = d->first[picture + 1] - d->first[picture];
        int view  = (int)random_below(&t->random, MMCA_DATA_VIEWS);
        int text  = d->first[picture] + (int)random_below(&t->random, (uint32_t)texts);
        int words = d->starts[text + 1] - d->starts[text];
        mmca_data_regions(d, picture, view, t->regions + (ptrdiff_t)i * d->cells * d->region);
        half_to_float(t->words + (size_t)row * word, d->words + (size_t)d->starts[text] * word,
                      (size_t)words * word);
        t->starts[i] = row;
        t->owner[i]  = d->group[picture];
        row += words;
    }
    t->starts[n] = row;
    *batch       = (struct mmca_batch_f32){.groups  = t->o->groups,
                                           .size    = t->o->size,
                                           .regions = t->regions,
                                           .words   = t->words,
                                           .starts  = t->starts,
                                           .owner   = t->owner};
}

/* ---- The run ---- */

/* Means and deviations of what is learned from. */
static int standardise(struct trainer *t, struct err *err)
{
    const struct mmca_data *d     = t->d;
    size_t                  cells = (size_t)d->cells, pictures = STANDARDS / cells + 1;
    size_t                  words = (size_t)d->starts[d->first[d->n]];
    float                  *mean, *scale;
    if (pictures > d->n)
        pictures = d->n;
    if (words > STANDARDS)
        words = STANDARDS;
    float *x = mem_array(pictures * cells, (size_t)d->region * sizeof *x);
    float *y = mem_array(words + 1, (size_t)d->word * sizeof *y);
    if (x && y) {
        for (size_t i = 0; i < pictures; i++)
            mmca_data_regions(d, t->order[i], 0, x + i * cells * (size_t)d->region);
        half_to_float(y, d->words, words * (size_t)d->word);
        mmca_fit_standard_f32(t->net, false, &mean, &scale);
        standardise_fit_f32(x, pictures * cells, d->region, 1e-3f, mean, scale);
        mmca_fit_standard_f32(t->net, true, &mean, &scale);
        standardise_fit_f32(y, words, d->word, 1e-3f, mean, scale);
    }
    int rc = x && y ? 0 : err_set(err, ERR_NOMEM, "out of memory for training");
    free(x);
    free(y);
    return rc;
}

static int trainer_init(struct trainer *t, const struct mmca_config *config, struct err *err)
{
    const struct mmca_trainer_options *o = t->o;
    const struct mmca_data            *d = t->d;
    size_t                             n = (size_t)o->groups * (size_t)o->size;
    struct adamw_options               a = ADAMW_DEFAULT;
    int                                n_params;
    if (n < 2 || n > d->n)
        return err_set(err, ERR_USAGE, "a step of %zu pictures needs as many: there are %zu", n,
                       d->n);
    t->order   = mem_array(d->n, sizeof *t->order);
    t->stamp   = mem_zeroed(d->n, sizeof *t->stamp);
    t->picked  = mem_array(n, sizeof *t->picked);
    t->starts  = mem_array(n + 1, sizeof *t->starts);
    t->owner   = mem_array(n, sizeof *t->owner);
    t->regions = mem_aligned(n * (size_t)d->cells, (size_t)d->region * sizeof *t->regions);
    t->words   = mem_aligned(n * MMCA_DATA_WORDS, (size_t)d->word * sizeof *t->words);
    if (!t->order || !t->stamp || !t->picked || !t->starts || !t->owner || !t->regions || !t->words)
        return err_set(err, ERR_NOMEM, "out of memory for training");
    random_seed(&t->random, o->seed);
    for (size_t i = 0; i < d->n; i++)
        t->order[i] = (int)i;
    random_shuffle(&t->random, t->order, (int)d->n);
    int rc = compute_new(cpu_detect(), o->threads < 1 ? 1 : o->threads, &t->compute, err);
    if (!rc)
        rc = mmca_fit_new_f32(config, o->smoothing, &t->net, err);
    if (!rc)
        rc = standardise(t, err);
    if (rc)
        return rc;
    mmca_fit_init_f32(t->net, &t->random);
    const struct param_f32 *params = mmca_fit_params_f32(t->net, &n_params);
    a.weight_decay                 = o->weight_decay;
    a.clip                         = o->clip;
    a.ema                          = o->ema;
    return adamw_init(&t->adamw, &a, params, n_params, err);
}

static void trainer_release(struct trainer *t)
{
    adamw_release(&t->adamw);
    mmca_fit_free_f32(t->net);
    compute_free(t->compute);
    free(t->order);
    free(t->stamp);
    free(t->picked);
    free(t->starts);
    free(t->owner);
    free(t->regions);
    free(t->words);
}

/* Temperatures keep above what makes gradients wild. */
static void hold_scales(struct trainer *t)
{
    int                     n;
    const struct param_f32 *p = mmca_fit_params_f32(t->net, &n);
    for (int i = 0; i < MMCA_FIT_SCALES; i++) {
        float *x = &p[n - 1].value[i]; /* the last of the list */
        *x       = *x > MOST_SCALE ? MOST_SCALE : *x;
    }
}

static int run(struct trainer *t, const struct mmca_trainer_listener *l,
               const volatile sig_atomic_t *stop, struct err *err)
{
    const struct mmca_trainer_options *o        = t->o;
    const struct schedule              schedule = {
                     .peak = o->rate, .last = 0, .warmup = o->warmup, .total = o->steps};
    double sum = 0, began = now();
    for (int step = 1; step <= o->steps; step++) {
        struct mmca_batch_f32 batch;
        draw(t, step, &batch);
        double loss = mmca_fit_run_f32(t->net, t->compute, &batch, &o->dropout, &t->random, true);
        double norm = adamw_step(&t->adamw, t->compute, schedule_rate(&schedule, step - 1));
        hold_scales(t);
        int rc = compute_check(t->compute, err);
        if (rc)
            return rc;
        if (!isfinite(loss) || !isfinite(norm))
            return err_set(err, ERR_FAILED,
                           "the training diverged in step %d: try a smaller learning rate", step);
        if (stop && *stop)
            return err_set(err, ERR_CANCELLED, "stopped in step %d of %d", step, o->steps);
        sum += loss;
        if ((step % TELL == 0 || step == o->steps) && l && l->step) {
            int since = step % TELL ? step % TELL : TELL;
            l->step(l->ctx, step, o->steps, sum / since, now() - began);
            sum = 0;
        }
    }
    return 0;
}

int mmca_trainer_run(const struct mmca_config *config, const struct mmca_trainer_options *options,
                     const struct mmca_data *data, const struct mmca_trainer_listener *listener,
                     const volatile sig_atomic_t *stop, struct mmca_fit_f32 **out, struct err *err)
{
    struct trainer t  = {.o = options, .d = data};
    int            rc = trainer_init(&t, config, err);
    if (!rc)
        rc = run(&t, listener, stop, err);
    if (!rc) {
        adamw_swap_ema(&t.adamw);
        *out  = t.net;
        t.net = NULL;
    }
    trainer_release(&t);
    return rc;
}
