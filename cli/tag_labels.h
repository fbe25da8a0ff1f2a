/* From a vocabulary and from examples to a tagger, calibrated for a library. */
#ifndef OSPREY_CLI_TAG_LABELS_H
#define OSPREY_CLI_TAG_LABELS_H

#include "cli/session.h"
#include "learn/tagger.h"

#include <stddef.h>

#define PROMPTS_USUAL "usual" /* --prompts: those of osprey eval */

struct tag_request {
    const char *vocab;    /* a file or a name, or NULL */
    const char *examples; /* a folder of folders, or NULL */
    const char *prompts;  /* a file, PROMPTS_USUAL, or NULL: PROMPT_DEFAULT alone */
    double      threshold;
    size_t      top;
};

/* The session's library and its encoder are open. */
int tag_labels_make(struct session *s, const struct tag_request *request, struct tagger **out,
                    struct err *err);

#endif
