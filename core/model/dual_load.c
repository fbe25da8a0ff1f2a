/* Opening the family "vision-text-dual-encoder", as osprey-small has it: its files, what
 * they must agree on, and what is prepared of them for the kernels.
 *
 * The files: config.json, preprocessor_config.json, model.safetensors with
 * vision_model.* and text_model.*, vocab.txt, heads.safetensors; where they lie,
 * dual_files.h says. All of them go into the model's hash, since each has a say in
 * what a vector means.
 */
#include "model/dual_model.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOWERS (1u << 20) /* bytes of config.json about the towers */

static void close_towers(struct dual *d)
{
    effnet_free(d->vision);
    bert_free(d->text);
    d->vision = NULL;
    d->text   = NULL;
}

static void close_head(struct dual *d)
{
    head_free(d->head);
    d->head = NULL;
}

void dual_close(void *model)
{
    struct dual *d = model;
    if (!d)
        return;
    close_towers(d);
    close_head(d);
    wordpiece_free(d->wordpiece);
    prepared_close(d->towers_kept);
    prepared_close(d->head_kept);
    safetensors_close(d->heads);
    safetensors_close(d->model);
    dual_files_release(&d->files);
    free(d);
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

static int read_distance(const struct jnode *config, enum distance *out, struct err *err)
{
    const struct jnode *node = jnode_get(jnode_get(config, "osprey"), "distance");
    const char         *name = "";
    if (node && (!jnode_to_str(node, &name) || !distance_of(name, out)))
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: osprey.distance is \"%.80s\"; supported are cosine, "
                       "euclidean and manhattan",
                       name);
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
                     d->files.paths[DUAL_PREPROCESSOR], pre->out_w, pre->out_h, size, size);
    if (!rc && wordpiece_size(d->wordpiece) > bert_vocabulary(d->text))
        rc = err_set(err, ERR_FORMAT, "%s has %d tokens, but the text tower knows %d",
                     d->files.paths[DUAL_VOCAB], wordpiece_size(d->wordpiece),
                     bert_vocabulary(d->text));
    return rc ? rc : read_max_tokens(d, config, err);
}

/* What the towers and the head are loaded from, besides the folder's files. */
struct source {
    const struct jnode      *config;
    const struct preprocess *pre;
    struct cpu               cpu;
};

static int load_towers(struct dual *d, const struct source *from, struct err *err)
{
    const struct preprocess *pre = from->pre;
    float                    mean[3], std[3];
    for (int c = 0; c < 3; c++) { /* the tower itself divides by 255 */
        mean[c] = pre->mean[c] / (255.0f * pre->rescale);
        std[c]  = pre->std[c] / (255.0f * pre->rescale);
    }
    int rc = effnet_load(d->model, "vision_model.", d->towers_kept, from->cpu, d->precision, mean,
                         std, &d->vision, err);
    if (!rc)
        rc = bert_load(d->model, "text_model.", jnode_get(from->config, "text_config"),
                       d->towers_kept, from->cpu, d->precision, &d->text, err);
    if (rc)
        close_towers(d);
    return rc;
}

static int load_head(struct dual *d, const struct source *from, struct err *err)
{
    struct head_towers towers = {.features = effnet_features(d->vision),
                                 .stages   = effnet_stages(d->vision),
                                 .classes  = effnet_classes(d->vision),
                                 .hidden   = bert_hidden(d->text)};
    int rc = head_load(d->heads, jnode_get(from->config, "osprey"), &towers, d->head_kept,
                       from->cpu, d->precision, &d->head, err);
    if (!rc)
        rc = check_together(d, from->config, from->pre, err);
    if (rc)
        close_head(d);
    return rc;
}

/* Towers or head: loaded from what is cached (which passed every check when it was made:
 * what is wrong with it now may be its fault, not the model's), or built. */
struct part {
    struct prepared **kept;
    int (*load)(struct dual *d, const struct source *from, struct err *err);
    void (*close)(struct dual *d);
};

static int load_part(struct dual *d, const struct part *part, const struct source *from,
                     struct err *err)
{
    int rc = part->load(d, from, err);
    if (rc && rc != ERR_NOMEM && !prepared_building(*part->kept)) {
        prepared_discard(*part->kept);
        rc = part->load(d, from, err);
    }
    return rc;
}

/* Loads what is cached, or builds it, keeps it and then maps that, so that the
 * weights are shared with other processes from the first run on. */
static int prepare_part(struct dual *d, const struct part *part, const struct source *from,
                        const char *form, const char *const *files, size_t n, struct err *err)
{
    struct prepared *again = NULL;
    int              rc    = prepared_open_as(form, files, n, part->kept, err);
    if (!rc)
        rc = load_part(d, part, from, err);
    if (rc || !prepared_building(*part->kept))
        return rc;
    rc = prepared_finish(*part->kept, err);
    if (rc || prepared_open_as(form, files, n, &again, NULL) || prepared_building(again)) {
        prepared_close(again);
        return rc; /* what was built will do */
    }
    part->close(d);
    prepared_close(*part->kept);
    *part->kept = again;
    return load_part(d, part, from, err);
}

/* The name of the towers' form: their kernels' weights derive from the precision,
 * from what config.json says of the towers and from the preprocessing; not from
 * the head, so that models with the same towers share them. */
static int towers_form(const struct dual *d, const struct source *from, char *out, size_t size,
                       struct err *err)
{
    const char *const keys[] = {"vision_config", "text_config"};
    struct buf        text;
    uint8_t           hash[HASH_BYTES];
    char              hex[HASH_HEX];
    int               rc = 0;
    buf_init(&text, MAX_TOWERS);
    for (int i = 0; i < 2 && !rc; i++) {
        const struct jnode *node = jnode_get(from->config, keys[i]);
        char               *line = node ? jnode_write(node) : NULL;
        rc                       = node && !line ? err_set(err, ERR_NOMEM, "out of memory")
                                                 : buf_appendf(&text, err, "%s\n", line ? line : "");
        free(line);
    }
    if (!rc)
        rc = buf_append(&text, from->pre->mean, sizeof from->pre->mean, err);
    if (!rc)
        rc = buf_append(&text, from->pre->std, sizeof from->pre->std, err);
    if (!rc)
        rc = buf_append(&text, &from->pre->rescale, sizeof from->pre->rescale, err);
    if (!rc) {
        hash_bytes(text.data, text.len, hash);
        hash_hex(hash, hex);
        (void)snprintf(out, size, "%s-%.16s", precision_name(d->precision), hex);
    }
    buf_release(&text);
    return rc;
}

static int prepare(struct dual *d, const struct source *from, struct err *err)
{
    const struct part towers = {&d->towers_kept, load_towers, close_towers};
    const struct part head   = {&d->head_kept, load_head, close_head};
    const char       *files[DUAL_N_FILES];
    char              form[64];
    for (int i = 0; i < DUAL_N_FILES; i++)
        files[i] = d->files.paths[i];
    const char *of_towers[] = {files[DUAL_MODEL], files[DUAL_VOCAB]};
    int         rc          = towers_form(d, from, form, sizeof form, err);
    if (!rc)
        rc = prepare_part(d, &towers, from, form, of_towers, 2, err);
    if (!rc)
        rc = prepare_part(d, &head, from, precision_name(d->precision), files, DUAL_N_FILES, err);
    return rc;
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

int dual_open(const char *dir, const struct jnode *config, const struct encoder_options *options,
              struct encoder_info *info, void **out, struct err *err)
{
    struct source from = {.config = config, .pre = &info->preprocess, .cpu = cpu_detect()};
    if (info->preprocess.out_w == 0)
        return err_set(err, ERR_NOTFOUND, "preprocessor_config.json is missing");
    struct dual *d = mem_zeroed(1, sizeof *d);
    if (!d)
        return err_set(err, ERR_NOMEM, "out of memory");
    /* Its vectors are promised to be those of the reference to 1e-4. */
    d->precision = options->precision == PRECISION_AUTO ? PRECISION_F32 : options->precision;
    int rc       = dual_files_find(dir, config, options->towers_beside, &d->files, err);
    if (!rc)
        rc = check_types(jnode_get(config, "vision_config"), jnode_get(config, "text_config"), err);
    if (!rc)
        rc = check_tokenizer(d->files.towers, err);
    if (!rc)
        rc = read_distance(config, &info->distance, err);
    if (!rc)
        rc = safetensors_open(d->files.paths[DUAL_MODEL], &d->model, err);
    if (!rc)
        rc = safetensors_open(d->files.paths[DUAL_HEADS], &d->heads, err);
    if (!rc)
        rc = wordpiece_load(d->files.paths[DUAL_VOCAB], &d->wordpiece, err);
    if (!rc)
        rc = prepare(d, &from, err);
    if (rc) {
        dual_close(d);
        return rc;
    }
    info->hash        = prepared_hash(d->head_kept);
    info->dim         = head_dim(d->head);
    info->image_size  = effnet_image_size(d->vision);
    info->max_tokens  = d->max_tokens;
    info->vocabulary  = bert_vocabulary(d->text);
    info->image_batch = DUAL_IMAGE_BATCH;
    info->parameters =
        effnet_parameters(d->vision) + bert_parameters(d->text) + head_parameters(d->head);
    info->image_flops = effnet_flops(d->vision);
    info->precision   = precision_name(d->precision);
    info->languages   = d->files.languages; /* the head adds none */
    info->cpu         = cpu_level_name(from.cpu.level);
    *out              = d;
    return 0;
}
