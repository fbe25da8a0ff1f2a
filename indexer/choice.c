/* Which model fills the library: see choice.h. */
#include "indexer/choice.h"

#include "model/models.h"
#include "storage/library_encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void model_describe(const struct encoder_info *info, struct library_model *model)
{
    *model = (struct library_model){.dim = info->dim, .distance = info->distance};
    (void)snprintf(model->name, sizeof model->name, "%s", info->name);
    (void)snprintf(model->dir, sizeof model->dir, "%s", info->dir);
    (void)snprintf(model->hash, sizeof model->hash, "%s", info->hash);
    (void)snprintf(model->precision, sizeof model->precision, "%s", info->precision);
}

/* A model that has vectors in the library keeps the precision they have. */
static int same_precision(const struct library_model *known, enum precision precision,
                          struct err *err)
{
    if (precision == PRECISION_AUTO || strcmp(precision_name(precision), known->precision) == 0)
        return 0;
    return err_set(err, ERR_USAGE,
                   "this library was filled by the model %s in %s, and vectors in %s do not belong "
                   "with them: leave --precision out, or fill another library",
                   known->name, known->precision, precision_name(precision));
}

/* Whether the library has, or is getting, vectors of these weights. */
static bool knows(struct library *lib, const char *hash, struct library_model *out)
{
    return (!library_model_active(lib, out, NULL) && strcmp(out->hash, hash) == 0) ||
           (!library_model_filling(lib, out, NULL) && strcmp(out->hash, hash) == 0);
}

static int named_open(struct library *lib, const char *name, enum precision precision,
                      struct encoder **out, struct err *err)
{
    struct encoder_options options = {.precision = precision};
    struct library_model   known;
    char                  *dir = NULL;
    int                    rc  = models_find(name, &dir, err);
    if (!rc)
        rc = encoder_open_with(dir, &options, out, err);
    if (!rc && knows(lib, encoder_info(*out)->hash, &known) &&
        strcmp(encoder_info(*out)->precision, known.precision) != 0) {
        encoder_close(*out);
        *out = NULL;
        rc   = same_precision(&known, precision, err);
        if (!rc && !precision_of(known.precision, &options.precision))
            rc = err_set(err, ERR_UNSUPPORTED, "unknown precision %s", known.precision);
        if (!rc)
            rc = encoder_open_with(dir, &options, out, err);
    }
    free(dir);
    return rc;
}

/* Libraries from before models were kept get theirs, too. */
static int keep(struct library *lib, struct choice *choice, struct err *err)
{
    int rc = library_keep_encoder(lib, &choice->model, choice->encoder, err);
    if (rc)
        choice_release(choice);
    return rc;
}

int choice_make(struct library *lib, const char *name, enum precision precision,
                struct choice *choice, struct err *err)
{
    struct library_model active = {0};
    struct err           why    = ERR_INIT;
    *choice                     = (struct choice){0};
    int rc                      = library_model_active(lib, &active, &why);
    if (rc && rc != ERR_NOTFOUND) {
        *err = why;
        return rc;
    }
    bool none = rc == ERR_NOTFOUND;
    if (!none && !name) {
        choice->model = active;
        rc            = same_precision(&active, precision, err);
        if (!rc)
            rc = encoder_open_recorded(lib, &active, PRECISION_AUTO, &choice->encoder,
                                       &choice->newer, err);
        return rc ? rc : keep(lib, choice, err);
    }
    rc = named_open(lib, name, precision, &choice->encoder, err);
    if (rc)
        return rc;
    model_describe(encoder_info(choice->encoder), &choice->model);
    rc = library_model_register(lib, &choice->model, err);
    if (!rc)
        rc = library_keep_encoder(lib, &choice->model, choice->encoder, err);
    if (!rc && none)
        rc = library_model_activate(lib, choice->model.id, err);
    choice->filling = !none && strcmp(choice->model.hash, active.hash) != 0;
    if (rc)
        choice_release(choice);
    return rc;
}

int choice_filling(struct library *lib, struct choice *choice, struct err *err)
{
    *choice = (struct choice){.filling = true};
    int rc  = library_model_filling(lib, &choice->model, err);
    return rc ? rc
              : encoder_open_recorded(lib, &choice->model, PRECISION_AUTO, &choice->encoder,
                                      &choice->newer, err);
}

int choice_rerank(struct library *lib, const char *dir, struct choice *choice, struct err *err)
{
    int rc = reranker_open(dir, choice->encoder, &choice->reranker, err);
    if (rc)
        return rc;
    const struct reranker_info *info = reranker_info(choice->reranker);
    return library_regions_want(lib, choice->model.id, info->hash, info->kept_bytes, err);
}

void choice_release(struct choice *choice)
{
    reranker_close(choice->reranker);
    choice->reranker = NULL;
    encoder_close(choice->encoder);
    choice->encoder = NULL;
}
