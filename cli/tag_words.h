/* The words of a vocabulary as embeddings. */
#ifndef OSPREY_CLI_TAG_WORDS_H
#define OSPREY_CLI_TAG_WORDS_H

#include "cli/prompts.h"
#include "cli/session.h"
#include "learn/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>

struct tag_words {
    size_t n_refs;
    float *labels; /* (vocabulary's n, dim) of length 1; zeros for a label without words */
    float *refs;   /* (n_refs, dim) the library's reference sentences */
};

/* Encodes each label's words in each prompt and takes their mean. What was encoded once
 * with a model is found again in $XDG_CACHE_HOME/osprey/labels. */
int  tag_words_encode(struct session *s, const struct vocabulary *v, const struct prompts *prompts,
                      struct tag_words *out, struct err *err);
void tag_words_release(struct tag_words *w);

#endif
