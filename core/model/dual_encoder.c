/* The family "vision-text-dual-encoder": an image tower, a text tower and a
 * head, as osprey-small has them. Towers: EfficientNet-Lite0 and BERT.
 *
 * The folder: config.json, preprocessor_config.json, model.safetensors with
 * vision_model.* and text_model.*, vocab.txt, heads.safetensors. All of them go
 * into the model's hash, since each has a say in what a vector means.
 */
#include "model/bert.h"
#include "model/efficientnet.h"
#include "model/encoder_family.h"
#include "model/head.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/wordpiece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_BATCH  16
#define CHUNK_TOKENS 512 /* tokens encoded together: their states stay in the caches */
#define CHUNK_TEXTS  128

enum file { MODEL, HEADS, VOCAB, CONFIG, PREPROCESSOR, N_FILES };
static const char *const NAMES[N_FILES] = {"model.safetensors", "heads.safetensors", "vocab.txt",
                                           "config.json", "preprocessor_config.json"};

struct dual {
    char               *paths[N_FILES];
    enum precision      precision;
    struct safetensors *model, *heads;
    struct prepared    *prepared;
    struct effnet      *vision;
    struct bert        *text;
    struct head        *head;
    struct wordpiece   *wordpiece;
    int                 max_tokens;
};

static void close_towers(struct dual *d)
{
    effnet_free(d->vision);
    bert_free(d->text);
    head_free(d->head);
    d->vision = NULL;
    d->text   = NULL;
    d->head   = NULL;
}

static void dual_close(void *model)
{
    struct dual *d = model;
    if (!d)
        return;
    close_towers(d);
    wordpiece_free(d->wordpiece);
    prepared_close(d->prepared);
    safetensors_close(d->heads);
    safetensors_close(d->model);
    for (int i = 0; i < N_FILES; i++)
        free(d->paths[i]);
    free(d);
}

/* Says of missing files what to do about them. */
static int find_files(struct dual *d, const char *dir, struct err *err)
{
    for (int i = 0; i < N_FILES; i++) {
        d->paths[i] = path_join(dir, NAMES[i]);
        if (!d->paths[i])
            return err_set(err, ERR_NOMEM, "out of memory");
    }
    if (!file_exists(d->paths[MODEL])) {
        char *pickle = path_join(dir, "pytorch_model.bin");
        bool  is_bin = pickle && file_exists(pickle);
        free(pickle);
        if (is_bin)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s has its weights in pytorch_model.bin alone, which can run code when "
                           "it is read: convert it to model.safetensors first",
                           dir);
    }
    for (int i = 0; i < N_FILES; i++) {
        if (!file_exists(d->paths[i]))
            return err_set(err, ERR_NOTFOUND,
                           "%s is missing: run `make build`, which assembles the default model",
                           d->paths[i]);
    }
    return 0;
}

static int require_int(const struct jnode *config, const char *key, int want, struct err *err)
{
    int64_t value = want;
    jnode_to_int(jnode_get(config, key), &value);
    if (value != want)
        return err_set(err, ERR_FORMAT, "config.json: %s is %lld, but the tensors say %d", key,
                       (long long)value, want);
    return 0;
}

static int check_types(const struct jnode *vision, const struct jnode *text, struct err *err)
{
    const char *vision_type = "", *text_type = "";
    double      eps = 1e-3;
    jnode_to_str(jnode_get(vision, "model_type"), &vision_type);
    jnode_to_str(jnode_get(text, "model_type"), &text_type);
    if (strcmp(vision_type, "efficientnet_lite0") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: vision_config.model_type is \"%.80s\"; supported is "
                       "\"efficientnet_lite0\"",
                       vision_type);
    if (strcmp(text_type, "bert") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: text_config.model_type is \"%.80s\"; supported is \"bert\"",
                       text_type);
    jnode_to_double(jnode_get(vision, "batch_norm_eps"), &eps);
    if (eps < 0.999e-3 || eps > 1.001e-3)
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: vision_config.batch_norm_eps is %g; supported is 0.001", eps);
    return 0;
}

static int read_max_tokens(struct dual *d, const struct jnode *config, struct err *err)
{
    const struct jnode *node  = jnode_get(jnode_get(config, "osprey"), "max_tokens");
    int64_t             value = bert_max_tokens(d->text);
    if (node && (!jnode_to_int(node, &value) || value < 3 || value > bert_max_tokens(d->text)))
        return err_set(err, ERR_FORMAT,
                       "config.json: osprey.max_tokens is not a number from 3 to %d, the text "
                       "tower's positions",
                       bert_max_tokens(d->text));
    d->max_tokens = (int)value;
    return 0;
}

/* What config, tensors, vocabulary and preprocessing say of one another. */
static int check_together(struct dual *d, const struct jnode *config, const struct preprocess *pre,
                          struct err *err)
{
    const struct jnode *vision = jnode_get(config, "vision_config");
    int                 size   = effnet_image_size(d->vision);
    int                 rc     = require_int(vision, "image_size", size, err);
    if (!rc)
        rc = require_int(vision, "hidden_dim", effnet_features(d->vision), err);
    if (!rc)
        rc = require_int(vision, "num_labels", effnet_classes(d->vision), err);
    if (!rc)
        rc = require_int(config, "projection_dim", head_dim(d->head), err);
    if (!rc && (pre->out_w != size || pre->out_h != size))
        rc = err_set(err, ERR_FORMAT,
                     "%s: pictures come out as %d x %d, but the image tower takes %d x %d",
                     d->paths[PREPROCESSOR], pre->out_w, pre->out_h, size, size);
    if (!rc && wordpiece_size(d->wordpiece) > bert_vocabulary(d->text))
        rc = err_set(err, ERR_FORMAT, "%s has %d tokens, but the text tower knows %d",
                     d->paths[VOCAB], wordpiece_size(d->wordpiece), bert_vocabulary(d->text));
    return rc ? rc : read_max_tokens(d, config, err);
}

/* Both towers and the head, built or mapped, whichever d->prepared is up to. */
static int load_towers(struct dual *d, const struct jnode *config, const struct preprocess *pre,
                       struct cpu cpu, struct err *err)
{
    float mean[3], std[3];
    for (int c = 0; c < 3; c++) { /* the tower itself divides by 255 */
        mean[c] = pre->mean[c] / (255.0f * pre->rescale);
        std[c]  = pre->std[c] / (255.0f * pre->rescale);
    }
    int rc = effnet_load(d->model, "vision_model.", d->prepared, cpu, d->precision, mean, std,
                         &d->vision, err);
    if (!rc)
        rc = bert_load(d->model, "text_model.", jnode_get(config, "text_config"), d->prepared, cpu,
                       d->precision, &d->text, err);
    if (!rc) {
        struct head_towers towers = {.features = effnet_features(d->vision),
                                     .classes  = effnet_classes(d->vision),
                                     .hidden   = bert_hidden(d->text)};
        rc = head_load(d->heads, jnode_get(config, "osprey"), &towers, d->prepared, cpu, &d->head,
                       err);
    }
    if (!rc)
        rc = check_together(d, config, pre, err);
    if (rc)
        close_towers(d);
    return rc;
}

/* Loads what is cached, or builds it, keeps it and then maps that, so that the
 * weights are shared with other processes from the first run on. */
static int prepare_towers(struct dual *d, const struct jnode *config, const struct preprocess *pre,
                          struct cpu cpu, struct err *err)
{
    const char *files[N_FILES];
    for (int i = 0; i < N_FILES; i++)
        files[i] = d->paths[i];
    int rc = prepared_open_as(precision_name(d->precision), files, N_FILES, &d->prepared, err);
    if (rc)
        return rc;
    rc = load_towers(d, config, pre, cpu, err);
    if (rc == ERR_DAMAGED && !prepared_building(d->prepared)) {
        prepared_discard(d->prepared);
        rc = load_towers(d, config, pre, cpu, err);
    }
    if (rc || !prepared_building(d->prepared))
        return rc;
    rc = prepared_finish(d->prepared, err);
    if (rc)
        return rc;

    struct dual again = *d;
    again.vision      = NULL;
    again.text        = NULL;
    again.head        = NULL;
    again.prepared    = NULL;
    if (prepared_open_as(precision_name(d->precision), files, N_FILES, &again.prepared, NULL))
        return 0; /* what was built will do */
    if (!prepared_building(again.prepared) && !load_towers(&again, config, pre, cpu, NULL)) {
        close_towers(d);
        prepared_close(d->prepared);
        *d = again;
    } else {
        prepared_close(again.prepared);
    }
    return 0;
}

/* tokenizer_config.json is not required; where it asks for another tokenizer
 * than ours, say so. */
static int check_tokenizer(const char *dir, struct err *err)
{
    char         *path  = path_join(dir, "tokenizer_config.json");
    struct jnode *root  = NULL;
    bool          lower = true, cjk = true;
    int           rc = 0;
    if (path && file_exists(path))
        rc = jnode_parse_file(path, 1 << 20, &root, err);
    jnode_to_bool(jnode_get(root, "do_lower_case"), &lower);
    jnode_to_bool(jnode_get(root, "tokenize_chinese_chars"), &cjk);
    if (!rc && (!lower || !cjk))
        rc = err_set(err, ERR_UNSUPPORTED,
                     "%s: only lower-casing tokenizers that set Chinese characters apart are "
                     "supported",
                     path);
    jnode_free(root);
    free(path);
    return rc;
}

static int dual_open(const char *dir, const struct jnode *config,
                     const struct encoder_options *options, struct encoder_info *info, void **out,
                     struct err *err)
{
    struct cpu cpu = cpu_detect();
    if (info->preprocess.out_w == 0)
        return err_set(err, ERR_NOTFOUND, "preprocessor_config.json is missing");
    struct dual *d = mem_zeroed(1, sizeof *d);
    if (!d)
        return err_set(err, ERR_NOMEM, "out of memory");
    /* Its vectors are promised to be those of the reference to 1e-4. */
    d->precision = options->precision == PRECISION_AUTO ? PRECISION_F32 : options->precision;
    int rc       = find_files(d, dir, err);
    if (!rc)
        rc = check_types(jnode_get(config, "vision_config"), jnode_get(config, "text_config"), err);
    if (!rc)
        rc = check_tokenizer(dir, err);
    if (!rc)
        rc = safetensors_open(d->paths[MODEL], &d->model, err);
    if (!rc)
        rc = safetensors_open(d->paths[HEADS], &d->heads, err);
    if (!rc)
        rc = wordpiece_load(d->paths[VOCAB], &d->wordpiece, err);
    if (!rc)
        rc = prepare_towers(d, config, &info->preprocess, cpu, err);
    if (rc) {
        dual_close(d);
        return rc;
    }
    info->hash        = prepared_hash(d->prepared);
    info->dim         = head_dim(d->head);
    info->image_size  = effnet_image_size(d->vision);
    info->max_tokens  = d->max_tokens;
    info->vocabulary  = bert_vocabulary(d->text);
    info->image_batch = IMAGE_BATCH;
    info->parameters =
        effnet_parameters(d->vision) + bert_parameters(d->text) + head_parameters(d->head);
    info->image_flops = effnet_flops(d->vision);
    info->precision   = precision_name(d->precision);
    info->cpu         = cpu_level_name(cpu.level);
    *out              = d;
    return 0;
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Memory of a call for some pictures; parts begin at multiples of 64 bytes. */
struct image_work {
    char  *tower;
    float *pooled; /* (most, features) */
    float *logits; /* (most, classes) */
    char  *head;
};

static int image_work_reserve(const struct dual *d, struct encoder_scratch *scratch, int most,
                              struct image_work *w, struct err *err)
{
    size_t features = (size_t)effnet_features(d->vision),
           classes  = (size_t)effnet_classes(d->vision);
    size_t tower    = whole_lines(effnet_scratch_size(d->vision, most, scratch->threads));
    size_t pooled   = whole_lines((size_t)most * features * sizeof(float));
    size_t logits   = whole_lines((size_t)most * classes * sizeof(float));
    size_t head     = head_scratch_size(d->head, most);
    int    rc       = encoder_scratch_reserve(scratch, tower + pooled + logits + head, err);
    w->tower        = scratch->memory;
    w->pooled       = (float *)(void *)(w->tower + tower);
    w->logits       = (float *)(void *)(w->tower + tower + pooled);
    w->head         = w->tower + tower + pooled + logits;
    return rc;
}

static int dual_image_features(const void *model, struct encoder_scratch *scratch,
                               const uint8_t *pixels, int n, const struct image_features *out,
                               struct err *err)
{
    const struct dual *d        = model;
    ptrdiff_t          features = effnet_features(d->vision), classes = effnet_classes(d->vision);
    ptrdiff_t          size = effnet_image_size(d->vision), grid = effnet_grid(d->vision);
    int                most = n < IMAGE_BATCH ? n : IMAGE_BATCH;
    struct image_work  w;
    int                rc = n < 1 ? 0 : image_work_reserve(d, scratch, most, &w, err);
    for (int i = 0; !rc && i < n; i += most) {
        int    count  = n - i < most ? n - i : most;
        float *logits = out->logits || out->embedding ? w.logits : NULL;
        effnet_forward(d->vision, pixels + i * size * size * 3, count, scratch->threads, w.tower,
                       w.pooled, logits,
                       out->regions ? out->regions + i * grid * grid * features : NULL, NULL);
        if (out->pooled)
            memcpy(out->pooled + i * features, w.pooled,
                   (size_t)(count * features) * sizeof *w.pooled);
        if (out->logits)
            memcpy(out->logits + i * classes, w.logits,
                   (size_t)(count * classes) * sizeof *w.logits);
        if (out->embedding) /* overwrites the logits */
            head_images(d->head, w.pooled, w.logits, count, scratch->threads, w.head,
                        out->embedding + (ptrdiff_t)i * head_dim(d->head));
    }
    return rc;
}

static int dual_images(const void *model, struct encoder_scratch *scratch, const uint8_t *pixels,
                       int n, float *out, struct err *err)
{
    return dual_image_features(model, scratch, pixels, n,
                               &(struct image_features){.embedding = out}, err);
}

/* One chunk's tokens. */
struct chunk {
    int32_t *ids;    /* (CHUNK_TOKENS + max_tokens) */
    int     *starts; /* (CHUNK_TEXTS + 1) */
    float   *pooled; /* (CHUNK_TEXTS, hidden) */
    void    *tower;
};

/* Tokenizes from text i on until the chunk is full; how many texts, or an error. */
static int fill_chunk(const struct dual *d, const struct chunk *c, const char *const *texts, int n,
                      struct err *err)
{
    int count    = 0;
    c->starts[0] = 0;
    while (count < n && count < CHUNK_TEXTS && c->starts[count] < CHUNK_TOKENS) {
        int got = wordpiece_encode(d->wordpiece, texts[count], strlen(texts[count]),
                                   c->ids + c->starts[count], d->max_tokens, err);
        if (got < 0)
            return got;
        c->starts[count + 1] = c->starts[count] + got;
        count++;
    }
    return count;
}

/* Tokenizes texts until a chunk is full, and sees to scratch memory for it and its
 * tower; how many texts, or an error. */
static int take_chunk(const struct dual *d, struct encoder_scratch *scratch,
                      const char *const *texts, int n, struct chunk *c, struct err *err)
{
    size_t hidden = (size_t)bert_hidden(d->text);
    int    most   = CHUNK_TOKENS + d->max_tokens; /* the last text may reach past the limit */
    size_t ids    = whole_lines((size_t)most * sizeof(int32_t));
    size_t starts = whole_lines((CHUNK_TEXTS + 1) * sizeof(int));
    size_t pooled = whole_lines(CHUNK_TEXTS * hidden * sizeof(float));
    size_t fixed  = ids + starts + pooled;
    /* one short query is the common case: its tower needs far less */
    for (size_t need = fixed;;) {
        int rc = encoder_scratch_reserve(scratch, need, err);
        if (rc)
            return rc;
        char *base = scratch->memory;
        c->ids     = (int32_t *)(void *)base;
        c->starts  = (int *)(void *)(base + ids);
        c->pooled  = (float *)(void *)(base + ids + starts);
        c->tower   = base + fixed;
        int count  = fill_chunk(d, c, texts, n, err);
        if (count < 0)
            return count;
        need = fixed + bert_scratch_size(d->text, c->starts[count], scratch->threads);
        if (need <= scratch->bytes)
            return count;
        /* the tokens are lost with the old memory */
    }
}

static int dual_text_features(const void *model, struct encoder_scratch *scratch,
                              const char *const *texts, int n, const struct text_features *out,
                              struct err *err)
{
    const struct dual *d      = model;
    ptrdiff_t          hidden = bert_hidden(d->text);
    struct chunk       c;
    for (int i = 0, count; i < n; i += count) {
        count = take_chunk(d, scratch, texts + i, n - i, &c, err);
        if (count < 0)
            return count;
        ptrdiff_t from = out->states ? out->starts[i] : 0;
        if (out->states && c.starts[count] > out->capacity - from)
            return err_set(err, ERR_LIMIT, "%d texts have more than %d tokens", n, out->capacity);
        bert_forward(d->text, c.ids, c.starts, count, scratch->threads, c.tower,
                     out->pooled ? out->pooled + i * hidden : c.pooled,
                     out->states ? out->states + from * hidden : NULL, NULL);
        if (out->embedding)
            head_texts(d->head, out->pooled ? out->pooled + i * hidden : c.pooled, count,
                       out->embedding + (ptrdiff_t)i * head_dim(d->head));
        for (int t = 1; out->states && t <= count; t++)
            out->starts[i + t] = (int)from + c.starts[t];
    }
    return 0;
}

static int dual_texts(const void *model, struct encoder_scratch *scratch, const char *const *texts,
                      int n, float *out, struct err *err)
{
    return dual_text_features(model, scratch, texts, n, &(struct text_features){.embedding = out},
                              err);
}

static int dual_tokens(const void *model, struct encoder_scratch *scratch, const int32_t *ids,
                       const int32_t *starts, int n, float *out, struct err *err)
{
    const struct dual *d      = model;
    size_t             pooled = whole_lines((size_t)bert_hidden(d->text) * sizeof(float));
    for (int i = 0; i < n; i++) {
        int ends[] = {0, starts[i + 1] - starts[i]};
        int rc     = encoder_scratch_reserve(
                scratch, pooled + bert_scratch_size(d->text, ends[1], scratch->threads), err);
        if (rc)
            return rc;
        float *x = scratch->memory;
        bert_forward(d->text, ids + starts[i], ends, 1, scratch->threads,
                     (char *)scratch->memory + pooled, x, NULL, NULL);
        head_texts(d->head, x, 1, out + (ptrdiff_t)i * head_dim(d->head));
    }
    return 0;
}

static void dual_feature_sizes(const void *model, struct encoder_feature_sizes *out)
{
    const struct dual *d = model;
    out->image           = effnet_features(d->vision);
    out->classes         = effnet_classes(d->vision);
    out->grid            = effnet_grid(d->vision);
    out->region          = out->image;
    out->text            = bert_hidden(d->text);
}

const struct encoder_family dual_encoder_family = {
    .model_type     = "vision-text-dual-encoder",
    .open           = dual_open,
    .close          = dual_close,
    .images         = dual_images,
    .texts          = dual_texts,
    .tokens         = dual_tokens,
    .feature_sizes  = dual_feature_sizes,
    .image_features = dual_image_features,
    .text_features  = dual_text_features,
};
