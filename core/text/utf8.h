/* UTF-8: decoding, and replacing what is not UTF-8.
 *
 * Malformed input is replaced as the Unicode Standard recommends (section 3.9,
 * "substitution of maximal subparts") and as Python's errors="replace" does:
 * one U+FFFD for each maximal subpart.
 */
#ifndef OSPREY_TEXT_UTF8_H
#define OSPREY_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xFFFDu

/* Decodes one code point from s (n > 0 bytes left) into *cp, U+FFFD for a
 * malformed subpart; returns the bytes consumed (at least 1). */
size_t utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Writes cp as 1..4 bytes; returns how many. cp must be a scalar value. */
size_t utf8_encode(uint32_t cp, char out[4]);
bool   utf8_valid(const char *s, size_t n);
/* The line, from 1, with the first byte that is not of a text in UTF-8: malformed, or a
 * control character other than tab and the ends of lines. 0: none. */
size_t utf8_faulty_line(const char *s, size_t n);
/* A copy with every malformed subpart as U+FFFD, NUL-terminated, *out_len bytes
 * long; freed by the caller; NULL when out of memory. */
char  *utf8_replace_invalid(const char *s, size_t n, size_t *out_len);
/* Tidies text into out, which takes max bytes and a NUL: control characters and runs of
 * white space become one space, none at the ends; cut between characters. latin: it is
 * Latin-1, not UTF-8. */
void   utf8_tidy(const char *s, size_t n, bool latin, char *out, size_t max);

#endif
