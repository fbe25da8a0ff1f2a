/* Can it be told from a match that nothing fits? (storage/library_match.h) */
#ifndef OSPREY_CLI_EVAL_MATCH_H
#define OSPREY_CLI_EVAL_MATCH_H

#include "cli/session.h"
#include "learn/retrieval.h"

/* Of first results that are right, the percentage kept at a threshold of match; of
 * texts whose picture is left out, the percentage told that there is no good match. */
struct match_point {
    double threshold, kept, told;
};

struct match_figures {
    bool               known;   /* there are pictures enough, and a first result is right */
    struct match_point at_kept; /* where nine of ten are kept */
    struct match_point good;    /* at LIBRARY_GOOD_MATCH */
};

/* The task asks pictures for texts: retrieval_texts_to_images. */
int match_measure(struct session *s, const struct retrieval_task *task, struct match_figures *out,
                  struct err *err);

#endif
