/* The hash that tells contents apart: see hash.h. */
#include "base/hash.h"

#include "base/file.h"

#include <string.h>

#include <xxhash.h>

void hash_bytes(const void *data, size_t n, uint8_t out[HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, n));
    memcpy(out, canonical.digest, HASH_BYTES);
}

bool hash_parts(const struct file_part *parts, size_t n, uint8_t out[HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH3_state_t      *state = XXH3_createState();
    if (!state)
        return false;
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < n; i++)
        XXH3_128bits_update(state, parts[i].data, parts[i].len);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    memcpy(out, canonical.digest, HASH_BYTES);
    XXH3_freeState(state);
    return true;
}

void hash_hex(const uint8_t hash[HASH_BYTES], char out[HASH_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HASH_BYTES; i++) {
        out[2 * i]     = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[HASH_HEX - 1] = '\0';
}
