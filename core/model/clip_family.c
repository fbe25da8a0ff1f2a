/* The family "clip": CLIP's towers behind encoder.h.
 *
 * The folder, in transformers' layout: config.json, preprocessor_config.json,
 * model.safetensors (or its shards), tokenizer.json or vocab.json and merges.txt.
 * In OpenCLIP's: open_clip_config.json, open_clip_model.safetensors, and the same
 * tokenizer files. All of them go into the model's hash, since each has a say in
 * what a vector means.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/auto_precision.h"
#include "model/clip.h"
#include "model/encoder_family.h"
#include "model/model_card.h"
#include "text/bpe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_TOKENS   1024 /* tokens encoded together */
#define CHUNK_TEXTS    256
#define MAX_FILES      64
#define TRIAL_PICTURES 2
#define ENGLISH_TOKENS 49408 /* the vocabulary of the first CLIP, learned from English */

static const char *const OTHER_FILES[] = {"config.json",
                                          "open_clip_config.json",
                                          "preprocessor_config.json",
                                          "tokenizer.json",
                                          "vocab.json",
                                          "merges.txt"};
#define N_OTHER_FILES (sizeof OTHER_FILES / sizeof OTHER_FILES[0])

struct family {
    struct clip_config config;
    enum precision     precision;
    bool               built; /* the prepared weights were not cached before */
    struct checkpoint *checkpoint;
    struct prepared   *prepared;
    struct clip       *clip;
    bool               has_tokenizer;
    struct bpe        *bpe;              /* NULL without one */
    const char        *files[MAX_FILES]; /* (n_files) of the checkpoint, then of other */
    size_t             n_files;
    char              *other[N_OTHER_FILES];
    char               languages[MODEL_CARD_LANGUAGES];
};

static void family_close(void *model)
{
    struct family *f = model;
    if (!f)
        return;
    clip_free(f->clip);
    bpe_free(f->bpe);
    prepared_close(f->prepared);
    checkpoint_close(f->checkpoint);
    for (size_t i = 0; i < N_OTHER_FILES; i++)
        free(f->other[i]);
    free(f);
}

bool clip_folder_is_open_clip(const char *dir)
{
    static const char *const wanted[]   = {"open_clip_config.json", "open_clip_model.safetensors"};
    static const char *const unwanted[] = {"model.safetensors", "model.safetensors.index.json"};
    bool                     is         = true;
    for (int i = 0; i < 4 && is; i++) {
        char *path = path_join(dir, i < 2 ? wanted[i] : unwanted[i - 2]);
        is         = path && file_exists(path) == (i < 2);
        free(path);
    }
    return is;
}

/* What the weights, as kept, and the vectors derive from. */
static int list_files(struct family *f, const char *dir, struct err *err)
{
    for (size_t i = 0; i < checkpoint_files(f->checkpoint); i++)
        f->files[f->n_files++] = checkpoint_file(f->checkpoint, i);
    for (size_t i = 0; i < N_OTHER_FILES; i++) {
        f->other[i] = path_join(dir, OTHER_FILES[i]);
        if (!f->other[i])
            return err_set(err, ERR_NOMEM, "out of memory");
        if (file_exists(f->other[i]))
            f->files[f->n_files++] = f->other[i];
    }
    return 0;
}

/* What configuration, tokenizer and preprocessing say of one another. */
static int check_together(const struct family *f, const struct preprocess *pre, struct err *err)
{
    const struct clip_config *c = &f->config;
    if (pre->out_w != c->image_size || pre->out_h != c->image_size)
        return err_set(err, ERR_FORMAT,
                       "preprocessor_config.json: pictures come out as %d x %d, but the image "
                       "tower takes %d x %d",
                       pre->out_w, pre->out_h, c->image_size, c->image_size);
    if (!f->has_tokenizer)
        return 0;
    if (bpe_vocabulary(f->bpe) > c->vocabulary)
        return err_set(err, ERR_FORMAT,
                       "the tokenizer has %d tokens, but the text tower knows %d: they belong to "
                       "different models",
                       bpe_vocabulary(f->bpe), c->vocabulary);
    if (c->eos != CLIP_EOS_LARGEST && c->eos != bpe_end(f->bpe))
        return err_set(err, ERR_FORMAT,
                       "config.json: text_config.eos_token_id is %d, but the tokenizer ends texts "
                       "with %d",
                       c->eos, bpe_end(f->bpe));
    return 0;
}

/* The tokenizer, from its files while building, else as it was kept. */
static int load_tokenizer(struct family *f, const char *dir, struct prepared *p, struct err *err)
{
    float  *size, *words;
    int32_t n = 0;
    if (!f->has_tokenizer)
        return 0;
    int rc = prepared_floats(p, "tokenizer.size", 1, &size, err);
    if (!rc && prepared_building(p) && !f->bpe)
        rc = bpe_load(dir, &f->bpe, err);
    if (rc)
        return rc;
    if (prepared_building(p)) {
        n = (int32_t)bpe_words(f->bpe);
        memcpy(size, &n, sizeof n);
    }
    memcpy(&n, size, sizeof n);
    if (n < 1)
        return err_set(err, ERR_DAMAGED, "the tokenizer as kept makes no sense");
    rc = prepared_floats(p, "tokenizer.words", (size_t)n, &words, err);
    if (rc)
        return rc;
    if (prepared_building(p))
        bpe_store(f->bpe, (int32_t *)(void *)words);
    else if (!f->bpe)
        rc = bpe_restore((const int32_t *)(const void *)words, (size_t)n, &f->bpe, err);
    return rc;
}

/* Tokenizer and towers, built or mapped, whichever p is up to. */
static int load_all(struct family *f, const char *dir, const struct preprocess *pre, struct cpu cpu,
                    struct prepared *p, struct clip **clip, struct err *err)
{
    int rc = load_tokenizer(f, dir, p, err);
    if (!rc)
        rc = check_together(f, pre, err);
    return rc ? rc : clip_load(f->checkpoint, &f->config, pre, p, cpu, f->precision, clip, err);
}

static bool folder_has(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    bool  has  = path && file_exists(path);
    free(path);
    return has;
}

/* What may be missing when the towers alone are wanted. The preprocessing then
 * is CLIP's own, at the tower's size. */
static int stand_in(struct family *f, const char *dir, const struct encoder_options *options,
                    struct encoder_info *info, struct err *err)
{
    bool preprocess  = info->preprocess.out_w > 0;
    f->has_tokenizer = !options->towers_only || folder_has(dir, "tokenizer.json") ||
                       (folder_has(dir, "vocab.json") && folder_has(dir, "merges.txt"));
    if (!f->has_tokenizer)
        info->missing = preprocess ? "tokenizer.json" : "preprocessor_config.json, tokenizer.json";
    else if (!preprocess)
        info->missing = "preprocessor_config.json";
    if (preprocess)
        return 0;
    struct jnode *config = jnode_object();
    int           rc     = jnode_set_int(config, "size", f->config.image_size) |
             jnode_set_int(config, "crop_size", f->config.image_size);
    rc = rc ? err_set(err, ERR_NOMEM, "out of memory")
            : preprocess_parse(config, &info->preprocess, err);
    jnode_free(config);
    return rc;
}

/* Loads what is cached, or builds it, keeps it and then maps that, so that the
 * weights are shared with other processes from the first run on. */
static int prepare(struct family *f, const char *dir, const struct preprocess *pre, struct cpu cpu,
                   struct err *err)
{
    int rc =
        prepared_open_as(precision_name(f->precision), f->files, f->n_files, &f->prepared, err);
    if (rc)
        return rc;
    f->built = prepared_building(f->prepared);
    rc       = load_all(f, dir, pre, cpu, f->prepared, &f->clip, err);
    /* What was kept passed every check when it was made: what is wrong now may be its fault. */
    if (rc && rc != ERR_NOMEM && !prepared_building(f->prepared)) {
        prepared_discard(f->prepared);
        bpe_free(f->bpe);
        f->bpe = NULL;
        rc     = load_all(f, dir, pre, cpu, f->prepared, &f->clip, err);
    }
    if (rc || !prepared_building(f->prepared))
        return rc;
    rc = prepared_finish(f->prepared, err);
    if (rc)
        return rc;

    struct prepared *mapped = NULL;
    struct clip     *clip   = NULL;
    if (prepared_open_as(precision_name(f->precision), f->files, f->n_files, &mapped, NULL))
        return 0; /* what was built will do */
    if (prepared_building(mapped) || load_all(f, dir, pre, cpu, mapped, &clip, NULL)) {
        prepared_close(mapped);
        return 0;
    }
    clip_free(f->clip);
    prepared_close(f->prepared);
    f->clip     = clip;
    f->prepared = mapped;
    return 0;
}

/* Multiplications and additions for one picture, counted as is usual: every
 * token through every layer. */
static int64_t image_flops(const struct clip_config *c)
{
    const struct clip_tower_config *v       = &c->vision;
    int64_t                         side    = c->image_size / c->patch;
    int64_t                         patches = side * side, tokens = patches + 1, width = v->width;
    int64_t                         embed = patches * width * 3 * c->patch * c->patch;
    int64_t                         layer =
        tokens * width * (4 * width + 2 * (int64_t)v->mlp) + 2 * tokens * tokens * width;
    return 2 * (embed + v->layers * layer + width * c->dim);
}

/* A trial of precisions on fixed pictures. */
struct trial {
    struct family           *f;
    const char              *dir;
    const struct preprocess *pre;
    struct cpu               cpu;
    uint8_t                 *pixels; /* (TRIAL_PICTURES, image_size, image_size, 3) */
    bool                     built[PRECISION_AUTO];
};

static void unload(struct family *f)
{
    clip_free(f->clip);
    prepared_close(f->prepared);
    f->clip     = NULL;
    f->prepared = NULL;
}

static int trial_load(void *ctx, enum precision precision, struct err *err)
{
    struct trial *t = ctx;
    unload(t->f);
    t->f->precision     = precision;
    int rc              = prepare(t->f, t->dir, t->pre, t->cpu, err);
    t->built[precision] = !rc && t->f->built;
    return rc;
}

/* The weights that were cached for the trial alone: they may take a gigabyte. */
static void forget_losers(const struct trial *t, enum precision best)
{
    for (int p = 0; p < (int)PRECISION_AUTO; p++) {
        struct prepared *loser = NULL;
        if (t->built[p] && p != (int)best &&
            !prepared_open_as(precision_name((enum precision)p), t->f->files, t->f->n_files, &loser,
                              NULL))
            prepared_discard(loser);
        prepared_close(loser);
    }
}

static int trial_encode(void *ctx, float *out, struct err *err)
{
    struct trial *t       = ctx;
    void         *scratch = mem_aligned(clip_images_scratch(t->f->clip, TRIAL_PICTURES, 1), 1);
    if (!scratch)
        return err_set(err, ERR_NOMEM, "cannot try a model: out of memory");
    clip_images(t->f->clip, t->pixels, TRIAL_PICTURES, 1, scratch, out);
    free(scratch);
    return 0;
}

/* Waves of several lengths and directions: more like pictures than noise is. */
static void draw(uint8_t *pixels, int side)
{
    for (int i = 0; i < TRIAL_PICTURES; i++) {
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                for (int c = 0; c < 3; c++) {
                    float at  = (float)(x * (i + 1) + y * (c + 2)) / (float)side;
                    *pixels++ = (uint8_t)(127.5f + 120.0f * sinf(at * 3.0f + (float)(c * i)));
                }
            }
        }
    }
}

static int choose_precision(struct family *f, const char *dir, const struct preprocess *pre,
                            struct cpu cpu, struct err *err)
{
    size_t            side  = (size_t)f->config.image_size;
    enum precision    best  = PRECISION_F32;
    struct trial      t     = {.f = f, .dir = dir, .pre = pre, .cpu = cpu};
    struct auto_trial trial = {.ctx    = &t,
                               .n      = TRIAL_PICTURES,
                               .dim    = f->config.dim,
                               .load   = trial_load,
                               .encode = trial_encode};
    t.pixels                = mem_array(side * side * 3, TRIAL_PICTURES);
    if (!t.pixels)
        return err_set(err, ERR_NOMEM, "cannot try a model: out of memory");
    draw(t.pixels, (int)side);
    int rc = auto_precision(&trial, f->files, f->n_files, cpu, &best, err);
    free(t.pixels);
    unload(f);
    forget_losers(&t, best);
    f->precision = best;
    return rc;
}

static int family_open(const char *dir, const struct jnode *config,
                       const struct encoder_options *options, struct encoder_info *info, void **out,
                       struct err *err)
{
    bool           open = clip_folder_is_open_clip(dir);
    struct cpu     cpu  = cpu_detect();
    struct family *f    = mem_zeroed(1, sizeof *f);
    if (!f)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = open ? clip_config_parse_open(config, "open_clip_config.json", &f->config, err)
                  : clip_config_parse(config, "config.json", &f->config, err);
    if (!rc && open)
        rc = clip_preprocess_parse_open(config, "open_clip_config.json", &f->config,
                                        &info->preprocess, err);
    if (!rc)
        rc = stand_in(f, dir, options, info, err);
    if (!rc)
        rc = checkpoint_open(dir, open ? CHECKPOINT_OPEN_CLIP : CHECKPOINT_HUGGING_FACE,
                             &f->checkpoint, err);
    if (!rc)
        rc = list_files(f, dir, err);
    f->precision = options->precision;
    if (!rc && f->precision == PRECISION_AUTO)
        rc = choose_precision(f, dir, &info->preprocess, cpu, err);
    if (!rc)
        rc = prepare(f, dir, &info->preprocess, cpu, err);
    if (rc) {
        family_close(f);
        return rc;
    }
    info->hash        = prepared_hash(f->prepared);
    info->dim         = f->config.dim;
    info->image_size  = f->config.image_size;
    info->max_tokens  = f->config.positions;
    info->vocabulary  = f->config.vocabulary;
    info->image_batch = clip_image_batch(f->clip);
    info->parameters  = clip_parameters(f->clip);
    info->image_flops = image_flops(&f->config);
    info->precision   = precision_name(f->precision);
    info->cpu         = cpu_level_name(cpu.level);
    model_card_languages(dir, f->languages);
    if (!f->languages[0] && f->config.vocabulary == ENGLISH_TOKENS)
        memcpy(f->languages, "en", sizeof "en");
    info->languages = f->languages;
    *out            = f;
    return 0;
}

static int family_images(const void *model, struct encoder_scratch *scratch, const uint8_t *pixels,
                         int n, float *out, struct err *err)
{
    const struct family *f = model;
    if (n < 1)
        return 0;
    int rc =
        encoder_scratch_reserve(scratch, clip_images_scratch(f->clip, n, scratch->threads), err);
    if (!rc)
        clip_images(f->clip, pixels, n, scratch->threads, scratch->memory, out);
    return rc;
}

/* Tokens of some texts, and where each begins. */
struct chunk {
    int32_t *ids; /* (CHUNK_TOKENS + positions) */
    int      starts[CHUNK_TEXTS + 1];
};

/* Tokenizes texts until the chunk is full; how many, or an error. */
static int fill_chunk(const struct family *f, struct chunk *c, const char *const *texts, int n,
                      struct err *err)
{
    int count    = 0;
    c->starts[0] = 0;
    while (count < n && count < CHUNK_TEXTS && c->starts[count] < CHUNK_TOKENS) {
        int got = bpe_encode(f->bpe, texts[count], strlen(texts[count]), c->ids + c->starts[count],
                             f->config.positions, err);
        if (got < 0)
            return got;
        c->starts[count + 1] = c->starts[count] + got;
        count++;
    }
    return count;
}

/* The part from text i on. */
static struct clip_seen seen_from(const struct family *f, const struct text_features *all,
                                  ptrdiff_t i)
{
    ptrdiff_t        width = f->config.text.width;
    struct clip_seen part  = {.embedding =
                                 all->embedding ? all->embedding + i * f->config.dim : NULL,
                              .pooled = all->pooled ? all->pooled + i * width : NULL,
                              .states = all->states ? all->states + all->starts[i] * width : NULL,
                              .starts = all->states ? all->starts + i : NULL};
    return part;
}

static int family_text_features(const void *model, struct encoder_scratch *scratch,
                                const char *const *texts, int n, const struct text_features *out,
                                struct err *err)
{
    const struct family *f = model;
    struct chunk c  = {.ids = mem_array(CHUNK_TOKENS + (size_t)f->config.positions, sizeof *c.ids)};
    int          rc = c.ids ? 0 : err_set(err, ERR_NOMEM, "cannot encode texts: out of memory");
    if (!rc && !f->bpe)
        rc = err_set(err, ERR_USAGE, "cannot encode texts: the model has no tokenizer.json");
    for (int i = 0, count; i < n && !rc; i += count) {
        count = fill_chunk(f, &c, texts + i, n - i, err);
        if (count < 0) {
            rc = count;
            break;
        }
        if (out->states && c.starts[count] > out->capacity - out->starts[i])
            rc = err_set(err, ERR_LIMIT, "%d texts have more than %d tokens", n, out->capacity);
        if (!rc)
            rc = encoder_scratch_reserve(
                scratch, clip_texts_scratch(f->clip, count, c.starts[count], scratch->threads),
                err);
        struct clip_seen part = seen_from(f, out, i);
        if (!rc)
            clip_text_features(f->clip, c.ids, c.starts, count, scratch->threads, scratch->memory,
                               &part);
    }
    free(c.ids);
    return rc;
}

static int family_texts(const void *model, struct encoder_scratch *scratch,
                        const char *const *texts, int n, float *out, struct err *err)
{
    return family_text_features(model, scratch, texts, n, &(struct text_features){.embedding = out},
                                err);
}

static int family_tokens(const void *model, struct encoder_scratch *scratch, const int32_t *ids,
                         const int32_t *starts, int n, float *out, struct err *err)
{
    const struct family *f  = model;
    int                  rc = encoder_scratch_reserve(
                         scratch, clip_texts_scratch(f->clip, n, starts[n], scratch->threads), err);
    if (!rc)
        clip_texts(f->clip, ids, starts, n, scratch->threads, scratch->memory, out);
    return rc;
}

static void family_feature_sizes(const void *model, struct encoder_feature_sizes *out)
{
    const struct family *f = model;
    out->image             = f->config.vision.width;
    out->classes           = 0;
    out->grid              = f->config.image_size / f->config.patch;
    out->region            = f->config.vision.width;
    out->text              = f->config.text.width;
}

static int family_image_features(const void *model, struct encoder_scratch *scratch,
                                 const uint8_t *pixels, int n, const struct image_features *out,
                                 struct err *err)
{
    const struct family *f    = model;
    struct clip_seen     seen = {
            .embedding = out->embedding, .pooled = out->pooled, .states = out->regions};
    int rc =
        encoder_scratch_reserve(scratch, clip_images_scratch(f->clip, n, scratch->threads), err);
    if (!rc)
        clip_image_features(f->clip, pixels, n, scratch->threads, scratch->memory, &seen);
    return rc;
}

const struct encoder_family clip_family = {
    .model_type     = "clip",
    .open           = family_open,
    .close          = family_close,
    .images         = family_images,
    .texts          = family_texts,
    .tokens         = family_tokens,
    .feature_sizes  = family_feature_sizes,
    .image_features = family_image_features,
    .text_features  = family_text_features,
};
