/* osprey train heads: fits projection heads between a model's locked towers, and
 * writes them as a model.
 *
 * The defaults are the recipe of the heads that osprey-small comes with; it was
 * sought on Flickr8k.
 */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/train.h"
#include "cli/train_card.h"
#include "cli/train_data.h"
#include "cli/train_progress.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "learn/heads_model.h"
#include "model/encoder_features.h"
#include "model/models.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Fits projection heads to captioned pictures, and writes them as a model that\n"
    "`osprey index --model DIR` takes. The towers stay as they are, so it takes minutes.\n"
    "\n"
    "Usage: osprey train heads [OPTION...] --images DIR --captions FILE --output DIR\n"
    "       osprey train heads [OPTION...] --labels DIR|TSV --output DIR\n"
    "       osprey train heads [OPTION...] --supervision self --images DIR --output DIR\n"
    "\n"
    "Data:\n"
    "  --images DIR        the pictures\n"
    "  --captions FILE     lines of a file name in DIR, a tab, and a caption\n"
    "  --labels DIR|TSV    classes: a folder for each, or lines of a file name, a tab,\n"
    "                      and a class\n"
    "  --breadth DIR|TSV   more pictures with classes, so that heads do not forget them\n"
    "  --dev-captions FILE captions to judge by (default: a tenth of the pictures)\n"
    "  --dev-images DIR    their pictures (default: those of --images)\n"
    "  --base MODEL        the model whose towers are used (default: the default model)\n"
    "  --output DIR        the new model's folder\n"
    "  --replace           replace the trained heads that are there\n"
    "\n"
    "Learning:\n"
    "  --supervision S     supervised, self (without captions), or semi (both)\n"
    "  --semi-weight X     what views of pictures weigh beside captions (default 0.3)\n"
    "  --views N           views of each picture: as it is, mirrored, then random crops\n"
    "                      (default 5)\n"
    "  --loss L            infonce, triplet, siglip or contrastive\n"
    "  --distance D        cosine, euclidean or manhattan\n"
    "  --margin X          of triplet and contrastive\n"
    "  --hardest           triplet: the hardest negative instead of the sum\n"
    "  --smoothing X       infonce: label smoothing (default 0)\n"
    "  --temperature X     infonce: where it begins (default 0.05)\n"
    "  --dim N             numbers of the trained part (default 384)\n"
    "  --hidden N          width of the MLP beside the linear layer (default 256)\n"
    "  --linear            no MLP\n"
    "  --dropout X         of what the image tower sees (default 0.6)\n"
    "  --text-dropout X    of what the text tower sees (default 0.4)\n"
    "  --distil X          weight of what the image tower knows of its own classes, so\n"
    "                      that heads do not forget it (default 1 where they are named)\n"
    "  --class-names FILE  a line for each of these (default: the model's classes.txt)\n"
    "  --class-weight X    what the names of a picture's classes weigh in the space\n"
    "                      (default 0.1)\n"
    "  --visual-weight X   what likeness of pictures weighs (default 0.3)\n"
    "  --epochs N          default: as many as make 480 steps, from 30 to 80\n"
    "  --batch N           pictures in a step (default 1000)\n"
    "  --lr X              learning rate (default 0.002)\n"
    "  --weight-decay X    default 0.1\n"
    "  --patience N        stop after so many epochs without a better dev recall\n"
    "  --seed N            of all that is random (default 1)\n"
    "  --threads N         default: all cores; changes no result\n"
    "  --checkpoint-every N  epochs (default 10)\n"
    "  --resume            go on from the checkpoint of a run that was stopped\n" HELP_PRECISION
        HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey train heads --images pictures --captions captions.tsv --output models/mine\n";

#define VIEWS  5
#define STEPS  480
#define DISTIL 1.0
#define SUFFIX ".checkpoint"

struct request {
    const char            *output, *base;
    const char            *loss, *distance, *supervision;
    bool                   replace, linear, resume, hardest;
    size_t                 views, dim, hidden, epochs, batch, patience, seed, threads, every;
    double                 margin, temperature;
    double                 class_weight, visual_weight, distil; /* distil below 0: as it suits */
    char                  *class_names;                         /* owned, or NULL */
    struct train_sources   sources;
    struct trainer_options options;
    char                  *checkpoint; /* owned */
};

static const struct request defaults = {
    .loss          = "infonce",
    .distance      = "cosine",
    .supervision   = "supervised",
    .dim           = 384,
    .hidden        = 256,
    .batch         = 1000,
    .seed          = 1,
    .every         = 10,
    .margin        = -1,
    .temperature   = 0.05,
    .class_weight  = 0.1,
    .visual_weight = 0.3,
    .distil        = -1,
    .sources       = {.augment = {.min_area = 0.6, .jitter = 0.2}},
    .options       = {.semi_weight   = 0.3,
                      .hardest_after = 5,
                      .rate          = 2e-3,
                      .warmup        = 50,
                      .weight_decay  = 0.1,
                      .ema           = 0.99,
                      .image_dropout = 0.6,
                      .text_dropout  = 0.4,
                      .mix           = 1},
};

/* ---- Options ---- */

static int parse_supervision(struct request *r, struct err *err)
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

static int parse_loss(struct request *r, struct err *err)
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

static int check_numbers(const struct request *r, struct err *err)
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
               {"--threads", (double)r->threads, 0, 1024}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int rc = check_range(all[i].name, all[i].value, all[i].low, all[i].high, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* What must be given together. */
static int check_sources(const struct request *r, struct err *err)
{
    const struct train_sources *s    = &r->sources;
    bool                        self = s->supervision == SELF_SUPERVISED;
    if (!r->output || !*r->output)
        return err_set(err, ERR_USAGE, "train heads needs --output DIR, the new model's folder");
    if (s->captions && !s->images)
        return err_set(err, ERR_USAGE, "--captions needs --images DIR, the pictures");
    if (!s->images && !s->labels)
        return err_set(err, ERR_USAGE, "train heads needs --images DIR, or --labels");
    if (!self && !s->captions && !s->labels)
        return err_set(err, ERR_USAGE,
                       "train heads needs --captions FILE or --labels, or --supervision self");
    if (s->dev_captions && !s->dev_images && !s->images)
        return err_set(err, ERR_USAGE, "--dev-captions needs --dev-images DIR");
    if (s->dev_images && !s->dev_captions)
        return err_set(err, ERR_USAGE, "--dev-images needs --dev-captions FILE");
    if (s->supervision != SUPERVISED && r->views == 1)
        return err_set(err, ERR_USAGE, "--supervision %s needs at least two --views",
                       r->supervision);
    return 0;
}

/* From what was given to what the trainer takes. */
static int settle(struct request *r, struct err *err)
{
    struct trainer_options *o  = &r->options;
    int                     rc = parse_supervision(r, err);
    if (!rc)
        rc = check_numbers(r, err);
    if (!rc)
        rc = parse_loss(r, err);
    if (!rc)
        rc = check_sources(r, err);
    if (rc)
        return rc;
    size_t len    = strlen(r->output);
    r->checkpoint = mem_array(len + sizeof SUFFIX, 1);
    if (!r->checkpoint)
        return err_set(err, ERR_NOMEM, "out of memory");
    while (len > 1 && r->output[len - 1] == '/')
        len--;
    memcpy(r->checkpoint, r->output, len);
    memcpy(r->checkpoint + len, SUFFIX, sizeof SUFFIX);
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
    r->sources.views    = r->views ? (int)r->views : VIEWS;
    return 0;
}

/* ---- The run ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The names of the image tower's classes: those given, else the base model's, or the
 * default one's, where these lie beside it. */
static int find_class_names(struct request *r, const struct encoder *enc, struct err *err)
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

/* What depends on the data: batches of what is there, enough steps. */
static void fit_to_data(struct request *r, const struct train_data *data)
{
    struct trainer_options *o     = &r->options;
    size_t                  batch = r->batch < data->train.n ? r->batch : data->train.n;
    o->batch                      = (int)(batch < 2 ? 2 : batch);
    size_t steps                  = (data->train.n + batch - 1) / (batch ? batch : 1);
    size_t enough                 = steps ? (STEPS + steps - 1) / steps : 1;
    o->epochs = (int)(r->epochs ? r->epochs : enough < 30 ? 30 : enough > 80 ? 80 : enough);
    if (!data->inputs.classes)
        r->class_weight = 0;
    if (!data->inputs.stages) /* not a model with a visual part */
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

static int report(const struct request *r, const struct common *common,
                  const struct train_data *data, const struct trained *t, double seconds,
                  struct err *err)
{
    const struct trainer_dev *dev = &t->history[t->best].dev;
    if (common->json) {
        struct jnode *o   = jnode_object();
        int           bad = jnode_set_path(o, "model", r->output) |
                  jnode_set_int(o, "pictures", (int64_t)data->pictures) |
                  jnode_set_int(o, "texts", (int64_t)data->texts) |
                  jnode_set_int(o, "left_out", (int64_t)data->broken) |
                  jnode_set_int(o, "epochs", t->n_epochs) |
                  jnode_set_int(o, "best_epoch", t->best + 1) |
                  jnode_set(o, "dev", train_dev_json(dev)) | jnode_set_real(o, "seconds", seconds);
        return out_json(o, bad, err);
    }
    const struct recall *a = &dev->t2i, *b = &dev->i2t, *v = &dev->i2i;
    printf("%-16s %6s  %6s  %6s  %6s\n", "", "R@1", "R@5", "R@10", "n");
    if (a->n)
        printf("%-16s %6.1f  %6.1f  %6.1f  %6d\n%-16s %6.1f  %6.1f  %6.1f  %6d\n", "text to image",
               a->r1, a->r5, a->r10, a->n, "image to text", b->r1, b->r5, b->r10, b->n);
    if (v->n)
        printf("%-16s %6.1f  %6.1f  %6.1f  %6d\n", "view to picture", v->r1, v->r5, v->r10, v->n);
    printf("the best of %d epochs was the %dth; ", t->n_epochs, t->best + 1);
    printf("the model is in ");
    out_path(r->output);
    printf("\n");
    return 0;
}

static int train(struct request *r, struct session *s, struct train_progress *p, struct err *err)
{
    const volatile sig_atomic_t *stop    = train_stop_on_signals();
    struct train_data            data    = {0};
    struct trained               trained = {0};
    char                        *card    = NULL;
    double                       began   = now();
    int                          rc      = heads_model_check_output(r->output, r->replace, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (!rc)
        rc = heads_model_check_base(s->enc, err);
    if (!rc)
        rc = find_class_names(r, s->enc, err);
    if (!rc)
        rc = train_data_load(s->enc, &r->sources, p, stop, &data, err);
    if (rc)
        goto out;
    fit_to_data(r, &data);
    p->epochs     = r->options.epochs;
    double loaded = now();
    note(s->common, "learning from %zu pictures and %zu texts, judging by %zu pictures%s",
         data.pictures, data.texts, data.dev.n, data.held_out ? " that were held out" : "");
    rc = trainer_run(&r->options, &data.train, &data.dev, &p->trainer, stop, &trained, err);
    if (rc)
        goto out;
    double             seconds = now() - loaded;
    struct heads_model model   = {.base           = s->enc,
                                  .trained        = &trained,
                                  .inputs         = data.inputs,
                                  .distance       = r->options.loss.distance,
                                  .trained_weight = 1 - r->class_weight - r->visual_weight,
                                  .class_weight   = r->class_weight,
                                  .visual_weight  = r->visual_weight};
    struct train_card  about   = {.output           = r->output,
                                  .base             = encoder_info(s->enc)->name,
                                  .loss             = r->loss,
                                  .distance         = r->distance,
                                  .supervision      = r->supervision,
                                  .sources          = &r->sources,
                                  .options          = &r->options,
                                  .model            = &model,
                                  .data             = &data,
                                  .features_seconds = loaded - began,
                                  .seconds          = seconds};
    rc                         = train_card_text(&about, &card, err);
    model.card                 = card;
    if (!rc)
        rc = heads_model_write(r->output, r->replace, &model, err);
    if (!rc) {
        (void)unlink(r->checkpoint);
        rc = report(r, s->common, &data, &trained, seconds, err);
    }
out:
    if (rc == ERR_CANCELLED) {
        char was[sizeof err->msg];
        (void)snprintf(was, sizeof was, "%s", err->msg);
        (void)err_set(err, ERR_CANCELLED, "%.200s; %s goes on", was,
                      file_exists(r->checkpoint) ? "the same command with --resume"
                                                 : "features so far are kept: the same command");
    }
    free(card);
    trained_release(&trained);
    train_data_release(&data);
    return rc;
}

int cmd_train_heads(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct request           r       = defaults;
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct train_progress    progress;
    const struct option_spec own[] = {
        {.name = "--images", .kind = OPTION_TEXT, .target = &r.sources.images},
        {.name = "--captions", .kind = OPTION_TEXT, .target = &r.sources.captions},
        {.name = "--labels", .kind = OPTION_TEXT, .target = &r.sources.labels},
        {.name = "--breadth", .kind = OPTION_TEXT, .target = &r.sources.breadth},
        {.name = "--dev-captions", .kind = OPTION_TEXT, .target = &r.sources.dev_captions},
        {.name = "--dev-images", .kind = OPTION_TEXT, .target = &r.sources.dev_images},
        {.name = "--base", .kind = OPTION_TEXT, .target = &r.base},
        {.name = "--output", .kind = OPTION_TEXT, .target = &r.output},
        {.name = "--replace", .kind = OPTION_FLAG, .target = &r.replace},
        {.name = "--supervision", .kind = OPTION_TEXT, .target = &r.supervision},
        {.name = "--semi-weight", .kind = OPTION_REAL, .target = &r.options.semi_weight},
        {.name = "--views", .kind = OPTION_COUNT, .target = &r.views},
        {.name = "--loss", .kind = OPTION_TEXT, .target = &r.loss},
        {.name = "--distance", .kind = OPTION_TEXT, .target = &r.distance},
        {.name = "--margin", .kind = OPTION_REAL, .target = &r.margin},
        {.name = "--hardest", .kind = OPTION_FLAG, .target = &r.hardest},
        {.name = "--smoothing", .kind = OPTION_REAL, .target = &r.options.loss.smoothing},
        {.name = "--temperature", .kind = OPTION_REAL, .target = &r.temperature},
        {.name = "--dim", .kind = OPTION_COUNT, .target = &r.dim},
        {.name = "--hidden", .kind = OPTION_COUNT, .target = &r.hidden},
        {.name = "--linear", .kind = OPTION_FLAG, .target = &r.linear},
        {.name = "--dropout", .kind = OPTION_REAL, .target = &r.options.image_dropout},
        {.name = "--text-dropout", .kind = OPTION_REAL, .target = &r.options.text_dropout},
        {.name = "--distil", .kind = OPTION_REAL, .target = &r.distil},
        {.name = "--class-names", .kind = OPTION_TEXT, .target = &r.sources.class_names},
        {.name = "--class-weight", .kind = OPTION_REAL, .target = &r.class_weight},
        {.name = "--visual-weight", .kind = OPTION_REAL, .target = &r.visual_weight},
        {.name = "--epochs", .kind = OPTION_COUNT, .target = &r.epochs},
        {.name = "--batch", .kind = OPTION_COUNT, .target = &r.batch},
        {.name = "--lr", .kind = OPTION_REAL, .target = &r.options.rate},
        {.name = "--weight-decay", .kind = OPTION_REAL, .target = &r.options.weight_decay},
        {.name = "--patience", .kind = OPTION_COUNT, .target = &r.patience},
        {.name = "--seed", .kind = OPTION_COUNT, .target = &r.seed},
        {.name = "--threads", .kind = OPTION_COUNT, .target = &r.threads},
        {.name = "--checkpoint-every", .kind = OPTION_COUNT, .target = &r.every},
        {.name = "--resume", .kind = OPTION_FLAG, .target = &r.resume},
    };
    const char *none[1];
    int         rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no arguments", none, &err);
    if (!rc && r.base && common.model)
        rc = err_set(&err, ERR_USAGE, "--base and --model say the same: give one of them");
    if (!rc && r.base)
        common.model = r.base;
    if (!rc)
        rc = settle(&r, &err);
    train_progress_init(&progress, &common);
    if (!rc)
        rc = train(&r, &session, &progress, &err);
    train_progress_finish(&progress);
out:
    free(r.checkpoint);
    free(r.class_names);
    session_release(&session);
    args_release(&args);
    return rc ? fail("train heads", &err) : EXIT_FOUND;
}
