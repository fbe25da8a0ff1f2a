/* Training the cross-attention re-ranker: see train_mmca.h. */
#include "cli/train_mmca.h"

#include "base/mem.h"
#include "cli/output.h"
#include "model/encoder_features.h"

#include <stdlib.h>

/* Pictures and texts in the form that is learned from; strings are the examples'. */
struct learned {
    const char **paths, **texts;
    int         *first, *group;
    size_t       n_images, n_texts;
};

static void learned_release(struct learned *l)
{
    free(l->paths);
    free(l->texts);
    free(l->first);
    free(l->group);
}

static int learned_make(const struct train_data *data, struct learned *l, struct err *err)
{
    const struct head_data *rows = &data->train_rows;
    const struct examples  *from = &data->learned;
    size_t                  n    = 0;
    for (size_t i = 0; i < data->train.n; i++)
        n += (size_t)head_data_texts_of(rows, data->train.images[i]);
    l->paths = mem_array(data->train.n + 1, sizeof *l->paths);
    l->texts = mem_array(n + 1, sizeof *l->texts);
    l->first = mem_zeroed(data->train.n + 1, sizeof *l->first);
    l->group = mem_array(data->train.n + 1, sizeof *l->group);
    if (!l->paths || !l->texts || !l->first || !l->group)
        return err_set(err, ERR_NOMEM, "out of memory for %zu texts", n);
    for (size_t i = 0; i < data->train.n; i++) {
        int row                 = data->train.images[i];
        l->paths[l->n_images]   = from->paths[rows->example[row]];
        l->group[l->n_images++] = rows->group[row];
        for (int t = rows->first_text[row]; t < rows->first_text[row + 1]; t++)
            l->texts[l->n_texts++] = from->texts[rows->text_of[t]];
        l->first[l->n_images] = (int)l->n_texts;
    }
    return 0;
}

static void on_step(void *ctx, int step, int steps, double loss, double seconds)
{
    train_progress_step(ctx, step, steps, loss, seconds);
}

static struct mmca_config shape(const struct encoder *enc)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    return mmca_config_pooled(sizes.grid * sizes.grid, sizes.region, sizes.text);
}

static struct mmca_trainer_options trainer_options(const struct train_mmca *options)
{
    return (struct mmca_trainer_options){.steps        = (int)options->steps,
                                         .groups       = (int)options->groups,
                                         .size         = (int)options->size,
                                         .rate         = 1e-3,
                                         .weight_decay = 0.1,
                                         .clip         = 1,
                                         .ema          = 0.995,
                                         .smoothing    = 0.05,
                                         .warmup       = 100,
                                         .dropout    = {.region = 0.2, .word = 0.2, .hidden = 0.1},
                                         .seed       = options->seed,
                                         .threads    = options->threads,
                                         .checkpoint = options->checkpoint,
                                         .checkpoint_every = (int)options->every,
                                         .resume           = options->resume,
                                         .model            = options->model};
}

int train_mmca_check(const struct encoder *enc, const struct train_mmca *options, struct err *err)
{
    const struct mmca_config          config = shape(enc);
    const struct mmca_trainer_options o      = trainer_options(options);
    return mmca_trainer_check(&config, &o, err);
}

int train_mmca(const struct encoder *enc, const struct train_data *data,
               const struct train_mmca *options, struct train_progress *progress,
               const volatile sig_atomic_t *stop, struct mmca_config *config,
               struct mmca_fit_f32 **net, struct err *err)
{
    struct learned                     l    = {0};
    struct mmca_data                   rows = {0};
    const struct mmca_data_listener    seen = {.ctx      = progress->features.ctx,
                                               .progress = progress->features.progress};
    const struct mmca_trainer_listener told = {.ctx = progress, .step = on_step};
    const struct mmca_trainer_options  o    = trainer_options(options);
    int                                rc   = learned_make(data, &l, err);
    *config                                 = shape(enc);
    const struct mmca_sources from          = {.n_images = l.n_images,
                                               .n_texts  = l.n_texts,
                                               .paths    = l.paths,
                                               .texts    = l.texts,
                                               .first    = l.first,
                                               .group    = l.group};
    if (!rc) {
        train_progress_start(progress, "regions of pictures");
        rc = mmca_data_make(enc, &from, options->threads, &seen, stop, &rows, err);
        train_progress_finish(progress);
    }
    if (!rc)
        rc = mmca_trainer_run(config, &o, &rows, &told, stop, net, err);
    mmca_data_release(&rows);
    learned_release(&l);
    return rc;
}
