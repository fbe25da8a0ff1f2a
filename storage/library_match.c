/* From scores to matches: see library_match.h.
 *
 * The constants are logistic fits on Flickr8k's development split with osprey-small and
 * its zero-shot parent, over libraries of 20 to 1,000 pictures. Texts: first results
 * that are right against the first results of the same captions once their picture is
 * gone, both weighing the same. Pictures: mirrored parts of pictures, likewise.
 */
#include "storage/library_match.h"

#include "base/mem.h"
#include "storage/library_impl.h"

#include <math.h>
#include <stdlib.h>

#define LEAST_PICTURES 8
#define FLAT           1e-6 /* a deviation that is none */

/* logit(match) = SLOPE * (z - (BASE + GROWTH * sqrt(ln(images)))): the best of n
 * independent normal scores lies near sqrt(2 ln(n)). */
#define TEXT_SLOPE  1.5
#define TEXT_BASE   (-0.25)
#define TEXT_GROWTH 1.65

/* logit(match) = SLOPE * (u - MIDDLE) */
#define IMAGE_SLOPE  15.0
#define IMAGE_MIDDLE 0.68

enum library_query library_query_kind(size_t n_texts, size_t n_images)
{
    if (n_images == 0)
        return LIBRARY_QUERY_TEXT;
    return n_images == 1 && n_texts == 0 ? LIBRARY_QUERY_IMAGE : LIBRARY_QUERY_MIXED;
}

/* ---- Scores ---- */

/* The closeness that a score stands for: distance_score the other way round. */
static double closeness_of(enum distance distance, double score)
{
    if (distance == DISTANCE_COSINE)
        return score;
    double d = 1 / score - 1;
    return distance == DISTANCE_EUCLIDEAN ? 1 - d * d / 2 : -d;
}

/* Of a picture to itself. */
static double closest(enum distance distance)
{
    return distance == DISTANCE_MANHATTAN ? 0 : 1;
}

struct library_match library_match_from(enum library_query kind, enum distance distance,
                                        const float *closeness, size_t n, double spread,
                                        int64_t images)
{
    struct library_match m   = {.kind = kind, .distance = distance, .images = (double)images};
    double               sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)closeness[i];
    m.mean = n ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)closeness[i] - m.mean;
        squares += d * d;
    }
    m.deviation = n ? sqrt(squares / (double)n) : 0;
    m.scale = spread > 0 ? sqrt((m.deviation * m.deviation + spread * spread) / 2) : m.deviation;
    m.known = n >= LEAST_PICTURES && m.deviation > FLAT && closest(distance) - m.mean > FLAT;
    return m;
}

static double text_middle(const struct library_match *m)
{
    return TEXT_BASE + TEXT_GROWTH * sqrt(log(m->images));
}

double library_match_of(const struct library_match *m, float score)
{
    if (!m->known)
        return 0;
    double away  = closeness_of(m->distance, (double)score) - m->mean;
    double logit = 0;
    if (m->kind == LIBRARY_QUERY_IMAGE) {
        double u = away / (closest(m->distance) - m->mean);
        if (m->distance == DISTANCE_MANHATTAN) /* as squares of distances, which the cosine is */
            u = 1 - (1 - u) * (1 - u);
        logit = IMAGE_SLOPE * (u - IMAGE_MIDDLE);
    } else {
        logit = TEXT_SLOPE * (away / m->scale - text_middle(m));
    }
    return 1 / (1 + exp(-logit));
}

float library_match_score(const struct library_match *m, double wanted)
{
    if (!m->known || wanted <= 0)
        return -INFINITY;
    if (wanted >= 1)
        return INFINITY;
    double logit = log(wanted / (1 - wanted)), away;
    if (m->kind == LIBRARY_QUERY_IMAGE) {
        double u = IMAGE_MIDDLE + logit / IMAGE_SLOPE;
        if (m->distance == DISTANCE_MANHATTAN)
            u = u < 1 ? 1 - sqrt(1 - u) : u;
        away = u * (closest(m->distance) - m->mean);
    } else {
        away = (text_middle(m) + logit / TEXT_SLOPE) * m->scale;
    }
    return distance_score(m->distance, (float)(m->mean + away));
}

int library_match_begin(struct library *lib, const float *query, enum library_query kind,
                        struct library_match *out, struct err *err)
{
    struct library_model model;
    struct err           why = ERR_INIT;
    bool                 fresh;
    float                closeness[LIBRARY_BACKGROUND];
    struct background   *b = &lib->background;
    *out                   = (struct library_match){.kind = kind};
    int rc                 = catalog_begin_read(lib->cat, err);
    if (rc)
        return rc;
    rc = library_model_active(lib, &model, &why);
    if (rc == 0)
        rc = library_background_take(lib, &model, b, &fresh, &why);
    catalog_rollback(lib->cat);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    for (size_t i = 0; i < b->n; i++)
        closeness[i] = library_closeness(lib, &model, query, b->vectors + i * (size_t)model.dim);
    *out = library_match_from(kind, model.distance, closeness, b->n, b->spread, b->images);
    return 0;
}
