/* Which of several copies is the one to keep, and why.
 *
 * In this order: a file rather than a link to one, more pixels, colour, more metadata, a
 * format that loses nothing, less compression, the older one, the one that came first.
 */
#ifndef OSPREY_STORAGE_DUPLICATES_KEEP_H
#define OSPREY_STORAGE_DUPLICATES_KEEP_H

#include "storage/library.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What decides, in this order. */
enum duplicate_reason {
    REASON_FILE,
    REASON_RESOLUTION,
    REASON_COLOUR,
    REASON_METADATA,
    REASON_FORMAT,
    REASON_COMPRESSION,
    REASON_DATE,
    REASON_FIRST
};
const char *duplicate_reason_name(enum duplicate_reason reason); /* "file", ..., "first" */

/* What is asked of a picture. */
struct duplicate_picture {
    int64_t id;
    int64_t size;     /* bytes */
    int64_t mtime_ns; /* nanoseconds */
    int64_t taken_at; /* Unix seconds, 0: unknown */
    int     width, height;
    bool    camera; /* is known */
    bool    parts;  /* it has pages, or frames, beside its first */
    bool    colour; /* true where it isn't known */
    bool    link;   /* its name is, or leads through, a symbolic link (duplicates_files.h) */
    char    kind[16];
    uint8_t hash[LIBRARY_HASH_BYTES];
};

/* Below zero: a is rather to be kept than b. Never 0 for two ids. */
int    duplicate_rank(const struct duplicate_picture *a, const struct duplicate_picture *b);
/* The place of the one to keep of n > 1; why (size bytes): "resolution: 4000 x 3000, the next
 * has 2000 x 1500". */
size_t duplicates_keep(const struct duplicate_picture *const *pictures, size_t n,
                       enum duplicate_reason *reason, char *why, size_t size);

#endif
