/* Prompts: the phrasings by which a label becomes texts ("a photo of a {}"), and the
 * ensemble of their embeddings (Radford et al. 2021, section 3.1.4). */
#ifndef OSPREY_CLI_PROMPTS_H
#define OSPREY_CLI_PROMPTS_H

#include "cli/session.h"

#include <stddef.h>
#include <stdint.h>

#define MAX_PROMPTS 256

struct prompts {
    const char *list[MAX_PROMPTS];
    size_t      n;
    uint8_t    *file; /* what list points into, or NULL */
};

/* From a file, a line for each, or (path NULL) the usual ones. */
int  prompts_read(const char *path, struct prompts *out, struct err *err);
void prompts_release(struct prompts *p); /* NULL-safe */

/* The embeddings of labels (n) in one of the prompts; out: (n, dim). */
int prompt_encode(struct session *s, const char *prompt, const char *const *labels, size_t n,
                  float *out, struct err *err);

/* Gives each row of (n, dim) length 1; one of length 0 stays as it is. */
void rows_normalise(float *rows, size_t n, size_t dim);

#endif
