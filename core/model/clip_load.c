/* Loading CLIP: see clip.h.
 *
 * Tensor names and layouts are those of transformers' CLIPModel, and of
 * OpenCLIP's CLIP and CustomTextCLIP (whose text tower has the prefix "text.").
 * Other tensors, as the position_ids of old checkpoints, are ignored.
 */
#include "model/clip.h"

#include "base/mem.h"
#include "model/clip_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME 256 /* bytes of a tensor's name */

/* What loading passes around. */
struct loader {
    struct clip             *clip;
    const struct checkpoint *checkpoint;
    struct prepared         *prepared;
    struct cpu               cpu;
    enum precision           precision;
    float                   *scratch; /* while building */
    size_t                   scratch_floats;
    struct err              *err;
};

/* The names of a layout; the towers' come after a prefix. */
struct names {
    const char *prefix, *layers;
    const char *norm1, *norm2, *out, *widen, *narrow, *last;
    const char *qkv[3]; /* separate ones, or NULL where they are one */
    const char *projection;
};

static const struct names HF_VISION   = {"vision_model.",
                                         "encoder.layers",
                                         "layer_norm1",
                                         "layer_norm2",
                                         "self_attn.out_proj",
                                         "mlp.fc1",
                                         "mlp.fc2",
                                         "post_layernorm",
                                         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                         "visual_projection.weight"};
static const struct names HF_TEXT     = {"text_model.",
                                         "encoder.layers",
                                         "layer_norm1",
                                         "layer_norm2",
                                         "self_attn.out_proj",
                                         "mlp.fc1",
                                         "mlp.fc2",
                                         "final_layer_norm",
                                         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                                         "text_projection.weight"};
static const struct names OPEN_VISION = {"visual.",
                                         "transformer.resblocks",
                                         "ln_1",
                                         "ln_2",
                                         "attn.out_proj",
                                         "mlp.c_fc",
                                         "mlp.c_proj",
                                         "ln_post",
                                         {NULL, NULL, NULL},
                                         "visual.proj"};
static const struct names OPEN_TEXT   = {"",
                                         "transformer.resblocks",
                                         "ln_1",
                                         "ln_2",
                                         "attn.out_proj",
                                         "mlp.c_fc",
                                         "mlp.c_proj",
                                         "ln_final",
                                         {NULL, NULL, NULL},
                                         "text_projection"};

__attribute__((format(printf, 2, 3))) static const char *name_in(char out[NAME], const char *format,
                                                                 ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out, NAME, format, args);
    va_end(args);
    return out;
}

/* Finds a tensor, checks its shape and counts its parameters. */
static int find(struct loader *l, const char *name, int n_dims, const int64_t *dims,
                const struct tensor **out)
{
    int rc = checkpoint_require(l->checkpoint, name, n_dims, dims, out, l->err);
    if (rc)
        return err_prefix(l->err, "the weights do not fit the configuration (fetch both again, "
                                  "from one place)");
    l->clip->parameters += (*out)->elements;
    return 0;
}

static bool building(const struct loader *l)
{
    return prepared_building(l->prepared);
}

static int scratch_for(struct loader *l, size_t floats)
{
    if (floats <= l->scratch_floats)
        return 0;
    free(l->scratch);
    l->scratch        = mem_array(floats, sizeof *l->scratch);
    l->scratch_floats = l->scratch ? floats : 0;
    return l->scratch ? 0 : err_set(l->err, ERR_NOMEM, "cannot prepare a model: out of memory");
}

/* A tensor of one or two dimensions (rows 0: one) as floats, kept under its name. */
static int load_floats(struct loader *l, const char *name, int rows, int cols, const float **out)
{
    const struct tensor *t;
    float               *to;
    const int64_t        dims[2] = {rows, cols};
    int                  rc      = find(l, name, rows ? 2 : 1, rows ? dims : dims + 1, &t);
    if (!rc)
        rc = prepared_floats(l->prepared, name, (size_t)t->elements, &to, l->err);
    if (!rc && building(l))
        rc = checkpoint_floats(l->checkpoint, t, to, l->err);
    if (!rc)
        *out = to;
    return rc;
}

static int load_norm(struct loader *l, const char *base, int width, struct clip_norm *out)
{
    char name[NAME];
    int  rc = load_floats(l, name_in(name, "%s.weight", base), 0, width, &out->weight);
    return rc ? rc : load_floats(l, name_in(name, "%s.bias", base), 0, width, &out->bias);
}

/* A linear layer of one or three weights, one below the other, each (rows, cols)
 * (transposed: (cols, rows)), with or without biases. */
struct source {
    int         n;
    const char *weight[3], *bias[3];
    int         rows, cols;
    bool        biased, transposed;
};

static void transpose(const float *from, int rows, int cols, float *to)
{
    for (ptrdiff_t r = 0; r < rows; r++) {
        for (ptrdiff_t c = 0; c < cols; c++)
            to[c * rows + r] = from[r * cols + c];
    }
}

/* One weight of a source into l->scratch at offset. */
static int read_weight(struct loader *l, const struct source *s, const struct tensor *t,
                       size_t offset)
{
    size_t each = (size_t)s->rows * (size_t)s->cols;
    if (!s->transposed)
        return checkpoint_floats(l->checkpoint, t, l->scratch + offset, l->err);
    int rc = checkpoint_floats(l->checkpoint, t, l->scratch + offset + each, l->err);
    if (!rc)
        transpose(l->scratch + offset + each, s->cols, s->rows, l->scratch + offset);
    return rc;
}

/* Room for a packed matrix; the cache's floats are but a measure of memory here. */
static int load_packed(struct loader *l, const char *name, enum precision precision, int n, int k,
                       void **out)
{
    float *memory = NULL;
    int    rc     = prepared_floats(
               l->prepared, name, linear_packed_bytes(precision, n, k) / sizeof *memory, &memory, l->err);
    *out = memory;
    return rc;
}

static int load_linear(struct loader *l, const char *as, const struct source *s, struct linear *out)
{
    char                 name[NAME];
    const struct tensor *w[3], *b[3] = {NULL};
    void                *weight = NULL;
    float               *bias   = NULL;
    int                  n      = s->rows * s->n;
    size_t               each   = (size_t)s->rows * (size_t)s->cols;
    const int64_t dims[2] = {s->transposed ? s->cols : s->rows, s->transposed ? s->rows : s->cols};
    const int64_t length  = s->rows;
    int           rc      = 0;
    /* all of them, before memory of the size that they should have is asked for */
    for (int i = 0; i < s->n && !rc; i++) {
        rc = find(l, s->weight[i], 2, dims, &w[i]);
        if (!rc && s->biased)
            rc = find(l, s->bias[i], 1, &length, &b[i]);
    }
    if (!rc)
        rc = load_packed(l, name_in(name, "%s.packed", as), l->precision, n, s->cols, &weight);
    if (!rc && s->biased)
        rc = prepared_floats(l->prepared, name_in(name, "%s.bias", as), (size_t)n, &bias, l->err);
    if (!rc && building(l))
        rc = scratch_for(l, each * (size_t)(s->n + s->transposed));
    for (int i = 0; i < s->n && !rc && building(l); i++) {
        rc = read_weight(l, s, w[i], each * (size_t)i);
        if (!rc && s->biased)
            rc = checkpoint_floats(l->checkpoint, b[i], bias + (size_t)s->rows * (size_t)i, l->err);
    }
    if (rc)
        return rc;
    if (building(l))
        linear_pack(l->precision, l->scratch, n, s->cols, weight);
    *out = (struct linear){.weight = weight, .bias = bias, .n = n, .k = s->cols};
    return 0;
}

/* base.weight and base.bias */
static int load_plain(struct loader *l, const char *base, int rows, int cols, struct linear *out)
{
    char          weight[NAME], bias[NAME];
    struct source s = {.n      = 1,
                       .weight = {name_in(weight, "%s.weight", base)},
                       .bias   = {name_in(bias, "%s.bias", base)},
                       .rows   = rows,
                       .cols   = cols,
                       .biased = true};
    return load_linear(l, base, &s, out);
}

static int load_qkv(struct loader *l, const struct names *names, const char *base, int width,
                    struct linear *out)
{
    char          weight[3][NAME], bias[3][NAME], as[NAME];
    struct source s = {.n = 3, .rows = width, .cols = width, .biased = true};
    if (!names->qkv[0]) {
        s.n         = 1;
        s.rows      = 3 * width;
        s.weight[0] = name_in(weight[0], "%sattn.in_proj_weight", base);
        s.bias[0]   = name_in(bias[0], "%sattn.in_proj_bias", base);
    }
    for (int i = 0; i < 3 && names->qkv[0]; i++) {
        s.weight[i] = name_in(weight[i], "%s%s.weight", base, names->qkv[i]);
        s.bias[i]   = name_in(bias[i], "%s%s.bias", base, names->qkv[i]);
    }
    return load_linear(l, name_in(as, "%sqkv", base), &s, out);
}

static int load_layer(struct loader *l, const struct names *names, const char *base,
                      const struct clip_tower_config *c, struct clip_layer *layer)
{
    char name[NAME];
    int  rc =
        load_norm(l, name_in(name, "%s%s", base, names->norm1), c->width, &layer->before_attention);
    if (!rc)
        rc = load_qkv(l, names, base, c->width, &layer->qkv);
    if (!rc)
        rc =
            load_plain(l, name_in(name, "%s%s", base, names->out), c->width, c->width, &layer->out);
    if (!rc)
        rc = load_norm(l, name_in(name, "%s%s", base, names->norm2), c->width, &layer->before_mlp);
    if (!rc)
        rc = load_plain(l, name_in(name, "%s%s", base, names->widen), c->mlp, c->width,
                        &layer->widen);
    if (!rc)
        rc = load_plain(l, name_in(name, "%s%s", base, names->narrow), c->width, c->mlp,
                        &layer->narrow);
    return rc;
}

/* OpenCLIP multiplies by a bare (width, dim) matrix, or, where text_cfg.proj_bias
 * is set, has a linear layer. */
static int load_projection(struct loader *l, const struct names *names, const char *prefix,
                           int width, struct linear *out)
{
    char          name[NAME], weight[NAME], bias[NAME];
    struct source s = {.n = 1, .rows = l->clip->config.dim, .cols = width};
    if (!l->clip->config.open_clip) {
        s.weight[0] = names->projection;
        return load_linear(l, names->projection, &s, out);
    }
    name_in(name, "%s%s", prefix, names->projection);
    name_in(weight, "%s.weight", name);
    name_in(bias, "%s.bias", name);
    s.transposed = !checkpoint_find(l->checkpoint, weight);
    s.biased     = !s.transposed && checkpoint_find(l->checkpoint, bias);
    s.weight[0]  = s.transposed ? name : weight;
    s.bias[0]    = bias;
    return load_linear(l, name, &s, out);
}

static int load_tower(struct loader *l, const struct names *names, const char *prefix,
                      const struct clip_tower_config *config, struct clip_tower *t)
{
    char base[NAME];
    t->config    = *config;
    t->linear    = linear_kernel_for(l->cpu, l->precision);
    t->attention = attention_kernel_for(l->cpu);
    t->layer     = mem_zeroed((size_t)config->layers, sizeof *t->layer);
    if (!t->layer)
        return err_set(l->err, ERR_NOMEM, "cannot load a model: out of memory");
    int rc = 0;
    for (int i = 0; i < config->layers && !rc; i++)
        rc = load_layer(l, names,
                        name_in(base, "%s%s%s.%d.", prefix, names->prefix, names->layers, i),
                        config, &t->layer[i]);
    if (!rc)
        rc = load_norm(l, name_in(base, "%s%s%s", prefix, names->prefix, names->last),
                       config->width, &t->last);
    return rc ? rc : load_projection(l, names, prefix, config->width, &t->projection);
}

/* Convolution weights (width, 3, patch, patch) as a linear layer over bytes in
 * the order of a picture. */
static int load_patches(struct loader *l, const char *name)
{
    struct clip         *c = l->clip;
    const struct tensor *t;
    int                  width = c->config.vision.width, patch = c->config.patch;
    ptrdiff_t            area    = (ptrdiff_t)patch * patch;
    const int64_t        dims[4] = {width, 3, patch, patch};
    int                  k       = 3 * patch * patch;
    void                *packed;
    char                 as[NAME];
    enum precision       precision = l->precision;
    if (precision == PRECISION_INT8 && k > LINEAR_MAX_K)
        precision = PRECISION_F32;
    c->patching = linear_kernel_for(l->cpu, precision);
    int rc      = find(l, name, 4, dims, &t);
    if (!rc)
        rc = load_packed(l, name_in(as, "%s.packed", name), precision, width, k, &packed);
    if (!rc && building(l)) {
        size_t n = (size_t)t->elements;
        rc       = scratch_for(l, 2 * n);
        if (!rc)
            rc = checkpoint_floats(l->checkpoint, t, l->scratch, l->err);
        if (!rc) {
            for (int row = 0; row < width; row++)
                transpose(l->scratch + (ptrdiff_t)row * k, 3, (int)area,
                          l->scratch + n + (ptrdiff_t)row * k);
            linear_pack(precision, l->scratch + n, width, k, packed);
        }
    }
    if (!rc)
        c->patches = (struct linear){.weight = packed, .n = width, .k = k};
    return rc;
}

/* Positions, the class token added to the first of them. */
static int load_placement(struct loader *l, const char *class_name, const char *positions_name)
{
    struct clip  *c     = l->clip;
    int           width = c->config.vision.width, tokens = c->grid * c->grid + 1;
    const int64_t dims[2] = {tokens, width};
    const struct tensor *class, *positions;
    float *to;
    int    rc = find(l, class_name, 1, dims + 1, &class);
    if (!rc)
        rc = find(l, positions_name, 2, dims, &positions);
    if (!rc)
        rc = prepared_floats(l->prepared, "vision.placement", (size_t)positions->elements, &to,
                             l->err);
    if (!rc && building(l)) {
        rc = scratch_for(l, (size_t)width);
        if (!rc)
            rc = checkpoint_floats(l->checkpoint, class, l->scratch, l->err);
        if (!rc)
            rc = checkpoint_floats(l->checkpoint, positions, to, l->err);
        for (int i = 0; i < width && !rc; i++)
            to[i] += l->scratch[i];
    }
    if (!rc)
        c->placement = to;
    return rc;
}

/* (byte * rescale - mean) / std as one multiply-add. */
static int set_normalisation(struct loader *l, const struct preprocess *p)
{
    struct clip *c = l->clip;
    int          n = c->config.patch * 3;
    c->patch_scale = mem_array((size_t)n, sizeof *c->patch_scale);
    c->patch_shift = mem_array((size_t)n, sizeof *c->patch_shift);
    if (!c->patch_scale || !c->patch_shift)
        return err_set(l->err, ERR_NOMEM, "cannot load a model: out of memory");
    for (int i = 0; i < n; i++) {
        double std        = (double)p->std[i % 3];
        c->patch_scale[i] = (float)((double)p->rescale / std);
        c->patch_shift[i] = (float)(-(double)p->mean[i % 3] / std);
    }
    return 0;
}

static int load_vision(struct loader *l, const struct preprocess *preprocess)
{
    struct clip *c    = l->clip;
    bool         open = c->config.open_clip;
    int          rc   = set_normalisation(l, preprocess);
    if (!rc)
        rc = load_patches(l, open ? "visual.conv1.weight"
                                  : "vision_model.embeddings.patch_embedding.weight");
    if (!rc)
        rc = load_placement(
            l, open ? "visual.class_embedding" : "vision_model.embeddings.class_embedding",
            open ? "visual.positional_embedding"
                 : "vision_model.embeddings.position_embedding.weight");
    if (!rc)
        rc = load_norm(l, open ? "visual.ln_pre" : "vision_model.pre_layrnorm",
                       c->config.vision.width, &c->before_blocks);
    return rc ? rc
              : load_tower(l, open ? &OPEN_VISION : &HF_VISION, "", &c->config.vision, &c->vision);
}

static int load_words(struct loader *l, const char *name)
{
    struct clip         *c       = l->clip;
    const int64_t        dims[2] = {c->config.vocabulary, c->config.text.width};
    const struct tensor *t;
    float                probe;
    int                  rc = find(l, name, 2, dims, &t);
    if (rc)
        return rc;
    struct tensor first = *t;
    first.elements      = 1;
    rc = checkpoint_floats(l->checkpoint, &first, &probe, l->err); /* its dtype is one we read */
    if (!rc)
        c->words = *t;
    return rc;
}

static int load_text(struct loader *l)
{
    struct clip *c      = l->clip;
    bool         open   = c->config.open_clip;
    const char  *prefix = "";
    char         name[NAME];
    if (open && checkpoint_find(l->checkpoint, "text.token_embedding.weight"))
        prefix = "text.";
    int rc = load_words(l, open ? name_in(name, "%stoken_embedding.weight", prefix)
                                : "text_model.embeddings.token_embedding.weight");
    if (!rc)
        rc = load_floats(l,
                         open ? name_in(name, "%spositional_embedding", prefix)
                              : "text_model.embeddings.position_embedding.weight",
                         c->config.positions, c->config.text.width, &c->positions);
    c->text.causal = true;
    return rc ? rc : load_tower(l, open ? &OPEN_TEXT : &HF_TEXT, prefix, &c->config.text, &c->text);
}

/* A lone number; CLIP's initial value where there is none. */
static int load_scale(struct loader *l)
{
    float                log = 2.6592f;
    const struct tensor *t   = checkpoint_find(l->checkpoint, "logit_scale");
    int                  rc  = 0;
    if (t && t->elements == 1) {
        rc = checkpoint_floats(l->checkpoint, t, &log, l->err);
        l->clip->parameters++;
    }
    l->clip->scale = expf(log);
    return rc;
}

int clip_load(const struct checkpoint *c, const struct clip_config *config,
              const struct preprocess *preprocess, struct prepared *p, struct cpu cpu,
              enum precision precision, struct clip **out, struct err *err)
{
    struct clip  *clip = mem_zeroed(1, sizeof *clip);
    struct loader l    = {.clip       = clip,
                          .checkpoint = c,
                          .prepared   = p,
                          .cpu        = cpu,
                          .precision  = precision,
                          .err        = err};
    if (!clip)
        return err_set(err, ERR_NOMEM, "cannot load a model: out of memory");
    clip->config = *config;
    clip->grid   = config->image_size / config->patch;
    int rc       = load_vision(&l, preprocess);
    if (!rc)
        rc = load_text(&l);
    if (!rc)
        rc = load_scale(&l);
    free(l.scratch);
    if (rc) {
        clip_free(clip);
        return rc;
    }
    *out = clip;
    return 0;
}
