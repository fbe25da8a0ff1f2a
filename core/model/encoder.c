/* The one door to all models: see encoder.h. What differs between families is
 * behind encoder_family.h. */
#include "model/encoder.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "image/decoder.h"
#include "model/encoder_family.h"
#include "model/model_id.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG (16u << 20) /* bytes of a configuration file */

struct encoder {
    const struct encoder_family *family;
    void                        *model;
    struct encoder_info          info;
    char                        *dir;
    char                         id[MODEL_ID_MAX]; /* info.name, for one from a hub */
};

static const struct encoder_family *const FAMILIES[] = {&dual_encoder_family, &clip_family};

static int find_family(struct encoder *enc, const struct jnode *config, bool open_clip,
                       struct err *err)
{
    const char *type = open_clip ? clip_family.model_type : NULL;
    if (!open_clip && !jnode_to_str(jnode_get(config, "model_type"), &type))
        return err_set(err, ERR_FORMAT, "config.json does not say what model_type it is");
    for (size_t i = 0; i < sizeof FAMILIES / sizeof FAMILIES[0]; i++) {
        if (strcmp(FAMILIES[i]->model_type, type) == 0)
            enc->family = FAMILIES[i];
    }
    if (!enc->family)
        return err_set(err, ERR_UNSUPPORTED,
                       "its model_type \"%.80s\" is not supported (supported: %s, %s)", type,
                       FAMILIES[0]->model_type, FAMILIES[1]->model_type);
    enc->info.family = enc->family->model_type;
    return 0;
}

/* Parses a JSON file of the folder. */
static int read_json(const char *dir, const char *name, struct jnode **out, struct err *err)
{
    char *path = path_join(dir, name);
    int   rc   = path ? jnode_parse_file(path, MAX_CONFIG, out, err)
                      : err_set(err, ERR_NOMEM, "out of memory");
    free(path);
    return rc;
}

static int read_preprocess(struct encoder *enc, const struct encoder_options *options,
                           struct err *err)
{
    struct jnode *root = NULL;
    struct err    why  = ERR_INIT;
    int           rc   = read_json(enc->dir, "preprocessor_config.json", &root, &why);
    if (rc == ERR_NOTFOUND && options->towers_only)
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    if (preprocess_parse(root, &enc->info.preprocess, err))
        rc = err_prefix(err, "preprocessor_config.json");
    jnode_free(root);
    return rc;
}

int encoder_open(const char *dir, struct encoder **out, struct err *err)
{
    return encoder_open_with(dir, NULL, out, err);
}

int encoder_open_with(const char *dir, const struct encoder_options *options, struct encoder **out,
                      struct err *err)
{
    static const struct encoder_options defaults = {0};
    if (!options)
        options = &defaults;
    struct jnode   *config = NULL;
    struct encoder *enc    = mem_zeroed(1, sizeof *enc);
    bool            open   = false;
    int             rc     = 0;
    if (!enc) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    rc = path_real(dir, &enc->dir, err);
    if (!rc && !file_is_dir(enc->dir))
        rc = err_set(err, ERR_USAGE, "it is not a folder");
    if (!rc) {
        open = clip_folder_is_open_clip(enc->dir);
        rc   = read_json(enc->dir, open ? "open_clip_config.json" : "config.json", &config, err);
    }
    if (!rc)
        rc = find_family(enc, config, open, err);
    if (!rc && !open)
        rc = read_preprocess(enc, options, err);
    if (rc)
        goto out;
    enc->info.dir  = enc->dir;
    enc->info.name = path_base(enc->dir);
    if (options->name)
        (void)snprintf(enc->id, sizeof enc->id, "%s", options->name);
    if (options->name || model_id_of_folder(enc->info.name, enc->id))
        enc->info.name = enc->id;
    rc = enc->family->open(enc->dir, config, options, &enc->info, &enc->model, err);
out:
    jnode_free(config);
    if (rc) {
        encoder_close(enc);
        (void)err_prefix(err, "cannot open the model %s", dir);
        return rc;
    }
    *out = enc;
    return 0;
}

void encoder_close(struct encoder *enc)
{
    if (!enc)
        return;
    if (enc->family)
        enc->family->close(enc->model);
    free(enc->dir);
    free(enc);
}

const struct encoder_info *encoder_info(const struct encoder *enc)
{
    return &enc->info;
}

int encoder_parts(const struct encoder *enc, struct encoder_part **parts, size_t *n,
                  struct err *err)
{
    *parts = NULL;
    *n     = 0;
    return enc->family->parts ? enc->family->parts(enc->model, parts, n, err) : 0;
}

void encoder_parts_free(struct encoder_part *parts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(parts[i].name);
        free(parts[i].data);
    }
    free(parts);
}

int encoder_scratch_new(const struct encoder *enc, int threads, struct encoder_scratch **out,
                        struct err *err)
{
    (void)enc; /* any model's calls can use it */
    struct encoder_scratch *scratch = mem_zeroed(1, sizeof *scratch);
    if (!scratch)
        return err_set(err, ERR_NOMEM, "out of memory");
    scratch->threads = threads < 1 ? 1 : threads;
    *out             = scratch;
    return 0;
}

int encoder_scratch_reserve(struct encoder_scratch *scratch, size_t bytes, struct err *err)
{
    if (bytes <= scratch->bytes)
        return 0;
    free(scratch->memory);
    scratch->memory = mem_aligned(bytes, 1);
    scratch->bytes  = scratch->memory ? bytes : 0;
    if (!scratch->memory)
        return err_set(err, ERR_NOMEM, "cannot encode: out of memory for %zu bytes", bytes);
    return 0;
}

void encoder_scratch_free(struct encoder_scratch *scratch)
{
    if (!scratch)
        return;
    decoder_close(scratch->decoder);
    free(scratch->memory);
    free(scratch);
}

int encoder_scratch_threads(const struct encoder_scratch *scratch)
{
    return scratch->threads;
}

/* Damaged weights are not noticed before: nobody sums them up at each start. out:
 * (n, dim), or NULL. */
static int check_finite(const struct encoder *enc, const float *out, int n, int dim,
                        struct err *err)
{
    size_t numbers = out ? (size_t)n * (size_t)dim : 0;
    for (size_t i = 0; i < numbers; i++) {
        if (!isfinite(out[i]))
            return err_set(err, ERR_DAMAGED,
                           "the model %s yields what is no number: its files are damaged, or what "
                           "is kept of them in ~/.cache/osprey/prepared, which may be deleted",
                           enc->dir);
    }
    return 0;
}

int encoder_images(const struct encoder *enc, struct encoder_scratch *scratch,
                   const uint8_t *pixels, int n, float *out, struct err *err)
{
    int rc = enc->family->images(enc->model, scratch, pixels, n, out, err);
    return rc ? rc : check_finite(enc, out, n, enc->info.dim, err);
}

int encoder_texts(const struct encoder *enc, struct encoder_scratch *scratch,
                  const char *const *texts, int n, float *out, struct err *err)
{
    int rc = enc->family->texts(enc->model, scratch, texts, n, out, err);
    return rc ? rc : check_finite(enc, out, n, enc->info.dim, err);
}

void encoder_as_names(const struct encoder *enc, float *texts, int n)
{
    if (enc->family->as_names)
        enc->family->as_names(enc->model, texts, n);
}

int encoder_tokens(const struct encoder *enc, struct encoder_scratch *scratch, const int32_t *ids,
                   const int32_t *starts, int n, float *out, struct err *err)
{
    const struct encoder_info *info = &enc->info;
    if (n > 0 && starts[0] != 0)
        return err_set(err, ERR_FORMAT, "the first text begins at id %d, not 0", (int)starts[0]);
    for (int i = 0; i < n; i++) {
        /* they begin at 0 and rise, so that the difference cannot overflow */
        if (starts[i + 1] <= starts[i] || starts[i + 1] - starts[i] > info->max_tokens)
            return err_set(err, ERR_FORMAT, "text %d does not have between 1 and %d tokens", i,
                           info->max_tokens);
        for (int32_t k = starts[i]; k < starts[i + 1]; k++) {
            if (ids[k] < 0 || ids[k] >= info->vocabulary)
                return err_set(err, ERR_FORMAT,
                               "text %d has the token %d, and the model knows those below %d", i,
                               (int)ids[k], info->vocabulary);
        }
    }
    return n > 0 ? enc->family->tokens(enc->model, scratch, ids, starts, n, out, err) : 0;
}

struct encoder_feature_sizes encoder_feature_sizes(const struct encoder *enc)
{
    struct encoder_feature_sizes sizes = {.hash = enc->info.hash};
    enc->family->feature_sizes(enc->model, &sizes);
    return sizes;
}

int encoder_named_classes(const struct encoder *enc, float *logits, int n, int threads, float *out,
                          struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    if (!sizes.named)
        return err_set(err, ERR_UNSUPPORTED, "the model %s does not know its classes' names",
                       enc->info.name);
    int rc = enc->family->named_classes(enc->model, logits, n, threads, out, err);
    return rc ? rc : check_finite(enc, out, n, sizes.named, err);
}

int encoder_image_features(const struct encoder *enc, struct encoder_scratch *scratch,
                           const uint8_t *pixels, int n, const struct image_features *out,
                           struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    int rc = n > 0 ? enc->family->image_features(enc->model, scratch, pixels, n, out, err) : 0;
    if (!rc)
        rc = check_finite(enc, out->pooled, n, sizes.image, err);
    if (!rc)
        rc = check_finite(enc, out->stages, n, sizes.stages, err);
    if (!rc)
        rc = check_finite(enc, out->regions, n, sizes.grid * sizes.grid * sizes.region, err);
    if (!rc)
        rc = check_finite(enc, out->embedding, n, enc->info.dim, err);
    return rc ? rc : check_finite(enc, out->logits, n, sizes.classes, err);
}

int encoder_text_features(const struct encoder *enc, struct encoder_scratch *scratch,
                          const char *const *texts, int n, const struct text_features *out,
                          struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    if (out->states)
        out->starts[0] = 0;
    int rc = n > 0 ? enc->family->text_features(enc->model, scratch, texts, n, out, err) : 0;
    if (!rc)
        rc = check_finite(enc, out->pooled, n, sizes.text, err);
    if (!rc)
        rc = check_finite(enc, out->first, n, sizes.first, err);
    if (!rc)
        rc = check_finite(enc, out->embedding, n, enc->info.dim, err);
    return rc ? rc
              : check_finite(enc, out->states, out->states ? out->starts[n] : 0, sizes.text, err);
}

int encoder_scratch_decoder(struct encoder_scratch *scratch, struct decoder **out, struct err *err)
{
    int rc = scratch->decoder ? 0 : decoder_open(NULL, &scratch->decoder, err);
    if (!rc)
        *out = scratch->decoder;
    return rc;
}

int encoder_image_bytes(const struct encoder *enc, struct encoder_scratch *scratch,
                        const uint8_t *bytes, size_t len, float *out, struct err *err)
{
    const struct preprocess *pre     = &enc->info.preprocess;
    struct decoder          *decoder = NULL;
    struct image             view    = {0};
    size_t                   size    = (size_t)pre->out_w * (size_t)pre->out_h * 3;
    uint8_t                 *pixels  = mem_array(size, 1);
    int rc = pixels ? 0 : err_set(err, ERR_NOMEM, "cannot encode a picture: out of memory");
    if (!rc)
        rc = encoder_scratch_decoder(scratch, &decoder, err);
    if (!rc)
        rc = decoder_decode(decoder, bytes, len, preprocess_min_side(pre), &view, NULL, err);
    if (!rc)
        rc = preprocess_image(pre, &view, pixels, err);
    if (!rc)
        rc = encoder_images(enc, scratch, pixels, 1, out, err);
    free(pixels);
    return rc;
}
