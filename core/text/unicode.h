/* What tokenizers ask of Unicode, behind utf8proc: normal form C, lower case,
 * and the three classes of characters that a byte-pair encoder tells apart.
 */
#ifndef OSPREY_TEXT_UNICODE_H
#define OSPREY_TEXT_UNICODE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum char_class { CHAR_OTHER, CHAR_LETTER /* L* */, CHAR_NUMBER /* N* */ };

enum char_class unicode_class(int32_t cp);
/* The property White_Space. */
bool            unicode_is_space(int32_t cp);

/* A growing run of code points. */
struct code_points {
    int32_t *data;
    size_t   len, cap;
};

int  code_points_add(struct code_points *s, int32_t cp, struct err *err);
void code_points_release(struct code_points *s);

/* out = the normal form C of n scalar values. work: any, reused between calls. */
int unicode_nfc(const int32_t *in, size_t n, struct code_points *work, struct code_points *out,
                struct err *err);

/* out = lower case of the normal form C of n scalar values, each character
 * lowered for itself (no final sigma). Takes time linear in n whatever they
 * are. work: any, reused between calls. */
int unicode_nfc_lower(const int32_t *in, size_t n, struct code_points *work,
                      struct code_points *out, struct err *err);

#endif
