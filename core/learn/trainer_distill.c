/* Keeping what the image tower's classifier knows (knowledge distillation, Hinton et
 * al. 2015): a picture of the batch should be as near to the classes' names, read by
 * the text head, as the classifier finds the classes likely. Without it heads that
 * are fitted on few captions forget what the captions do not speak of.
 *
 *     q = softmax over classes of scale * similarity(picture, name)
 *     loss = -sum p log q, p the softmax of the logits; the mean over pictures
 *
 * The scale gets no gradient from this term. Each class's name stands in one of its
 * phrasings, drawn anew each step.
 */
#include "learn/trainer_state.h"
#include "nn/ops.h"

#include <math.h>
#include <string.h>

struct distilling {
    struct trainer *t;
    double          scale, share; /* share: weight over pictures */
};

/* One picture's row: from similarities to their gradient. Its loss goes where its
 * first target was. */
static void distil_row(void *arg, int row, int thread)
{
    const struct distilling *d    = arg;
    int                      n    = d->t->train->data->n_classes;
    float                   *s    = d->t->batch.s + (size_t)row * (size_t)n;
    float                   *p    = d->t->batch.p + (size_t)row * (size_t)n;
    double                   loss = 0, sum = 0;
    float                    most = s[0];
    (void)thread;
    ops_softmax(p, n, 1);
    for (int i = 1; i < n; i++)
        most = fmaxf(most, s[i]);
    for (int i = 0; i < n; i++)
        sum += exp(d->scale * (double)(s[i] - most));
    for (int i = 0; i < n; i++) {
        double log_q = d->scale * (double)(s[i] - most) - log(sum);
        loss -= (double)p[i] * log_q;
        s[i] = (float)(d->share * d->scale * (exp(log_q) - (double)p[i]));
    }
    p[0] = (float)loss;
}

double trainer_distil(struct trainer *t)
{
    struct trainer_batch *b   = &t->batch;
    size_t                dim = (size_t)t->o->dim, n = (size_t)b->n;
    int                   classes = t->train->data->n_classes;
    double                scale   = t->o->distil_scale > 0 ? t->o->distil_scale
                                                           : exp((double)t->heads.scalars[HEADS_CAPTIONS].log_scale);
    struct distilling     d       = {.t = t, .scale = scale, .share = t->o->distil / b->n};
    struct loss_sets_f32  sets    = {.a   = t->y[0],
                                     .b   = t->y[1] + (size_t)b->captions * dim,
                                     .na  = b->n,
                                     .nb  = classes,
                                     .dim = t->o->dim};
    double                loss    = 0;
    similarity_forward_f32(t->compute, t->o->loss.distance, &sets, b->s);
    if (t->o->loss.distance == DISTANCE_EUCLIDEAN) /* its backward pass wants them as they were */
        memcpy(b->s + n * (size_t)classes, b->s, n * (size_t)classes * sizeof *b->s);
    compute_each(t->compute, b->n, distil_row, &d);
    for (int i = 0; i < b->n; i++)
        loss += t->o->distil / b->n * (double)b->p[(size_t)i * (size_t)classes];
    similarity_backward_f32(t->compute, t->o->loss.distance, &sets, b->s + n * (size_t)classes,
                            b->s, t->dy[2], t->dy[1] + (size_t)b->captions * dim);
    for (size_t i = 0; i < n * dim; i++)
        t->dy[0][i] += t->dy[2][i];
    return loss;
}
