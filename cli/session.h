/* What a command has open: a library, the model that answers, scratch memory.
 *
 * Everything is opened when first needed, so that no command pays for what it
 * does not use.
 */
#ifndef OSPREY_CLI_SESSION_H
#define OSPREY_CLI_SESSION_H

#include "base/err.h"
#include "cli/options.h"
#include "model/encoder.h"
#include "rerank/rerank.h"
#include "storage/library.h"

struct session {
    const struct common    *common;
    struct library         *lib;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct reranker        *reranker;
    bool                    towers_only; /* for session_encoder: as encoder_options has it */
};

#define SESSION_INIT(common_)                                                                      \
    {                                                                                              \
        .common = (common_)                                                                        \
    }

/* Opens the library of --library, or the default one; ERR_NOTFOUND says how to
 * make one. */
int session_library(struct session *s, struct err *err);

/* Opens the model that fills the library: found by its recorded name, else in
 * the folder it was loaded from, whichever has the recorded weights. A --model
 * with other weights is an error that names both. */
int session_library_encoder(struct session *s, struct err *err);

/* The number of --rerank[=N]. text: N, "" when it came alone. */
int parse_rerank(const char *text, size_t *out, struct err *err);

/* Opens the re-ranker in dir, else the open model's own. */
int session_reranker(struct session *s, const char *dir, struct err *err);

/* Opens --model, else the default one, without any library. */
int session_encoder(struct session *s, struct err *err);

void session_release(struct session *s);

#endif
