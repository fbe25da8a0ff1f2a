/* The head "trained": see head.h for its form and its tensors. What fits it is
 * core/learn's; nothing here knows how that is done.
 *
 * The residual MLP is that of Transformers without its norm (u + W gelu(V u));
 * "beside" gives it the standardised inputs instead of the projection. The two
 * other parts keep what the towers know beside what was learned: heads fitted
 * on few captions forget.
 */
#include "model/head_kind.h"

#include "base/mem.h"
#include "nn/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUTS 16
#define MAX_WIDTH  16384 /* numbers of an input, a layer, an output */
#define NORM_EPS   1e-5f

enum source { POOLED, STAGES, CLASSES, LOGITS, MEAN, FIRST, SOURCES };
enum form { PLAIN, UNIT /* divided by its length */, ROOT /* of each number */ };

/* One of the named inputs that make up a projection's. */
struct input {
    enum source source;
    enum form   form;
    int         dim;
};

/* f or g: from inputs to the trained part. */
struct projection {
    struct input  inputs[MAX_INPUTS];
    int           n_inputs;
    int           in, wide; /* wide 0: no MLP */
    bool          beside;
    const float  *mean, *scale; /* (in) */
    struct linear linear;       /* (dim, in) */
    struct linear up, down;     /* (wide, dim or in), (dim, wide) */
    const float  *norm_weight;  /* (dim) or NULL */
    const float  *norm_bias;
};

struct trained {
    struct head          head;
    struct linear_kernel kernel;
    int                  dim; /* of the trained part */
    float                weights[3];
    struct class_part    classes;
    struct visual_part   visual;
    struct projection    image, text;
};

/* ---- Loading ---- */

/* How long an input of that name is; 0: there is none. */
static int input_of(const struct head_towers *towers, const char *name, size_t len, bool image,
                    enum source *source)
{
    const struct {
        const char *name;
        enum source source;
        bool        image;
        int         dim;
    } known[] = {
        {"pooled", POOLED, true, towers->features}, {"stages", STAGES, true, towers->stages},
        {"classes", CLASSES, true, towers->hidden}, {"logits", LOGITS, true, towers->classes},
        {"mean", MEAN, false, towers->hidden},      {"first", FIRST, false, towers->hidden}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].image == image && strlen(known[i].name) == len &&
            memcmp(known[i].name, name, len) == 0) {
            *source = known[i].source;
            return known[i].dim;
        }
    }
    return 0;
}

static int load_inputs(const struct head_loader *ld, const char *key, bool image,
                       struct projection *p)
{
    const struct jnode *list = jnode_get(ld->config, key);
    size_t              n    = jnode_len(list);
    if (!jnode_is_array(list) || n < 1 || n > MAX_INPUTS)
        return err_set(ld->err, ERR_FORMAT, "config.json: osprey.%s is not a list of 1 to %d names",
                       key, MAX_INPUTS);
    for (size_t i = 0; i < n; i++) {
        const char   *name = "";
        struct input *in   = &p->inputs[i];
        jnode_to_str(jnode_at(list, i), &name);
        size_t len = strcspn(name, ":");
        in->form   = strcmp(name + len, ":unit") == 0   ? UNIT
                     : strcmp(name + len, ":root") == 0 ? ROOT
                                                        : PLAIN;
        in->dim    = name[len] && in->form == PLAIN
                         ? 0
                         : input_of(&ld->towers, name, len, image, &in->source);
        if (!in->dim)
            return err_set(ld->err, ERR_UNSUPPORTED,
                           "config.json: osprey.%s asks for \"%.80s\", which this build does not "
                           "know (known: %s)",
                           key, name, image ? "pooled, stages, classes, logits" : "mean, first");
        p->in += in->dim;
    }
    p->n_inputs = (int)n;
    return p->in <= MAX_WIDTH
               ? 0
               : err_set(ld->err, ERR_LIMIT,
                         "config.json: osprey.%s comes to %d numbers, and %d are the "
                         "most",
                         key, p->in, MAX_WIDTH);
}

static int fill_linear(const struct head_loader *ld, const struct tensor *t, int n, int k,
                       void *packed)
{
    float *rows = mem_array((size_t)t->elements, sizeof *rows);
    int    rc   = rows ? tensor_to_f32(t, rows, ld->err)
                       : err_set(ld->err, ERR_NOMEM, "cannot prepare a head: out of memory");
    if (!rc)
        linear_pack(ld->precision, rows, n, k, packed);
    free(rows);
    return rc;
}

/* STEM.weight (n, k) and, where it is there, STEM.bias (n). n 0: whatever the
 * tensor has. */
static int load_linear(const struct head_loader *ld, const char *stem, int n, int k,
                       struct linear *out)
{
    char                 name[96], as[104];
    const struct tensor *t;
    float               *packed;
    (void)snprintf(name, sizeof name, "%s.weight", stem);
    (void)snprintf(as, sizeof as, "head.%s", name);
    int rc = safetensors_require(ld->st, name, 0, NULL, &t, ld->err);
    if (rc)
        return rc;
    if (n == 0 && t->n_dims == 2 && t->dims[0] >= 1 && t->dims[0] <= MAX_WIDTH)
        n = (int)t->dims[0];
    rc = safetensors_require(ld->st, name, 2, (const int64_t[]){n ? n : 1, k}, &t, ld->err);
    if (!rc)
        rc = prepared_floats(ld->p, as, linear_packed_bytes(ld->precision, n, k) / sizeof *packed,
                             &packed, ld->err);
    if (!rc && prepared_building(ld->p))
        rc = fill_linear(ld, t, n, k, packed);
    if (rc)
        return rc;
    *out = (struct linear){.weight = packed, .n = n, .k = k};
    (void)snprintf(name, sizeof name, "%s.bias", stem);
    return safetensors_find(ld->st, name) ? head_floats(ld, name, n, &out->bias) : 0;
}

static bool has(const struct head_loader *ld, const char *modality, const char *tensor)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s.%s", modality, tensor);
    return safetensors_find(ld->st, name) != NULL;
}

static int load_floats(const struct head_loader *ld, const char *modality, const char *tensor,
                       int n, const float **out)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s.%s", modality, tensor);
    return head_floats(ld, name, n, out);
}

/* The layers of a modality; *dim is 0 before the first one. */
static int load_projection(const struct head_loader *ld, const char *modality, int *dim,
                           struct projection *p)
{
    char stem[64];
    int  rc = load_floats(ld, modality, "mean", p->in, &p->mean);
    if (!rc)
        rc = load_floats(ld, modality, "scale", p->in, &p->scale);
    (void)snprintf(stem, sizeof stem, "%s.linear", modality);
    if (!rc)
        rc = load_linear(ld, stem, *dim, p->in, &p->linear);
    if (rc)
        return rc;
    *dim = p->linear.n;
    if (has(ld, modality, "mlp.up.weight")) {
        (void)snprintf(stem, sizeof stem, "%s.mlp.up", modality);
        rc = load_linear(ld, stem, 0, p->beside ? p->in : *dim, &p->up);
        (void)snprintf(stem, sizeof stem, "%s.mlp.down", modality);
        if (!rc)
            rc = load_linear(ld, stem, *dim, p->up.n, &p->down);
        p->wide = p->up.n;
    }
    if (!rc && (has(ld, modality, "norm.weight") || has(ld, modality, "norm.bias"))) {
        rc = load_floats(ld, modality, "norm.weight", *dim, &p->norm_weight);
        if (!rc)
            rc = load_floats(ld, modality, "norm.bias", *dim, &p->norm_bias);
    }
    return rc;
}

static int read_config(const struct head_loader *ld, struct trained *h)
{
    static const char *const keys[] = {"trained_weight", "class_weight", "visual_weight"};
    const struct jnode      *node   = jnode_get(ld->config, "mlp");
    const char              *mlp    = "after";
    int                      rc     = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        double weight = i == 0;
        rc            = head_number(ld, keys[i], i == 0 ? 1e-6 : 0, 1, &weight);
        h->weights[i] = (float)weight;
    }
    if (!rc && node &&
        (!jnode_to_str(node, &mlp) || (strcmp(mlp, "after") != 0 && strcmp(mlp, "beside") != 0)))
        rc = err_set(ld->err, ERR_FORMAT,
                     "config.json: osprey.mlp is neither \"after\" nor \"beside\"");
    h->image.beside = h->text.beside = strcmp(mlp, "beside") == 0;
    if (!rc)
        rc = load_inputs(ld, "image_inputs", true, &h->image);
    return rc ? rc : load_inputs(ld, "text_inputs", false, &h->text);
}

static bool takes_classes(const struct trained *h)
{
    bool yes = h->weights[1] > 0;
    for (int i = 0; i < h->image.n_inputs; i++)
        yes = yes || h->image.inputs[i].source == CLASSES;
    return yes;
}

static int64_t parameters_of(const struct projection *p, int dim)
{
    int64_t layers = (int64_t)dim * p->in + (int64_t)p->wide * (p->up.k + dim);
    return layers + 2 * p->in + dim + p->wide;
}

static void trained_free(struct head *head)
{
    free(head);
}

static int trained_load(const struct head_loader *ld, struct head **out)
{
    struct trained *h = mem_zeroed(1, sizeof *h);
    if (!h)
        return err_set(ld->err, ERR_NOMEM, "cannot load a head: out of memory");
    h->kernel = linear_kernel_for(ld->cpu, ld->precision);
    int rc    = read_config(ld, h);
    if (!rc)
        rc = load_projection(ld, "image", &h->dim, &h->image);
    if (!rc)
        rc = load_projection(ld, "text", &h->dim, &h->text);
    if (!rc && takes_classes(h))
        rc = class_part_load(ld, &h->classes);
    if (!rc && h->weights[2] > 0)
        rc = visual_part_load(ld, &h->visual);
    if (rc) {
        trained_free(&h->head);
        return rc;
    }
    h->head.dim = h->dim + (h->weights[1] > 0 ? h->classes.hidden : 0) + h->visual.dim;
    for (int i = 0; i < h->image.n_inputs; i++)
        h->head.takes_stages = h->head.takes_stages || h->image.inputs[i].source == STAGES;
    h->head.parameters = parameters_of(&h->image, h->dim) + parameters_of(&h->text, h->dim) +
                         class_part_parameters(&h->classes) + visual_part_parameters(&h->visual);
    *out = &h->head;
    return 0;
}

/* ---- Running ---- */

/* Where a call's scratch lies; all parts begin at multiples of 64 bytes. */
struct work {
    float *x;       /* (n, in): inputs */
    float *h;       /* (n, dim) */
    float *wide;    /* (n, wide) */
    float *classes; /* (n, hidden): the class part, where it is an input */
    float *sorted;  /* (classes) */
    void  *low;     /* activations in reduced precision */
    size_t bytes;
};

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static float *take(char *base, size_t *at, size_t floats)
{
    float *here = base ? (float *)(void *)(base + *at) : NULL;
    *at += (floats * sizeof(float) + 63) / 64 * 64;
    return here;
}

static struct work lay_out(const struct trained *h, int n, char *base)
{
    struct work w    = {0};
    size_t      rows = (size_t)n;
    int         in   = larger(h->image.in, h->text.in);
    int         wide = larger(h->image.wide, h->text.wide);
    int         most = larger(larger(in, h->dim), wide);
    w.x              = take(base, &w.bytes, rows * (size_t)in);
    w.h              = take(base, &w.bytes, rows * (size_t)h->dim);
    w.wide           = take(base, &w.bytes, rows * (size_t)wide);
    w.classes        = take(base, &w.bytes, rows * (size_t)h->classes.hidden);
    w.sorted         = take(base, &w.bytes, (size_t)h->classes.classes);
    w.low            = base ? base + w.bytes : NULL;
    w.bytes += linear_scratch(&h->kernel, n, most);
    return w;
}

static size_t trained_scratch(const struct head *head, int n)
{
    return lay_out((const struct trained *)head, n, NULL).bytes;
}

/* c = act(a W^T + bias + residual) for n rows that lie end to end. */
static void apply(const struct trained *h, const struct linear *l, const float *a, int n,
                  const float *residual, enum act act, void *low, int threads, float *c)
{
    struct linear_call call = {.rows     = n,
                               .a        = a,
                               .lda      = l->k,
                               .residual = residual,
                               .ldr      = l->n,
                               .c        = c,
                               .ldc      = l->n,
                               .act      = act,
                               .scratch  = low};
    linear_run(&h->kernel, l, &call, threads);
}

/* Copies one input of n rows into its columns of x. */
static void gather(const struct input *in, const float *from, int n, float *x, int ldx)
{
    for (int i = 0; i < n; i++) {
        float *row = x + (ptrdiff_t)i * ldx;
        memcpy(row, from + (ptrdiff_t)i * in->dim, (size_t)in->dim * sizeof *row);
        if (in->form == UNIT)
            ops_l2_normalize(row, in->dim);
        for (int j = 0; in->form == ROOT && j < in->dim; j++)
            row[j] = row[j] > 0 ? sqrtf(row[j]) : 0;
    }
}

/* From inputs in w->x to n rows of out, ldo apart, of length 1. */
static void project(const struct trained *h, const struct projection *p, int n, int threads,
                    const struct work *w, float *out, int ldo)
{
    for (int i = 0; i < n; i++) {
        float *x = w->x + (ptrdiff_t)i * p->in;
        for (int j = 0; j < p->in; j++)
            x[j] = (x[j] - p->mean[j]) * p->scale[j];
    }
    apply(h, &p->linear, w->x, n, NULL, ACT_NONE, w->low, threads, w->h);
    if (p->wide) {
        apply(h, &p->up, p->beside ? w->x : w->h, n, NULL, ACT_GELU, w->low, threads, w->wide);
        apply(h, &p->down, w->wide, n, w->h, ACT_NONE, w->low, threads, w->h);
    }
    if (p->norm_weight)
        ops_layernorm(w->h, n, h->dim, p->norm_weight, p->norm_bias, NORM_EPS, w->h);
    for (int i = 0; i < n; i++) {
        float *row = out + (ptrdiff_t)i * ldo;
        memcpy(row, w->h + (ptrdiff_t)i * h->dim, (size_t)h->dim * sizeof *row);
        ops_l2_normalize(row, h->dim);
    }
}

static void join(const struct trained *h, float *row)
{
    int dims[] = {h->dim, h->weights[1] > 0 ? h->classes.hidden : 0, h->visual.dim};
    parts_join(row, dims, h->weights, 3);
}

static void trained_images(const struct head *head, const struct head_seen *seen, int n,
                           int threads, void *scratch, float *out)
{
    const struct trained    *h      = (const struct trained *)head;
    const struct projection *p      = &h->image;
    struct work              w      = lay_out(h, n, scratch);
    int                      hidden = h->classes.hidden, at = 0;
    const float             *from[SOURCES] = {
                    [POOLED] = seen->pooled, [STAGES] = seen->stages, [LOGITS] = seen->logits};
    for (int i = 0; i < p->n_inputs; at += p->inputs[i++].dim) {
        if (p->inputs[i].source != CLASSES) /* softmax overwrites the logits: these come first */
            gather(&p->inputs[i], from[p->inputs[i].source], n, w.x + at, p->in);
    }
    if (h->classes.names)
        class_part_run(&h->classes, seen->logits, n, threads, w.sorted, w.classes, hidden);
    at = 0;
    for (int i = 0; i < p->n_inputs; at += p->inputs[i++].dim) {
        if (p->inputs[i].source == CLASSES)
            gather(&p->inputs[i], w.classes, n, w.x + at, p->in);
    }
    project(h, p, n, threads, &w, out, head->dim);
    if (h->visual.projection)
        visual_part_run(&h->visual, seen->pooled, n, threads, out + head->dim - h->visual.dim,
                        head->dim);
    for (int i = 0; i < n; i++) {
        float *row = out + (ptrdiff_t)i * head->dim;
        if (h->weights[1] > 0)
            memcpy(row + h->dim, w.classes + (ptrdiff_t)i * hidden, (size_t)hidden * sizeof *row);
        join(h, row);
    }
}

static void trained_texts(const struct head *head, const struct head_read *read, int n, int threads,
                          void *scratch, float *out)
{
    const struct trained    *h      = (const struct trained *)head;
    const struct projection *p      = &h->text;
    struct work              w      = lay_out(h, n, scratch);
    int                      hidden = head->towers.hidden, at = 0;
    for (int i = 0; i < p->n_inputs; at += p->inputs[i++].dim)
        gather(&p->inputs[i], p->inputs[i].source == MEAN ? read->pooled : read->first, n, w.x + at,
               p->in);
    project(h, p, n, threads, &w, out, head->dim);
    for (int i = 0; i < n; i++) {
        float *row = out + (ptrdiff_t)i * head->dim, *rest = row + h->dim;
        if (h->weights[1] > 0) {
            memcpy(rest, read->pooled + (ptrdiff_t)i * hidden, (size_t)hidden * sizeof *rest);
            ops_l2_normalize(rest, hidden);
            rest += hidden;
        }
        memset(rest, 0, (size_t)h->visual.dim * sizeof *rest);
        join(h, row);
    }
}

static void trained_as_names(const struct head *head, float *text)
{
    const struct trained *h = (const struct trained *)head;
    for (int j = 0; h->weights[1] > 0 && j < h->classes.hidden; j++)
        text[h->dim + j] *= HEAD_NAMES;
    ops_l2_normalize(text, head->dim);
}

static const struct class_part *trained_classes(const struct head *head)
{
    return &((const struct trained *)head)->classes;
}

const struct head_kind head_trained = {.name     = "trained",
                                       .load     = trained_load,
                                       .free     = trained_free,
                                       .scratch  = trained_scratch,
                                       .images   = trained_images,
                                       .texts    = trained_texts,
                                       .as_names = trained_as_names,
                                       .classes  = trained_classes};
