/* The two heads that are fitted together: see heads.h. */
#include "learn/heads.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* heads_net's names of parameters, and model/head.h's. */
static const struct {
    const char *short_name, *name[HEADS_MODALITIES];
} NAMES[] = {
    {"w", {"image.linear.weight", "text.linear.weight"}},
    {"b", {"image.linear.bias", "text.linear.bias"}},
    {"w1", {"image.mlp.up.weight", "text.mlp.up.weight"}},
    {"b1", {"image.mlp.up.bias", "text.mlp.up.bias"}},
    {"w2", {"image.mlp.down.weight", "text.mlp.down.weight"}},
    {"b2", {"image.mlp.down.bias", "text.mlp.down.bias"}},
    {"gain", {"image.norm.weight", "text.norm.weight"}},
    {"shift", {"image.norm.bias", "text.norm.bias"}},
};

static const char *name_of(const char *short_name, int modality)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(NAMES[i].short_name, short_name) == 0)
            return NAMES[i].name[modality];
    }
    return short_name;
}

static void add_scalar(struct heads *h, const char *name, float *value, float *grad)
{
    h->params[h->n_params++] =
        (struct param_f32){.name = name, .rows = 1, .cols = 1, .value = value, .grad = grad};
}

static int add_scalars(struct heads *h, struct err *err)
{
    static const char *const scale[] = {"captions.log_scale", "views.log_scale"};
    static const char *const bias[]  = {"captions.bias", "views.bias"};
    h->scalars                       = mem_zeroed(HEADS_LOSSES, sizeof *h->scalars);
    h->grads                         = mem_zeroed(HEADS_LOSSES, sizeof *h->grads);
    if (!h->scalars || !h->grads)
        return err_set(err, ERR_NOMEM, "out of memory for heads");
    for (int l = 0; l < HEADS_LOSSES; l++) {
        add_scalar(h, scale[l], &h->scalars[l].log_scale, &h->grads[l].log_scale);
        add_scalar(h, bias[l], &h->scalars[l].bias, &h->grads[l].bias);
    }
    return 0;
}

static int add_head(struct heads *h, int m, int rows, struct err *err)
{
    int rc = head_net_new_f32(&h->shape[m], rows, &h->net[m], err);
    if (rc)
        return rc;
    struct param_f32 *own = h->params + h->n_params;
    int               n   = head_net_params_f32(h->net[m], own);
    for (int i = 0; i < n; i++)
        own[i].name = name_of(own[i].name, m);
    h->n_params += n;
    return 0;
}

int heads_init(struct heads *h, const struct head_shape shape[HEADS_MODALITIES], int rows,
               struct err *err)
{
    int rc = 0;
    *h     = (struct heads){0};
    for (int m = 0; !rc && m < HEADS_MODALITIES; m++) {
        h->shape[m] = shape[m];
        if (shape[m].dim > 0)
            rc = add_head(h, m, rows, err);
    }
    if (!rc)
        rc = add_scalars(h, err);
    if (rc)
        heads_release(h);
    return rc;
}

void heads_release(struct heads *h)
{
    if (!h)
        return;
    for (int m = 0; m < HEADS_MODALITIES; m++)
        head_net_free_f32(h->net[m]);
    free(h->scalars);
    free(h->grads);
    *h = (struct heads){0};
}

size_t heads_numbers(const struct param_f32 *p)
{
    return (size_t)p->rows * (size_t)p->cols;
}

void heads_save(const struct heads *h, float *const *to)
{
    for (int i = 0; i < h->n_params; i++)
        memcpy(to[i], h->params[i].value, heads_numbers(&h->params[i]) * sizeof **to);
}

void heads_restore(struct heads *h, float *const *from)
{
    for (int i = 0; i < h->n_params; i++)
        memcpy(h->params[i].value, from[i], heads_numbers(&h->params[i]) * sizeof **from);
}

void heads_free_copy(float **copy, int n)
{
    for (int i = 0; copy && i < n; i++)
        free(copy[i]);
    free(copy);
}

float **heads_new_copy(const struct heads *h)
{
    float **copy = mem_zeroed((size_t)h->n_params, sizeof *copy);
    for (int i = 0; copy && i < h->n_params; i++) {
        copy[i] = mem_zeroed(heads_numbers(&h->params[i]), sizeof **copy);
        if (!copy[i]) {
            heads_free_copy(copy, h->n_params);
            return NULL;
        }
    }
    return copy;
}
