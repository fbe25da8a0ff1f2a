/* The zero-shot head "conse": see head.h.
 *
 * With p the class probabilities softmax(logits / temperature), W the class
 * names' text embeddings, x the pooled features, V a projection and w its
 * weight:
 *
 *     image = [sqrt(1 - w) norm(p W); sqrt(w) norm(V x)]
 *     text  = [norm(mean of the token states); 0]
 *
 * The first part is ConSE (Norouzi et al. 2014, "Zero-Shot Learning by Convex
 * Combination of Semantic Embeddings"), with two departures: all classes take
 * part unless "top_classes" limits them (the paper takes the ten likeliest), and
 * "center" takes the names' mean away. The second part is Osprey's: texts are
 * neutral to it. Options in config.json: temperature (1), top_classes (0: all),
 * center (false), visual_weight (0: no second part).
 */
#include "model/head.h"

#include "base/mem.h"
#include "nn/gemm.h"
#include "nn/ops.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES "conse.class_embeddings"
#define VISUAL  "conse.visual_projection"

struct head {
    struct head_towers towers;
    float              temperature;
    int                top_classes; /* 0: all */
    bool               center;
    float              visual_weight;
    int                visual_dim;  /* 0 without a visual part */
    const float       *class_names; /* packed (hidden, classes) */
    const float       *visual;      /* packed (visual_dim, features) */
    gemm_kernel        gemm;
};

static int read_number(const struct jnode *config, const char *key, double low, double high,
                       double *value, struct err *err)
{
    const struct jnode *node = jnode_get(config, key);
    if (!node)
        return 0;
    if (!jnode_to_double(node, value) || !(*value >= low && *value <= high))
        return err_set(err, ERR_FORMAT, "config.json: osprey.%s is not a number from %g to %g", key,
                       low, high);
    return 0;
}

static int read_config(struct head *h, const struct jnode *config, struct err *err)
{
    const char *name        = NULL;
    double      temperature = 1, top = 0, weight = 0;
    if (!jnode_to_str(jnode_get(config, "head"), &name))
        return err_set(err, ERR_FORMAT,
                       "config.json: osprey.head, the name of the head, is "
                       "missing");
    if (strcmp(name, "conse") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: osprey.head is \"%.80s\"; this build knows \"conse\"", name);
    int rc = read_number(config, "temperature", 1e-3, 1e3, &temperature, err);
    if (!rc)
        rc = read_number(config, "top_classes", 0, h->towers.classes, &top, err);
    if (!rc)
        rc = read_number(config, "visual_weight", 0, 1, &weight, err);
    const struct jnode *center = jnode_get(config, "center");
    if (!rc && center && !jnode_to_bool(center, &h->center))
        rc = err_set(err, ERR_FORMAT, "config.json: osprey.center is neither true nor false");
    h->temperature   = (float)temperature;
    h->top_classes   = (int)top;
    h->visual_weight = (float)weight;
    return rc;
}

/* W as the product p W needs it: packed (hidden, classes). */
static int fill_class_names(const struct head *h, const struct tensor *t, float *packed,
                            struct err *err)
{
    int    n = h->towers.classes, d = h->towers.hidden, rc = 0;
    size_t floats     = (size_t)n * (size_t)d;
    float *rows       = mem_array(floats, sizeof *rows);
    float *transposed = mem_array(floats, sizeof *transposed);
    if (!rows || !transposed)
        rc = err_set(err, ERR_NOMEM, "cannot prepare a head: out of memory");
    if (!rc)
        rc = tensor_to_f32(t, rows, err);
    for (int j = 0; j < d && !rc; j++) {
        double mean = 0;
        for (ptrdiff_t i = 0; i < n && h->center; i++)
            mean += (double)rows[i * d + j] / n;
        for (ptrdiff_t i = 0; i < n; i++)
            transposed[(ptrdiff_t)j * n + i] = rows[i * d + j] - (float)mean;
    }
    if (!rc)
        gemm_pack(transposed, d, n, packed);
    free(rows);
    free(transposed);
    return rc;
}

static int fill_visual(const struct head *h, const struct tensor *t, float *packed, struct err *err)
{
    float *rows = mem_array((size_t)t->elements, sizeof *rows);
    if (!rows)
        return err_set(err, ERR_NOMEM, "cannot prepare a head: out of memory");
    int rc = tensor_to_f32(t, rows, err);
    if (!rc)
        gemm_pack(rows, h->visual_dim, h->towers.features, packed);
    free(rows);
    return rc;
}

static int load_class_names(struct head *h, const struct safetensors *st, struct prepared *p,
                            struct err *err)
{
    const int64_t        dims[] = {h->towers.classes, h->towers.hidden};
    const struct tensor *t;
    float               *packed;
    int                  rc = safetensors_require(st, CLASSES, 2, dims, &t, err);
    if (!rc)
        rc = prepared_floats(p, "head." CLASSES,
                             gemm_packed_size(h->towers.hidden, h->towers.classes), &packed, err);
    if (!rc && prepared_building(p))
        rc = fill_class_names(h, t, packed, err);
    if (!rc)
        h->class_names = packed;
    return rc;
}

static int load_visual(struct head *h, const struct safetensors *st, struct prepared *p,
                       struct err *err)
{
    const struct tensor *t;
    float               *packed;
    int                  rc = safetensors_require(st, VISUAL, 0, NULL, &t, err);
    if (rc)
        return rc;
    if (t->n_dims != 2 || t->dims[0] < 1 || t->dims[0] > 65536 || t->dims[1] != h->towers.features)
        return err_set(err, ERR_FORMAT,
                       "%s: tensor " VISUAL " is not of shape (dimensions, %d), as the image "
                       "tower's features are",
                       safetensors_path(st), h->towers.features);
    h->visual_dim = (int)t->dims[0];
    rc = prepared_floats(p, "head." VISUAL, gemm_packed_size(h->visual_dim, h->towers.features),
                         &packed, err);
    if (!rc && prepared_building(p))
        rc = fill_visual(h, t, packed, err);
    if (!rc)
        h->visual = packed;
    return rc;
}

int head_load(const struct safetensors *st, const struct jnode *config,
              const struct head_towers *towers, struct prepared *p, struct cpu cpu,
              struct head **out, struct err *err)
{
    struct head *h = mem_zeroed(1, sizeof *h);
    if (!h)
        return err_set(err, ERR_NOMEM, "cannot load a head: out of memory");
    h->towers = *towers;
    h->gemm   = gemm_kernel_for(cpu);
    int rc    = read_config(h, config, err);
    if (!rc)
        rc = load_class_names(h, st, p, err);
    if (!rc && h->visual_weight > 0)
        rc = load_visual(h, st, p, err);
    if (rc) {
        head_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

void head_free(struct head *h)
{
    free(h);
}

int head_dim(const struct head *h)
{
    return h->towers.hidden + h->visual_dim;
}

int64_t head_parameters(const struct head *h)
{
    return (int64_t)h->towers.classes * h->towers.hidden +
           (int64_t)h->visual_dim * h->towers.features;
}

size_t head_scratch_size(const struct head *h, int n)
{
    (void)n;
    return (size_t)h->towers.classes * sizeof(float); /* for sorting one row */
}

static int descending(const void *a, const void *b)
{
    const float *x = a;
    const float *y = b;
    return (*x < *y) - (*x > *y);
}

/* Clears all but the top likeliest classes (more where some are equal). */
static void keep_top(float *p, int n, int top, float *sorted)
{
    memcpy(sorted, p, (size_t)n * sizeof *p);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    for (int i = 0; i < n; i++) {
        if (p[i] < sorted[top - 1])
            p[i] = 0;
    }
}

static void multiply(const struct head *h, const float *a, int k, const float *w, int n, int m,
                     float *c, int ldc, int threads)
{
    struct gemm g = {.m = m, .n = n, .k = k, .a = a, .lda = k, .w = w, .c = c, .ldc = ldc};
    gemm_run(h->gemm, &g, threads);
}

static void scale(float *x, int n, float by)
{
    for (int i = 0; i < n; i++)
        x[i] *= by;
}

void head_images(const struct head *h, const float *pooled, float *logits, int n, int threads,
                 void *scratch, float *out)
{
    int classes = h->towers.classes, hidden = h->towers.hidden, dim = head_dim(h);
    for (int i = 0; i < n; i++) {
        float *p = logits + (ptrdiff_t)i * classes;
        ops_softmax(p, classes, h->temperature);
        if (h->top_classes > 0)
            keep_top(p, classes, h->top_classes, scratch);
    }
    multiply(h, logits, classes, h->class_names, hidden, n, out, dim, threads);
    if (h->visual)
        multiply(h, pooled, h->towers.features, h->visual, h->visual_dim, n, out + hidden, dim,
                 threads);
    for (int i = 0; i < n; i++) {
        float *names = out + (ptrdiff_t)i * dim, *seen = names + hidden;
        ops_l2_normalize(names, hidden);
        ops_l2_normalize(seen, h->visual_dim);
        scale(names, hidden, sqrtf(1 - h->visual_weight));
        scale(seen, h->visual_dim, sqrtf(h->visual_weight));
        ops_l2_normalize(names, dim); /* of length 1 already, unless a part is nothing */
    }
}

void head_texts(const struct head *h, const float *pooled, int n, float *out)
{
    int hidden = h->towers.hidden, dim = head_dim(h);
    for (int i = 0; i < n; i++) {
        float *row = out + (ptrdiff_t)i * dim;
        memcpy(row, pooled + (ptrdiff_t)i * hidden, (size_t)hidden * sizeof *row);
        memset(row + hidden, 0, (size_t)h->visual_dim * sizeof *row);
        ops_l2_normalize(row, hidden);
    }
}
