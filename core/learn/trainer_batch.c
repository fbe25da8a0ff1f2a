/* Drawing batches: see trainer_state.h. All that is drawn is drawn here, on one
 * thread; only the copying is shared.
 */
#include "learn/trainer_state.h"

#define COPY_ROWS 32 /* in an item of a phase */

int trainer_step_at(const struct trainer *t, int step)
{
    return (int)((int64_t)t->train->n * step / t->steps);
}

/* From seed and epoch alone, so that a resumed run has the same order. */
void trainer_shuffle(struct trainer *t)
{
    struct random own;
    random_seed(&own, random_hash(t->o->seed, (uint64_t)t->epoch));
    for (size_t i = 0; i < t->train->n; i++)
        t->order[i] = t->train->images[i];
    random_shuffle(&own, t->order, (int)t->train->n);
}

struct copying {
    struct trainer *t;
    int             n, dim; /* of t->batch.rows */
};

static void copy_some(void *arg, int item, int thread)
{
    const struct copying *all  = arg;
    const struct trainer *t    = all->t;
    int                   to   = (item + 1) * COPY_ROWS < all->n ? (item + 1) * COPY_ROWS : all->n;
    float                *with = compute_own(t->compute, thread, (size_t)all->dim * sizeof *with);
    for (int i = item * COPY_ROWS; with && i < to; i++) {
        const struct trainer_copy *r = &t->batch.rows[i];
        t->half.to_float(r->to, r->from, (size_t)all->dim);
        if (!r->with)
            continue;
        t->half.to_float(with, r->with, (size_t)all->dim);
        for (int d = 0; d < all->dim; d++)
            r->to[d] = r->share * r->to[d] + (1 - r->share) * with[d];
    }
}

static void copy_rows(struct trainer *t, int n, int dim)
{
    struct copying all = {.t = t, .n = n, .dim = dim};
    compute_each(t->compute, (n + COPY_ROWS - 1) / COPY_ROWS, copy_some, &all);
}

/* Those with captions first, else in order. */
static void choose_images(struct trainer *t)
{
    struct trainer_batch *b  = &t->batch;
    int                   at = trainer_step_at(t, t->step), end = trainer_step_at(t, t->step + 1);
    bool                  texts = t->o->supervision != SELF_SUPERVISED;
    b->n                        = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = at; i < end; i++) {
            bool captioned = texts && head_data_texts_of(t->train->data, t->order[i]) > 0;
            if (captioned == (pass == 0))
                b->images[b->n++] = t->order[i];
        }
        if (pass == 0)
            b->captions = b->n;
    }
}

/* The first views, which stand beside captions where there are any, show the whole
 * picture then. */
static void draw_views(struct trainer *t)
{
    struct trainer_batch   *b    = &t->batch;
    const struct head_data *d    = t->train->data;
    bool                    both = t->o->supervision != SUPERVISED;
    int                     most = t->o->supervision == SELF_SUPERVISED ? d->views : d->whole;
    for (int i = 0; i < b->n; i++) {
        int    first = (int)random_below(&t->random, (uint32_t)most), other = 0;
        float *to = b->x + (size_t)i * (size_t)d->image_dim;
        b->rows[i] =
            (struct trainer_copy){.from = head_data_image(d, b->images[i], first), .to = to};
        b->groups[i] = d->group[b->images[i]];
        if (!both)
            continue;
        other = (int)random_below(&t->random, (uint32_t)d->views - 1);
        other += other >= first;
        b->rows[b->n + i]   = (struct trainer_copy){.from = head_data_image(d, b->images[i], other),
                                                    .to   = to + (size_t)b->n * (size_t)d->image_dim};
        b->groups[b->n + i] = b->groups[i];
    }
    copy_rows(t, both ? 2 * b->n : b->n, d->image_dim);
    for (int i = 0; t->o->distil > 0 && i < b->n; i++)
        b->rows[i] =
            (struct trainer_copy){.from = d->logits + (size_t)b->images[i] * (size_t)d->n_classes,
                                  .to   = b->p + (size_t)i * (size_t)d->n_classes};
    if (t->o->distil > 0)
        copy_rows(t, b->n, d->n_classes);
}

static void draw_texts(struct trainer *t)
{
    struct trainer_batch   *b = &t->batch;
    const struct head_data *d = t->train->data;
    for (int i = 0; i < b->captions; i++) {
        const int *texts = d->text_of + d->first_text[b->images[i]];
        uint32_t   n     = (uint32_t)head_data_texts_of(d, b->images[i]);
        uint32_t   one   = random_below(&t->random, n);
        b->rows[i]       = (struct trainer_copy){.from = head_data_text(d, texts[one]),
                                                 .to   = b->t + (size_t)i * (size_t)d->text_dim};
        if (n < 2 || random_uniform(&t->random) >= t->o->mix)
            continue;
        uint32_t two = random_below(&t->random, n - 1);
        two += two >= one;
        b->rows[i].with  = head_data_text(d, texts[two]);
        b->rows[i].share = (float)random_uniform(&t->random);
    }
    copy_rows(t, b->captions, d->text_dim);
}

/* A phrasing of each class's name, behind the captions. */
static void draw_classes(struct trainer *t)
{
    struct trainer_batch   *b = &t->batch;
    const struct head_data *d = t->train->data;
    for (int i = 0; i < d->n_classes; i++) {
        uint32_t one = random_below(&t->random, (uint32_t)d->phrasings);
        b->rows[i]   = (struct trainer_copy){
              .from = d->class_texts + ((size_t)i * (size_t)d->phrasings + one) * (size_t)d->text_dim,
              .to   = b->t + (size_t)(b->captions + i) * (size_t)d->text_dim};
    }
    copy_rows(t, d->n_classes, d->text_dim);
}

void trainer_draw(struct trainer *t)
{
    choose_images(t);
    draw_views(t);
    if (t->batch.captions > 0)
        draw_texts(t);
    if (t->o->distil > 0)
        draw_classes(t);
}
