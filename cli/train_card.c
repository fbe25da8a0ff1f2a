/* The card of trained heads (train_card.h). */
#include "cli/train_card.h"

#include "base/buf.h"
#include "base/file.h"

#include <inttypes.h>

#define CEILING ((size_t)1 << 20)

static int add_source(struct buf *b, const char *what, const char *path, struct err *err)
{
    if (!path)
        return 0;
    size_t len = 0; /* the last component, without slashes at the end */
    for (const char *p = path; *p; p++)
        len = *p == '/' ? len : (size_t)(p - path) + 1;
    size_t from = len;
    while (from > 0 && path[from - 1] != '/')
        from--;
    return buf_appendf(b, err, "- %s: %.*s\n", what, (int)(len - from), path + from);
}

static int add_data(struct buf *b, const struct train_card *c, struct err *err)
{
    const struct train_sources *s = c->sources;
    const struct train_data    *d = c->data;
    int rc = buf_appendf(b, err, "\n## Data\n\nLearned from %zu pictures (%d views", d->pictures,
                         s->views);
    if (!rc && s->parts)
        rc = buf_appendf(b, err, " and %d small parts", s->parts);
    if (!rc)
        rc = buf_appendf(b, err, " of each) and %zu texts; judged by %zu pictures%s.\n", d->texts,
                         d->dev.n,
                         d->held_out ? " that were held out" : " that were not learned from");
    if (!rc && d->broken)
        rc = buf_appendf(b, err, "%zu pictures could not be read.\n", d->broken);
    rc = rc ? rc : buf_append_str(b, "\n", err);
    rc = rc ? rc : add_source(b, "pictures", s->images, err);
    rc = rc ? rc : add_source(b, "captions", s->captions, err);
    rc = rc ? rc : add_source(b, "classes", s->labels, err);
    rc = rc ? rc : add_source(b, "breadth", s->breadth, err);
    rc = rc ? rc : add_source(b, "dev captions", s->dev_captions, err);
    return rc ? rc
              : buf_append_str(b,
                               "\nThe terms of these pictures and captions go for what was learned "
                               "from them: add them here before you pass the model on.\n",
                               err);
}

static int add_recipe(struct buf *b, const struct train_card *c, struct err *err)
{
    const struct trainer_options *o = c->options;
    const struct trained         *t = c->model->trained;
    return buf_appendf(b, err,
                       "\n## Recipe\n\n"
                       "| | |\n|---|---|\n"
                       "| supervision | %s |\n| loss | %s |\n| distance | %s |\n"
                       "| trained part | %d numbers, weight %g |\n"
                       "| MLP | %d wide |\n"
                       "| class part, visual part | weights %g, %g |\n"
                       "| dropout of pictures, of texts | %g, %g |\n"
                       "| distillation of the image tower's classes | weight %g |\n"
                       "| epochs, batch | %d (the best of %d), %d |\n"
                       "| learning rate, weight decay | %g, %g |\n"
                       "| seed | %" PRIu64 " |\n"
                       "| time | %.0f s for features, %.0f s for learning, %d threads |\n",
                       c->supervision, c->loss, c->distance, o->dim, c->model->trained_weight,
                       o->hidden, c->model->class_weight, c->model->visual_weight, o->image_dropout,
                       o->text_dropout, o->distil, t->best + 1, t->n_epochs, o->batch, o->rate,
                       o->weight_decay, o->seed, c->features_seconds, c->seconds, o->threads);
}

static int add_row(struct buf *b, const char *name, const struct recall *r, struct err *err)
{
    return r->n ? buf_appendf(b, err, "| %s | %.1f | %.1f | %.1f | %d |\n", name, r->r1, r->r5,
                              r->r10, r->n)
                : 0;
}

static int add_figures(struct buf *b, const struct train_card *c, struct err *err)
{
    const struct trained     *t   = c->model->trained;
    const struct trainer_dev *dev = &t->history[t->best].dev;
    int                       rc  = buf_append_str(b,
                                                   "\n## Figures\n\nOn the pictures it was judged by, in percent (which "
                                                                          "also chose the epoch):\n\n"
                                                                          "| | R@1 | R@5 | R@10 | queries |\n|---|---|---|---|---|\n",
                                                   err);
    rc                            = rc ? rc : add_row(b, "text to image", &dev->t2i, err);
    rc                            = rc ? rc : add_row(b, "image to text", &dev->i2t, err);
    rc                            = rc ? rc : add_row(b, "view to picture", &dev->i2i, err);
    return rc ? rc
              : buf_append_str(
                    b,
                    "\nCurves: `loss.svg`, `recall.svg`. `osprey eval --model` with this "
                    "folder measures it on other pictures.\n"
                    "\n## Limits\n\nIt knows what the towers of its base know, and of "
                    "captions what was in those above: on other kinds of pictures it may "
                    "find less than its base did.\n",
                    err);
}

int train_card_text(const struct train_card *c, char **text, struct err *err)
{
    struct buf b;
    buf_init(&b, CEILING);
    int rc = buf_appendf(&b, err,
                         "# Trained heads\n\nProjection heads for Osprey, made by `osprey train "
                         "heads` for the towers of %s.\n",
                         c->base);
    rc     = rc ? rc : add_data(&b, c, err);
    rc     = rc ? rc : add_recipe(&b, c, err);
    rc     = rc ? rc : add_figures(&b, c, err);
    if (!rc && !(*text = buf_steal(&b)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&b);
    return rc;
}
