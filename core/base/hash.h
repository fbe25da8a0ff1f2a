/* The hash that tells contents apart: XXH3-128 in its canonical byte order. */
#ifndef OSPREY_BASE_HASH_H
#define OSPREY_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 16
#define HASH_HEX   (2 * HASH_BYTES + 1) /* bytes of it as text */

struct file_part;

void hash_bytes(const void *data, size_t n, uint8_t out[HASH_BYTES]);
/* Of pieces in a row (base/file.h), as of all of it; false when out of memory. */
bool hash_parts(const struct file_part *parts, size_t n, uint8_t out[HASH_BYTES]);
/* In small letters, ended by NUL. */
void hash_hex(const uint8_t hash[HASH_BYTES], char out[HASH_HEX]);

#endif
