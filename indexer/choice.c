/* Which model fills the library: see choice.h. */
#include "indexer/choice.h"

#include "model/models.h"
#include "storage/library_encoder.h"

#include <stdio.h>
#include <string.h>

static void model_describe(const struct encoder_info *info, struct library_model *model)
{
    *model = (struct library_model){.dim = info->dim};
    (void)snprintf(model->name, sizeof model->name, "%s", info->name);
    (void)snprintf(model->dir, sizeof model->dir, "%s", info->dir);
    (void)snprintf(model->hash, sizeof model->hash, "%s", info->hash);
    (void)snprintf(model->precision, sizeof model->precision, "%s", info->precision);
}

int choice_make(struct library *lib, const char *name, struct choice *choice, struct err *err)
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
        return encoder_open_recorded(lib, &active, &choice->encoder, err);
    }
    rc = encoder_open_named(name ? name : MODELS_DEFAULT, &choice->encoder, err);
    if (rc)
        return rc;
    model_describe(encoder_info(choice->encoder), &choice->model);
    rc = library_model_register(lib, &choice->model, err);
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
    return rc ? rc : encoder_open_recorded(lib, &choice->model, &choice->encoder, err);
}

void choice_release(struct choice *choice)
{
    encoder_close(choice->encoder);
    choice->encoder = NULL;
}
