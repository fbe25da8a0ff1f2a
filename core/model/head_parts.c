/* The parts of the joint space that need no training: see head.h for the
 * formulas.
 *
 * The class part is ConSE (Norouzi et al. 2014, "Zero-Shot Learning by Convex
 * Combination of Semantic Embeddings"), with two departures: all classes take
 * part unless "top_classes" limits them (the paper takes the ten likeliest), and
 * "center" takes the names' mean away. The visual part is Osprey's: texts are
 * neutral to it.
 */
#include "model/head_kind.h"

#include "base/mem.h"
#include "nn/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES "conse.class_embeddings"
#define VISUAL  "conse.visual_projection"

#define MAX_DIM 65536

int head_number(const struct head_loader *ld, const char *key, double low, double high,
                double *value)
{
    const struct jnode *node = jnode_get(ld->config, key);
    if (!node)
        return 0;
    if (!jnode_to_double(node, value) || !(*value >= low && *value <= high))
        return err_set(ld->err, ERR_FORMAT, "config.json: osprey.%s is not a number from %g to %g",
                       key, low, high);
    return 0;
}

int head_floats(const struct head_loader *ld, const char *name, int n, const float **out)
{
    const int64_t        dims[] = {n};
    const struct tensor *t;
    float               *data;
    char                 as[128];
    (void)snprintf(as, sizeof as, "head.%s", name);
    int rc = safetensors_require(ld->st, name, 1, dims, &t, ld->err);
    if (!rc)
        rc = prepared_floats(ld->p, as, (size_t)n, &data, ld->err);
    if (!rc && prepared_building(ld->p))
        rc = tensor_to_f32(t, data, ld->err);
    if (!rc)
        *out = data;
    return rc;
}

/* ---- Loading ---- */

/* W as the product p W needs it: packed (hidden, classes). */
static int fill_class_names(const struct class_part *part, const struct tensor *t, float *packed,
                            struct err *err)
{
    int    n = part->classes, d = part->hidden, rc = 0;
    size_t floats     = (size_t)n * (size_t)d;
    float *rows       = mem_array(floats, sizeof *rows);
    float *transposed = mem_array(floats, sizeof *transposed);
    if (!rows || !transposed)
        rc = err_set(err, ERR_NOMEM, "cannot prepare a head: out of memory");
    if (!rc)
        rc = tensor_to_f32(t, rows, err);
    for (int j = 0; j < d && !rc; j++) {
        double mean = 0;
        for (ptrdiff_t i = 0; i < n && part->center; i++)
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

int class_part_load(const struct head_loader *ld, struct class_part *part)
{
    const struct jnode  *center      = jnode_get(ld->config, "center");
    double               temperature = 1, top = 0;
    const int64_t        dims[] = {ld->towers.classes, ld->towers.hidden};
    const struct tensor *t;
    float               *packed;
    *part  = (struct class_part){.classes = ld->towers.classes,
                                 .hidden  = ld->towers.hidden,
                                 .gemm    = gemm_kernel_for(ld->cpu)};
    int rc = head_number(ld, "temperature", 1e-3, 1e3, &temperature);
    if (!rc)
        rc = head_number(ld, "top_classes", 0, part->classes, &top);
    if (!rc && center && !jnode_to_bool(center, &part->center))
        rc = err_set(ld->err, ERR_FORMAT, "config.json: osprey.center is neither true nor false");
    if (!rc)
        rc = safetensors_require(ld->st, CLASSES, 2, dims, &t, ld->err);
    if (!rc)
        rc = prepared_floats(ld->p, "head." CLASSES, gemm_packed_size(part->hidden, part->classes),
                             &packed, ld->err);
    if (!rc && prepared_building(ld->p))
        rc = fill_class_names(part, t, packed, ld->err);
    if (rc)
        return rc;
    part->temperature = (float)temperature;
    part->top         = (int)top;
    part->names       = packed;
    return 0;
}

static int fill_visual(const struct visual_part *part, const struct tensor *t, float *packed,
                       struct err *err)
{
    float *rows = mem_array((size_t)t->elements, sizeof *rows);
    if (!rows)
        return err_set(err, ERR_NOMEM, "cannot prepare a head: out of memory");
    int rc = tensor_to_f32(t, rows, err);
    if (!rc)
        gemm_pack(rows, part->dim, part->features, packed);
    free(rows);
    return rc;
}

int visual_part_load(const struct head_loader *ld, struct visual_part *part)
{
    const struct tensor *t;
    float               *packed;
    int                  rc = safetensors_require(ld->st, VISUAL, 0, NULL, &t, ld->err);
    if (rc)
        return rc;
    if (t->n_dims != 2 || t->dims[0] < 1 || t->dims[0] > MAX_DIM ||
        t->dims[1] != ld->towers.features)
        return err_set(ld->err, ERR_FORMAT,
                       "%s: tensor " VISUAL " is not of shape (dimensions, %d), as the image "
                       "tower's features are",
                       safetensors_path(ld->st), ld->towers.features);
    *part = (struct visual_part){
        .dim = (int)t->dims[0], .features = ld->towers.features, .gemm = gemm_kernel_for(ld->cpu)};
    rc = prepared_floats(ld->p, "head." VISUAL, gemm_packed_size(part->dim, part->features),
                         &packed, ld->err);
    if (!rc && prepared_building(ld->p))
        rc = fill_visual(part, t, packed, ld->err);
    if (!rc)
        part->projection = packed;
    return rc;
}

int64_t class_part_parameters(const struct class_part *part)
{
    return (int64_t)part->classes * part->hidden;
}

int64_t visual_part_parameters(const struct visual_part *part)
{
    return (int64_t)part->dim * part->features;
}

/* ---- Running ---- */

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

void class_part_run(const struct class_part *part, float *logits, int n, int threads, float *sorted,
                    float *out, int ldo)
{
    struct gemm g = {.m   = n,
                     .n   = part->hidden,
                     .k   = part->classes,
                     .a   = logits,
                     .lda = part->classes,
                     .w   = part->names,
                     .c   = out,
                     .ldc = ldo};
    for (int i = 0; i < n; i++) {
        float *p = logits + (ptrdiff_t)i * part->classes;
        ops_softmax(p, part->classes, part->temperature);
        if (part->top > 0)
            keep_top(p, part->classes, part->top, sorted);
    }
    gemm_run(part->gemm, &g, threads);
    for (int i = 0; i < n; i++)
        ops_l2_normalize(out + (ptrdiff_t)i * ldo, part->hidden);
}

void visual_part_run(const struct visual_part *part, const float *pooled, int n, int threads,
                     float *out, int ldo)
{
    struct gemm g = {.m   = n,
                     .n   = part->dim,
                     .k   = part->features,
                     .a   = pooled,
                     .lda = part->features,
                     .w   = part->projection,
                     .c   = out,
                     .ldc = ldo};
    gemm_run(part->gemm, &g, threads);
    for (int i = 0; i < n; i++)
        ops_l2_normalize(out + (ptrdiff_t)i * ldo, part->dim);
}

void parts_join(float *row, const int *dims, const float *weights, int n)
{
    float *at = row;
    for (int i = 0; i < n; i++) {
        float by = sqrtf(weights[i]);
        for (int d = 0; d < dims[i]; d++)
            *at++ *= by;
    }
    ops_l2_normalize(row, (int)(at - row)); /* of length 1 already, unless a part is nothing */
}
