/* Sizes and tensors of a re-ranker of the MMCA form: see mmca_config.h. */
#include "rerank/mmca_config.h"

#include "rerank/reranker_config.h"

#include <stdio.h>
#include <string.h>

const char *const mmca_module_names[MMCA_MODULES] = {"image", "text", "cross"};
const char *const mmca_pooled_names[MMCA_POOLED]  = {"i0", "c0", "i1", "c1"};

static const char *const NORMS[]              = {"post", "pre"};
static const char *const POOLS[]              = {"mean", "max", "learned"};
static const char *const FORMS[]              = {"full", "pooled"};
static const char *const LAYERS[MMCA_MODULES] = {"image_layers", "text_layers", "cross_layers"};

static int read_word(const struct jnode *node, const char *key, const char *const *words, int n,
                     int *out, struct err *err)
{
    const char *text = NULL;
    if (!jnode_to_str(jnode_get(node, key), &text))
        return err_set(err, ERR_FORMAT, "its \"%s\" is missing", key);
    for (int i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "its \"%s\" is \"%.40s\"; this build knows \"%s\" and \"%s\"", key, text,
                   words[0], words[n - 1]);
}

/* Learned pools and the pooled form go together, and with norms before. */
static int check_form(const struct mmca_config *c, struct err *err)
{
    bool pooled  = c->form == MMCA_POOLED_FORM;
    bool learned = c->image_pool == MMCA_LEARNED, also = c->text_pool == MMCA_LEARNED;
    bool modules = c->norm == MMCA_PRE && c->unit && c->layers[MMCA_CROSS] == 1 &&
                   c->layers[MMCA_IMAGE] > 0 && c->layers[MMCA_TEXT] > 0;
    if (learned == pooled && also == pooled && (!pooled || modules))
        return 0;
    return err_set(err, ERR_FORMAT,
                   "its form and its pools do not go together: \"pooled\" has learned pools, norm "
                   "\"pre\", unit vectors, one cross layer and some of the others");
}

struct mmca_config mmca_config_pooled(int cells, int region, int word)
{
    return (struct mmca_config){.cells      = cells,
                                .region     = region,
                                .word       = word,
                                .width      = 256,
                                .heads      = 4,
                                .mlp        = 512,
                                .layers     = {1, 1, 1},
                                .form       = MMCA_POOLED_FORM,
                                .root       = true,
                                .norm       = MMCA_PRE,
                                .image_pool = MMCA_LEARNED,
                                .text_pool  = MMCA_LEARNED,
                                .unit       = true,
                                .weight     = 1};
}

int mmca_config_parse(const struct jnode *node, struct mmca_config *out, struct err *err)
{
    int norm = 0, image_pool = 0, text_pool = 0, form = 0;
    *out = (struct mmca_config){0};
    struct {
        const char *key;
        int        *to;
    } sizes[] = {{"cells", &out->cells}, {"region", &out->region}, {"word", &out->word},
                 {"width", &out->width}, {"heads", &out->heads},   {"mlp", &out->mlp}};
    int rc    = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !rc; i++)
        rc = reranker_config_size(node, sizes[i].key, 1, MMCA_MAX_SIZE, sizes[i].to, err);
    for (int m = 0; m < MMCA_MODULES && !rc; m++)
        rc = reranker_config_size(node, LAYERS[m], 0, MMCA_MAX_LAYERS, &out->layers[m], err);
    if (!rc && out->width % out->heads != 0)
        rc = err_set(err, ERR_FORMAT, "its width, %d, does not part into %d heads", out->width,
                     out->heads);
    if (!rc)
        rc = read_word(node, "norm", NORMS, 2, &norm, err);
    if (!rc)
        rc = read_word(node, "image_pool", POOLS, 3, &image_pool, err);
    if (!rc)
        rc = read_word(node, "text_pool", POOLS, 3, &text_pool, err);
    if (!rc && jnode_get(node, "form"))
        rc = read_word(node, "form", FORMS, 2, &form, err);
    if (!rc && jnode_get(node, "root") && !jnode_to_bool(jnode_get(node, "root"), &out->root))
        rc = err_set(err, ERR_FORMAT, "its \"root\" is neither true nor false");
    if (!rc && !jnode_to_bool(jnode_get(node, "unit"), &out->unit))
        rc = err_set(err, ERR_FORMAT, "its \"unit\" is neither true nor false");
    if (!rc)
        rc = reranker_config_weight(node, &out->weight, err);
    out->form       = (enum mmca_form)form;
    out->norm       = (enum mmca_norm)norm;
    out->image_pool = (enum mmca_pool)image_pool;
    out->text_pool  = (enum mmca_pool)text_pool;
    return rc ? rc : check_form(out, err);
}

int mmca_config_write(const struct mmca_config *c, struct jnode *node)
{
    int bad = jnode_set_int(node, "cells", c->cells) | jnode_set_int(node, "region", c->region) |
              jnode_set_int(node, "word", c->word) | jnode_set_int(node, "width", c->width) |
              jnode_set_int(node, "heads", c->heads) | jnode_set_int(node, "mlp", c->mlp);
    for (int m = 0; m < MMCA_MODULES; m++)
        bad |= jnode_set_int(node, LAYERS[m], c->layers[m]);
    return bad | jnode_set_str(node, "norm", NORMS[c->norm]) |
           jnode_set_str(node, "form", FORMS[c->form]) | jnode_set_bool(node, "root", c->root) |
           jnode_set_str(node, "image_pool", POOLS[c->image_pool]) |
           jnode_set_str(node, "text_pool", POOLS[c->text_pool]) |
           jnode_set_bool(node, "unit", c->unit) |
           jnode_set_real(node, "weight", (double)c->weight);
}

/* Goes through tensors, remembering the first refusal. */
struct walk {
    mmca_see see;
    void    *ctx;
    int      rc;
};

static void one(struct walk *w, const char *name, int rows, int cols)
{
    if (!w->rc)
        w->rc = w->see(w->ctx, name, rows, cols);
}

/* NAME.weight and NAME.bias; cols 0: of a norm. */
static void pair(struct walk *w, const char *name, int rows, int cols)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    one(w, full, rows, cols);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    one(w, full, rows, 0);
}

static void module(struct walk *w, const struct mmca_config *c, enum mmca_module m)
{
    struct {
        const char *name;
        int         rows, cols;
    } parts[] = {{"qkv", 3 * c->width, c->width}, {"out", c->width, c->width},
                 {"norm1", c->width, 0},          {"up", c->mlp, c->width},
                 {"down", c->width, c->mlp},      {"norm2", c->width, 0}};
    enum { NORM1 = 2 };
    char name[48];
    bool bare = c->form == MMCA_POOLED_FORM && m == MMCA_CROSS; /* its input is normed */
    for (int i = 0; i < c->layers[m]; i++) {
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            if (bare && k == NORM1)
                continue;
            (void)snprintf(name, sizeof name, "%s.%d.%s", mmca_module_names[m], i, parts[k].name);
            pair(w, name, parts[k].rows, parts[k].cols);
        }
    }
    if (c->norm == MMCA_PRE && c->layers[m] > 0 && !bare) {
        (void)snprintf(name, sizeof name, "%s.last", mmca_module_names[m]);
        pair(w, name, c->width, 0);
    }
}

int mmca_tensors(const struct mmca_config *c, mmca_see see, void *ctx)
{
    struct walk w = {.see = see, .ctx = ctx};
    one(&w, "region.mean", c->region, 0);
    one(&w, "region.scale", c->region, 0);
    pair(&w, "region", c->width, c->region);
    one(&w, "region.position", c->cells, c->width);
    one(&w, "word.mean", c->word, 0);
    one(&w, "word.scale", c->word, 0);
    pair(&w, "word", c->width, c->word);
    for (int m = 0; m < MMCA_MODULES; m++)
        module(&w, c, (enum mmca_module)m);
    for (int i = 0; i < MMCA_POOLED; i++)
        pair(&w, mmca_pooled_names[i], c->width, c->width);
    if (c->form == MMCA_FULL) {
        one(&w, "alpha", 1, 0);
        return w.rc;
    }
    one(&w, "image.pool", c->width, 0);
    one(&w, "text.pool", c->width, 0);
    pair(&w, "match.image", c->width, c->width);
    pair(&w, "match.text", c->width, c->width);
    one(&w, "parts", 3, 0);
    return w.rc;
}
