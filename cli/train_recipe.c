/* How heads are trained, from what was given: see train_recipe.h. */
#include "cli/train_recipe.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "model/encoder_features.h"
#include "model/models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISTIL 1.0
#define SUFFIX ".checkpoint"

const struct train_recipe train_recipe_default = {
    .what          = "train heads",
    .whose         = "new model's",
    .loss          = "infonce",
    .distance      = "cosine",
    .supervision   = "supervised",
    .hidden        = 256,
    .batch         = 1000,
    .seed          = 1,
    .every         = 10,
    .margin        = -1,
    .temperature   = 0.05,
    .class_weight  = NAN,
    .visual_weight = NAN,
    .distil        = -1,
    .sources       = {.augment = {.min_area = 0.6, .jitter = 0.2}},
    .options       = {.semi_weight   = 0.3,
                      .hardest_after = 5,
                      .rate          = NAN,
                      .weight_decay  = NAN,
                      .ema           = 0.99,
                      .image_dropout = NAN,
                      .text_dropout  = 0.4,
                      .mix           = 1},
};

/* What was not given, as it suits the supervision. Both columns were sought on
 * Flickr8k. Without captions the space begins at what the tower sees, where views of a
 * picture are near to one another already: a random start ends a point behind. */
static void suit(struct train_recipe *r)
{
    struct trainer_options *o    = &r->options;
    bool                    self = o->supervision == SELF_SUPERVISED;
    const struct {
        double *value, usual, self;
    } reals[] = {{&r->class_weight, 0.1, 0.02},
                 {&r->visual_weight, 0.3, 0},
                 {&o->rate, 2e-3, 3e-4},
                 {&o->weight_decay, 0.1, 0.05},
                 {&o->image_dropout, 0.6, 0.2}};
    const struct {
        size_t *value, usual, self;
    } counts[] = {{&r->dim, 384, 512}, {&r->views, 5, 5}, {&r->parts, 0, 2}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        if (isnan(*reals[i].value))
            *reals[i].value = self ? reals[i].self : reals[i].usual;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (*counts[i].value == 0)
            *counts[i].value = self ? counts[i].self : counts[i].usual;
    }
    o->warmup    = self ? 30 : 50;
    o->principal = self;
}

/* ---- Options ---- */

static int parse_supervision(struct train_recipe *r, struct err *err)
{
    static const char *const names[] = {"supervised", "self", "semi"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(names[i], r->supervision) == 0) {
            r->options.supervision = (enum supervision)i;
            r->sources.supervision = (enum supervision)i;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "--supervision takes supervised, self or semi, not \"%.80s\"",
                   r->supervision);
}

static int parse_loss(struct train_recipe *r, struct err *err)
{
    struct trainer_options *o         = &r->options;
    int                     loss      = loss_by_name(r->loss);
    enum distance           distance  = DISTANCE_COSINE;
    bool                    hardest   = r->hardest;
    double                  smoothing = o->loss.smoothing;
    if (loss < 0)
        return err_set(err, ERR_USAGE,
                       "--loss takes infonce, triplet, siglip or contrastive, not \"%.80s\"",
                       r->loss);
    if (!distance_of(r->distance, &distance))
        return err_set(err, ERR_USAGE,
                       "--distance takes cosine, euclidean or manhattan, not \"%.80s\"",
                       r->distance);
    o->loss = loss_default((enum loss_kind)loss, distance, (int)r->dim, &o->log_scale, &o->bias);
    if (loss == LOSS_INFONCE) /* loss_default's is 0.07, stretched for other distances */
        o->log_scale += log(0.07 / r->temperature);
    o->log_scale_most = o->log_scale + log(2.5);
    o->loss.hardest   = hardest;
    o->loss.smoothing = smoothing;
    if (r->margin >= 0)
        o->loss.margin = r->margin;
    return 0;
}

static int check_range(const char *name, double value, double low, double high, struct err *err)
{
    return value >= low && value <= high
               ? 0
               : err_set(err, ERR_USAGE, "%s takes a number from %g to %g, not %g", name, low, high,
                         value);
}

static int check_numbers(const struct train_recipe *r, struct err *err)
{
    const struct trainer_options *o = &r->options;
    const struct {
        const char *name;
        double      value, low, high;
    } all[] = {{"--dropout", o->image_dropout, 0, 0.95},
               {"--text-dropout", o->text_dropout, 0, 0.95},
               {"--smoothing", o->loss.smoothing, 0, 0.95},
               {"--distil", r->distil, -1, 1000},
               {"--temperature", r->temperature, 0.001, 100},
               {"--semi-weight", o->semi_weight, 0, 1000},
               {"--class-weight", r->class_weight, 0, 0.99},
               {"--visual-weight", r->visual_weight, 0, 0.99},
               {"--class-weight and --visual-weight together", r->class_weight + r->visual_weight,
                0, 0.99},
               {"--lr", o->rate, 1e-9, 1e6},
               {"--weight-decay", o->weight_decay, 0, 1e6},
               {"--dim", (double)r->dim, 2, 8192},
               {"--hidden", (double)r->hidden, 1, 8192},
               {"--batch", (double)r->batch, 2, 32768},
               {"--epochs", (double)r->epochs, 0, 1000000},
               {"--views", (double)r->views, 0, FEATURES_MAX_VIEWS},
               {"--parts", (double)r->parts, 0, FEATURES_MAX_VIEWS},
               {"--checkpoint-every", (double)r->every, 1, 1000000},
               {"--threads", (double)r->threads, 0, 1024}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int rc = check_range(all[i].name, all[i].value, all[i].low, all[i].high, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* What must be given together. */
static int check_sources(const struct train_recipe *r, struct err *err)
{
    const struct train_sources *s    = &r->sources;
    bool                        self = s->supervision == SELF_SUPERVISED;
    if (!r->output || !*r->output)
        return err_set(err, ERR_USAGE, "%s needs --output DIR, the %s folder", r->what, r->whose);
    if (s->captions && !s->images)
        return err_set(err, ERR_USAGE, "--captions needs --images DIR, the pictures");
    if (!s->images && !s->labels)
        return err_set(err, ERR_USAGE, "%s needs --images DIR, or --labels", r->what);
    if (!self && !s->captions && !s->labels)
        return err_set(err, ERR_USAGE,
                       "%s needs --captions FILE or --labels, or --supervision self", r->what);
    if (s->dev_captions && !s->dev_images && !s->images)
        return err_set(err, ERR_USAGE, "--dev-captions needs --dev-images DIR");
    if (s->dev_images && !s->dev_captions)
        return err_set(err, ERR_USAGE, "--dev-images needs --dev-captions FILE");
    if (s->supervision != SUPERVISED && r->views == 1)
        return err_set(err, ERR_USAGE, "--supervision %s needs at least two --views",
                       r->supervision);
    if (s->supervision == SUPERVISED && r->parts)
        return err_set(err, ERR_USAGE, "--parts goes with --supervision self or semi");
    return 0;
}

char *train_recipe_beside(const struct train_recipe *r, const char *suffix)
{
    size_t len = strlen(r->output), more = strlen(suffix) + 1;
    char  *out = mem_array(len + more, 1);
    if (!out)
        return NULL;
    while (len > 1 && r->output[len - 1] == '/')
        len--;
    memcpy(out, r->output, len);
    memcpy(out + len, suffix, more);
    return out;
}

int train_recipe_settle(struct train_recipe *r, struct err *err)
{
    struct trainer_options *o  = &r->options;
    int                     rc = parse_supervision(r, err);
    if (rc)
        return rc;
    suit(r);
    rc = check_numbers(r, err);
    if (!rc)
        rc = parse_loss(r, err);
    if (!rc)
        rc = check_sources(r, err);
    if (rc)
        return rc;
    r->checkpoint = train_recipe_beside(r, SUFFIX);
    if (!r->checkpoint)
        return err_set(err, ERR_NOMEM, "out of memory");
    o->checkpoint       = r->checkpoint;
    o->checkpoint_every = (int)r->every;
    o->resume           = r->resume;
    o->dim              = (int)r->dim;
    o->hidden           = r->linear ? 0 : (int)r->hidden;
    o->batch            = (int)r->batch;
    o->patience         = (int)r->patience;
    o->seed             = r->seed;
    o->threads          = r->threads ? (int)r->threads : parallel_cores();
    r->sources.threads  = o->threads;
    r->sources.seed     = r->seed;
    r->sources.views    = (int)r->views;
    r->sources.parts    = (int)r->parts;
    return 0;
}

void train_recipe_model(struct train_recipe *r, const struct encoder *enc)
{
    const struct encoder_info *info = encoder_info(enc);
    (void)snprintf(r->model, sizeof r->model, "%.40s %.16s", info->name, info->hash);
    r->options.model = r->model;
}

int train_recipe_class_names(struct train_recipe *r, const struct encoder *enc, struct err *err)
{
    struct train_sources *s   = &r->sources;
    char                 *dir = NULL;
    if (s->supervision == SELF_SUPERVISED || r->distil == 0 ||
        encoder_feature_sizes(enc).classes == 0)
        s->class_names = NULL;
    else if (!s->class_names) {
        r->class_names = path_join(encoder_info(enc)->dir, "classes.txt");
        if (r->class_names && !file_exists(r->class_names) && !models_find(NULL, &dir, NULL)) {
            free(r->class_names);
            r->class_names = path_join(dir, "classes.txt");
        }
        free(dir);
        if (!r->class_names)
            return err_set(err, ERR_NOMEM, "out of memory");
        if (file_exists(r->class_names))
            s->class_names = r->class_names;
    }
    if (!s->class_names && r->distil > 0)
        return err_set(err, ERR_USAGE, "--distil needs --class-names FILE with this model");
    return 0;
}

/* ---- What depends on the model and the data ---- */

void train_recipe_fit(struct train_recipe *r, const struct train_data *data)
{
    struct trainer_options *o     = &r->options;
    size_t                  batch = r->batch < data->train.n ? r->batch : data->train.n;
    o->batch                      = (int)(batch < 2 ? 2 : batch);
    size_t steps                  = (data->train.n + batch - 1) / (batch ? batch : 1);
    size_t wanted                 = o->supervision == SELF_SUPERVISED ? 150 : 480;
    size_t enough                 = steps ? (wanted + steps - 1) / steps : 1;
    o->epochs = (int)(r->epochs ? r->epochs : enough < 30 ? 30 : enough > 80 ? 80 : enough);
    if (!data->known.classes)
        r->class_weight = 0;
    if (!data->known.stages) /* not a model with a visual part */
        r->visual_weight = 0;
    if (data->train_rows.n_classes > 0) {
        double scale, bias;
        o->distil = r->distil < 0 ? DISTIL : r->distil;
        (void)loss_default(LOSS_INFONCE, o->loss.distance, o->dim, &scale, &bias);
        if (o->loss.kind != LOSS_INFONCE) /* no scale is learned that would suit a softmax */
            o->distil_scale = exp(scale + log(0.07 / r->temperature));
    }
    double trained  = 1 - r->class_weight - r->visual_weight;
    o->class_weight = r->class_weight / (r->class_weight + trained);
}

int train_recipe_stopped(const struct train_recipe *r, struct err *err)
{
    char was[sizeof err->msg];
    (void)snprintf(was, sizeof was, "%s", err->msg);
    return err_set(err, ERR_CANCELLED, "%.200s; %s goes on", was,
                   file_exists(r->checkpoint) ? "the same command with --resume"
                                              : "features so far are kept: the same command");
}

void train_recipe_release(struct train_recipe *r)
{
    free(r->checkpoint);
    free(r->class_names);
}
