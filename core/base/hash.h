/* The hash that tells contents apart: XXH3-128 in its canonical byte order. */
#ifndef OSPREY_BASE_HASH_H
#define OSPREY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 16

void hash_bytes(const void *data, size_t n, uint8_t out[HASH_BYTES]);

#endif
