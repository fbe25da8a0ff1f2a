/* osprey model check: a model against stored reference outputs. */
#ifndef OSPREY_CLI_MODEL_CHECK_H
#define OSPREY_CLI_MODEL_CHECK_H

#include "base/err.h"
#include "cli/session.h"

struct model_check {
    const char *golden;    /* a safetensors file; NULL: golden.safetensors in the model's folder */
    double      tolerance; /* the largest difference of a component */
    bool        given;     /* tolerance was; otherwise it follows from the precision */
};

int model_check(struct session *s, const struct model_check *check, struct err *err);

#endif
