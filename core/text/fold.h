/* Texts compared without regard to case: normal form C in lower case. */
#ifndef OSPREY_TEXT_FOLD_H
#define OSPREY_TEXT_FOLD_H

#include "base/err.h"

/* *out: text folded, freed by the caller; what is not UTF-8 becomes U+FFFD. */
int text_fold(const char *text, char **out, struct err *err);

#endif
