/* Fields of a TIFF structure, by number: in TIFF files of either size, and in the EXIF
 * block of other pictures, which is one. Points into the caller's bytes, allocates
 * nothing, trusts no offset and follows no chain.
 *
 * TIFF 6.0 (section 2), BigTIFF as libtiff defines it. Not libexif, which copies the
 * whole block and has no use for files of hundreds of megabytes.
 */
#ifndef OSPREY_META_TIFF_FIELDS_H
#define OSPREY_META_TIFF_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tiff {
    const uint8_t *data;
    size_t         n;
    bool           big_endian, big; /* big: 64-bit offsets */
    uint64_t       first;           /* where the first directory is */
};

struct tiff_field {
    uint16_t       tag, type;
    uint64_t       count;
    const uint8_t *value; /* (len), all of it */
    size_t         len;   /* bytes */
};

enum tiff_tag {
    TIFF_DESCRIPTION = 270,
    TIFF_XMP         = 700,
    TIFF_RATING      = 0x4746,
    TIFF_IPTC        = 33723,
    TIFF_PHOTOSHOP   = 34377,
    TIFF_EXIF        = 34665,
    TIFF_GPS         = 34853,
    TIFF_TAKEN       = 0x9003, /* the date of what is shown, and its time zone */
    TIFF_TAKEN_ZONE  = 0x9011,
    TIFF_MADE        = 0x9004, /* of the file made of it */
    TIFF_MADE_ZONE   = 0x9012,
    TIFF_LENS_MODEL  = 0xA434
};

/* False when the bytes do not begin one. */
bool     tiff_open(struct tiff *t, const uint8_t *bytes, size_t n);
uint64_t tiff_number(const struct tiff *t, const uint8_t *at, size_t bytes);

/* The entries of the directory at an offset: *entries points to *count entries of
 * tiff_entry_bytes each. False when they do not lie within the file. */
bool   tiff_directory(const struct tiff *t, uint64_t at, const uint8_t **entries, size_t *count);
size_t tiff_entry_bytes(const struct tiff *t);

/* The first field with this tag; false when there is none, or its value lies outside. */
bool     tiff_find(const struct tiff *t, uint64_t directory, uint16_t tag, struct tiff_field *out);
/* The i-th value of an integer field (BYTE, SHORT, LONG, IFD, LONG8); 0 otherwise. */
uint64_t tiff_integer(const struct tiff *t, const struct tiff_field *f, uint64_t i);
/* The i-th of a RATIONAL field; false for another type, or a denominator of 0. */
bool     tiff_rational(const struct tiff *t, const struct tiff_field *f, uint64_t i, double *out);
/* The directory that a field of the first one points to; 0: none. */
uint64_t tiff_directory_at(const struct tiff *t, uint16_t tag);

#endif
