/* The model that answers for a library: see library_encoder.h. */
#include "storage/library_encoder.h"

#include "base/mem.h"
#include "model/models.h"

#include <stdlib.h>
#include <string.h>

int encoder_open_named(const char *name, const struct encoder_options *options,
                       struct encoder **out, struct err *err)
{
    char *dir = NULL;
    int   rc  = models_find(name, &dir, err);
    if (!rc)
        rc = encoder_open_with(dir, options, out, err);
    free(dir);
    return rc;
}

static int check_dim(const struct library *lib, const struct library_model *m,
                     const struct encoder *enc, struct err *err)
{
    int dim = encoder_info(enc)->dim;
    if (dim == m->dim)
        return 0;
    return err_set(err, ERR_DAMAGED,
                   "the library in %s records %d numbers for the model %s, which yields %d",
                   library_dir(lib), m->dim, m->name, dim);
}

static int open_asked_for(const struct library *lib, const struct library_model *m,
                          const char *model, enum precision precision, struct encoder **out,
                          struct err *err)
{
    struct encoder_options options = {.precision = precision};
    struct encoder        *enc     = NULL;
    int                    rc      = encoder_open_named(model, &options, &enc, err);
    if (rc)
        return rc;
    const struct encoder_info *other = encoder_info(enc);
    if (strcmp(other->hash, m->hash) == 0)
        rc = check_dim(lib, m, enc, err);
    else
        rc = err_set(
            err, ERR_FAILED,
            "the library in %s was filled by the model %s (%.12s), and %s (%.12s) is another: "
            "go on without --model, or run `osprey index --model %s` to embed the pictures "
            "again",
            library_dir(lib), m->name, m->hash, other->name, other->hash, other->dir);
    if (rc)
        encoder_close(enc);
    else
        *out = enc;
    return rc;
}

/* Opens dir, for which options stand, if its weights are those of m; *out stays as
 * it is otherwise. err holds why the first one could not be opened at all. */
static void try_folder(const char *dir, const struct library_model *m,
                       const struct encoder_options *options, struct encoder **out, struct err *err)
{
    struct encoder *enc = NULL;
    struct err      why = ERR_INIT;
    if (*out || !dir || !*dir)
        return;
    int rc = encoder_open_with(dir, options, &enc, &why);
    if (!rc && strcmp(encoder_info(enc)->hash, m->hash) == 0) {
        *out = enc;
        return;
    }
    if (rc && !err->code)
        *err = why;
    encoder_close(enc);
}

/* What the library itself keeps of m, under its name, with the towers that m came
 * with. */
static void try_kept(struct library *lib, const struct library_model *m, enum precision precision,
                     struct encoder **out, struct err *err)
{
    struct encoder_options options = {
        .precision = precision, .name = m->name, .towers_beside = m->dir[0] ? m->dir : NULL};
    char      *dir = NULL;
    struct err why = ERR_INIT;
    if (*out)
        return;
    if (!library_model_kept(lib, m, &dir, &why))
        try_folder(dir, m, &options, out, err);
    else if (why.code != ERR_NOTFOUND && !err->code)
        *err = why;
    free(dir);
}

/* The default model before it had learned: its hash is that of the model of today
 * that keeps it. */
static void try_zeroshot(const struct library_model *m, const struct encoder_options *options,
                         struct encoder **out)
{
    struct err ignored = ERR_INIT;
    char      *dir     = NULL;
    if (!*out && strcmp(m->name, MODELS_DEFAULT) == 0 && !models_find(MODELS_ZEROSHOT, &dir, NULL))
        try_folder(dir, m, options, out, &ignored);
    free(dir);
}

/* What precision comes to for vectors of m. */
static int settle_precision(const struct library *lib, const struct library_model *m,
                            enum precision *precision, struct err *err)
{
    if (*precision != PRECISION_AUTO || precision_of(m->precision, precision))
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "the library in %s was filled in the precision %s, which this version does not "
                   "know",
                   library_dir(lib), m->precision);
}

int encoder_open_recorded(struct library *lib, const struct library_model *m,
                          enum precision precision, struct encoder **out, bool *newer,
                          struct err *err)
{
    struct encoder *enc    = NULL;
    char           *named  = NULL;
    struct err      reason = ERR_INIT;
    int             rc     = settle_precision(lib, m, &precision, err);
    if (rc)
        return rc;
    struct encoder_options options = {.precision = precision};
    if (!models_find(m->name, &named, NULL))
        try_folder(named, m, &options, &enc, &reason);
    bool replaced = named && !enc;
    if (!named || strcmp(named, m->dir) != 0)
        try_folder(m->dir, m, &options, &enc, &reason);
    try_kept(lib, m, precision, &enc, &reason);
    try_zeroshot(m, &options, &enc);
    if (enc)
        rc = check_dim(lib, m, enc, err);
    else if (reason.code)
        rc = err_set(err, ERR_FAILED, "cannot open the model %s that filled the library in %s: %s",
                     m->name, library_dir(lib), reason.msg);
    else
        rc = err_set(err, ERR_FAILED,
                     "the library in %s was filled by the model %s with other weights (%.12s) than "
                     "those now in %s: put the old ones back, or run `osprey index --model %s` to "
                     "embed the pictures again",
                     library_dir(lib), m->name, m->hash, named ? named : m->dir,
                     named ? named : m->dir);
    free(named);
    if (rc)
        encoder_close(enc);
    else
        *out = enc;
    if (!rc && newer)
        *newer = replaced;
    return rc;
}

int library_keep_encoder(struct library *lib, const struct library_model *m,
                         const struct encoder *enc, struct err *err)
{
    struct encoder_part *parts = NULL;
    struct library_file *files = NULL;
    size_t               n     = 0;
    int                  rc    = encoder_parts(enc, &parts, &n, err);
    if (!rc && !(files = mem_array(n + 1, sizeof *files)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !rc; i++)
        files[i] = (struct library_file){parts[i].name, parts[i].data, parts[i].len};
    if (!rc)
        rc = library_model_keep(lib, m, files, n, err);
    free(files);
    encoder_parts_free(parts, n);
    return rc;
}

int library_open_encoder(struct library *lib, const char *model, enum precision precision,
                         struct encoder **out, struct err *err)
{
    struct library_model m;
    int                  rc = library_model_active(lib, &m, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND,
                       "the library in %s has no pictures to search yet: run `osprey index DIR`",
                       library_dir(lib));
    if (!rc && model)
        rc = settle_precision(lib, &m, &precision, err);
    if (rc)
        return rc;
    return model ? open_asked_for(lib, &m, model, precision, out, err)
                 : encoder_open_recorded(lib, &m, precision, out, NULL, err);
}
