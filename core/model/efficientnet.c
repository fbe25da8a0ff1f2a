/* Loading EfficientNet-Lite0 from a checkpoint: see efficientnet.h.
 *
 * Widths and window sizes come from the tensors' shapes, which are all checked;
 * strides and the picture's size are the architecture's (Tan and Le 2019, table
 * 1). Tensor names are those of the PyTorch port that the checkpoint was
 * published for (`_conv_stem`, `_blocks.N._expand_conv`, `_bn0`, ...). Each
 * batch norm is folded into the convolution before it:
 * w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps).
 */
#include "base/mem.h"
#include "model/efficientnet_net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NORM_EPS  1e-3f
#define IMAGE     224 /* pixels: Lite0's */
#define CHANNELS  3   /* of a picture */
#define NAME_MAX_ 256
#define WIDEST    4096 /* channels: a ceiling on what a file may claim; 32 times TEAM_ITEMS */

/* The stage's first block has this stride, its other blocks 1. */
static const int stage_strides[] = {1, 2, 2, 2, 1, 2, 1};
#define STAGES (int)(sizeof(stage_strides) / sizeof(*stage_strides))

struct loader {
    const struct safetensors *st;
    const char               *prefix;
    struct prepared          *p;
    struct cpu                cpu;
    enum precision            precision;
    struct err               *err;
};

static const char *name_of(const struct loader *ld, char name[NAME_MAX_], const char *part,
                           const char *suffix)
{
    (void)snprintf(name, NAME_MAX_, "%s%s%s", ld->prefix, part, suffix);
    return name;
}

/* The tensor part.suffix, of the shape given. */
static int require(const struct loader *ld, const char *part, const char *suffix, int n_dims,
                   const int64_t *dims, const struct tensor **out)
{
    char name[NAME_MAX_];
    return safetensors_require(ld->st, name_of(ld, name, part, suffix), n_dims, dims, out, ld->err);
}

/* The width (first dimension) that a convolution has, and its window. */
static int conv_shape(const struct loader *ld, const char *part, int *width, int *k)
{
    const struct tensor *t;
    int                  rc = require(ld, part, ".weight", 0, NULL, &t);
    if (rc)
        return rc;
    if (t->n_dims != 4 || t->dims[0] < 1 || t->dims[0] > WIDEST || t->dims[2] != t->dims[3] ||
        t->dims[2] < 1 || t->dims[2] > CONV_MAX_K)
        return err_set(ld->err, ERR_UNSUPPORTED,
                       "%s: %s is not a square convolution of a size that EfficientNet-Lite has",
                       safetensors_path(ld->st), t->name);
    *width = (int)t->dims[0];
    *k     = (int)t->dims[2];
    return 0;
}

static int read_floats(const struct loader *ld, const struct tensor *t, float **out)
{
    float *x = mem_array((size_t)t->elements, sizeof(*x));
    if (!x)
        return err_set(ld->err, ERR_NOMEM, "cannot load %s: out of memory", t->name);
    int rc = tensor_to_f32(t, x, ld->err);
    if (rc)
        free(x);
    else
        *out = x;
    return rc;
}

/* A batch norm of n channels as scale and shift; checks shapes always, computes
 * when scale is wanted. */
static int load_norm(const struct loader *ld, const char *part, int n, float *scale, float *shift)
{
    static const char *const suffixes[] = {".weight", ".bias", ".running_mean", ".running_var"};
    const struct tensor     *t[4];
    float                   *v[4] = {NULL};
    int                      rc   = 0;
    for (int i = 0; i < 4 && !rc; i++)
        rc = require(ld, part, suffixes[i], 1, (const int64_t[]){n}, &t[i]);
    for (int i = 0; i < 4 && !rc && scale; i++)
        rc = read_floats(ld, t[i], &v[i]);
    for (int i = 0; i < n && !rc && scale; i++) {
        scale[i] = v[0][i] / sqrtf(v[3][i] + NORM_EPS);
        shift[i] = v[1][i] - v[2][i] * scale[i];
    }
    for (int i = 0; i < 4; i++)
        free(v[i]);
    return rc;
}

enum layout { LAYOUT_MATRIX, LAYOUT_DEPTHWISE, LAYOUT_STEM };

static size_t layout_size(enum layout layout, enum precision precision, int out, int in, int k)
{
    if (layout == LAYOUT_DEPTHWISE)
        return depthwise_packed_size(out, k);
    if (layout == LAYOUT_STEM)
        return (size_t)k * gemm_packed_size(out, k * in);
    return linear_packed_bytes(precision, out, in) / sizeof(float);
}

/* (out, in, k, k) to one matrix (out, k * in) for each row of the window. */
static int pack_stem(const struct loader *ld, const float *w, int out, int in, int k, float *packed)
{
    float *rows = mem_array((size_t)out * (size_t)(k * in), sizeof(*rows));
    if (!rows)
        return err_set(ld->err, ERR_NOMEM, "cannot prepare the stem: out of memory");
    for (int y = 0; y < k; y++) {
        for (int o = 0; o < out; o++) {
            for (int x = 0; x < k; x++) {
                for (int c = 0; c < in; c++)
                    rows[(o * k + x) * in + c] = w[((o * in + c) * k + y) * k + x];
            }
        }
        gemm_pack(rows, out, k * in, packed);
        packed += gemm_packed_size(out, k * in);
    }
    free(rows);
    return 0;
}

/* A convolution without bias and its batch norm, folded and packed; precision is
 * that of a matrix. */
static int load_conv(const struct loader *ld, const char *conv, const char *norm,
                     enum layout layout, enum precision precision, int out, int in, int k,
                     const float **weight, const float **bias)
{
    const struct tensor *t;
    const int64_t        dims[] = {out, layout == LAYOUT_DEPTHWISE ? 1 : in, k, k};
    char                 name[NAME_MAX_];
    float               *packed, *shift, *scale = NULL, *w = NULL;
    int                  rc = require(ld, conv, ".weight", 4, dims, &t);
    if (!rc)
        rc = prepared_floats(ld->p, name_of(ld, name, conv, ".packed"),
                             layout_size(layout, precision, out, in, k), &packed, ld->err);
    if (!rc)
        rc = prepared_floats(ld->p, name_of(ld, name, conv, ".bias"), (size_t)out, &shift, ld->err);
    if (rc)
        return rc;
    *weight = packed;
    *bias   = shift;
    if (!prepared_building(ld->p))
        return load_norm(ld, norm, out, NULL, NULL);

    scale = mem_array((size_t)out, sizeof(*scale));
    if (!scale)
        return err_set(ld->err, ERR_NOMEM, "cannot prepare %s: out of memory", conv);
    rc = load_norm(ld, norm, out, scale, shift);
    if (!rc)
        rc = read_floats(ld, t, &w);
    if (rc)
        goto out;
    size_t taps = (size_t)t->elements / (size_t)out;
    for (size_t i = 0; i < (size_t)t->elements; i++)
        w[i] *= scale[i / taps];
    if (layout == LAYOUT_DEPTHWISE)
        depthwise_pack(w, out, k, packed);
    else if (layout == LAYOUT_STEM)
        rc = pack_stem(ld, w, out, in, k, packed);
    else
        linear_pack(precision, w, out, in, packed);
out:
    free(scale);
    free(w);
    return rc;
}

/* A 1x1 convolution with its batch norm. */
static int load_linear(const struct loader *ld, const char *conv, const char *norm,
                       enum precision precision, int n, int k, struct linear *out)
{
    const float *weight = NULL, *bias = NULL;
    int          rc = load_conv(ld, conv, norm, LAYOUT_MATRIX, precision, n, k, 1, &weight, &bias);
    *out            = (struct linear){.weight = weight, .bias = bias, .n = n, .k = k};
    return rc;
}

static int load_stem(const struct loader *ld, struct effnet *net)
{
    const float *w;
    int          k, before, after;
    int          rc = conv_shape(ld, "_conv_stem", &net->stem_c, &k);
    if (!rc && k != STEM_K)
        rc = err_set(ld->err, ERR_UNSUPPORTED, "%s: the stem's window is %d, not %d",
                     safetensors_path(ld->st), k, STEM_K);
    if (!rc)
        rc = load_conv(ld, "_conv_stem", "_bn0", LAYOUT_STEM, PRECISION_F32, net->stem_c, CHANNELS,
                       k, &w, &net->stem_b);
    if (rc)
        return rc;
    for (int y = 0; y < k; y++)
        net->stem_w[y] = w + (size_t)y * gemm_packed_size(net->stem_c, k * CHANNELS);
    net->stem_size = conv_same(net->image_size, k, 2, &before, &after);
    return 0;
}

/* Channels to expand together: two panels fill a register tile of 14 pixels,
 * four one of 7. */
static int chunk_for(int size, int mid_c)
{
    int chunk = size <= 7 ? 4 * GEMM_PANEL : 2 * GEMM_PANEL;
    return chunk < mid_c ? chunk : mid_c;
}

/* Block i, whose in_c and in_size are set. *stage is the one it may open. */
static int load_block(const struct loader *ld, struct effnet_block *b, int i, int *stage)
{
    char expand[40], depthwise[40], project[40], norm[3][40];
    (void)snprintf(expand, sizeof(expand), "_blocks.%d._expand_conv", i);
    (void)snprintf(depthwise, sizeof(depthwise), "_blocks.%d._depthwise_conv", i);
    (void)snprintf(project, sizeof(project), "_blocks.%d._project_conv", i);
    for (int j = 0; j < 3; j++)
        (void)snprintf(norm[j], sizeof(norm[j]), "_blocks.%d._bn%d", i, j);

    int one, after;
    int rc = conv_shape(ld, depthwise, &b->mid_c, &b->k);
    if (!rc)
        rc = conv_shape(ld, project, &b->out_c, &one);
    if (rc)
        return rc;
    bool first = i == 0 || b->out_c != b->in_c;
    *stage += first;
    if (*stage >= STAGES || b->mid_c % CONV_PANEL || (b->k != 3 && b->k != 5) ||
        (i == 0 && b->mid_c != b->in_c))
        return err_set(ld->err, ERR_UNSUPPORTED,
                       "%s: block %d (stage %d, window %d, %d channels) is not EfficientNet-Lite's",
                       safetensors_path(ld->st), i, *stage, b->k, b->mid_c);
    b->stride   = first ? stage_strides[*stage] : 1;
    b->residual = b->stride == 1 && b->in_c == b->out_c;
    b->out_size = conv_same(b->in_size, b->k, b->stride, &b->pad, &after);
    b->row_w    = (b->out_size - 1) * b->stride + b->k;
    b->chunk    = chunk_for(b->in_size, b->mid_c);
    /* Large pictures have few channels: converting them costs what it saves. */
    b->kernel =
        linear_kernel_for(ld->cpu, b->out_size > EFFNET_SMALL_SIDE ? PRECISION_F32 : ld->precision);
    if (i > 0)
        rc = load_linear(ld, expand, norm[0], b->kernel.precision, b->mid_c, b->in_c, &b->expand);
    if (!rc)
        rc = load_conv(ld, depthwise, norm[1], LAYOUT_DEPTHWISE, PRECISION_F32, b->mid_c, 1, b->k,
                       &b->dw_w, &b->dw_b);
    if (!rc)
        rc =
            load_linear(ld, project, norm[2], b->kernel.precision, b->out_c, b->mid_c, &b->project);
    return rc;
}

static int load_blocks(const struct loader *ld, struct effnet *net)
{
    int  c = net->stem_c, size = net->stem_size, stage = -1;
    char name[NAME_MAX_], more[60];
    (void)snprintf(more, sizeof(more), "_blocks.%d._project_conv", EFFNET_BLOCKS);
    if (safetensors_find(ld->st, name_of(ld, name, more, ".weight")))
        return err_set(ld->err, ERR_UNSUPPORTED,
                       "%s has more than %d blocks: only EfficientNet-Lite0 is supported",
                       safetensors_path(ld->st), EFFNET_BLOCKS);
    for (int i = 0; i < EFFNET_BLOCKS; i++) {
        net->block[i].in_c    = c;
        net->block[i].in_size = size;
        int rc                = load_block(ld, &net->block[i], i, &stage);
        if (rc)
            return rc;
        c    = net->block[i].out_c;
        size = net->block[i].out_size;
    }
    if (stage != STAGES - 1)
        return err_set(ld->err, ERR_UNSUPPORTED, "%s has %d stages of blocks, not %d",
                       safetensors_path(ld->st), stage + 1, STAGES);
    net->head_in = c;
    net->grid    = size;
    return 0;
}

static int load_classifier(const struct loader *ld, struct effnet *net)
{
    const struct tensor *w, *b;
    char                 name[NAME_MAX_];
    float               *packed, *bias, *x = NULL;
    int                  rc = require(ld, "_fc", ".bias", 0, NULL, &b);
    if (rc)
        return rc;
    if (b->n_dims != 1 || b->dims[0] < 1 || b->dims[0] > WIDEST * 4)
        return err_set(ld->err, ERR_FORMAT, "%s: %s is not a list of classes",
                       safetensors_path(ld->st), b->name);
    net->classes = (int)b->dims[0];
    rc = require(ld, "_fc", ".weight", 2, (const int64_t[]){net->classes, net->features}, &w);
    if (!rc)
        rc = prepared_floats(ld->p, name_of(ld, name, "_fc", ".packed"),
                             linear_packed_bytes(ld->precision, net->classes, net->features) /
                                 sizeof *packed,
                             &packed, ld->err);
    if (!rc)
        rc = prepared_floats(ld->p, name_of(ld, name, "_fc", ".bias"), (size_t)net->classes, &bias,
                             ld->err);
    if (rc)
        return rc;
    net->fc =
        (struct linear){.weight = packed, .bias = bias, .n = net->classes, .k = net->features};
    if (!prepared_building(ld->p))
        return 0;
    rc = tensor_to_f32(b, bias, ld->err);
    if (!rc)
        rc = read_floats(ld, w, &x);
    if (!rc)
        linear_pack(ld->precision, x, net->classes, net->features, packed);
    free(x);
    return rc;
}

static int load_normalisation(const struct loader *ld, struct effnet *net, const float mean[3],
                              const float std[3])
{
    size_t n   = (size_t)net->image_size * CHANNELS;
    net->scale = mem_aligned(n, sizeof(float));
    net->shift = mem_aligned(n, sizeof(float));
    if (!net->scale || !net->shift)
        return err_set(ld->err, ERR_NOMEM, "cannot load the image tower: out of memory");
    for (size_t i = 0; i < n; i++) {
        size_t c = i % CHANNELS;
        if (!(std[c] > 0))
            return err_set(ld->err, ERR_FORMAT, "the image tower's preprocessing divides by %g",
                           (double)std[c]);
        net->scale[i] = 1.0f / (255.0f * std[c]);
        net->shift[i] = -mean[c] / std[c];
    }
    return 0;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* Learned numbers alone: not the statistics of the batch norms. */
static int64_t count_parameters(const struct loader *ld)
{
    int64_t n = 0;
    for (size_t i = 0; i < safetensors_count(ld->st); i++) {
        const struct tensor *t = safetensors_at(ld->st, i);
        if (!strncmp(t->name, ld->prefix, strlen(ld->prefix)) &&
            (ends_with(t->name, ".weight") || ends_with(t->name, ".bias")))
            n += t->elements;
    }
    return n;
}

int effnet_load(const struct safetensors *st, const char *prefix, struct prepared *p,
                struct cpu cpu, enum precision precision, const float mean[3], const float std[3],
                struct effnet **out, struct err *err)
{
    struct loader ld = {
        .st = st, .prefix = prefix, .p = p, .cpu = cpu, .precision = precision, .err = err};
    struct effnet *net;
    int            k, rc;
    if (strlen(prefix) > 100)
        return err_set(err, ERR_USAGE, "the tensor prefix %s is too long", prefix);
    net = mem_zeroed(1, sizeof(*net));
    if (!net)
        return err_set(err, ERR_NOMEM, "cannot load the image tower: out of memory");
    net->linear     = linear_kernel_for(cpu, precision);
    net->conv       = conv_kernels_for(cpu);
    net->image_size = IMAGE;
    net->parameters = count_parameters(&ld);
    rc              = load_normalisation(&ld, net, mean, std);
    if (!rc)
        rc = load_stem(&ld, net);
    if (!rc)
        rc = load_blocks(&ld, net);
    if (!rc)
        rc = conv_shape(&ld, "_conv_head", &net->features, &k);
    if (!rc)
        rc = load_linear(&ld, "_conv_head", "_bn1", precision, net->features, net->head_in,
                         &net->head);
    if (!rc)
        rc = load_classifier(&ld, net);
    if (rc) {
        effnet_free(net);
        return rc;
    }
    *out = net;
    return 0;
}

void effnet_free(struct effnet *net)
{
    if (!net)
        return;
    free(net->scale);
    free(net->shift);
    free(net);
}

int effnet_image_size(const struct effnet *net)
{
    return net->image_size;
}

int effnet_features(const struct effnet *net)
{
    return net->features;
}

int effnet_classes(const struct effnet *net)
{
    return net->classes;
}

int effnet_grid(const struct effnet *net)
{
    return net->grid;
}

int64_t effnet_parameters(const struct effnet *net)
{
    return net->parameters;
}

int64_t effnet_flops(const struct effnet *net)
{
    const int64_t stem = (int64_t)net->stem_size * net->stem_size;
    const int64_t grid = (int64_t)net->grid * net->grid;
    int64_t       macs = stem * net->stem_c * STEM_K * STEM_K * 3;
    for (int i = 0; i < EFFNET_BLOCKS; i++) {
        const struct effnet_block *b   = &net->block[i];
        const int64_t              in  = (int64_t)b->in_size * b->in_size;
        const int64_t              out = (int64_t)b->out_size * b->out_size;
        if (b->expand.weight)
            macs += in * b->in_c * b->mid_c;
        macs += out * b->mid_c * ((int64_t)b->k * b->k + b->out_c);
    }
    macs += grid * net->head_in * net->features + (int64_t)net->features * net->classes;
    return 2 * macs;
}
