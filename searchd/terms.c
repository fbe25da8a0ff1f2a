/* From a request's terms to a vector: see terms.h. */
#include "searchd/terms.h"

#include "base/base64.h"
#include "base/mem.h"
#include "searchd/fields.h"
#include "searchd/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXTS_AT_ONCE 16

static int add(struct terms *terms, const struct term *term, struct err *err)
{
    if (terms->n == QUERY_MAX_TERMS)
        return err_set(err, ERR_USAGE, "a query has at most %d terms", QUERY_MAX_TERMS);
    terms->items[terms->n++] = *term;
    return 0;
}

int terms_add_text(struct terms *terms, const char *text, float weight, struct err *err)
{
    if (!*text)
        return err_set(err, ERR_USAGE, "the text to search for is empty");
    if (strlen(text) > TERMS_MAX_TEXT)
        return err_set(err, ERR_USAGE, "a text has at most %d bytes", TERMS_MAX_TEXT);
    return add(terms, &(struct term){.weight = weight, .text = text}, err);
}

int terms_add_image(struct terms *terms, const uint8_t *bytes, size_t n, float weight,
                    struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_USAGE, "the picture is empty");
    if (terms->n_images == TERMS_MAX_IMAGES)
        return err_set(err, ERR_USAGE, "a query has at most %d pictures that are uploaded",
                       TERMS_MAX_IMAGES);
    terms->n_images++;
    return add(terms, &(struct term){.weight = weight, .image = bytes, .image_len = n}, err);
}

int terms_add_id(struct terms *terms, int64_t id, float weight, struct err *err)
{
    return add(terms, &(struct term){.weight = weight, .id = id}, err);
}

int terms_decode(struct call *call, const char *text, uint8_t **bytes, size_t *n, struct err *err)
{
    static const char scheme[] = "data:", encoding[] = ";base64,";
    if (!strncasecmp(text, scheme, sizeof scheme - 1)) {
        const char *comma = strchr(text, ',');
        size_t      head  = comma ? (size_t)(comma + 1 - text) : 0;
        if (head < sizeof encoding - 1 ||
            strncasecmp(text + head - (sizeof encoding - 1), encoding, sizeof encoding - 1) != 0)
            return err_set(err, ERR_USAGE, "a data URL must be data:image/...;base64,...");
        text += head;
    }
    int rc = base64_decode(text, strlen(text), bytes, n, err);
    return rc ? rc : call_keep(call, *bytes, err);
}

int terms_add_base64(struct call *call, struct terms *terms, const char *text, float weight,
                     struct err *err)
{
    uint8_t *bytes = NULL;
    size_t   n     = 0;
    int      rc    = terms_decode(call, text, &bytes, &n, err);
    return rc ? rc : terms_add_image(terms, bytes, n, weight, err);
}

struct term_input {
    const char *text, *image;
    int64_t     id;
    double      weight;
};

static const struct field term_fields[] = {
    {"text", FIELD_TEXT, 0, 0, offsetof(struct term_input, text)},
    {"image", FIELD_TEXT, 0, 0, offsetof(struct term_input, image)},
    {"id", FIELD_INT, 1, 1e12, offsetof(struct term_input, id)},
    {"weight", FIELD_REAL, -1000, 1000, offsetof(struct term_input, weight)},
};

int terms_add_nodes(struct call *call, struct terms *terms, const struct jnode *nodes,
                    struct err *err)
{
    int rc = jnode_is_array(nodes) ? 0 : err_set(err, ERR_USAGE, "terms must be an array");
    for (size_t i = 0; i < jnode_len(nodes) && !rc; i++) {
        struct term_input input  = {.weight = 1};
        struct fields     fields = {
                .table = term_fields, .n = sizeof term_fields / sizeof *term_fields, .into = &input};
        rc = fields_take_json(&fields, jnode_at(nodes, i), err);
        if (!rc && !!input.text + !!input.image + !!input.id != 1)
            rc = err_set(err, ERR_USAGE, "it has one of text, image and id");
        if (!rc && input.weight == 0)
            rc = err_set(err, ERR_USAGE, "its weight must not be 0");
        float weight = (float)input.weight;
        if (!rc && input.text)
            rc = terms_add_text(terms, input.text, weight, err);
        else if (!rc && input.image)
            rc = terms_add_base64(call, terms, input.image, weight, err);
        else if (!rc)
            rc = terms_add_id(terms, input.id, weight, err);
        if (rc)
            err_prefix(err, "terms[%zu]", i);
    }
    return rc;
}

/* ---- Encoding ---- */

int terms_encode_image(struct call *call, struct desk *desk, const uint8_t *bytes, size_t n,
                       float *out, struct image_info *info, struct err *err)
{
    uint8_t *pixels = NULL;
    double   start  = clock_ms();
    int      rc     = call_check_time(call, err);
    if (!rc)
        rc =
            picture_to_pixels(call->app->darkroom, call->x->request.deadline_ms, desk_encoder(desk),
                              bytes, n, (uint64_t)call->app->config.max_pixels, &pixels, info, err);
    double decoded = clock_ms();
    call_stage(call, STAGE_DECODE, decoded - start);
    if (!rc)
        rc = desk_pixels(desk, pixels, call->x->request.deadline_ms, out, err);
    call_stage(call, STAGE_ENCODE, clock_ms() - decoded);
    free(pixels);
    return rc;
}

int terms_encode_texts(struct call *call, struct desk *desk, const char *const *texts, size_t n,
                       float *out, struct err *err)
{
    size_t dim   = (size_t)encoder_info(desk_encoder(desk))->dim;
    double start = clock_ms();
    int    rc    = 0;
    for (size_t i = 0; i < n && !rc; i += TEXTS_AT_ONCE) {
        size_t some = n - i < TEXTS_AT_ONCE ? n - i : TEXTS_AT_ONCE;
        rc          = call_check_time(call, err);
        if (!rc)
            rc = desk_texts(desk, texts + i, (int)some, call->x->request.deadline_ms, out + i * dim,
                            err);
    }
    call_stage(call, STAGE_ENCODE, clock_ms() - start);
    return rc;
}

static int encode_texts(struct call *call, struct desk *desk, const struct terms *terms, float *out,
                        struct err *err)
{
    size_t      dim = (size_t)encoder_info(desk_encoder(desk))->dim, n = 0;
    const char *texts[QUERY_MAX_TERMS];
    size_t      row[QUERY_MAX_TERMS];
    for (size_t i = 0; i < terms->n; i++) {
        if (terms->items[i].text) {
            texts[n] = terms->items[i].text;
            row[n++] = i;
        }
    }
    float *batch = mem_array(n * dim, sizeof *batch);
    if (!batch)
        return err_set(err, ERR_NOMEM, "out of memory for %zu texts", n);
    int rc = terms_encode_texts(call, desk, texts, n, batch, err);
    for (size_t i = 0; i < n && !rc; i++)
        memcpy(out + row[i] * dim, batch + i * dim, dim * sizeof *batch);
    free(batch);
    return rc;
}

/* What is stored has the rounding of halves. */
static void normalise(float *v, size_t dim)
{
    double squares = 0;
    for (size_t i = 0; i < dim; i++)
        squares += (double)v[i] * (double)v[i];
    double norm = sqrt(squares);
    for (size_t i = 0; norm > 0 && i < dim; i++)
        v[i] = (float)(v[i] / norm);
}

static int fetch_stored(struct call *call, struct desk *desk, const struct terms *terms, float *out,
                        struct err *err)
{
    struct library      *lib = NULL;
    struct library_model model;
    size_t               dim   = (size_t)encoder_info(desk_encoder(desk))->dim;
    double               start = clock_ms();
    int                  rc    = call_library(call, &lib, err);
    if (!rc)
        rc = library_model_active(lib, &model, err);
    if (!rc && model.dim != (int)dim)
        rc = err_set(err, ERR_BUSY, "the library changes its model just now");
    for (size_t i = 0; i < terms->n && !rc; i++) {
        if (!terms->items[i].id)
            continue;
        rc = library_embedding_get(lib, terms->items[i].id, out + i * dim, err);
        if (!rc)
            normalise(out + i * dim, dim);
    }
    call_done(call, lib);
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    return rc;
}

enum library_query terms_kind(const struct terms *terms)
{
    size_t n_texts = 0;
    for (size_t i = 0; i < terms->n; i++)
        n_texts += terms->items[i].text != NULL;
    return library_query_kind(n_texts, terms->n - n_texts);
}

int terms_encode(struct call *call, struct desk *desk, const struct terms *terms, float *out,
                 struct err *err)
{
    size_t dim    = (size_t)encoder_info(desk_encoder(desk))->dim;
    bool   stored = false, texts = false;
    int    rc = 0;
    for (size_t i = 0; i < terms->n; i++) {
        stored |= terms->items[i].id != 0;
        texts |= terms->items[i].text != NULL;
    }
    if (stored)
        rc = fetch_stored(call, desk, terms, out, err);
    if (!rc && texts)
        rc = encode_texts(call, desk, terms, out, err);
    for (size_t i = 0; i < terms->n && !rc; i++) {
        const struct term *t = &terms->items[i];
        if (t->image)
            rc = terms_encode_image(call, desk, t->image, t->image_len, out + i * dim, NULL, err);
    }
    return rc;
}
