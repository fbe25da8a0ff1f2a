/* What `osprey eval` measures: one function for each kind of question.
 *
 * Each encodes what it needs, prints a table, or with --json one object, and
 * draws a chart where --svg asks for one.
 */
#ifndef OSPREY_CLI_EVAL_H
#define OSPREY_CLI_EVAL_H

#include "cli/session.h"

struct eval_request {
    const char *images;   /* folder of the pictures */
    const char *captions; /* file */
    const char *split;
    const char *labels;  /* folder of folders */
    const char *prompts; /* file, or NULL for the usual ones */
    const char *svg;     /* file to draw to, or NULL */
    bool        index, image_to_image;
    size_t      seed;
    size_t      sample;   /* queries of --index, of each kind; 0: the usual number */
    const char *reranker; /* folder or file, or NULL: the model's own */
    size_t      rerank;   /* items of each query that are looked at again; 0: none */
};

/* Captions and pictures find each other. */
int eval_captions(struct session *s, const struct eval_request *request, struct err *err);
/* Labels for pictures, zero-shot. */
int eval_labels(struct session *s, const struct eval_request *request, struct err *err);
/* A library's approximate answers beside exact ones. */
int eval_index(struct session *s, const struct eval_request *request, struct err *err);
/* Pictures find pictures: those of their class, or the picture they are a view of. */
int eval_image_to_image(struct session *s, const struct eval_request *request, struct err *err);

#endif
