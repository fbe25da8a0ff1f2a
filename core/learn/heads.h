/* The two heads that are fitted together, and the scalars of their losses: one list
 * of parameters for optimiser, checkpoint and export. Names of the heads' tensors
 * are those of model/head.h.
 */
#ifndef OSPREY_LEARN_HEADS_H
#define OSPREY_LEARN_HEADS_H

#include "base/err.h"
#include "learn/heads_net.h"
#include "learn/losses.h"

#define HEADS_PARAMS (2 * HEAD_PARAMS + 4)

enum heads_modality { HEADS_IMAGE, HEADS_TEXT, HEADS_MODALITIES };

/* What is compared: pictures with captions, or views with views; each comparison
 * learns a scale and a bias of its own. */
enum heads_loss { HEADS_CAPTIONS, HEADS_VIEWS, HEADS_LOSSES };

struct heads {
    struct head_shape        shape[HEADS_MODALITIES];
    struct head_net_f32     *net[HEADS_MODALITIES]; /* the text's is NULL without texts */
    struct loss_scalars_f32 *scalars, *grads;       /* (HEADS_LOSSES) */
    struct param_f32         params[HEADS_PARAMS];  /* named "image.linear.weight", ... */
    int                      n_params;
};

/* rows: the most in a forward pass. shapes: a text's dim 0: no texts. */
int  heads_init(struct heads *h, const struct head_shape shape[HEADS_MODALITIES], int rows,
                struct err *err);
void heads_release(struct heads *h); /* NULL-safe */

size_t heads_numbers(const struct param_f32 *p);

/* Copies all values out, or back in. to, from: (n_params) arrays as long as their
 * parameters. */
void    heads_save(const struct heads *h, float *const *to);
void    heads_restore(struct heads *h, float *const *from);
/* Such arrays; freed with heads_free_copy. NULL when out of memory. */
float **heads_new_copy(const struct heads *h);
void    heads_free_copy(float **copy, int n); /* NULL-safe */

#endif
