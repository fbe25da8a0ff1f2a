/* The hash that tells contents apart: see hash.h. */
#include "base/hash.h"

#include <string.h>

#include <xxhash.h>

void hash_bytes(const void *data, size_t n, uint8_t out[HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, n));
    memcpy(out, canonical.digest, HASH_BYTES);
}
