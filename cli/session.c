/* What a command has open (session.h). */
#include "cli/session.h"

#include "cli/system.h"
#include "model/models.h"

#include <stdlib.h>
#include <string.h>

int session_library(struct session *s, struct err *err)
{
    char *fallback = NULL;
    int   rc       = 0;
    if (s->lib)
        return 0;
    const char *dir = s->common->library;
    if (!dir) {
        rc = library_default_dir(&fallback, err);
        if (rc)
            return rc;
        dir = fallback;
    }
    rc = library_open(dir, LIBRARY_EXISTING, &s->lib, err);
    if (rc == ERR_NOTFOUND)
        rc = err_set(err, ERR_NOTFOUND,
                     "there is no library in %s yet: `osprey index DIR` makes one%s", dir,
                     s->common->library ? " (with the same --library)" : "");
    free(fallback);
    return rc;
}

static int open_named(const char *name, struct encoder **enc, struct err *err)
{
    char *dir = NULL;
    int   rc  = models_find(name, &dir, err);
    if (!rc)
        rc = encoder_open(dir, enc, err);
    free(dir);
    return rc;
}

/* A query is one picture or a few words. A small model answers it in
 * milliseconds on one thread, and starting more costs that much again: threads
 * that wait for each other busily are slower still where others are at work. */
#define ONE_THREAD_PARAMETERS 100000000
#define QUERY_THREADS         8

static int session_scratch(struct session *s, struct err *err)
{
    int threads = usable_cpus();
    if (threads > QUERY_THREADS)
        threads = QUERY_THREADS;
    if (encoder_info(s->enc)->parameters < ONE_THREAD_PARAMETERS)
        threads = 1;
    return encoder_scratch_new(s->enc, threads, &s->scratch, err);
}

int session_encoder(struct session *s, struct err *err)
{
    if (s->enc)
        return 0;
    int rc = open_named(s->common->model ? s->common->model : MODELS_DEFAULT, &s->enc, err);
    return rc ? rc : session_scratch(s, err);
}

static int other_model(const struct session *s, const struct library_model *m,
                       const struct encoder_info *other, struct err *err)
{
    return err_set(err, ERR_FAILED,
                   "the library in %s was filled by the model %s (%.12s), and %s (%.12s) is "
                   "another: search without --model, or run `osprey index --model %s` to embed "
                   "the pictures again",
                   library_dir(s->lib), m->name, m->hash, other->name, other->hash, other->dir);
}

/* Opens dir into s->enc if its weights are those of m; 0 also when they are not. */
static int try_model(struct session *s, const char *dir, const struct library_model *m,
                     struct err *err)
{
    struct encoder *enc = NULL;
    int             rc  = encoder_open(dir, &enc, err);
    if (!rc && strcmp(encoder_info(enc)->hash, m->hash) == 0) {
        s->enc = enc;
        return 0;
    }
    encoder_close(enc);
    return rc;
}

static int open_recorded(struct session *s, const struct library_model *m, struct err *err)
{
    char      *named  = NULL;
    struct err reason = ERR_INIT;
    struct err ignore = ERR_INIT;
    int        rc     = models_find(m->name, &named, &ignore);
    if (!rc)
        try_model(s, named, m, &reason);
    if (!s->enc && m->dir[0] && (!named || strcmp(named, m->dir) != 0))
        try_model(s, m->dir, m, &reason);
    if (s->enc) {
        rc = 0;
    } else if (reason.code) {
        rc = err_set(err, ERR_FAILED, "cannot open the model %s that filled the library in %s: %s",
                     m->name, library_dir(s->lib), reason.msg);
    } else {
        rc = err_set(err, ERR_FAILED,
                     "the library in %s was filled by the model %s with other weights (%.12s) than "
                     "those now in %s: put the old ones back, or run `osprey index --model %s` to "
                     "embed the pictures again",
                     library_dir(s->lib), m->name, m->hash, named ? named : m->dir,
                     named ? named : m->dir);
    }
    free(named);
    return rc;
}

int session_library_encoder(struct session *s, struct err *err)
{
    struct library_model m;
    if (s->enc)
        return 0;
    int rc = library_model_active(s->lib, &m, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND,
                       "the library in %s has no pictures to search yet: run `osprey index DIR`",
                       library_dir(s->lib));
    if (rc)
        return rc;
    if (s->common->model) {
        rc = open_named(s->common->model, &s->enc, err);
        if (rc)
            return rc;
        if (strcmp(encoder_info(s->enc)->hash, m.hash) != 0)
            return other_model(s, &m, encoder_info(s->enc), err);
    } else {
        rc = open_recorded(s, &m, err);
        if (rc)
            return rc;
    }
    if (encoder_info(s->enc)->dim != m.dim)
        return err_set(err, ERR_DAMAGED,
                       "the library in %s records %d numbers for the model %s, "
                       "which yields %d",
                       library_dir(s->lib), m.dim, m.name, encoder_info(s->enc)->dim);
    return session_scratch(s, err);
}

void session_release(struct session *s)
{
    encoder_scratch_free(s->scratch);
    encoder_close(s->enc);
    library_close(s->lib);
    s->scratch = NULL;
    s->enc     = NULL;
    s->lib     = NULL;
}
