/* Measuring heads on a dev set while they are trained: see trainer_state.h.
 *
 * With captions: both directions, in the space that a search would have: the
 * trained part, and beside it, where it is weighed, the class part (model/head.h).
 * Without: a part of each picture (where there are none, its last view) is the query,
 * the picture as it is the answer.
 */
#include "base/mem.h"
#include "learn/trainer_state.h"
#include "nn/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is compared: texts or views, a, with pictures, b. */
struct side {
    const uint16_t **rows; /* (n) inputs, in half precision */
    int             *groups;
    float           *embeddings; /* (n, dim) */
    int              n;
};

struct judging {
    struct trainer *t;
    int             kept, dim; /* numbers of the class part, and in all */
    struct side     a, b;
    float          *x;      /* (batch, the wider input) */
    float          *y;      /* (batch, the trained part's dim) */
    float          *scores; /* (na, nb) */
};

/* One side's embeddings. kept_at: where in its rows the class part begins. */
static void embed(struct judging *j, enum heads_modality m, int kept_at, struct side *side)
{
    struct trainer *t  = j->t;
    int             in = t->heads.shape[m].in, trained = j->dim - j->kept;
    float           weight = j->kept ? (float)t->o->class_weight : 0;
    for (int i = 0, n; i < side->n; i += n) {
        n = side->n - i < t->o->batch ? side->n - i : t->o->batch;
        for (int k = 0; k < n; k++)
            t->half.to_float(j->x + (size_t)k * (size_t)in, side->rows[i + k], (size_t)in);
        head_net_forward_f32(t->heads.net[m], t->compute, j->x, n, NULL, j->y);
        for (int k = 0; k < n; k++) {
            float *to = side->embeddings + (size_t)(i + k) * (size_t)j->dim;
            for (int d = 0; d < trained; d++)
                to[d] = sqrtf(1 - weight) * j->y[(size_t)k * (size_t)trained + (size_t)d];
            to += trained;
            if (!j->kept)
                continue;
            memcpy(to, j->x + (size_t)k * (size_t)in + kept_at, (size_t)j->kept * sizeof *to);
            ops_l2_normalize(to, j->kept);
            for (int d = 0; d < j->kept; d++)
                to[d] *= sqrtf(weight);
        }
    }
}

/* Each text of the dev set once: class names are shared by pictures. */
static int take_texts(struct judging *j, struct side *side, struct err *err)
{
    const struct trainer_part *dev  = j->t->dev;
    const struct head_data    *d    = dev->data;
    char                      *seen = mem_zeroed(d->n_texts + 1, 1);
    if (!seen)
        return err_set(err, ERR_NOMEM, "out of memory for %zu texts", d->n_texts);
    for (size_t i = 0; i < dev->n; i++) {
        int image = dev->images[i];
        for (int k = d->first_text[image]; k < d->first_text[image + 1]; k++) {
            int text = d->text_of[k];
            if (seen[text])
                continue;
            seen[text]            = 1;
            side->rows[side->n]   = head_data_text(d, text);
            side->groups[side->n] = d->group[image];
            side->n++;
        }
    }
    free(seen);
    return 0;
}

/* Pictures in one view; own: each is a group of its own. */
static void take_images(struct judging *j, int view, bool own, struct side *side)
{
    const struct trainer_part *dev = j->t->dev;
    for (size_t i = 0; i < dev->n; i++) {
        side->rows[side->n]   = head_data_image(dev->data, dev->images[i], view);
        side->groups[side->n] = own ? (int)i : dev->data->group[dev->images[i]];
        side->n++;
    }
}

static int side_init(struct side *side, size_t most, int dim, struct err *err)
{
    side->rows       = mem_array(most + 1, sizeof *side->rows);
    side->groups     = mem_array(most + 1, sizeof *side->groups);
    side->embeddings = mem_array(most + 1, (size_t)dim * sizeof *side->embeddings);
    return side->rows && side->groups && side->embeddings
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory to judge %zu pictures and texts", most);
}

static void side_release(struct side *side)
{
    free(side->rows);
    free(side->groups);
    free(side->embeddings);
}

static int compare(struct judging *j, struct recall *forth, struct recall *back, struct err *err)
{
    struct loss_sets_f32 sets = {.a        = j->a.embeddings,
                                 .b        = j->b.embeddings,
                                 .groups_a = j->a.groups,
                                 .groups_b = j->b.groups,
                                 .na       = j->a.n,
                                 .nb       = j->b.n,
                                 .dim      = j->dim};
    j->scores                 = mem_aligned((size_t)j->a.n * (size_t)j->b.n + 1, sizeof *j->scores);
    if (!j->scores)
        return err_set(err, ERR_NOMEM, "out of memory to judge %d pictures", j->b.n);
    return recall_both(j->t->compute, j->t->o->loss.distance, &sets, j->scores, forth, back, err);
}

int trainer_judge(struct trainer *t, struct trainer_dev *out, struct err *err)
{
    const struct head_data *d     = t->dev->data;
    bool                    views = t->o->supervision == SELF_SUPERVISED;
    struct judging          j     = {.t = t};
    size_t                  texts = 0, rows = (size_t)t->o->batch;
    int                     wider = d->image_dim > d->text_dim ? d->image_dim : d->text_dim;
    for (size_t i = 0; i < t->dev->n && !views; i++)
        texts += (size_t)head_data_texts_of(d, t->dev->images[i]);
    if (!views && t->o->class_weight > 0 && d->classes_at >= 0)
        j.kept = d->image_dim - d->classes_at;
    j.dim  = t->o->dim + j.kept;
    *out   = (struct trainer_dev){0};
    int rc = side_init(&j.a, views ? t->dev->n : texts, j.dim, err);
    if (!rc)
        rc = side_init(&j.b, t->dev->n, j.dim, err);
    j.x = mem_aligned(rows * (size_t)wider, sizeof *j.x);
    j.y = mem_aligned(rows * (size_t)t->o->dim, sizeof *j.y);
    if (!rc && (!j.x || !j.y))
        rc = err_set(err, ERR_NOMEM, "out of memory to judge %zu pictures", t->dev->n);
    if (rc)
        goto out;
    take_images(&j, 0, views, &j.b);
    if (views)
        take_images(&j, d->whole < d->views ? d->whole : d->views - 1, true, &j.a);
    else
        rc = take_texts(&j, &j.a, err);
    if (rc)
        goto out;
    embed(&j, HEADS_IMAGE, d->classes_at, &j.b);
    embed(&j, views ? HEADS_IMAGE : HEADS_TEXT, views ? d->classes_at : 0, &j.a);
    struct recall unused;
    rc = views ? compare(&j, &out->i2i, &unused, err) : compare(&j, &out->t2i, &out->i2t, err);
    out->score =
        views ? recall_mean(&out->i2i) : (recall_mean(&out->t2i) + recall_mean(&out->i2t)) / 2;
out:
    side_release(&j.a);
    side_release(&j.b);
    free(j.x);
    free(j.y);
    free(j.scores);
    return rc;
}
