/* From folders and files to what heads are fitted on (train_data.h). */
#include "cli/train_data.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"
#include "learn/captions.h"
#include "learn/random.h"
#include "model/encoder_features.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NAMES   ((size_t)1 << 20) /* bytes of a file of names */
#define MOST_JUDGED 2000 /* pictures: more make an epoch long and the choice no better */

/* Captions of a file, pictures below dir. */
static int add_captions(struct examples *e, const char *dir, const char *file, struct err *err)
{
    struct captions captions = {0};
    int             rc       = captions_read(file, NULL, &captions, err);
    if (!rc)
        rc = examples_add_captions(e, dir, &captions, err);
    captions_release(&captions);
    return rc;
}

/* *judged: groups of pictures below this may become a dev set. */
static int gather(const struct train_sources *s, struct examples *e, size_t *judged,
                  struct err *err)
{
    int rc = 0;
    if (s->captions)
        rc = add_captions(e, s->images, s->captions, err);
    if (!rc && s->labels)
        rc = examples_add_classes(e, s->labels, s->images, err);
    *judged     = e->n_groups;
    bool others = s->supervision == SEMI_SUPERVISED || (!s->captions && !s->labels);
    if (!rc && s->images && s->supervision != SUPERVISED && others)
        rc = examples_add_pictures(e, s->images, err);
    if (!rc && *judged == 0)
        *judged = e->n_groups;
    if (!rc && s->breadth)
        rc = examples_add_classes(e, s->breadth, NULL, err);
    return rc;
}

/* Features of a file of names, each in all its phrasings. */
static int read_classes(const struct encoder *enc, const struct features_plan *plan,
                        const char *file, struct features **out, struct err *err)
{
    uint8_t *text = NULL;
    size_t   len = 0, n = 0;
    char   **names = NULL;
    size_t   want  = (size_t)encoder_feature_sizes(enc).classes;
    int      rc    = file_read(file, MAX_NAMES, &text, &len, err);
    if (!rc && !(names = mem_zeroed(want * EXAMPLES_PHRASINGS + 1, sizeof *names)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu names", want);
    for (char *at = (char *)text, *end; !rc && *at && n < want; at = end, n++) {
        size_t line = strcspn(at, "\r\n");
        end         = at + line + strspn(at + line, "\r\n");
        at[line]    = '\0';
        for (int k = 0; !rc && k < EXAMPLES_PHRASINGS; k++) {
            names[n * EXAMPLES_PHRASINGS + (size_t)k] = examples_class_text(at, k);
            if (!names[n * EXAMPLES_PHRASINGS + (size_t)k])
                rc = err_set(err, ERR_NOMEM, "out of memory for %zu names", want);
        }
    }
    if (!rc && n < want)
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it names %zu classes, and the model has %zu",
                     file, n, want);
    if (!rc)
        rc = features_of_texts(enc, plan, names, n * EXAMPLES_PHRASINGS, out, err);
    for (size_t i = 0; names && i < want * EXAMPLES_PHRASINGS; i++)
        free(names[i]);
    free(names);
    free(text);
    return rc;
}

/* Without captions, what the earlier stages and the classifier say tells less than it
 * misleads: a part of a picture has textures and classes of its own. */
static struct head_inputs inputs_for(const struct train_sources *s, struct head_inputs known)
{
    if (s->supervision == SELF_SUPERVISED)
        known.stages = known.classes = false;
    return known;
}

/* Features of small parts of pictures: kept apart, so that with and without them a
 * training shares the rest. What is broken was told already. */
static int compute_parts(const struct encoder *enc, const struct features_plan *whole,
                         const struct examples *e, int parts, struct train_progress *p,
                         struct features **out, struct err *err)
{
    struct features_listener listener = {.ctx      = whole->listener->ctx,
                                         .progress = whole->listener->progress};
    struct features_plan     plan     = *whole;
    plan.views                        = parts;
    plan.parts                        = true;
    plan.augment                      = augment_part;
    plan.listener                     = &listener;
    train_progress_start(p, "features of their parts");
    return features_of_images(enc, &plan, e->paths, e->n_images, out, err);
}

/* Towers' features of pictures and texts, and from them the rows. */
static int compute(const struct encoder *enc, const struct train_sources *s,
                   const struct examples *e, int views, int parts, bool names,
                   struct train_progress *p, const volatile sig_atomic_t *stop,
                   struct head_data *out, struct err *err)
{
    struct features_plan plan   = {.threads  = s->threads,
                                   .views    = views,
                                   .augment  = s->augment,
                                   .seed     = s->seed,
                                   .listener = &p->features,
                                   .stop     = stop};
    struct features     *images = NULL, *cuts = NULL, *texts = NULL, *classes = NULL;
    train_progress_start(p, "features of pictures");
    int rc = features_of_images(enc, &plan, e->paths, e->n_images, &images, err);
    if (!rc && 2 * features_broken(images) > e->n_images)
        rc = err_set(err, ERR_FORMAT, "%zu of %zu pictures cannot be read, the first of them: %s",
                     features_broken(images), e->n_images, p->first_broken);
    if (!rc && features_broken(images))
        note(p->common, "%zu of %zu pictures cannot be read and are left out",
             features_broken(images), e->n_images);
    if (!rc && parts > 0)
        rc = compute_parts(enc, &plan, e, parts, p, &cuts, err);
    if (!rc && e->n_texts && s->supervision != SELF_SUPERVISED) {
        train_progress_start(p, "features of texts");
        rc = features_of_texts(enc, &plan, e->texts, e->n_texts, &texts, err);
    }
    if (!rc && names && s->class_names)
        rc = read_classes(enc, &plan, s->class_names, &classes, err);
    struct head_sources from = {.examples  = e,
                                .images    = images,
                                .parts     = cuts,
                                .texts     = texts,
                                .classes   = classes,
                                .phrasings = EXAMPLES_PHRASINGS,
                                .inputs    = inputs_for(s, head_inputs_of(enc))};
    if (!rc)
        rc = head_data_make(enc, &from, s->threads, out, err);
    train_progress_finish(p);
    features_free(images);
    features_free(cuts);
    features_free(texts);
    features_free(classes);
    return rc;
}

static void shuffle(int *x, size_t n, uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    random_shuffle(&random, x, (int)n);
}

static bool can_be_judged(const struct train_sources *s, const struct head_data *d, int image)
{
    return s->supervision == SELF_SUPERVISED || head_data_texts_of(d, image) > 0;
}

/* A dev set of its own: at most MOST_JUDGED of its pictures, drawn once. */
static int take_dev(const struct train_sources *s, struct train_data *t, struct err *err)
{
    const struct head_data *d = &t->dev_rows;
    t->dev_images             = mem_array(d->n_images + 1, sizeof *t->dev_images);
    if (!t->dev_images)
        return err_set(err, ERR_NOMEM, "out of memory for %zu pictures", d->n_images);
    for (size_t i = 0; i < d->n_images; i++) {
        if (can_be_judged(s, d, (int)i))
            t->dev_images[t->dev.n++] = (int)i;
    }
    if (t->dev.n > MOST_JUDGED) {
        shuffle(t->dev_images, t->dev.n, s->seed);
        t->dev.n = MOST_JUDGED;
    }
    return 0;
}

/* What is learned from: all but, where there is no dev set, a tenth of those that
 * may be judged by. */
static int take_train(const struct train_sources *s, size_t judged, struct train_data *t,
                      struct err *err)
{
    const struct head_data *d    = &t->train_rows;
    char                   *out  = mem_zeroed(d->n_images + 1, 1);
    int                    *some = mem_array(d->n_images + 1, sizeof *some);
    size_t                  n    = 0;
    t->train_images              = mem_array(d->n_images + 1, sizeof *t->train_images);
    if (t->held_out)
        t->dev_images = mem_array(d->n_images + 1, sizeof *t->dev_images);
    int rc = out && some && t->train_images && (!t->held_out || t->dev_images)
                 ? 0
                 : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", d->n_images);
    for (size_t i = 0; !rc && t->held_out && i < d->n_images; i++) {
        if ((size_t)d->group[i] < judged && can_be_judged(s, d, (int)i))
            some[n++] = (int)i;
    }
    if (!rc && t->held_out) {
        shuffle(some, n, s->seed);
        t->dev.n = n / 10 > MOST_JUDGED ? MOST_JUDGED : n / 10;
        if (t->dev.n == 0 && n > 1)
            t->dev.n = 1;
        for (size_t i = 0; i < t->dev.n; i++) {
            t->dev_images[i] = some[i];
            out[some[i]]     = 1;
        }
    }
    for (size_t i = 0; !rc && i < d->n_images; i++) {
        if (!out[i] && (s->supervision != SUPERVISED || head_data_texts_of(d, (int)i) > 0)) {
            t->train_images[t->train.n++] = (int)i;
            t->texts +=
                s->supervision == SELF_SUPERVISED ? 0 : (size_t)head_data_texts_of(d, (int)i);
        }
    }
    free(out);
    free(some);
    return rc;
}

int train_data_load(const struct encoder *enc, const struct train_sources *s,
                    struct train_progress *p, const volatile sig_atomic_t *stop,
                    struct train_data *out, struct err *err)
{
    struct examples   train = EXAMPLES_INIT, dev = EXAMPLES_INIT;
    struct train_data t      = {.known = head_inputs_of(enc), .held_out = !s->dev_captions};
    size_t            judged = 0;
    t.inputs                 = inputs_for(s, t.known);
    int rc                   = gather(s, &train, &judged, err);
    if (!rc && s->dev_captions)
        rc = add_captions(&dev, s->dev_images ? s->dev_images : s->images, s->dev_captions, err);
    if (!rc)
        rc = compute(enc, s, &train, s->views, s->parts, true, p, stop, &t.train_rows, err);
    if (!rc)
        t.broken = train.n_images - t.train_rows.n_images;
    if (!rc && s->dev_captions)
        rc = compute(enc, s, &dev, 1, s->supervision == SELF_SUPERVISED, false, p, stop,
                     &t.dev_rows, err);
    if (!rc)
        rc = take_train(s, judged, &t, err);
    if (!rc && s->dev_captions)
        rc = take_dev(s, &t, err);
    t.pictures = t.train.n;
    t.learned  = train;
    t.judged   = dev;
    if (rc) {
        train_data_release(&t);
        return rc;
    }
    *out              = t;
    out->train.data   = &out->train_rows;
    out->train.images = out->train_images;
    out->dev.data     = out->held_out ? &out->train_rows : &out->dev_rows;
    out->dev.images   = out->dev_images;
    return 0;
}

void train_data_release(struct train_data *t)
{
    if (!t)
        return;
    head_data_release(&t->train_rows);
    head_data_release(&t->dev_rows);
    examples_release(&t->learned);
    examples_release(&t->judged);
    free(t->train_images);
    free(t->dev_images);
    *t = (struct train_data){0};
}
