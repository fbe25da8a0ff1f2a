/* Many pictures or texts to embeddings, on all cores. */
#ifndef OSPREY_CLI_EVAL_ENCODE_H
#define OSPREY_CLI_EVAL_ENCODE_H

#include "cli/session.h"
#include "learn/augment.h"

#include <signal.h>

struct encode_pictures {
    const char *const    *paths; /* (n) */
    size_t                n;
    const struct augment *part; /* encode a random part of each, or NULL: the picture itself */
    uint64_t              seed; /* of the parts */
    /* (n) NULLs, each replaced by why a picture cannot be read (freed by the
     * caller), its embedding left as it is; or NULL: the first of those is an
     * error that names it. */
    char                **broken;
    float                *pooled; /* (n, the image tower's features) from the same pass, or NULL */
    /* (n, kept_bytes) what the session's re-ranker needs of each, from the same pass; or
     * NULL. Goes without broken and pooled. */
    uint8_t              *kept;
    /* ERR_CANCELLED when it is set; or NULL */
    const volatile sig_atomic_t *cancel;
};

/* out: (n, dim). The session's encoder is open. */
int encode_pictures(struct session *s, const struct encode_pictures *job, float *out,
                    struct err *err);
/* out: (n, dim). */
int encode_texts(struct session *s, const char *const *texts, size_t n, float *out,
                 struct err *err);

#endif
