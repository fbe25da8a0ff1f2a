/* The hash that tells contents apart: XXH3-128 in its canonical byte order. */
#ifndef OSPREY_BASE_HASH_H
#define OSPREY_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 16

struct file_part;

void hash_bytes(const void *data, size_t n, uint8_t out[HASH_BYTES]);
/* Of pieces in a row (base/file.h), as of all of it; false when out of memory. */
bool hash_parts(const struct file_part *parts, size_t n, uint8_t out[HASH_BYTES]);

#endif
