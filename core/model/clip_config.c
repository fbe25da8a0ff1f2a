/* Configurations of CLIP models: see clip_config.h.
 *
 * Defaults and the precedence of text_config_dict over text_config are those of
 * transformers 5 (CLIPConfig), and of open_clip 3 (CLIPVisionCfg, CLIPTextCfg,
 * PreprocessCfg). In the original configurations eos_token_id is 2, by mistake;
 * there as in OpenCLIP the text is pooled at its largest id.
 */
#include "model/clip_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_LAYERS     200
#define MAX_WIDTH      16384
#define MAX_MLP        65536
#define MAX_IMAGE      4096  /* pixels */
#define MAX_PATCHES    16384 /* in a picture */
#define MAX_VOCABULARY (1 << 24)
#define MAX_POSITIONS  4096

/* A part of a configuration and what to call it. */
struct part {
    const struct jnode *node; /* NULL: all defaults */
    const char         *path;
    const char         *name; /* "text_config." */
    struct err         *err;
};

static bool present(const struct part *p, const char *key)
{
    const struct jnode *node = jnode_get(p->node, key);
    return node && !jnode_is_null(node);
}

static int read_int(const struct part *p, const char *key, int fallback, int max, int *out)
{
    int64_t value = fallback;
    if (present(p, key) && !jnode_to_int(jnode_get(p->node, key), &value))
        return err_set(p->err, ERR_FORMAT, "%s: %s%s is not a whole number", p->path, p->name, key);
    if (value < 1 || value > max)
        return err_set(p->err, ERR_FORMAT, "%s: %s%s is %" PRId64 "; expected 1 to %d", p->path,
                       p->name, key, value, max);
    *out = (int)value;
    return 0;
}

/* A number, or two equal ones: height and width. */
static int read_side(const struct part *p, const char *key, int fallback, int *out)
{
    const struct jnode *node = jnode_get(p->node, key);
    int64_t             h, w;
    if (!jnode_is_array(node))
        return read_int(p, key, fallback, MAX_IMAGE, out);
    if (jnode_len(node) != 2 || !jnode_to_int(jnode_at(node, 0), &h) ||
        !jnode_to_int(jnode_at(node, 1), &w) || h != w || h < 1 || h > MAX_IMAGE)
        return err_set(p->err, ERR_UNSUPPORTED, "%s: %s%s is not the side of a square", p->path,
                       p->name, key);
    *out = (int)h;
    return 0;
}

static int read_real(const struct part *p, const char *key, double fallback, double low,
                     double high, double *out)
{
    *out = fallback;
    if (present(p, key) && !jnode_to_double(jnode_get(p->node, key), out))
        return err_set(p->err, ERR_FORMAT, "%s: %s%s is not a number", p->path, p->name, key);
    if (!(*out >= low && *out <= high))
        return err_set(p->err, ERR_FORMAT, "%s: %s%s is %g; expected %g to %g", p->path, p->name,
                       key, *out, low, high);
    return 0;
}

static int read_act(const struct part *p, enum act *out)
{
    static const struct {
        const char *name;
        enum act    act;
    } known[]        = {{"quick_gelu", ACT_QUICK_GELU}, {"gelu", ACT_GELU},
                        {"gelu_new", ACT_GELU_TANH},    {"gelu_pytorch_tanh", ACT_GELU_TANH},
                        {"gelu_fast", ACT_GELU_TANH},   {"relu", ACT_RELU}};
    const char *name = "quick_gelu";
    if (present(p, "hidden_act") && !jnode_to_str(jnode_get(p->node, "hidden_act"), &name))
        name = "(not a string)";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].act;
            return 0;
        }
    }
    return err_set(p->err, ERR_UNSUPPORTED,
                   "%s: %shidden_act is \"%.80s\"; expected quick_gelu, gelu, gelu_new or relu",
                   p->path, p->name, name);
}

static int check_heads(const struct part *p, const struct clip_tower_config *t)
{
    if (t->heads <= t->width && t->width % t->heads == 0)
        return 0;
    return err_set(p->err, ERR_FORMAT, "%s: %sa width of %d cannot be shared by %d heads", p->path,
                   p->name, t->width, t->heads);
}

static int check_grid(const struct part *p, const struct clip_config *c)
{
    int side = c->patch ? c->image_size / c->patch : 0;
    if (side >= 1 && side * side < MAX_PATCHES)
        return 0;
    return err_set(p->err, ERR_FORMAT,
                   "%s: %spictures of %d pixels in patches of %d: expected 1 to %d patches",
                   p->path, p->name, c->image_size, c->patch, MAX_PATCHES - 1);
}

static int read_tower(const struct part *p, struct clip_tower_config *t)
{
    double eps = 0;
    int    rc  = read_int(p, "hidden_size", t->width, MAX_WIDTH, &t->width);
    if (!rc)
        rc = read_int(p, "num_hidden_layers", t->layers, MAX_LAYERS, &t->layers);
    if (!rc)
        rc = read_int(p, "num_attention_heads", t->heads, MAX_WIDTH, &t->heads);
    if (!rc)
        rc = read_int(p, "intermediate_size", t->mlp, MAX_MLP, &t->mlp);
    if (!rc)
        rc = read_act(p, &t->act);
    if (!rc)
        rc = read_real(p, "layer_norm_eps", 1e-5, 0, 1, &eps);
    t->eps = (float)eps;
    return rc ? rc : check_heads(p, t);
}

/* The tower's object: *_config_dict replaces *_config wholly where it is there. */
static struct part tower_part(const struct jnode *root, const char *path, const char *key,
                              const char *legacy, const char *name, struct err *err)
{
    const struct jnode *node = jnode_get(root, legacy);
    if (!jnode_is_object(node))
        node = jnode_get(root, key);
    return (struct part){.node = node, .path = path, .name = name, .err = err};
}

static int check_type(const struct jnode *root, const char *path, struct err *err)
{
    const char *type = NULL;
    jnode_to_str(jnode_get(root, "model_type"), &type);
    if (!type)
        return err_set(err, ERR_FORMAT, "%s has no model_type; expected \"clip\"", path);
    if (strcmp(type, "clip_text_model") == 0 || strcmp(type, "clip_vision_model") == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: this is one tower of a CLIP model (%s); searching needs both", path,
                       type);
    if (strcmp(type, "clip") != 0)
        return err_set(err, ERR_UNSUPPORTED, "%s: model_type is \"%.80s\"; expected \"clip\"", path,
                       type);
    return 0;
}

static int read_eos(const struct part *p, int *out)
{
    int64_t eos = 49407;
    if (jnode_get(p->node, "eos_token_id") &&
        (!jnode_to_int(jnode_get(p->node, "eos_token_id"), &eos) || eos < 0 ||
         eos >= MAX_VOCABULARY))
        return err_set(p->err, ERR_UNSUPPORTED, "%s: %seos_token_id is not one token's id", p->path,
                       p->name);
    *out = eos == 2 ? CLIP_EOS_LARGEST : (int)eos;
    return 0;
}

int clip_config_parse(const struct jnode *root, const char *path, struct clip_config *out,
                      struct err *err)
{
    struct clip_config c = {
        .vision = {.width = 768, .layers = 12, .heads = 12, .mlp = 3072},
        .text   = {.width = 512, .layers = 12, .heads = 8, .mlp = 2048},
    };
    struct part whole = {.node = root, .path = path, .name = "", .err = err};
    struct part vision =
        tower_part(root, path, "vision_config", "vision_config_dict", "vision_config.", err);
    struct part text =
        tower_part(root, path, "text_config", "text_config_dict", "text_config.", err);
    int channels = 3;
    int rc       = check_type(root, path, err);
    if (!rc)
        rc = read_int(&whole, "projection_dim", 512, MAX_WIDTH, &c.dim);
    if (!rc)
        rc = read_tower(&vision, &c.vision);
    if (!rc)
        rc = read_side(&vision, "image_size", 224, &c.image_size);
    if (!rc)
        rc = read_side(&vision, "patch_size", 32, &c.patch);
    if (!rc)
        rc = check_grid(&vision, &c);
    if (!rc)
        rc = read_int(&vision, "num_channels", 3, MAX_WIDTH, &channels);
    if (!rc && channels != 3)
        rc = err_set(err, ERR_UNSUPPORTED, "%s: vision_config.num_channels is %d; pictures have 3",
                     path, channels);
    if (!rc)
        rc = read_tower(&text, &c.text);
    if (!rc)
        rc = read_int(&text, "vocab_size", 49408, MAX_VOCABULARY, &c.vocabulary);
    if (!rc)
        rc = read_int(&text, "max_position_embeddings", 77, MAX_POSITIONS, &c.positions);
    if (!rc)
        rc = read_eos(&text, &c.eos);
    if (!rc)
        *out = c;
    return rc;
}

/* Refuses what would make another network of it. */
static int refuse_others(const struct part *p)
{
    static const char *const keys[] = {"timm_model_name",    "hf_model_name",
                                       "attentional_pool",   "ls_init_value",
                                       "no_ln_pre",          "qk_norm",
                                       "scaled_cosine_attn", "scale_heads",
                                       "scale_attn_inner",   "scale_attn",
                                       "scale_fc",           "no_causal_mask",
                                       "embed_cls",          "final_ln_after_pool",
                                       "act_kwargs",         "block_type",
                                       "attn_pooler",        "input_patchnorm",
                                       "global_average_pool"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool        on   = true;
        const char *text = NULL;
        if (!present(p, keys[i]) || (jnode_to_bool(jnode_get(p->node, keys[i]), &on) && !on))
            continue;
        if (jnode_to_str(jnode_get(p->node, keys[i]), &text) && strcmp(text, "default") == 0)
            continue;
        return err_set(p->err, ERR_UNSUPPORTED,
                       "%s: %s%s is set, which Osprey's CLIP does not know", p->path, p->name,
                       keys[i]);
    }
    return 0;
}

/* A string that must have the one value that is implemented. */
static int require_str(const struct part *p, const char *key, const char *want)
{
    const char *value = want;
    if (present(p, key) && !jnode_to_str(jnode_get(p->node, key), &value))
        value = "(not a string)";
    if (strcmp(value, want) == 0)
        return 0;
    return err_set(p->err, ERR_UNSUPPORTED, "%s: %s%s is \"%.80s\"; only \"%s\" is supported",
                   p->path, p->name, key, value, want);
}

static int read_open_tower(const struct part *p, struct clip_tower_config *t)
{
    double      ratio = 4, eps = 1e-5;
    struct part norm = {.node = jnode_get(p->node, "norm_kwargs"),
                        .path = p->path,
                        .name = "norm_kwargs.",
                        .err  = p->err};
    if (jnode_is_array(jnode_get(p->node, "layers")))
        return err_set(p->err, ERR_UNSUPPORTED,
                       "%s: the image tower is a ResNet; only vision transformers are supported",
                       p->path);
    int rc = refuse_others(p);
    if (!rc)
        rc = read_int(p, "width", t->width, MAX_WIDTH, &t->width);
    if (!rc)
        rc = read_int(p, "layers", 12, MAX_LAYERS, &t->layers);
    if (!rc)
        rc = read_real(p, "mlp_ratio", 4, 0, 64, &ratio);
    if (!rc)
        rc = read_real(&norm, "eps", 1e-5, 0, 1, &eps);
    if (rc)
        return rc; /* ratio may be past any int */
    t->mlp = (int)(t->width * ratio);
    t->eps = (float)eps;
    if (t->mlp < 1 || t->mlp > MAX_MLP)
        rc = err_set(p->err, ERR_FORMAT, "%s: %smlp_ratio makes a layer of %d", p->path, p->name,
                     t->mlp);
    return rc;
}

int clip_config_parse_open(const struct jnode *root, const char *path, struct clip_config *out,
                           struct err *err)
{
    struct clip_config  c      = {.open_clip = true,
                                  .eos       = CLIP_EOS_LARGEST,
                                  .vision    = {.width = 768},
                                  .text      = {.width = 512}};
    const struct jnode *model  = jnode_get(root, "model_cfg");
    struct part         whole  = {.node = model, .path = path, .name = "model_cfg.", .err = err};
    struct part         vision = {jnode_get(model, "vision_cfg"), path, "vision_cfg.", err};
    struct part         text   = {jnode_get(model, "text_cfg"), path, "text_cfg.", err};
    bool                quick  = false;
    int                 head   = 64;
    if (!jnode_is_object(vision.node) || !jnode_is_object(text.node))
        return err_set(err, ERR_FORMAT, "%s has no model_cfg with vision_cfg and text_cfg", path);
    if (!present(&whole, "embed_dim"))
        return err_set(err, ERR_FORMAT, "%s has no model_cfg.embed_dim", path);
    int rc = read_int(&whole, "embed_dim", 512, MAX_WIDTH, &c.dim);
    jnode_to_bool(jnode_get(model, "quick_gelu"), &quick);
    c.vision.act = c.text.act = quick ? ACT_QUICK_GELU : ACT_GELU;
    if (!rc)
        rc = require_str(&vision, "pool_type", "tok");
    if (!rc)
        rc = require_str(&vision, "pos_embed_type", "learnable");
    if (!rc)
        rc = require_str(&text, "pool_type", "argmax");
    if (!rc)
        rc = require_str(&text, "proj_type", "linear");
    if (!rc)
        rc = read_open_tower(&vision, &c.vision);
    if (!rc)
        rc = read_int(&vision, "head_width", 64, MAX_WIDTH, &head);
    if (!rc && head > c.vision.width)
        rc = err_set(err, ERR_FORMAT, "%s: vision_cfg.head_width is past the width", path);
    if (!rc) {
        c.vision.heads = c.vision.width / head;
        rc             = check_heads(&vision, &c.vision);
    }
    if (!rc)
        rc = read_side(&vision, "image_size", 224, &c.image_size);
    if (!rc)
        rc = read_side(&vision, "patch_size", 16, &c.patch);
    if (!rc)
        rc = check_grid(&vision, &c);
    if (!rc)
        rc = read_open_tower(&text, &c.text);
    if (!rc)
        rc = read_int(&text, "heads", 8, MAX_WIDTH, &c.text.heads);
    if (!rc)
        rc = check_heads(&text, &c.text);
    if (!rc)
        rc = read_int(&text, "vocab_size", 49408, MAX_VOCABULARY, &c.vocabulary);
    if (!rc)
        rc = read_int(&text, "context_length", 77, MAX_POSITIONS, &c.positions);
    if (!rc)
        *out = c;
    return rc;
}

static int read_triple(const struct part *p, const char *key, const float fallback[3], float out[3])
{
    const struct jnode *node = jnode_get(p->node, key);
    memcpy(out, fallback, 3 * sizeof *out);
    if (!node || jnode_is_null(node))
        return 0;
    for (size_t i = 0; i < 3; i++) {
        double x;
        if (jnode_len(node) != 3 || !jnode_to_double(jnode_at(node, i), &x) ||
            !(x > -1e6 && x < 1e6))
            return err_set(p->err, ERR_FORMAT, "%s: %s%s is not three numbers", p->path, p->name,
                           key);
        out[i] = (float)x;
    }
    return 0;
}

int clip_preprocess_parse_open(const struct jnode *root, const char *path,
                               const struct clip_config *config, struct preprocess *out,
                               struct err *err)
{
    static const float openai_mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float openai_std[3]  = {0.26862954f, 0.26130258f, 0.27577711f};
    struct part        p    = {jnode_get(root, "preprocess_cfg"), path, "preprocess_cfg.", err};
    int                size = config->image_size;
    const char        *mode = "shortest", *filter = "bicubic";
    struct preprocess  r  = {.out_w = size, .out_h = size, .rescale = 1.0f / 255};
    int                rc = read_triple(&p, "mean", openai_mean, r.mean);
    if (!rc)
        rc = read_triple(&p, "std", openai_std, r.std);
    if (!rc && !(r.std[0] > 0 && r.std[1] > 0 && r.std[2] > 0))
        rc = err_set(err, ERR_FORMAT, "%s: preprocess_cfg.std is not positive", path);
    if (rc)
        return rc;
    jnode_to_str(jnode_get(p.node, "resize_mode"), &mode);
    jnode_to_str(jnode_get(p.node, "interpolation"), &filter);
    r.resample = strcmp(filter, "bilinear") == 0 ? RESAMPLE_BILINEAR : RESAMPLE_BICUBIC;
    if (strcmp(mode, "shortest") == 0) {
        r.shortest_edge = size;
        r.crop_w = r.crop_h = size;
    } else if (strcmp(mode, "squash") == 0) {
        r.resize_w = r.resize_h = size;
    } else {
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: preprocess_cfg.resize_mode is \"%.80s\"; expected shortest or squash",
                       path, mode);
    }
    *out = r;
    return 0;
}
