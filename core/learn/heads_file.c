/* Trained heads as tensors and choices: see heads_file.h. */
#include "learn/heads_file.h"

#include "base/half.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const MODALITY[] = {"image", "text"};

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot write heads: out of memory");
}

/* ---- Tensors ---- */

void heads_file_release(struct heads_file *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->owned[i]);
}

/* Matrices in half precision, vectors (biases, means) as they are. */
static int add(struct heads_file *w, const char *name, int rows, int cols, const float *values,
               struct err *err)
{
    struct tensor *t      = &w->tensors[w->n];
    size_t         n      = (size_t)rows * (size_t)cols;
    bool           matrix = rows > 1;
    *t                    = (struct tensor){.name   = name,
                                            .dtype  = matrix ? DTYPE_F16 : DTYPE_F32,
                                            .n_dims = matrix ? 2 : 1,
                                            .dims   = {matrix ? rows : cols, cols},
                                            .bytes  = n * (matrix ? sizeof(uint16_t) : sizeof(float))};
    void *copy            = mem_array(t->bytes, 1);
    if (!copy)
        return out_of_memory(err);
    if (matrix)
        half_from_float(copy, values, n);
    else
        memcpy(copy, values, t->bytes);
    t->data          = copy;
    w->owned[w->n++] = copy;
    return 0;
}

static int add_modality(struct heads_file *w, const struct heads *h, int m, struct err *err)
{
    static const char *const means[]  = {"image.mean", "text.mean"};
    static const char *const scales[] = {"image.scale", "text.scale"};
    float                   *mean, *scale;
    size_t                   len = strlen(MODALITY[m]);
    head_net_standard_f32(h->net[m], &mean, &scale);
    int rc = add(w, means[m], 1, h->shape[m].in, mean, err);
    if (!rc)
        rc = add(w, scales[m], 1, h->shape[m].in, scale, err);
    for (int i = 0; !rc && i < h->n_params; i++) {
        const struct param_f32 *p = &h->params[i];
        if (strncmp(p->name, MODALITY[m], len) != 0 || p->name[len] != '.')
            continue;
        bool column = p->rows > 1 && p->cols == 1; /* a bias, whichever way it lies */
        rc = add(w, p->name, column ? 1 : p->rows, column ? p->rows : p->cols, p->value, err);
    }
    return rc;
}

/* Without captions no text head was trained: zeros stand in for it, so that texts
 * have nothing to say in the trained part. */
static int add_silent_text(struct heads_file *w, int in, int dim, struct err *err)
{
    float *zeros = mem_zeroed((size_t)in * (size_t)dim, sizeof *zeros);
    float *ones  = mem_array((size_t)in, sizeof *ones);
    int    rc    = zeros && ones ? 0 : out_of_memory(err);
    for (int i = 0; !rc && i < in; i++)
        ones[i] = 1;
    if (!rc)
        rc = add(w, "text.mean", 1, in, zeros, err);
    if (!rc)
        rc = add(w, "text.scale", 1, in, ones, err);
    if (!rc)
        rc = add(w, "text.linear.weight", dim, in, zeros, err);
    free(zeros);
    free(ones);
    return rc;
}

int heads_file_add(struct heads_file *w, const struct heads *h, int text_dim, struct err *err)
{
    int rc = add_modality(w, h, HEADS_IMAGE, err);
    if (rc)
        return rc;
    return h->net[HEADS_TEXT] ? add_modality(w, h, HEADS_TEXT, err)
                              : add_silent_text(w, text_dim, h->shape[HEADS_IMAGE].dim, err);
}

void heads_file_keep(struct heads_file *w, const struct safetensors *base, const char *name)
{
    const struct tensor *t = safetensors_find(base, name);
    if (!t)
        return;
    w->owned[w->n]     = NULL;
    w->tensors[w->n++] = *t;
}

/* ---- Choices ---- */

static struct jnode *names(const char *first, const char *second, const char *third)
{
    struct jnode *list  = jnode_array();
    const char   *all[] = {first, second, third};
    for (int i = 0; list && i < 3; i++) {
        if (all[i] && jnode_push_str(list, all[i])) {
            jnode_free(list);
            return NULL;
        }
    }
    return list;
}

/* What of the base's choices goes on to hold. */
static int keep_key(struct jnode *to, const struct jnode *from, const char *key)
{
    const struct jnode *node = jnode_get(from, key);
    double              number;
    bool                flag;
    if (jnode_to_bool(node, &flag))
        return jnode_set_bool(to, key, flag);
    return jnode_to_double(node, &number) ? jnode_set_real(to, key, number) : 0;
}

int heads_file_choices(struct jnode *o, const struct heads *h, const struct head_inputs *inputs,
                       const struct jnode *base)
{
    bool texts = h->net[HEADS_TEXT] != NULL;
    return jnode_set_str(o, "head", "trained") |
           jnode_set(o, "image_inputs",
                     names(inputs->root ? "pooled:root" : "pooled",
                           inputs->stages ? "stages" : NULL, inputs->classes ? "classes" : NULL)) |
           jnode_set(o, "text_inputs",
                     names("mean", texts && inputs->first ? "first" : NULL, NULL)) |
           jnode_set_str(o, "mlp", "beside") | keep_key(o, base, "temperature") |
           keep_key(o, base, "top_classes") | keep_key(o, base, "center");
}
