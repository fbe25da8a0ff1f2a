/* What a command has open (session.h). */
#include "cli/session.h"

#include "base/parallel.h"
#include "storage/library_encoder.h"
#include "storage/library_rerank.h"

#include <stdlib.h>

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

/* A query is one picture or a few words. A small model answers it in
 * milliseconds on one thread, and starting more costs that much again: threads
 * that wait for each other busily are slower still where others are at work. */
#define ONE_THREAD_PARAMETERS 100000000
#define QUERY_THREADS         8

static int session_scratch(struct session *s, struct err *err)
{
    int threads = parallel_cores();
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
    const struct encoder_options options = {.precision   = s->common->precision,
                                            .towers_only = s->towers_only};
    int                          rc = encoder_open_named(s->common->model, &options, &s->enc, err);
    return rc ? rc : session_scratch(s, err);
}

int session_library_encoder(struct session *s, struct err *err)
{
    if (s->enc)
        return 0;
    int rc = library_open_encoder(s->lib, s->common->model, s->common->precision, &s->enc, err);
    return rc ? rc : session_scratch(s, err);
}

int parse_rerank(const char *text, size_t *out, struct err *err)
{
    *out   = RERANK_DEFAULT;
    int rc = *text ? parse_count(text, "--rerank", out, err) : 0;
    if (!rc && *out > RERANK_MAX)
        rc = err_set(err, ERR_USAGE, "--rerank takes at most %d, not %s", RERANK_MAX, text);
    return rc;
}

int session_reranker(struct session *s, const char *dir, struct err *err)
{
    return s->reranker ? 0 : reranker_open(dir, s->enc, &s->reranker, err);
}

void session_release(struct session *s)
{
    reranker_close(s->reranker);
    encoder_scratch_free(s->scratch);
    encoder_close(s->enc);
    library_close(s->lib);
    s->reranker = NULL;
    s->scratch  = NULL;
    s->enc      = NULL;
    s->lib      = NULL;
}
