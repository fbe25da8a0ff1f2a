/* osprey train reranker: what looks at the first results again, and what its score
 * should weigh beside the first one. Of the form "regions" it is a second pair of
 * heads (rerank/regions.h), of the form "mmca" a cross-attention network
 * (rerank/mmca.h), or both.
 */
#include "cli/commands.h"
#include "cli/eval_both.h"
#include "cli/eval_encode.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/train.h"
#include "cli/train_data.h"
#include "cli/train_mmca.h"
#include "cli/train_progress.h"
#include "cli/train_recipe.h"

#include "base/file.h"
#include "base/mem.h"
#include "learn/heads_model.h"
#include "model/encoder_features.h"
#include "rerank/reranker_write.h"
#include "storage/library_rerank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Fits a re-ranker to captioned pictures: what `osprey search --rerank` looks at the\n"
    "first results with. It belongs to the model that it is trained for.\n"
    "\n"
    "Usage: osprey train reranker [OPTION...] --images DIR --captions FILE --output DIR\n"
    "\n"
    "Data:\n"
    "  --images DIR        the pictures\n"
    "  --captions FILE     lines of a file name in DIR, a tab, and a caption\n"
    "  --breadth DIR|TSV   more pictures with classes, so that it does not forget them\n"
    "  --dev-captions FILE captions to judge by (default: a tenth of the pictures)\n"
    "  --dev-images DIR    their pictures (default: those of --images)\n"
    "  --output DIR        where reranker.safetensors goes: a folder for --reranker, or\n"
    "                      the model's own, which takes it from then on\n"
    "  --replace           replace the one that is there\n"
    "\n"
    "Learning:\n"
    "  --form F            regions (a second pair of heads; the default), mmca (cross-\n"
    "                      attention), or both\n"
    "  --reach N           cells of the grid that a region takes in on each side (default 2)\n"
    "  --top N             regions that count (default 3)\n"
    "  --steps N           of mmca (default 1500)\n"
    "  --groups N          of mmca, in a step: a picture and its neighbours (default 16)\n"
    "  --group-size N      of mmca, pictures in a group (default 8)\n"
    "  --views N           views of each picture: as it is, mirrored, then random crops\n"
    "                      (default 5)\n"
    "  --dim N             numbers of a region (default 384)\n"
    "  --hidden N          width of the MLP beside the linear layer (default 256)\n"
    "  --dropout X         of what the image tower sees (default 0.6)\n"
    "  --text-dropout X    of what the text tower sees (default 0.4)\n"
    "  --distil X          weight of what the image tower knows of its own classes\n"
    "                      (default 1 where they are named)\n"
    "  --class-names FILE  a line for each of these (default: the model's classes.txt)\n"
    "  --epochs N          default: as many as make 480 steps, from 30 to 80\n"
    "  --batch N           pictures in a step (default 1000)\n"
    "  --lr X              learning rate (default 0.002)\n"
    "  --patience N        stop after so many epochs without a better dev recall\n"
    "  --seed N            of all that is random (default 1)\n"
    "  --threads N         default: all cores; changes no result\n"
    "  --checkpoint-every N  epochs (default 10); of mmca, steps (default 100)\n"
    "  --resume            go on from the checkpoint of a run that was stopped\n" HELP_MODEL
        HELP_PRECISION HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey train reranker --images pictures --captions captions.tsv --output mine\n"
    "  osprey search --rerank --reranker mine a dog on a beach\n";

/* Heads from the same views as those that search first, yet from another beginning:
 * what the two get wrong should not be the same. */
#define OTHER_SEED 0x9E3779B97F4A7C15u

#define MOST_STEPS  1000000
#define MOST_GROUPS 256

#define WEIGHT_STEP  0.1f
#define WEIGHT_STEPS 20 /* weights that are tried: up to 2 */

/* Of both: what the cross-attention's score may weigh beside the regions'. */
static const float SHARES[] = {0.1f, 0.2f, 0.35f, 0.5f, 0.8f};
#define SHARES_TRIED ((int)(sizeof SHARES / sizeof *SHARES))

/* Percent of the sum of three recalls: a quarter of a point each, a fourth of what 5,000
 * captions tell apart. */
#define AS_GOOD 0.75

enum part { REGIONS, MMCA, PARTS };

struct request {
    struct train_recipe recipe;
    const char         *form;
    bool                wanted[PARTS];
    size_t              reach, top;
    struct train_mmca   mmca;
    bool                replace;
    char               *path, *trial;    /* of the re-ranker, and of what it is judged by */
    char               *mmca_checkpoint; /* beside the regions', or NULL */
};

/* ---- What it is judged by ---- */

/* Dev pictures and their captions, in the form that evaluations take. What it holds
 * is the data's. */
struct dev {
    struct captions set;
    char          **paths; /* (set.n_images) */
};

static int dev_make(const struct train_data *data, struct dev *dev, struct err *err)
{
    const struct head_data *rows = data->dev.data;
    const struct examples  *from = data->held_out ? &data->learned : &data->judged;
    struct captions        *set  = &dev->set;
    size_t                  n    = 0;
    for (size_t i = 0; i < data->dev.n; i++)
        n += (size_t)head_data_texts_of(rows, data->dev.images[i]);
    dev->paths    = mem_array(data->dev.n + 1, sizeof *dev->paths);
    set->texts    = mem_array(n + 1, sizeof *set->texts);
    set->image_of = mem_array(n + 1, sizeof *set->image_of);
    if (!dev->paths || !set->texts || !set->image_of)
        return err_set(err, ERR_NOMEM, "out of memory for %zu captions", n);
    for (size_t i = 0; i < data->dev.n; i++) {
        int row                     = data->dev.images[i];
        dev->paths[set->n_images++] = from->paths[rows->example[row]];
        for (int t = rows->first_text[row]; t < rows->first_text[row + 1]; t++) {
            set->texts[set->n_captions]      = from->texts[rows->text_of[t]];
            set->image_of[set->n_captions++] = (int)i;
        }
    }
    return 0;
}

static void dev_release(struct dev *dev)
{
    free(dev->paths);
    free(dev->set.texts);
    free(dev->set.image_of);
}

/* ---- The weights ---- */

/* The dev set, encoded, and what each part says of it. */
struct judging {
    struct session       *s;
    const struct dev     *dev;
    float                *images, *texts; /* embeddings */
    struct retrieval_task tasks[RERANK_DIRECTIONS];
    struct rerank_trial   trials[PARTS]; /* without tasks: none */
    int                   threads;

    const volatile sig_atomic_t *stop;
};

static int judging_init(struct judging *j, struct session *s, const struct dev *dev, int threads,
                        const volatile sig_atomic_t *stop, struct err *err)
{
    const struct captions *set = &dev->set;
    size_t                 dim = (size_t)encoder_info(s->enc)->dim;
    *j        = (struct judging){.s = s, .dev = dev, .threads = threads, .stop = stop};
    j->images = mem_array(set->n_images * dim, sizeof *j->images);
    j->texts  = mem_array(set->n_captions * dim, sizeof *j->texts);
    if (!j->images || !j->texts)
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set->n_images);
    return encode_texts(s, (const char *const *)set->texts, set->n_captions, j->texts, err);
}

static void judging_release(struct judging *j)
{
    for (int k = 0; k < PARTS; k++)
        rerank_trial_release(&j->trials[k]);
    free(j->images);
    free(j->texts);
}

/* What the re-ranker in a file says of the dev set. */
static int judge_part(struct judging *j, const char *path, enum part part, struct err *err)
{
    struct session        *s    = j->s;
    const struct captions *set  = &j->dev->set;
    uint8_t               *kept = NULL;
    int                    rc   = session_reranker(s, path, err);
    if (!rc && !(kept = mem_array(set->n_images, reranker_info(s->reranker)->kept_bytes)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", set->n_images);
    const struct encode_pictures job = {.paths  = (const char *const *)j->dev->paths,
                                        .n      = set->n_images,
                                        .kept   = kept,
                                        .cancel = j->stop};
    if (!rc)
        rc = encode_pictures(s, &job, j->images, err);
    const struct rerank_captioned of = {.enc      = s->enc,
                                        .reranker = s->reranker,
                                        .texts    = (const char *const *)set->texts,
                                        .kept     = kept};
    eval_both_tasks(s->enc, set, j->images, j->texts, j->tasks);
    if (!rc)
        rc = rerank_trial_score(&of, j->tasks, RERANK_DEFAULT, j->threads, &j->trials[part], err);
    reranker_close(s->reranker);
    s->reranker = NULL;
    free(kept);
    return rc;
}

/* Adds share times mmca's scores to the regions'. */
static void add_scores(struct judging *j, float share)
{
    for (int d = 0; d < RERANK_DIRECTIONS; d++) {
        size_t n = j->trials[MMCA].lists[d].n * j->trials[MMCA].lists[d].top;
        for (size_t i = 0; i < n; i++)
            j->trials[REGIONS].scores[d][i] += share * j->trials[MMCA].scores[d][i];
    }
}

/* What captions find, all depths alike. */
static int found(const struct rerank_trial *trial, float weight, int threads, double *out,
                 struct err *err)
{
    struct retrieval_ranks ranks = {0};
    int                    rc = rerank_trial_rank(trial, RERANK_T2I, weight, threads, &ranks, err);
    if (!rc)
        *out = retrieval_recall(&ranks, 1) + retrieval_recall(&ranks, 5) +
               retrieval_recall(&ranks, 10);
    retrieval_ranks_release(&ranks);
    return rc;
}

/* The weight that finds most, *most; of equal ones the smallest. */
static int choose_weight(const struct rerank_trial *trial, int threads, double *most, float *weight,
                         struct err *err)
{
    double here = 0;
    int    rc   = 0;
    *most       = -1;
    for (int i = 0; i <= WEIGHT_STEPS && !rc; i++) {
        float w = (float)i * WEIGHT_STEP;
        rc      = found(trial, w, threads, &here, err);
        if (!rc && here > *most) {
            *most   = here;
            *weight = w;
        }
    }
    return rc;
}

/* Chooses the weights, and leaves in *trial scores in which a share is taken in. Recall
 * hardly changes around its best share, but the cross-attention knows its captions' own
 * kind alone: of shares that are as good the smallest one serves other pictures better. */
static int choose(const struct request *r, struct judging *j, struct reranker_parts *of,
                  struct rerank_trial **trial, struct err *err)
{
    double most[SHARES_TRIED], best     = 0;
    float  weights[SHARES_TRIED], share = 0;
    int    rc = 0, at = 0;
    *trial = &j->trials[r->wanted[REGIONS] ? REGIONS : MMCA];
    if (!r->wanted[REGIONS] || !r->wanted[MMCA])
        return choose_weight(*trial, j->threads, &best, &of->weight, err);
    for (int i = 0; i < SHARES_TRIED && !rc; i++) {
        add_scores(j, SHARES[i] - share);
        share = SHARES[i];
        rc    = choose_weight(*trial, j->threads, &most[i], &weights[i], err);
        best  = i == 0 || most[i] > best ? most[i] : best;
    }
    if (rc)
        return rc;
    while (most[at] < best - AS_GOOD)
        at++;
    of->share  = SHARES[at];
    of->weight = weights[at];
    add_scores(j, of->share - share);
    return 0;
}

/* Each part as it was written, on the dev set; and the weights. */
static int judge(const struct request *r, struct session *s, const struct dev *dev,
                 const volatile sig_atomic_t *stop, struct reranker_parts *of,
                 struct eval_both *both, struct err *err)
{
    struct judging       j     = {.s = s};
    struct rerank_trial *trial = NULL;
    int                  rc    = judging_init(&j, s, dev, r->recipe.options.threads, stop, err);
    for (int k = 0; k < PARTS && !rc; k++) {
        struct reranker_parts one = *of;
        if (!r->wanted[k])
            continue;
        one.heads  = k == REGIONS ? of->heads : NULL;
        one.net    = k == MMCA ? of->net : NULL;
        one.weight = 1;
        rc         = reranker_write(r->trial, &one, err);
        if (!rc)
            rc = judge_part(&j, r->trial, (enum part)k, err);
    }
    (void)unlink(r->trial);
    if (!rc)
        rc = eval_both_measure(both, j.tasks, err);
    if (!rc)
        rc = choose(r, &j, of, &trial, err);
    if (!rc)
        rc = eval_both_rerank(both, trial, RERANK_DEFAULT, of->weight, err);
    judging_release(&j);
    return rc;
}

/* ---- The run ---- */

static int report(const struct request *r, const struct common *common,
                  const struct train_data *data, const struct reranker_parts *of,
                  const struct eval_both *both, struct err *err)
{
    if (common->json) {
        struct jnode *o   = jnode_object();
        int           bad = jnode_set_path(o, "reranker", r->path) |
                  jnode_set_int(o, "pictures", (int64_t)data->pictures) |
                  jnode_set_int(o, "texts", (int64_t)data->texts) |
                  jnode_set_int(o, "left_out", (int64_t)data->broken) |
                  jnode_set_str(o, "form", r->form) | eval_both_set(o, both);
        if (of->heads && of->net)
            bad |= jnode_set_real(o, "share", (double)of->share);
        return out_json(o, bad, err);
    }
    eval_both_print(both);
    printf("its score weighs %g; it is ", (double)both->weight);
    out_path(r->path);
    printf("\n");
    return 0;
}

/* Judges what was trained as it is written, and writes it with its weights. */
static int finish(const struct request *r, struct session *s, const struct train_data *data,
                  const volatile sig_atomic_t *stop, struct reranker_parts *of,
                  struct eval_both *both, struct err *err)
{
    struct dev dev = {.paths = NULL};
    int        rc  = file_mkdirs(r->recipe.output, err);
    if (!rc)
        rc = dev_make(data, &dev, err);
    if (!rc)
        rc = judge(r, s, &dev, stop, of, both, err);
    if (!rc && of->weight <= 0)
        note(s->common, "no weight makes the search better on the pictures it was judged by: "
                        "re-ranking with it changes nothing");
    if (!rc)
        rc = reranker_write(r->path, of, err);
    dev_release(&dev);
    return rc;
}

static int check_output(const struct request *r, struct err *err)
{
    if (!file_exists(r->path) || r->replace)
        return 0;
    return err_set(err, ERR_USAGE, "%s exists: choose another --output, or add --replace", r->path);
}

/* Checkpoints, before hours are spent. Of both the regions come first and leave theirs
 * when they are done: mmca's is missing where the run was stopped before it had one, and
 * an old one is no business of a run that begins anew. */
static int check_resumed(struct request *r, const struct encoder *enc, struct err *err)
{
    train_recipe_model(&r->recipe, enc);
    r->mmca.model  = r->recipe.model;
    r->mmca.resume = r->recipe.resume;
    if (!r->wanted[MMCA])
        return 0;
    if (r->wanted[REGIONS] && !r->recipe.resume)
        (void)unlink(r->mmca.checkpoint);
    if (r->wanted[REGIONS] && !file_exists(r->mmca.checkpoint))
        r->mmca.resume = false;
    return r->mmca.resume ? train_mmca_check(enc, &r->mmca, err) : 0;
}

static int train(struct request *r, struct session *s, struct train_progress *p, struct err *err)
{
    const volatile sig_atomic_t *stop    = train_stop_on_signals();
    struct train_data            data    = {0};
    struct trained               trained = {0};
    struct mmca_fit_f32         *net     = NULL;
    struct eval_both             both    = {.seed = 1};
    int                          rc      = check_output(r, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (!rc)
        rc = heads_model_check_base(s->enc, err);
    if (!rc)
        rc = train_recipe_class_names(&r->recipe, s->enc, err);
    if (!rc)
        rc = check_resumed(r, s->enc, err);
    if (!rc)
        rc = train_data_load(s->enc, &r->recipe.sources, p, stop, &data, err);
    if (rc)
        goto out;
    train_recipe_fit(&r->recipe, &data);
    p->epochs = r->recipe.options.epochs;
    note(s->common, "learning from %zu pictures and %zu texts, judging by %zu pictures%s",
         data.pictures, data.texts, data.dev.n, data.held_out ? " that were held out" : "");
    struct reranker_parts of = {.base    = s->enc,
                                .inputs  = data.inputs,
                                .regions = {.grid  = encoder_feature_sizes(s->enc).grid,
                                            .reach = (int)r->reach,
                                            .top   = (int)r->top}};
    if (r->wanted[REGIONS]) {
        rc = trainer_run(&r->recipe.options, &data.train, &data.dev, &p->trainer, stop, &trained,
                         err);
        of.heads = &trained.heads;
    }
    if (!rc && r->wanted[MMCA])
        rc = train_mmca(s->enc, &data, &r->mmca, p, stop, &of.mmca, &net, err);
    of.net = net;
    if (!rc)
        rc = finish(r, s, &data, stop, &of, &both, err);
    if (!rc) {
        (void)unlink(r->recipe.checkpoint);
        (void)unlink(r->mmca.checkpoint);
        rc = report(r, s->common, &data, &of, &both, err);
    }
out:
    if (rc == ERR_CANCELLED)
        (void)train_recipe_stopped(&r->recipe, err);
    eval_both_release(&both);
    mmca_fit_free_f32(net);
    trained_release(&trained);
    train_data_release(&data);
    return rc;
}

static int settle(struct request *r, struct err *err)
{
    const struct train_sources *s = &r->recipe.sources;
    if (!s->captions || !s->images)
        return err_set(err, ERR_USAGE, "train reranker needs --images DIR and --captions FILE");
    r->mmca.every = r->recipe.every ? r->recipe.every : TRAIN_MMCA_EVERY;
    if (!r->recipe.every)
        r->recipe.every = train_recipe_default.every;
    int rc = train_recipe_settle(&r->recipe, err);
    if (rc)
        return rc;
    if (r->reach > REGIONS_MAX_GRID || r->top > REGIONS_MAX_GRID)
        return err_set(err, ERR_USAGE, "--reach and --top take at most %d", REGIONS_MAX_GRID);
    if (strcmp(r->form, "regions") != 0 && strcmp(r->form, "mmca") != 0 &&
        strcmp(r->form, "both") != 0)
        return err_set(err, ERR_USAGE, "--form takes regions, mmca or both, not \"%.80s\"",
                       r->form);
    r->wanted[REGIONS] = strcmp(r->form, "mmca") != 0;
    r->wanted[MMCA]    = strcmp(r->form, "regions") != 0;
    if (r->mmca.steps > MOST_STEPS || r->mmca.groups > MOST_GROUPS || r->mmca.size > MOST_GROUPS)
        return err_set(err, ERR_USAGE, "--steps takes at most %d, --groups and --group-size %d",
                       MOST_STEPS, MOST_GROUPS);
    r->mmca.seed    = r->recipe.seed;
    r->mmca.threads = r->recipe.options.threads;
    r->recipe.options.seed ^= OTHER_SEED;
    r->path            = path_join(r->recipe.output, RERANKER_FILE);
    r->trial           = path_join(r->recipe.output, RERANKER_FILE ".trial");
    r->mmca_checkpoint = train_recipe_beside(&r->recipe, ".mmca.checkpoint");
    r->mmca.checkpoint = r->wanted[REGIONS] ? r->mmca_checkpoint : r->recipe.checkpoint;
    return r->path && r->trial && r->mmca_checkpoint ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

int cmd_train_reranker(int argc, char **argv)
{
    struct common  common;
    struct args    args = {0};
    struct request r    = {
           .recipe = train_recipe_default,
           .form   = "regions",
           .reach  = 2,
           .top    = 3,
           .mmca = {.steps = TRAIN_MMCA_STEPS, .groups = TRAIN_MMCA_GROUPS, .size = TRAIN_MMCA_SIZE}};
    struct train_recipe     *o       = &r.recipe;
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct train_progress    progress;
    const struct option_spec own[] = {
        {.name = "--images", .kind = OPTION_TEXT, .target = &o->sources.images},
        {.name = "--captions", .kind = OPTION_TEXT, .target = &o->sources.captions},
        {.name = "--breadth", .kind = OPTION_TEXT, .target = &o->sources.breadth},
        {.name = "--dev-captions", .kind = OPTION_TEXT, .target = &o->sources.dev_captions},
        {.name = "--dev-images", .kind = OPTION_TEXT, .target = &o->sources.dev_images},
        {.name = "--output", .kind = OPTION_TEXT, .target = &o->output},
        {.name = "--replace", .kind = OPTION_FLAG, .target = &r.replace},
        {.name = "--form", .kind = OPTION_TEXT, .target = &r.form},
        {.name = "--steps", .kind = OPTION_COUNT, .target = &r.mmca.steps},
        {.name = "--groups", .kind = OPTION_COUNT, .target = &r.mmca.groups},
        {.name = "--group-size", .kind = OPTION_COUNT, .target = &r.mmca.size},
        {.name = "--reach", .kind = OPTION_COUNT, .target = &r.reach},
        {.name = "--top", .kind = OPTION_COUNT, .target = &r.top},
        {.name = "--views", .kind = OPTION_COUNT, .target = &o->views},
        {.name = "--dim", .kind = OPTION_COUNT, .target = &o->dim},
        {.name = "--hidden", .kind = OPTION_COUNT, .target = &o->hidden},
        {.name = "--dropout", .kind = OPTION_REAL, .target = &o->options.image_dropout},
        {.name = "--text-dropout", .kind = OPTION_REAL, .target = &o->options.text_dropout},
        {.name = "--distil", .kind = OPTION_REAL, .target = &o->distil},
        {.name = "--class-names", .kind = OPTION_TEXT, .target = &o->sources.class_names},
        {.name = "--epochs", .kind = OPTION_COUNT, .target = &o->epochs},
        {.name = "--batch", .kind = OPTION_COUNT, .target = &o->batch},
        {.name = "--lr", .kind = OPTION_REAL, .target = &o->options.rate},
        {.name = "--patience", .kind = OPTION_COUNT, .target = &o->patience},
        {.name = "--seed", .kind = OPTION_COUNT, .target = &o->seed},
        {.name = "--threads", .kind = OPTION_COUNT, .target = &o->threads},
        {.name = "--checkpoint-every", .kind = OPTION_COUNT, .target = &o->every},
        {.name = "--resume", .kind = OPTION_FLAG, .target = &o->resume},
    };
    o->every        = 0; /* it means epochs, or steps */
    o->what         = "train reranker";
    o->whose        = "re-ranker's";
    o->class_weight = o->visual_weight = 0; /* it is these heads alone that score */
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no arguments", NULL, &err);
    if (!rc)
        rc = settle(&r, &err);
    train_progress_init(&progress, &common);
    if (!rc)
        rc = train(&r, &session, &progress, &err);
    train_progress_finish(&progress);
out:
    free(r.path);
    free(r.trial);
    free(r.mmca_checkpoint);
    train_recipe_release(o);
    session_release(&session);
    args_release(&args);
    return rc ? fail("train reranker", &err) : EXIT_FOUND;
}
