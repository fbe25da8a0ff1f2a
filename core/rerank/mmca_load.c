/* Loading a re-ranker of the MMCA form: tensors checked, then packed as the
 * kernels read them, or mapped as they were packed before (model/prepared.h).
 *
 * The standardisation of a region or a word, (x - mean) * scale, is folded into
 * the projection that follows it.
 */
#include "rerank/mmca.h"

#include "base/mem.h"
#include "rerank/mmca_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loader {
    struct mmca              *m;
    const struct safetensors *st;
    struct prepared          *prepared;
    struct err               *err;
};

static int require(void *ctx, const char *name, int rows, int cols)
{
    struct loader       *l = ctx;
    const struct tensor *t;
    const int64_t        dims[] = {rows, cols};
    int                  rc     = safetensors_require(l->st, name, cols ? 2 : 1, dims, &t, l->err);
    l->m->parameters += rc ? 0 : t->elements;
    return rc;
}

/* A tensor that require() has seen, as floats: freed by the caller. */
static int read_floats(struct loader *l, const char *name, float **out)
{
    const struct tensor *t = safetensors_find(l->st, name);
    *out                   = mem_array((size_t)t->elements, sizeof **out);
    if (!*out)
        return err_set(l->err, ERR_NOMEM, "cannot load a re-ranker: out of memory");
    if (!tensor_to_f32(t, *out, l->err))
        return 0;
    free(*out);
    *out = NULL;
    return err_prefix(l->err, "cannot read %s", safetensors_path(l->st));
}

static int load_vector(struct loader *l, const char *name, size_t n, const float **out)
{
    float *to, *from = NULL;
    int    rc = prepared_floats(l->prepared, name, n, &to, l->err);
    if (!rc && prepared_building(l->prepared))
        rc = read_floats(l, name, &from);
    if (!rc && from)
        memcpy(to, from, n * sizeof *to);
    free(from);
    *out = to;
    return rc;
}

/* W ((x - mean) * scale) + b = (W * scale) x + (b - W (mean * scale)) */
static int fold(struct loader *l, const char *of, int n, int k, float *w, float *bias)
{
    char   name[64];
    float *mean = NULL, *scale = NULL;
    (void)snprintf(name, sizeof name, "%s.mean", of);
    int rc = read_floats(l, name, &mean);
    (void)snprintf(name, sizeof name, "%s.scale", of);
    if (!rc)
        rc = read_floats(l, name, &scale);
    for (int i = 0; i < n && !rc; i++) {
        double sum = 0;
        float *row = w + (ptrdiff_t)i * k;
        for (int j = 0; j < k; j++) {
            row[j] *= scale[j];
            sum += (double)row[j] * (double)mean[j];
        }
        bias[i] -= (float)sum;
    }
    free(mean);
    free(scale);
    return rc;
}

static int load_linear(struct loader *l, const char *of, bool standardised, int n, int k,
                       struct linear *out)
{
    char           name[64];
    float         *weight, *bias, *w = NULL, *b = NULL;
    enum precision precision = l->m->net.linear.precision;
    (void)snprintf(name, sizeof name, "%s.packed", of);
    int rc = prepared_floats(l->prepared, name, linear_packed_bytes(precision, n, k) / sizeof *w,
                             &weight, l->err);
    (void)snprintf(name, sizeof name, "%s.bias", of);
    if (!rc)
        rc = prepared_floats(l->prepared, name, (size_t)n, &bias, l->err);
    if (!rc && prepared_building(l->prepared)) {
        rc = read_floats(l, name, &b);
        (void)snprintf(name, sizeof name, "%s.weight", of);
        if (!rc)
            rc = read_floats(l, name, &w);
        if (!rc && standardised)
            rc = fold(l, of, n, k, w, b);
        if (!rc) {
            linear_pack(precision, w, n, k, weight);
            memcpy(bias, b, (size_t)n * sizeof *bias);
        }
    }
    free(w);
    free(b);
    if (!rc)
        *out = (struct linear){.weight = weight, .bias = bias, .n = n, .k = k};
    return rc;
}

static int load_norm(struct loader *l, const char *of, struct mmca_affine *out)
{
    char   name[64];
    size_t width = (size_t)l->m->net.config.width;
    (void)snprintf(name, sizeof name, "%s.weight", of);
    int rc = load_vector(l, name, width, &out->weight);
    (void)snprintf(name, sizeof name, "%s.bias", of);
    return rc ? rc : load_vector(l, name, width, &out->bias);
}

/* Whether a module's input is normed already (mmca_config.h). */
static bool is_bare(const struct mmca_config *c, enum mmca_module module)
{
    return c->form == MMCA_POOLED_FORM && module == MMCA_CROSS;
}

static int load_block(struct loader *l, enum mmca_module module, int i)
{
    const struct mmca_config *c     = &l->m->net.config;
    struct mmca_block        *block = &l->m->net.block[module][i];
    struct {
        const char         *name;
        int                 n, k;
        struct linear      *linear;
        struct mmca_affine *norm;
    } parts[] = {{"qkv", 3 * c->width, c->width, &block->qkv, NULL},
                 {"out", c->width, c->width, &block->out, NULL},
                 {"norm1", 0, 0, NULL, &block->norm1},
                 {"up", c->mlp, c->width, &block->up, NULL},
                 {"down", c->width, c->mlp, &block->down, NULL},
                 {"norm2", 0, 0, NULL, &block->norm2}};
    int  rc   = 0;
    char name[48];
    for (size_t k = 0; k < sizeof parts / sizeof *parts && !rc; k++) {
        if (parts[k].norm == &block->norm1 && is_bare(c, module))
            continue;
        (void)snprintf(name, sizeof name, "%s.%d.%s", mmca_module_names[module], i, parts[k].name);
        rc = parts[k].norm ? load_norm(l, name, parts[k].norm)
                           : load_linear(l, name, false, parts[k].n, parts[k].k, parts[k].linear);
    }
    return rc;
}

static int load_module(struct loader *l, enum mmca_module module)
{
    const struct mmca_config *c  = &l->m->net.config;
    int                       rc = 0;
    char                      name[48];
    for (int i = 0; i < c->layers[module] && !rc; i++)
        rc = load_block(l, module, i);
    (void)snprintf(name, sizeof name, "%s.last", mmca_module_names[module]);
    if (!rc && c->norm == MMCA_PRE && c->layers[module] > 0 && !is_bare(c, module))
        rc = load_norm(l, name, &l->m->net.last[module]);
    return rc;
}

/* What the form "pooled" has beside the other's. */
static int load_pooled(struct loader *l)
{
    struct mmca_net *net   = &l->m->net;
    size_t           width = (size_t)net->config.width;
    const float     *parts = NULL;
    int              rc    = load_vector(l, "image.pool", width, &net->pool[0]);
    if (!rc)
        rc = load_vector(l, "text.pool", width, &net->pool[1]);
    if (!rc)
        rc = load_linear(l, "match.image", false, (int)width, (int)width, &net->match[0]);
    if (!rc)
        rc = load_linear(l, "match.text", false, (int)width, (int)width, &net->match[1]);
    if (!rc)
        rc = load_vector(l, "parts", 3, &parts);
    for (int i = 0; i < 3 && !rc; i++)
        net->parts[i] = parts[i];
    return rc;
}

static int load_all(struct loader *l)
{
    struct mmca_net          *net   = &l->m->net;
    const struct mmca_config *c     = &net->config;
    const float              *alpha = NULL;
    int                       rc    = mmca_tensors(c, require, l);
    if (!rc)
        rc = load_linear(l, "region", true, c->width, c->region, &net->region);
    if (!rc)
        rc = load_vector(l, "region.position", (size_t)c->cells * (size_t)c->width, &net->position);
    if (!rc)
        rc = load_linear(l, "word", true, c->width, c->word, &net->word);
    for (int m = 0; m < MMCA_MODULES && !rc; m++)
        rc = load_module(l, (enum mmca_module)m);
    for (int i = 0; i < MMCA_POOLED && !rc; i++)
        rc = load_linear(l, mmca_pooled_names[i], false, c->width, c->width, &net->pooled[i]);
    if (!rc && c->form == MMCA_POOLED_FORM)
        return load_pooled(l);
    if (!rc)
        rc = load_vector(l, "alpha", 1, &alpha);
    net->alpha = rc ? 0 : *alpha;
    return rc;
}

int mmca_load(const struct safetensors *st, const struct jnode *config, struct prepared *p,
              struct cpu cpu, enum precision precision, struct mmca **out, struct err *err)
{
    struct mmca *m = mem_zeroed(1, sizeof *m);
    if (!m)
        return err_set(err, ERR_NOMEM, "cannot load a re-ranker: out of memory");
    struct loader l  = {.m = m, .st = st, .prepared = p, .err = err};
    m->net.linear    = linear_kernel_for(cpu, precision);
    m->net.attention = attention_kernel_for(cpu);
    int rc           = mmca_config_parse(config, &m->net.config, err);
    if (!rc)
        rc = load_all(&l);
    if (rc) {
        mmca_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

void mmca_free(struct mmca *m)
{
    free(m);
}
