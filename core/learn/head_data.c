/* The numbers that heads are fitted on: see head_data.h. */
#include "learn/head_data.h"

#include "base/half.h"
#include "base/mem.h"
#include "learn/layers.h"
#include "model/encoder_features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256   /* rows of which the class part is computed at a time */
#define EPS   1e-3f /* keeps columns that hardly vary from being blown up */

struct head_inputs head_inputs_of(const struct encoder *enc)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    /* pooled after a ReLU, as where there is a classifier: roots bring out what is faint */
    return (struct head_inputs){.root    = sizes.classes > 0,
                                .stages  = sizes.stages > 0,
                                .classes = sizes.named > 0,
                                .first   = sizes.first > 0};
}

static int out_of_memory(size_t rows, struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory for the inputs of %zu pictures and texts", rows);
}

/* Some rows' features on their way into inputs. */
struct filling {
    const struct encoder        *enc;
    struct encoder_feature_sizes sizes;
    struct head_inputs           inputs;
    int                          threads;
    float                       *logits; /* (CHUNK, classes) */
    float                       *named;  /* (CHUNK, named) */
    float                       *roots;  /* (image) */
    uint16_t                    *to[CHUNK];
    int                          n;
};

static int flush(struct filling *f, struct err *err)
{
    int rc = f->n ? encoder_named_classes(f->enc, f->logits, f->n, f->threads, f->named, err) : 0;
    for (int i = 0; !rc && i < f->n; i++)
        half_from_float(f->to[i], f->named + (ptrdiff_t)i * f->sizes.named, (size_t)f->sizes.named);
    f->n = 0;
    return rc;
}

/* row: pooled features, stages, logits. */
static int fill_row(struct filling *f, const uint16_t *row, uint16_t *out, struct err *err)
{
    size_t pooled = (size_t)f->sizes.image, stages = (size_t)f->sizes.stages;
    if (f->inputs.root) {
        half_to_float(f->roots, row, pooled);
        for (size_t i = 0; i < pooled; i++)
            f->roots[i] = f->roots[i] > 0 ? sqrtf(f->roots[i]) : 0;
        half_from_float(out, f->roots, pooled);
    } else {
        memcpy(out, row, pooled * sizeof *out);
    }
    out += pooled;
    if (f->inputs.stages) {
        memcpy(out, row + pooled, stages * sizeof *out);
        out += stages;
    }
    if (!f->inputs.classes)
        return 0;
    size_t classes = (size_t)f->sizes.classes;
    half_to_float(f->logits + (size_t)f->n * classes, row + pooled + stages, classes);
    f->to[f->n++] = out;
    return f->n == CHUNK ? flush(f, err) : 0;
}

static const uint16_t *row_of(const struct head_data *d, const struct head_sources *from, size_t i,
                              int view)
{
    size_t example = (size_t)d->example[i];
    return view < d->whole ? features_row(from->images, example, view)
                           : features_row(from->parts, example, view - d->whole);
}

static int fill_images(struct head_data *d, const struct encoder *enc,
                       const struct head_sources *from, int threads, struct err *err)
{
    struct filling f  = {.enc     = enc,
                         .sizes   = encoder_feature_sizes(enc),
                         .inputs  = from->inputs,
                         .threads = threads};
    int            rc = 0;
    f.logits          = mem_array((size_t)f.sizes.classes * CHUNK, sizeof *f.logits);
    f.named           = mem_array((size_t)f.sizes.named * CHUNK, sizeof *f.named);
    f.roots           = mem_array((size_t)f.sizes.image, sizeof *f.roots);
    if (!f.logits || !f.named || !f.roots)
        rc = out_of_memory(CHUNK, err);
    for (size_t i = 0; !rc && i < d->n_images; i++) {
        for (int v = 0; !rc && v < d->views; v++)
            rc = fill_row(&f, row_of(d, from, i, v),
                          d->images + (i * (size_t)d->views + (size_t)v) * (size_t)d->image_dim,
                          err);
    }
    if (!rc)
        rc = flush(&f, err);
    free(f.logits);
    free(f.named);
    free(f.roots);
    return rc;
}

/* The pictures that are usable, in order; their groups and texts. */
static int keep_usable(const struct head_sources *from, struct head_data *d)
{
    const struct examples *e     = from->examples;
    int                    links = 0;
    for (size_t i = 0; i < e->n_images; i++) {
        if (!features_usable(from->images, i) || (from->parts && !features_usable(from->parts, i)))
            continue;
        d->example[d->n_images]    = (int)i;
        d->group[d->n_images]      = e->group[i];
        d->first_text[d->n_images] = links;
        for (int t = e->first_text[i]; t < e->first_text[i + 1]; t++)
            d->text_of[links++] = e->text_of[t];
        d->n_images++;
    }
    d->first_text[d->n_images] = links;
    return links;
}

/* Rows of width numbers, the first of each feature. */
static void copy_rows(uint16_t *to, const struct features *from, size_t n, int width)
{
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * (size_t)width, features_row(from, i, 0), (size_t)width * sizeof *to);
}

/* The classifier's logits of each picture, and its classes' names. */
static int fill_classes(struct head_data *d, const struct head_sources *from,
                        const struct encoder_feature_sizes *sizes, struct err *err)
{
    size_t rows = d->n_images, classes = (size_t)sizes->classes;
    int    at      = sizes->image + sizes->stages;
    size_t names   = classes * (size_t)from->phrasings;
    d->n_classes   = sizes->classes;
    d->phrasings   = from->phrasings;
    d->logits      = mem_array(rows * classes + 1, sizeof *d->logits);
    d->class_texts = mem_array(names * (size_t)d->text_dim + 1, sizeof *d->class_texts);
    if (!d->logits || !d->class_texts)
        return out_of_memory(rows, err);
    if (features_count(from->classes) != names)
        return err_set(err, ERR_FORMAT, "%zu names for %zu classes",
                       features_count(from->classes) / (size_t)from->phrasings, classes);
    for (size_t i = 0; i < rows; i++)
        memcpy(d->logits + i * classes, features_row(from->images, (size_t)d->example[i], 0) + at,
               classes * sizeof *d->logits);
    copy_rows(d->class_texts, from->classes, names, d->text_dim);
    return 0;
}

static int no_number(const char *what, const char *which, struct err *err)
{
    return err_set(err, ERR_FORMAT,
                   "what the model %s %.400s is no number, or beyond half precision: it cannot be "
                   "learned from",
                   what, which);
}

/* A row that is no number would turn the whole training to none, and blame its rate. */
static int check_numbers(const struct head_data *d, const struct examples *e, struct err *err)
{
    size_t views = (size_t)d->views * (size_t)d->image_dim, classes = (size_t)d->n_classes;
    for (size_t i = 0; i < d->n_images; i++) {
        if (!half_finite(d->images + i * views, views) ||
            (d->logits && !half_finite(d->logits + i * classes, classes)))
            return no_number("sees in", e->paths[d->example[i]], err);
    }
    for (size_t i = 0; i < d->n_texts; i++) {
        if (!half_finite(head_data_text(d, (int)i), (size_t)d->text_dim))
            return no_number("reads in", e->texts[i], err);
    }
    size_t names = classes * (size_t)d->phrasings * (size_t)d->text_dim;
    return d->class_texts && !half_finite(d->class_texts, names)
               ? no_number("reads in", "the names of its classes", err)
               : 0;
}

static int make(struct head_data *d, const struct encoder *enc, const struct head_sources *from,
                int threads, struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    const struct examples       *e     = from->examples;
    size_t                       links = e->n_images ? (size_t)e->first_text[e->n_images] : 0;
    size_t                       numbers;
    d->whole     = features_views(from->images);
    d->views     = d->whole + (from->parts ? features_views(from->parts) : 0);
    d->image_dim = sizes.image + (from->inputs.stages ? sizes.stages : 0) +
                   (from->inputs.classes ? sizes.named : 0);
    if (from->inputs.classes)
        d->classes_at = d->image_dim - sizes.named;
    d->text_dim   = sizes.text + (from->inputs.first ? sizes.first : 0);
    d->n_texts    = from->texts ? features_count(from->texts) : 0;
    d->example    = mem_array(e->n_images + 1, sizeof *d->example);
    d->group      = mem_array(e->n_images + 1, sizeof *d->group);
    d->first_text = mem_array(e->n_images + 1, sizeof *d->first_text);
    d->text_of    = mem_array(links + 1, sizeof *d->text_of);
    d->texts      = mem_array(d->n_texts * (size_t)d->text_dim + 1, sizeof *d->texts);
    if (!d->example || !d->group || !d->first_text || !d->text_of || !d->texts)
        return out_of_memory(e->n_images, err);
    keep_usable(from, d);
    if (!size_mul(d->n_images * (size_t)d->views, (size_t)d->image_dim, &numbers) ||
        !(d->images = mem_array(numbers + 1, sizeof *d->images)))
        return out_of_memory(d->n_images, err);
    if (from->texts) /* the pooled state comes first in a row */
        copy_rows(d->texts, from->texts, d->n_texts, d->text_dim);
    int rc = fill_images(d, enc, from, threads, err);
    if (!rc && from->classes)
        rc = fill_classes(d, from, &sizes, err);
    return rc ? rc : check_numbers(d, e, err);
}

int head_data_make(const struct encoder *enc, const struct head_sources *from, int threads,
                   struct head_data *out, struct err *err)
{
    struct head_data d  = {.n_groups = from->examples->n_groups, .classes_at = -1};
    int              rc = make(&d, enc, from, threads, err);
    if (rc)
        head_data_release(&d);
    else
        *out = d;
    return rc;
}

void head_data_release(struct head_data *d)
{
    if (!d)
        return;
    free(d->images);
    free(d->texts);
    free(d->logits);
    free(d->class_texts);
    free(d->example);
    free(d->group);
    free(d->first_text);
    free(d->text_of);
    *d = (struct head_data){0};
}

/* rows: (n) of dim numbers each. */
static int standardise(const uint16_t *const *rows, size_t n, int dim, float *mean, float *scale,
                       struct err *err)
{
    float *x = mem_array(n * (size_t)dim + 1, sizeof *x);
    if (!x)
        return out_of_memory(n, err);
    for (size_t i = 0; i < n; i++)
        half_to_float(x + i * (size_t)dim, rows[i], (size_t)dim);
    standardise_fit_f32(x, n, dim, EPS, mean, scale);
    free(x);
    return 0;
}

int head_data_standardise_images(const struct head_data *d, const int *images, size_t n,
                                 float *mean, float *scale, struct err *err)
{
    if (n > ROWS_TO_STANDARDISE)
        n = ROWS_TO_STANDARDISE;
    const uint16_t **rows = mem_array(n + 1, sizeof *rows);
    if (!rows)
        return out_of_memory(n, err);
    for (size_t i = 0; i < n; i++)
        rows[i] = head_data_image(d, images[i], 0);
    int rc = standardise(rows, n, d->image_dim, mean, scale, err);
    free(rows);
    return rc;
}

int head_data_standardise_texts(const struct head_data *d, const int *images, size_t n, float *mean,
                                float *scale, struct err *err)
{
    const uint16_t **rows = mem_array(ROWS_TO_STANDARDISE, sizeof *rows);
    size_t           have = 0;
    if (!rows)
        return out_of_memory(n, err);
    for (size_t i = 0; i < n && have < ROWS_TO_STANDARDISE; i++) {
        for (int t = d->first_text[images[i]];
             t < d->first_text[images[i] + 1] && have < ROWS_TO_STANDARDISE; t++)
            rows[have++] = head_data_text(d, d->text_of[t]);
    }
    int rc = standardise(rows, have, d->text_dim, mean, scale, err);
    free(rows);
    return rc;
}

void head_data_hash(const struct head_data *d, uint8_t out[HASH_BYTES])
{
    uint8_t parts[8][HASH_BYTES];
    size_t  sizes[] = {d->n_images,          d->n_texts,          d->n_groups,     (size_t)d->views,
                       (size_t)d->image_dim, (size_t)d->text_dim, (size_t)d->whole};
    hash_bytes(sizes, sizeof sizes, parts[0]);
    hash_bytes(d->images, d->n_images * (size_t)d->views * (size_t)d->image_dim * sizeof *d->images,
               parts[1]);
    hash_bytes(d->texts, d->n_texts * (size_t)d->text_dim * sizeof *d->texts, parts[2]);
    hash_bytes(d->group, d->n_images * sizeof *d->group, parts[3]);
    hash_bytes(d->first_text, (d->n_images + 1) * sizeof *d->first_text, parts[4]);
    hash_bytes(d->text_of, (size_t)d->first_text[d->n_images] * sizeof *d->text_of, parts[5]);
    hash_bytes(d->logits, d->n_images * (size_t)d->n_classes * sizeof *d->logits, parts[6]);
    hash_bytes(d->class_texts,
               (size_t)d->n_classes * (size_t)d->phrasings * (size_t)d->text_dim *
                   sizeof *d->class_texts,
               parts[7]);
    hash_bytes(parts, sizeof parts, out);
}
