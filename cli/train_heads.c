/* osprey train heads: fits projection heads between a model's locked towers, and
 * writes them as a model.
 */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/train.h"
#include "cli/train_card.h"
#include "cli/train_data.h"
#include "cli/train_progress.h"
#include "cli/train_recipe.h"

#include "base/file.h"
#include "learn/heads_model.h"

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
    "  --parts N           with self and semi: small parts of each, beside these views\n"
    "                      (default 2 with self, none with semi)\n"
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
    "  --resume            go on from the checkpoint of a run that was stopped\n"
    "With --supervision self the defaults are --dim 512, --dropout 0.2, --class-weight 0.02,\n"
    "--visual-weight 0, --lr 0.0003, --weight-decay 0.05, and epochs that make 150 "
    "steps.\n" HELP_PRECISION HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey train heads --images pictures --captions captions.tsv --output models/mine\n";

struct request {
    struct train_recipe recipe;
    const char         *base;
    bool                replace;
};

/* ---- The run ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int report(const struct request *r, const struct common *common,
                  const struct train_data *data, const struct trained *t, double seconds,
                  struct err *err)
{
    const struct trainer_dev *dev = &t->history[t->best].dev;
    if (common->json) {
        struct jnode *o   = jnode_object();
        int           bad = jnode_set_path(o, "model", r->recipe.output) |
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
    out_path(r->recipe.output);
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
    int                          rc = heads_model_check_output(r->recipe.output, r->replace, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (!rc)
        rc = heads_model_check_base(s->enc, err);
    if (!rc)
        rc = train_recipe_class_names(&r->recipe, s->enc, err);
    if (!rc)
        rc = train_data_load(s->enc, &r->recipe.sources, p, stop, &data, err);
    if (rc)
        goto out;
    train_recipe_fit(&r->recipe, &data);
    train_recipe_model(&r->recipe, s->enc);
    p->epochs     = r->recipe.options.epochs;
    double loaded = now();
    note(s->common, "learning from %zu pictures and %zu texts, judging by %zu pictures%s",
         data.pictures, data.texts, data.dev.n, data.held_out ? " that were held out" : "");
    rc = trainer_run(&r->recipe.options, &data.train, &data.dev, &p->trainer, stop, &trained, err);
    if (rc)
        goto out;
    double             seconds = now() - loaded;
    struct heads_model model   = {.base     = s->enc,
                                  .trained  = &trained,
                                  .inputs   = data.inputs,
                                  .distance = r->recipe.options.loss.distance,
                                  .trained_weight =
                                      1 - r->recipe.class_weight - r->recipe.visual_weight,
                                  .class_weight  = r->recipe.class_weight,
                                  .visual_weight = r->recipe.visual_weight};
    struct train_card  about   = {.output           = r->recipe.output,
                                  .base             = encoder_info(s->enc)->name,
                                  .loss             = r->recipe.loss,
                                  .distance         = r->recipe.distance,
                                  .supervision      = r->recipe.supervision,
                                  .sources          = &r->recipe.sources,
                                  .options          = &r->recipe.options,
                                  .model            = &model,
                                  .data             = &data,
                                  .features_seconds = loaded - began,
                                  .seconds          = seconds};
    rc                         = train_card_text(&about, &card, err);
    model.card                 = card;
    if (!rc)
        rc = heads_model_write(r->recipe.output, r->replace, &model, err);
    if (!rc) {
        (void)unlink(r->recipe.checkpoint);
        rc = report(r, s->common, &data, &trained, seconds, err);
    }
out:
    if (rc == ERR_CANCELLED)
        (void)train_recipe_stopped(&r->recipe, err);
    free(card);
    trained_release(&trained);
    train_data_release(&data);
    return rc;
}

int cmd_train_heads(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct request           r       = {.recipe = train_recipe_default};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct train_progress    progress;
    const struct option_spec own[] = {
        {.name = "--images", .kind = OPTION_TEXT, .target = &r.recipe.sources.images},
        {.name = "--captions", .kind = OPTION_TEXT, .target = &r.recipe.sources.captions},
        {.name = "--labels", .kind = OPTION_TEXT, .target = &r.recipe.sources.labels},
        {.name = "--breadth", .kind = OPTION_TEXT, .target = &r.recipe.sources.breadth},
        {.name = "--dev-captions", .kind = OPTION_TEXT, .target = &r.recipe.sources.dev_captions},
        {.name = "--dev-images", .kind = OPTION_TEXT, .target = &r.recipe.sources.dev_images},
        {.name = "--base", .kind = OPTION_TEXT, .target = &r.base},
        {.name = "--output", .kind = OPTION_TEXT, .target = &r.recipe.output},
        {.name = "--replace", .kind = OPTION_FLAG, .target = &r.replace},
        {.name = "--supervision", .kind = OPTION_TEXT, .target = &r.recipe.supervision},
        {.name = "--semi-weight", .kind = OPTION_REAL, .target = &r.recipe.options.semi_weight},
        {.name = "--views", .kind = OPTION_COUNT, .target = &r.recipe.views},
        {.name = "--parts", .kind = OPTION_COUNT, .target = &r.recipe.parts},
        {.name = "--loss", .kind = OPTION_TEXT, .target = &r.recipe.loss},
        {.name = "--distance", .kind = OPTION_TEXT, .target = &r.recipe.distance},
        {.name = "--margin", .kind = OPTION_REAL, .target = &r.recipe.margin},
        {.name = "--hardest", .kind = OPTION_FLAG, .target = &r.recipe.hardest},
        {.name = "--smoothing", .kind = OPTION_REAL, .target = &r.recipe.options.loss.smoothing},
        {.name = "--temperature", .kind = OPTION_REAL, .target = &r.recipe.temperature},
        {.name = "--dim", .kind = OPTION_COUNT, .target = &r.recipe.dim},
        {.name = "--hidden", .kind = OPTION_COUNT, .target = &r.recipe.hidden},
        {.name = "--linear", .kind = OPTION_FLAG, .target = &r.recipe.linear},
        {.name = "--dropout", .kind = OPTION_REAL, .target = &r.recipe.options.image_dropout},
        {.name = "--text-dropout", .kind = OPTION_REAL, .target = &r.recipe.options.text_dropout},
        {.name = "--distil", .kind = OPTION_REAL, .target = &r.recipe.distil},
        {.name = "--class-names", .kind = OPTION_TEXT, .target = &r.recipe.sources.class_names},
        {.name = "--class-weight", .kind = OPTION_REAL, .target = &r.recipe.class_weight},
        {.name = "--visual-weight", .kind = OPTION_REAL, .target = &r.recipe.visual_weight},
        {.name = "--epochs", .kind = OPTION_COUNT, .target = &r.recipe.epochs},
        {.name = "--batch", .kind = OPTION_COUNT, .target = &r.recipe.batch},
        {.name = "--lr", .kind = OPTION_REAL, .target = &r.recipe.options.rate},
        {.name = "--weight-decay", .kind = OPTION_REAL, .target = &r.recipe.options.weight_decay},
        {.name = "--patience", .kind = OPTION_COUNT, .target = &r.recipe.patience},
        {.name = "--seed", .kind = OPTION_COUNT, .target = &r.recipe.seed},
        {.name = "--threads", .kind = OPTION_COUNT, .target = &r.recipe.threads},
        {.name = "--checkpoint-every", .kind = OPTION_COUNT, .target = &r.recipe.every},
        {.name = "--resume", .kind = OPTION_FLAG, .target = &r.recipe.resume},
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
        rc = train_recipe_settle(&r.recipe, &err);
    train_progress_init(&progress, &common);
    if (!rc)
        rc = train(&r, &session, &progress, &err);
    train_progress_finish(&progress);
out:
    train_recipe_release(&r.recipe);
    session_release(&session);
    args_release(&args);
    return rc ? fail("train heads", &err) : EXIT_FOUND;
}
