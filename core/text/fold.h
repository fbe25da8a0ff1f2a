/* Texts that mean the same though they are written otherwise: characters that are composed
 * or not (normal forms of Unicode), upper and lower case.
 */
#ifndef OSPREY_TEXT_FOLD_H
#define OSPREY_TEXT_FOLD_H

#include "base/err.h"

#include <stdbool.h>

/* *out: text in normal form C and lower case, freed by the caller; what is not UTF-8
 * becomes U+FFFD. */
int text_fold(const char *text, char **out, struct err *err);

/* *out: text in normal form C, freed by the caller; one that is not UTF-8 stays as it is. */
int text_nfc(const char *text, char **out, struct err *err);

/* Whether they are the same in normal form C. */
bool text_same(const char *a, const char *b);

bool text_is_ascii(const char *text);

#endif
