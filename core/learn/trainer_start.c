/* Where the linear layer of the pictures' head begins, when that is not at random: at
 * the principal directions of its inputs (see trainer_state.h). Views of a picture lie
 * near to one another there from the first step on; what is learned without captions
 * stays near to it.
 */
#include "base/mem.h"
#include "learn/principal.h"
#include "learn/product.h"
#include "learn/trainer_state.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 1024 /* rows of which the covariance is added up at a time */

/* covariance: (in, in), zeros. x, z: (CHUNK, in) scratch. */
static void add_up(struct trainer *t, float *x, float *z, float *covariance)
{
    const struct head_data *d  = t->train->data;
    size_t                  in = (size_t)d->image_dim;
    size_t total = t->train->n < ROWS_TO_STANDARDISE ? t->train->n : ROWS_TO_STANDARDISE;
    float *mean, *scale;
    head_net_standard_f32(t->heads.net[HEADS_IMAGE], &mean, &scale);
    for (size_t at = 0, n; at < total; at += n) {
        n = total - at < CHUNK ? total - at : CHUNK;
        for (size_t i = 0; i < n; i++)
            t->half.to_float(x + i * in, head_data_image(d, t->train->images[at + i], 0), in);
        standardise_forward_f32(t->compute, x, (int)n, d->image_dim, mean, scale, z);
        const struct product_f32 sum = {.m        = d->image_dim,
                                        .n        = d->image_dim,
                                        .k        = (int)n,
                                        .a        = z,
                                        .lda      = d->image_dim,
                                        .a_turned = true,
                                        .b        = z,
                                        .ldb      = d->image_dim,
                                        .c        = covariance,
                                        .ldc      = d->image_dim,
                                        .add      = true};
        product_run_f32(t->compute, &sum);
    }
    scale_f32(t->compute, covariance, 1 / (float)total, in * in, covariance);
}

int trainer_start_principal(struct trainer *t, struct err *err)
{
    struct param_f32 list[HEAD_PARAMS], *w = &list[0], *b = &list[1];
    int              in = t->train->data->image_dim;
    size_t           square, chunk = (size_t)CHUNK * (size_t)in;
    head_net_params_f32(t->heads.net[HEADS_IMAGE], list); /* w and b are the first */
    bool   fits       = size_mul((size_t)in, (size_t)in, &square);
    float *covariance = fits ? mem_aligned(square, sizeof *covariance) : NULL;
    float *x = mem_aligned(chunk, sizeof *x), *z = mem_aligned(chunk, sizeof *z);
    int    rc = covariance && x && z
                    ? 0
                    : err_set(err, ERR_NOMEM, "out of memory for the covariance of %d inputs", in);
    if (!rc) {
        memset(covariance, 0, square * sizeof *covariance);
        add_up(t, x, z, covariance);
        rc = principal_directions(t->compute, covariance, in, w->rows < in ? w->rows : in, w->value,
                                  err);
        memset(b->value, 0, (size_t)w->rows * sizeof *b->value);
    }
    free(covariance);
    free(x);
    free(z);
    return rc;
}
