/* The background by which scores are measured, taken and kept: see library_match.h. */
#include "storage/library_match.h"

#include "base/mem.h"
#include "model/encoder.h"
#include "storage/library_impl.h"

#include <stdlib.h>
#include <string.h>

/* What people look for in pictures, to learn how a model scores sentences. */
static const char *const SENTENCES[] = {
    "a dog on the grass",
    "a cat asleep on a sofa",
    "two children play on a beach",
    "a woman in a red dress",
    "a man on a bicycle",
    "people at a table in a restaurant",
    "a street in a city at night",
    "mountains and a lake",
    "a boat on the sea",
    "a field of yellow flowers",
    "a car on a road",
    "a house with a garden",
    "snow on trees in winter",
    "a birthday cake with candles",
    "a horse runs in a field",
    "a bird on a branch",
    "a group of friends smile at the camera",
    "a football match",
    "a train at a station",
    "a plane in the sky",
    "a plate of food",
    "a cup of coffee and a book",
    "a baby in a cot",
    "a wedding",
    "a sunset over the ocean",
    "a concert on a stage",
    "a computer on a desk",
    "a painting on a wall",
    "a church with a tower",
    "a bridge over a river",
    "a waterfall in a forest",
    "fireworks",
};

size_t library_match_n_sentences(void)
{
    return sizeof SENTENCES / sizeof *SENTENCES;
}

void library_background_release(struct background *b)
{
    free(b->vectors);
    *b = (struct background){0};
}

/* Whether what was taken at seq from so many images still stands for a library that
 * has come to `last`. A small one is taken whole, at any change. */
static bool stands(int64_t seq, int64_t images, int64_t last)
{
    return last == seq || (last > seq && images > LIBRARY_BACKGROUND && last - seq <= images / 10);
}

int library_background_take(struct library *lib, const struct library_model *model,
                            struct background *b, bool *fresh, struct err *err)
{
    struct library_stats stats;
    int64_t              last, stamp;
    struct err           why = ERR_INIT;
    *fresh                   = false;
    int rc                   = catalog_change_last(lib->cat, &last, &stamp, err);
    if (rc || (b->model_id == model->id && stands(b->seq, b->images, last)))
        return rc;
    library_background_release(b);
    b->vectors = mem_array((size_t)LIBRARY_BACKGROUND * (size_t)model->dim, sizeof *b->vectors);
    if (!b->vectors)
        return err_set(err, ERR_NOMEM, "out of memory for the background of %s", lib->dir);
    rc = catalog_background_get(lib->cat, model->id, model->dim, b, &why);
    if (rc && rc != ERR_NOTFOUND && rc != ERR_DAMAGED) /* of the latter verify tells */
        return err_set(err, why.code, "%s", why.msg);
    if (rc || !stands(b->seq, b->images, last)) {
        rc        = catalog_stats(lib->cat, &stats, err);
        b->seq    = last;
        b->images = stats.images;
        b->n      = 0;
        *fresh    = true;
        if (!rc)
            rc = catalog_background_sample(lib->cat, model->id, model->dim, stats.images,
                                           b->vectors, &b->n, err);
    }
    b->model_id = rc ? 0 : model->id;
    return rc;
}

/* ---- Keeping it ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int library_match_spread(const float *closeness, size_t n_sentences, size_t n, double *spread,
                         struct err *err)
{
    double *deviations = mem_array(n_sentences, sizeof *deviations);
    if (!deviations)
        return err_set(err, ERR_NOMEM, "out of memory for %zu sentences", n_sentences);
    for (size_t s = 0; s < n_sentences; s++)
        deviations[s] = library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, closeness + s * n,
                                           n, 0, (int64_t)n)
                            .deviation;
    qsort(deviations, n_sentences, sizeof *deviations, by_size);
    *spread = deviations[n_sentences / 2];
    free(deviations);
    return 0;
}

int library_match_sentences(const struct encoder *enc, float **out, size_t *n, struct err *err)
{
    struct encoder_scratch *scratch = NULL;
    *n                              = library_match_n_sentences();
    *out                            = mem_array(*n * (size_t)encoder_info(enc)->dim, sizeof **out);
    int rc                          = *out ? encoder_scratch_new(enc, 1, &scratch, err)
                                           : err_set(err, ERR_NOMEM, "out of memory for %zu sentences", *n);
    if (!rc)
        rc = encoder_texts(enc, scratch, SENTENCES, (int)*n, *out, err);
    encoder_scratch_free(scratch);
    if (rc) {
        free(*out);
        *out = NULL;
    }
    return rc;
}

static int measure_spread(const struct library *lib, const struct library_model *model,
                          const struct encoder *enc, struct background *b, struct err *err)
{
    float *sentences = NULL, *closeness = NULL;
    size_t n = 0, dim = (size_t)model->dim;
    int    rc = library_match_sentences(enc, &sentences, &n, err);
    if (!rc && !(closeness = mem_array(n * b->n + 1, sizeof *closeness)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu sentences", n);
    for (size_t i = 0; !rc && i < n * b->n; i++)
        closeness[i] =
            library_closeness(lib, model, sentences + i / b->n * dim, b->vectors + i % b->n * dim);
    if (!rc)
        rc = library_match_spread(closeness, n, b->n, &b->spread, err);
    free(closeness);
    free(sentences);
    return rc;
}

static int store(struct library *lib, const struct library_model *model, const struct background *b,
                 struct err *err)
{
    struct library_model now;
    int                  rc = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = library_model_active(lib, &now, err);
    if (!rc && now.id == model->id) /* else it was retired in between */
        rc = catalog_background_put(lib->cat, model->dim, b, err);
    if (!rc)
        return catalog_commit(lib->cat, err);
    catalog_rollback(lib->cat);
    return rc;
}

int library_background_maintain(struct library *lib, const struct encoder *enc, struct err *err)
{
    struct library_model model;
    struct background    b     = {0};
    struct err           why   = ERR_INIT;
    bool                 fresh = false;
    if (catalog_is_read_only(lib->cat))
        return 0;
    int rc = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    rc = library_model_active(lib, &model, &why);
    if (rc == 0)
        rc = library_background_take(lib, &model, &b, &fresh, &why);
    catalog_rollback(lib->cat);
    bool answers  = rc == 0 && enc && strcmp(encoder_info(enc)->hash, model.hash) == 0;
    bool measures = answers && b.n > 0 && (fresh || b.spread <= 0);
    if (measures)
        rc = measure_spread(lib, &model, enc, &b, &why);
    if (rc == 0 && (fresh || measures))
        rc = store(lib, &model, &b, &why);
    library_background_release(&b);
    return rc && rc != ERR_NOTFOUND ? err_set(err, why.code, "%s", why.msg) : 0;
}

int library_background_get(struct library *lib, struct library_background *out, struct err *err)
{
    struct library_model model;
    int                  rc = library_model_active(lib, &model, err);
    return rc ? rc : catalog_background_size(lib->cat, model.id, model.dim, out, err);
}
