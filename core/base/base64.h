/* Base64 (RFC 4648), the alphabet with + and /. */
#ifndef OSPREY_BASE_BASE64_H
#define OSPREY_BASE_BASE64_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Padded, followed by a NUL; freed by the caller, NULL when out of memory. */
char *base64_encode(const void *bytes, size_t n);
/* The padding may be left out; anything else outside the alphabet is ERR_FORMAT.
 * *out is freed by the caller. */
int   base64_decode(const char *text, size_t len, uint8_t **out, size_t *n, struct err *err);

#endif
