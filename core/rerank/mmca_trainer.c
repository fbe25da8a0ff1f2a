/* Training a re-ranker of the MMCA form: see mmca_trainer.h. */
#include "rerank/mmca_trainer.h"

#include "base/half.h"
#include "base/mem.h"
#include "learn/adamw.h"
#include "learn/training_file.h"

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
    struct schedule                    schedule;
    struct random                      random;
    int                                step;         /* done */
    double                             sum;          /* of losses since the listener was called */
    double                             spent, began; /* seconds before began */
    int                   *order; /* (n) pictures, seeds of groups; shuffled when all were one */
    int                    at;
    int                   *stamp;   /* (n) the step that a picture was drawn in */
    int                   *picked;  /* (n of a step) */
    int                   *starts;  /* (n of a step + 1) */
    int                   *owner;   /* (n of a step) */
    float                 *regions; /* (n of a step * cells, region) */
    float                 *words;   /* (n of a step * MMCA_DATA_WORDS, word) */
    struct training_traits traits;  /* where there is a checkpoint */
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
        if (t->at == (int)d->n) {
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

/* ---- Setting up ---- */

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

/* What no training can be made of. */
static int check_data(const struct trainer *t, struct err *err)
{
    const struct mmca_data *d       = t->d;
    size_t                  n       = (size_t)t->o->groups * (size_t)t->o->size;
    bool                    several = false;
    for (size_t i = 1; i < d->n; i++)
        several = several || d->group[i] != d->group[0];
    if (n < 2 || n > d->n)
        return err_set(err, ERR_USAGE, "a step of %zu pictures needs as many: there are %zu", n,
                       d->n);
    if (!several)
        return err_set(err, ERR_USAGE,
                       "all %zu pictures are of one class: there is nothing to tell them from",
                       d->n);
    return 0;
}

static int trainer_init(struct trainer *t, const struct mmca_config *config, struct err *err)
{
    const struct mmca_trainer_options *o = t->o;
    const struct mmca_data            *d = t->d;
    size_t                             n = (size_t)o->groups * (size_t)o->size;
    struct adamw_options               a = ADAMW_DEFAULT;
    int                                n_params, rc = check_data(t, err);
    if (rc)
        return rc;
    t->schedule =
        (struct schedule){.peak = o->rate, .last = 0, .warmup = o->warmup, .total = o->steps};
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
    rc = compute_new(cpu_detect(), o->threads < 1 ? 1 : o->threads, &t->compute, err);
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

/* ---- Checkpoints ---- */

static void list_options(const struct mmca_config *c, const struct mmca_trainer_options *o,
                         struct training_traits *out)
{
    const struct {
        const char *name;
        double      value;
    } numbers[] = {{"cells", c->cells},
                   {"numbers of a region", c->region},
                   {"numbers of a word", c->word},
                   {"width", c->width},
                   {"heads", c->heads},
                   {"hidden width", c->mlp},
                   {"steps", o->steps},
                   {"groups", o->groups},
                   {"group size", o->size},
                   {"learning rate", o->rate},
                   {"weight decay", o->weight_decay},
                   {"clipping", o->clip},
                   {"averaging", o->ema},
                   {"label smoothing", o->smoothing},
                   {"warm-up", o->warmup},
                   {"dropout of regions", o->dropout.region},
                   {"dropout of words", o->dropout.word},
                   {"dropout of hidden layers", o->dropout.hidden}};
    *out        = (struct training_traits){.n = 0};
    training_trait_text(out, "training", "cross-attention");
    training_trait_text(out, "model", o->model ? o->model : "any");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        training_trait_real(out, numbers[i].name, numbers[i].value);
    training_trait_digest(out, "seed", &o->seed, sizeof o->seed);
}

static void list_data(const struct mmca_data *d, struct training_traits *out)
{
    uint8_t hash[HASH_BYTES];
    mmca_data_hash(d, hash);
    training_trait_digest(out, "set of pictures or captions", hash, sizeof hash);
}

static struct training_kept keep(struct trainer *t)
{
    struct training_kept k = {.n = 0};
    training_keep_adamw(&k, &t->adamw, NULL);
    training_keep(&k, "step", DTYPE_I32, 1, &t->step);
    training_keep(&k, "loss", DTYPE_I64, 1, &t->sum);
    training_keep(&k, "seconds", DTYPE_I64, 1, &t->spent);
    training_keep(&k, "random", DTYPE_I64, 4, t->random.s);
    training_keep(&k, "order", DTYPE_I32, t->d->n, t->order);
    training_keep(&k, "at", DTYPE_I32, 1, &t->at);
    return k;
}

static int checkpoint_write(struct trainer *t, struct err *err)
{
    double time = now();
    t->spent += time - t->began;
    t->began                = time;
    struct training_kept k  = keep(t);
    int                  rc = training_file_write(t->o->checkpoint, &t->traits, &k, err);
    training_kept_release(&k);
    return rc;
}

/* A place in the run, and every picture once. */
static bool makes_sense(const struct trainer *t)
{
    int  n    = (int)t->d->n;
    bool good = t->step >= 0 && t->step <= t->o->steps && t->at >= 0 && t->at <= n;
    for (int i = 0; i < n && good; i++) {
        good = t->order[i] >= 0 && t->order[i] < n && !t->stamp[t->order[i]];
        if (good)
            t->stamp[t->order[i]] = -1; /* of no step */
    }
    return good;
}

static int checkpoint_read(struct trainer *t, struct err *err)
{
    const char           *path = t->o->checkpoint;
    struct training_file *f    = NULL;
    struct training_kept  k    = keep(t);
    int                   rc   = training_file_open(path, &t->traits, &f, err);
    if (!rc)
        rc = training_file_take(f, &k, err);
    if (!rc && !makes_sense(t))
        rc = training_file_damaged(path, "it is at no place of the training", err);
    training_kept_release(&k);
    training_file_close(f);
    return rc;
}

int mmca_trainer_check(const struct mmca_config *config, const struct mmca_trainer_options *options,
                       struct err *err)
{
    struct training_traits traits;
    struct training_file  *f = NULL;
    list_options(config, options, &traits);
    int rc = training_file_open(options->checkpoint, &traits, &f, err);
    training_file_close(f);
    return rc;
}

/* ---- Steps ---- */

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

static int run_step(struct trainer *t, struct err *err)
{
    struct mmca_batch_f32 batch;
    draw(t, t->step + 1, &batch);
    double loss = mmca_fit_run_f32(t->net, t->compute, &batch, &t->o->dropout, &t->random, true);
    double norm = adamw_step(&t->adamw, t->compute, schedule_rate(&t->schedule, t->step));
    hold_scales(t);
    int rc = compute_check(t->compute, err);
    if (rc)
        return rc;
    if (!isfinite(loss) || !isfinite(norm))
        return err_set(err, ERR_FAILED,
                       "the training diverged in step %d: try a smaller learning rate",
                       t->step + 1);
    t->sum += loss;
    t->step++;
    return 0;
}

static void tell(struct trainer *t, const struct mmca_trainer_listener *l)
{
    int since = t->step % TELL ? t->step % TELL : TELL;
    if (t->step % TELL != 0 && t->step != t->o->steps)
        return;
    if (l && l->step)
        l->step(l->ctx, t->step, t->o->steps, t->sum / since, t->spent + now() - t->began);
    t->sum = 0;
}

static int run(struct trainer *t, const struct mmca_trainer_listener *l,
               const volatile sig_atomic_t *stop, struct err *err)
{
    const struct mmca_trainer_options *o = t->o;
    t->began                             = now();
    while (t->step < o->steps) {
        bool stopped = stop && *stop;
        int  rc      = stopped ? 0 : run_step(t, err);
        if (!rc && !stopped)
            tell(t, l);
        bool due =
            t->step == o->steps || (o->checkpoint_every > 0 && t->step % o->checkpoint_every == 0);
        if (!rc && o->checkpoint && (stopped || due))
            rc = checkpoint_write(t, err);
        if (!rc && stopped)
            rc = err_set(err, ERR_CANCELLED, "stopped in step %d of %d", t->step + 1, o->steps);
        if (rc)
            return rc;
    }
    return 0;
}

int mmca_trainer_run(const struct mmca_config *config, const struct mmca_trainer_options *options,
                     const struct mmca_data *data, const struct mmca_trainer_listener *listener,
                     const volatile sig_atomic_t *stop, struct mmca_fit_f32 **out, struct err *err)
{
    struct trainer t  = {.o = options, .d = data};
    int            rc = trainer_init(&t, config, err);
    if (!rc && options->checkpoint) {
        list_options(config, options, &t.traits);
        list_data(data, &t.traits);
    }
    if (!rc && options->resume)
        rc = checkpoint_read(&t, err);
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
