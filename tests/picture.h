/* Synthetic pictures and checksums shared by the tests of core/image; the same
 * formulas stand in tools/goldens/resize.py. */
#ifndef OSPREY_TESTS_PICTURE_H
#define OSPREY_TESTS_PICTURE_H

#include "image/image.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Noise for odd seeds, else ramps. */
static inline uint8_t picture_byte(uint32_t x, uint32_t y, uint32_t c, uint32_t seed)
{
    if (seed % 2 == 0)
        return (uint8_t)(x * 5 + y * 3 + c * 40 + seed);
    uint32_t h = x * 2654435761u + y * 2246822519u + c * 3266489917u + seed;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return (uint8_t)h;
}

/* data is NULL when out of memory; freed with image_free. */
static inline struct image picture_new(int width, int height, uint32_t seed)
{
    struct image img = {.width = width, .height = height};
    img.data         = malloc((size_t)width * (size_t)height * 3);
    for (int y = 0; img.data && y < height; y++) {
        for (int x = 0; x < width; x++) {
            for (int c = 0; c < 3; c++)
                img.data[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    picture_byte((uint32_t)x, (uint32_t)y, (uint32_t)c, seed);
        }
    }
    return img;
}

/* CRC-32 as in zlib. */
static inline uint32_t picture_crc(const uint8_t *bytes, size_t n)
{
    uint32_t table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

#endif
