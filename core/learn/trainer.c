/* Fitting two heads to one another: see trainer.h. */
#include "learn/trainer.h"

#include "base/file.h"
#include "base/mem.h"
#include "learn/trainer_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Setting up ---- */

static bool uses_texts(const struct trainer_options *o)
{
    return o->supervision != SELF_SUPERVISED;
}

static bool uses_views(const struct trainer_options *o)
{
    return o->supervision != SUPERVISED;
}

/* What no training can be made of. */
static int check_data(const struct trainer *t, struct err *err)
{
    const struct head_data *d        = t->train->data;
    size_t                  captions = 0;
    bool                    several  = false;
    for (size_t i = 0; i < t->train->n; i++) {
        int image = t->train->images[i];
        captions += (size_t)head_data_texts_of(d, image);
        several = several || d->group[image] != d->group[t->train->images[0]];
        if (t->o->supervision == SUPERVISED && !head_data_texts_of(d, image))
            return err_set(err, ERR_USAGE, "some pictures have no caption");
    }
    if (t->train->n < 2 || t->dev->n < 1)
        return err_set(err, ERR_USAGE, "too few pictures to learn from: %zu, and %zu to judge by",
                       t->train->n, t->dev->n);
    if (t->o->distil > 0 && (!d->n_classes || !uses_texts(t->o)))
        return err_set(err, ERR_USAGE, "there are no names of classes to distil");
    if (uses_texts(t->o) && captions == 0)
        return err_set(err, ERR_USAGE, "there are no captions to learn from");
    if (!several)
        return err_set(err, ERR_USAGE,
                       "all %zu pictures are of one class: there is nothing to tell them from",
                       t->train->n);
    if (uses_views(t->o) && (d->views < 2 || (!uses_texts(t->o) && t->dev->data->views < 2)))
        return err_set(err, ERR_USAGE, "learning without captions needs two views of each picture");
    return 0;
}

static int standardise(struct trainer *t, struct err *err)
{
    const struct trainer_part *p = t->train;
    float                     *mean, *scale;
    head_net_standard_f32(t->heads.net[HEADS_IMAGE], &mean, &scale);
    int rc = head_data_standardise_images(p->data, p->images, p->n, mean, scale, err);
    if (!rc && t->heads.net[HEADS_TEXT]) {
        head_net_standard_f32(t->heads.net[HEADS_TEXT], &mean, &scale);
        rc = head_data_standardise_texts(p->data, p->images, p->n, mean, scale, err);
    }
    return rc;
}

/* The most rows that go through a head at once. */
static int most_rows(const struct trainer *t)
{
    int views = 2 * t->o->batch;
    int texts = t->o->batch + (t->o->distil > 0 ? t->train->data->n_classes : 0);
    return views > texts ? views : texts;
}

static int init_heads(struct trainer *t, struct err *err)
{
    const struct trainer_options *o       = t->o;
    const struct head_shape       shape[] = {{.in             = t->train->data->image_dim,
                                              .hidden         = o->hidden,
                                              .dim            = o->dim,
                                              .layer_norm     = o->layer_norm,
                                              .input_dropout  = o->image_dropout,
                                              .hidden_dropout = o->hidden_dropout},
                                             {.in             = t->train->data->text_dim,
                                              .hidden         = o->hidden,
                                              .dim            = uses_texts(o) ? o->dim : 0,
                                              .layer_norm     = o->layer_norm,
                                              .input_dropout  = o->text_dropout,
                                              .hidden_dropout = o->hidden_dropout}};
    int                           rc      = heads_init(&t->heads, shape, most_rows(t), err);
    if (!rc)
        rc = standardise(t, err);
    if (rc)
        return rc;
    random_seed(&t->random, o->seed);
    for (int m = 0; m < HEADS_MODALITIES; m++) {
        if (t->heads.net[m])
            head_net_init_f32(t->heads.net[m], &t->random);
    }
    if (o->principal) {
        rc = trainer_start_principal(t, err);
        if (rc)
            return rc;
    }
    for (int l = 0; l < HEADS_LOSSES; l++)
        t->heads.scalars[l] =
            (struct loss_scalars_f32){.log_scale = (float)o->log_scale, .bias = (float)o->bias};
    struct adamw_options adamw = ADAMW_DEFAULT;
    adamw.beta2                = 0.98;
    adamw.weight_decay         = o->weight_decay;
    adamw.clip                 = o->clip;
    adamw.ema                  = o->ema;
    return adamw_init(&t->adamw, &adamw, t->heads.params, t->heads.n_params, err);
}

static int init_memory(struct trainer *t, struct err *err)
{
    const struct head_data *d = t->train->data;
    size_t rows = (size_t)most_rows(t), dim = (size_t)t->o->dim, n = (size_t)t->o->batch;
    size_t classes          = t->o->distil > 0 ? (size_t)d->n_classes : 0;
    struct trainer_batch *b = &t->batch;
    b->images               = mem_array(rows, sizeof *b->images);
    b->rows                 = mem_array(rows, sizeof *b->rows);
    b->groups               = mem_array(rows, sizeof *b->groups);
    b->x                    = mem_aligned(rows * (size_t)d->image_dim, sizeof *b->x);
    b->t                    = mem_aligned(rows * (size_t)d->text_dim, sizeof *b->t);
    b->p                    = mem_aligned(n * classes + 1, sizeof *b->p);
    b->s                    = mem_aligned(2 * n * classes + 1, sizeof *b->s);
    t->order                = mem_array(t->train->n, sizeof *t->order);
    t->history              = mem_zeroed((size_t)t->o->epochs, sizeof *t->history);
    t->scores               = mem_aligned(4 * n * n, sizeof *t->scores);
    t->best                 = heads_new_copy(&t->heads);
    for (int i = 0; i < 2; i++)
        t->y[i] = mem_aligned(rows * dim, sizeof **t->y);
    for (int i = 0; i < 4; i++)
        t->dy[i] = mem_aligned(rows * dim, sizeof **t->dy);
    return b->images && b->rows && b->groups && b->x && b->t && b->p && b->s && t->order &&
                   t->history && t->scores && t->best && t->y[0] && t->y[1] && t->dy[0] &&
                   t->dy[1] && t->dy[2] && t->dy[3]
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for batches of %d pictures", t->o->batch);
}

static void trainer_release(struct trainer *t)
{
    heads_free_copy(t->best, t->heads.n_params);
    adamw_release(&t->adamw);
    heads_release(&t->heads);
    compute_free(t->compute);
    free(t->batch.images);
    free(t->batch.rows);
    free(t->batch.groups);
    free(t->batch.x);
    free(t->batch.t);
    free(t->batch.p);
    free(t->batch.s);
    free(t->order);
    free(t->history);
    free(t->scores);
    for (int i = 0; i < 2; i++)
        free(t->y[i]);
    for (int i = 0; i < 4; i++)
        free(t->dy[i]);
}

static int trainer_init(struct trainer *t, struct err *err)
{
    const struct trainer_options *o  = t->o;
    int                           rc = check_data(t, err);
    if (rc)
        return rc;
    t->half       = half_ops_choose();
    t->best_epoch = -1;
    t->steps      = (int)((t->train->n + (size_t)o->batch - 1) / (size_t)o->batch);
    t->schedule   = (struct schedule){.peak   = o->rate,
                                      .last   = o->last_rate,
                                      .warmup = o->warmup,
                                      .total  = (int64_t)o->epochs * t->steps};
    if (t->schedule.warmup > t->schedule.total / 3)
        t->schedule.warmup = t->schedule.total / 3;
    rc = compute_new(cpu_detect(), o->threads, &t->compute, err);
    if (!rc)
        rc = init_heads(t, err);
    return rc ? rc : init_memory(t, err);
}

/* ---- One step ---- */

/* y (n rows) against z (m rows). Sets dy, dz; returns the loss. */
static double run_loss(struct trainer *t, enum heads_loss which, bool same, const float *y,
                       const int *groups_y, int n, const float *z, const int *groups_z, int m,
                       float *dy, float *dz)
{
    struct loss loss          = t->o->loss;
    loss.hardest              = loss.hardest && t->epoch >= t->o->hardest_after;
    loss.same                 = same;
    struct loss_sets_f32 sets = {.a        = y,
                                 .b        = z,
                                 .groups_a = groups_y,
                                 .groups_b = groups_z,
                                 .na       = n,
                                 .nb       = m,
                                 .dim      = t->o->dim};
    return loss_run_f32(t->compute, &loss, &sets, &t->heads.scalars[which], t->scores, dy, dz,
                        &t->heads.grads[which]);
}

/* All views of the batch against one another; each is no candidate of its own. Adds
 * weight times the gradient to dy[0], whose first rows may hold the captions'. */
static double views_loss(struct trainer *t, double weight, int rows_set)
{
    struct trainer_batch   *b    = &t->batch;
    int                     rows = 2 * b->n;
    size_t                  dim = (size_t)t->o->dim, n = (size_t)rows * dim;
    struct loss_scalars_f32 before = t->heads.grads[HEADS_VIEWS];
    double loss = run_loss(t, HEADS_VIEWS, true, t->y[0], b->groups, rows, t->y[0], b->groups, rows,
                           t->dy[2], t->dy[3]);
    struct loss_scalars_f32 *ds = &t->heads.grads[HEADS_VIEWS];
    ds->log_scale = before.log_scale + (float)weight * (ds->log_scale - before.log_scale);
    ds->bias      = before.bias + (float)weight * (ds->bias - before.bias);
    memset(t->dy[0] + (size_t)rows_set * dim, 0, (n - (size_t)rows_set * dim) * sizeof *t->dy[0]);
    for (size_t i = 0; i < n; i++)
        t->dy[0][i] += (float)weight * (t->dy[2][i] + t->dy[3][i]);
    return weight * loss;
}

/* Forward, loss, backward; returns the loss. */
static double run_batch(struct trainer *t)
{
    struct trainer_batch *b     = &t->batch;
    struct heads         *h     = &t->heads;
    int                   rows  = uses_views(t->o) ? 2 * b->n : b->n;
    int                   texts = b->captions + (t->o->distil > 0 ? t->train->data->n_classes : 0);
    double                loss  = 0;
    head_net_forward_f32(h->net[HEADS_IMAGE], t->compute, b->x, rows, &t->random, t->y[0]);
    if (texts > 0)
        head_net_forward_f32(h->net[HEADS_TEXT], t->compute, b->t, texts, &t->random, t->y[1]);
    if (b->captions > 0) {
        loss = run_loss(t, HEADS_CAPTIONS, false, t->y[0], b->groups, b->captions, t->y[1],
                        b->groups, b->captions, t->dy[0], t->dy[1]);
    }
    if (uses_views(t->o))
        loss += views_loss(t, t->o->supervision == SELF_SUPERVISED ? 1 : t->o->semi_weight,
                           b->captions);
    else if (b->captions < b->n)
        memset(t->dy[0] + (size_t)b->captions * (size_t)t->o->dim, 0,
               (size_t)(b->n - b->captions) * (size_t)t->o->dim * sizeof *t->dy[0]);
    if (t->o->distil > 0)
        loss += trainer_distil(t);
    head_net_backward_f32(h->net[HEADS_IMAGE], t->compute, t->dy[0]);
    if (texts > 0)
        head_net_backward_f32(h->net[HEADS_TEXT], t->compute, t->dy[1]);
    return loss;
}

static int run_step(struct trainer *t, struct err *err)
{
    int64_t at     = (int64_t)t->epoch * t->steps + t->step;
    /* at first the average forgets faster: it should not hold on to where it began */
    double  ramp   = (double)(at + 1) / (double)(at + 10);
    t->adamw.o.ema = t->o->ema < ramp ? t->o->ema : ramp;
    trainer_draw(t);
    double loss = run_batch(t);
    int    rc   = compute_check(t->compute, err);
    if (rc)
        return rc;
    double norm = adamw_step(&t->adamw, t->compute, schedule_rate(&t->schedule, at));
    if (!isfinite(loss) || !isfinite(norm))
        return err_set(err, ERR_FAILED,
                       "training diverged in epoch %d, step %d: the loss is %g, the gradient's "
                       "length %g; a lower learning rate may help",
                       t->epoch + 1, t->step + 1, loss, norm);
    for (int l = 0; l < HEADS_LOSSES; l++) {
        float *scale = &t->heads.scalars[l].log_scale;
        *scale       = fminf(*scale, (float)t->o->log_scale_most);
    }
    t->loss += loss / t->steps;
    t->step++;
    return compute_check(t->compute, err);
}

/* ---- Epochs ---- */

static int cancel(struct trainer *t, double began, struct err *err)
{
    t->spent += now() - began;
    int rc = t->o->checkpoint ? trainer_checkpoint_write(t, err) : 0;
    return rc ? rc : err_set(err, ERR_CANCELLED, "stopped in epoch %d", t->epoch + 1);
}

/* Judges the epoch that is over, and turns to the next. */
static int end_epoch(struct trainer *t, double began, struct err *err)
{
    struct trainer_epoch *e = &t->history[t->epoch];
    *e                      = (struct trainer_epoch){
                             .epoch = t->epoch + 1,
                             .loss  = t->loss,
                             .rate  = schedule_rate(&t->schedule, (int64_t)(t->epoch + 1) * t->steps - 1)};
    adamw_swap_ema(&t->adamw);
    int rc = trainer_judge(t, &e->dev, err);
    if (!rc && (t->best_epoch < 0 || e->dev.score >= t->history[t->best_epoch].dev.score)) {
        e->best       = true;
        t->best_epoch = t->epoch;
        heads_save(&t->heads, t->best);
    }
    adamw_swap_ema(&t->adamw);
    e->seconds = t->spent + now() - began;
    t->epoch++;
    t->step  = 0;
    t->loss  = 0;
    t->spent = 0;
    return rc;
}

static bool exhausted(const struct trainer *t)
{
    return t->o->patience > 0 && t->epoch - 1 - t->best_epoch >= t->o->patience;
}

static int run_epochs(struct trainer *t, const struct trainer_listener *listener,
                      const volatile sig_atomic_t *stop, struct err *err)
{
    while (t->epoch < t->o->epochs && !exhausted(t)) {
        double began = now();
        trainer_shuffle(t);
        while (t->step < t->steps) {
            int rc = stop && *stop ? cancel(t, began, err) : run_step(t, err);
            if (rc)
                return rc;
        }
        int rc = end_epoch(t, began, err);
        if (rc)
            return rc;
        if (listener && listener->epoch)
            listener->epoch(listener->ctx, t->history, t->epoch);
        bool last = t->epoch == t->o->epochs || exhausted(t);
        if (t->o->checkpoint && t->o->checkpoint_every > 0 &&
            (last || t->epoch % t->o->checkpoint_every == 0)) {
            rc = trainer_checkpoint_write(t, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}

int trainer_run(const struct trainer_options *o, const struct trainer_part *train,
                const struct trainer_part *dev, const struct trainer_listener *listener,
                const volatile sig_atomic_t *stop, struct trained *out, struct err *err)
{
    struct trainer t  = {.o = o, .train = train, .dev = dev};
    int            rc = trainer_init(&t, err);
    if (!rc && o->checkpoint)
        trainer_traits(&t, &t.traits);
    if (!rc && o->resume)
        rc = trainer_checkpoint_read(&t, err);
    if (!rc)
        rc = run_epochs(&t, listener, stop, err);
    if (!rc) {
        heads_restore(&t.heads, t.best);
        *out = (struct trained){.heads    = t.heads,
                                .history  = t.history,
                                .n_epochs = t.epoch,
                                .best     = t.best_epoch,
                                .early    = t.epoch < o->epochs};
        heads_free_copy(t.best, t.heads.n_params);
        t.best    = NULL;
        t.history = NULL;
        t.heads   = (struct heads){0};
    }
    trainer_release(&t);
    return rc;
}

void trained_release(struct trained *trained)
{
    if (!trained)
        return;
    heads_release(&trained->heads);
    free(trained->history);
    *trained = (struct trained){0};
}
