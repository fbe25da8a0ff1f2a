/* Pictures as pixels, and the one door through which files become them.
 *
 * Bytes and limits in, pixels of the size asked for out, nothing shared. What is
 * here decodes in this process: it is for the worker and for tests. Whoever has
 * pictures from outside uses decoder.h, which has a sandboxed worker do it.
 * Decoders are chosen by content, never by file name; formats.h lists them. Pixels
 * are 8-bit sRGB, colour profiles and EXIF orientation applied, alpha composed on
 * white. Of an animation it is the first frame, of a video the first that is not black.
 */
#ifndef OSPREY_IMAGE_IMAGE_H
#define OSPREY_IMAGE_IMAGE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct image {
    int      width, height; /* pixels */
    uint8_t *data;          /* (height, width, 3) RGB, owned */
};

void image_free(struct image *img); /* NULL-safe; leaves it empty */

enum image_kind {
    IMAGE_UNKNOWN,
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP,
    IMAGE_GIF,
    IMAGE_TIFF,
    IMAGE_HEIC, /* HEIF with HEVC inside, or with what is not known here */
    IMAGE_AVIF, /* HEIF with AV1 inside */
    IMAGE_JXL,
    IMAGE_RAW, /* of a camera */
    IMAGE_BMP,
    IMAGE_PNM,
    IMAGE_MP4,
    IMAGE_MOV, /* QuickTime */
    IMAGE_MATROSKA,
    IMAGE_WEBM,
    IMAGE_AVI,
    IMAGE_KINDS /* how many there are */
};

const char     *image_kind_name(enum image_kind kind); /* "JPEG", "JPEG XL", "unknown" */
/* By the first bytes. */
enum image_kind image_kind_of(const uint8_t *bytes, size_t n);

struct image_limits {
    uint64_t max_pixels; /* width * height as stored, checked before allocating */
    uint64_t max_bytes;  /* of the decoder's own memory for one picture */
};
/* 512 megapixels, 2 GiB. */
struct image_limits image_limits_default(void);

/* What became of a picture's colours. */
enum image_colours {
    IMAGE_COLOURS_SRGB,      /* they are sRGB, or nothing says what they are */
    IMAGE_COLOURS_CONVERTED, /* from those of the profile in the file */
    IMAGE_COLOURS_IGNORED,   /* taken for sRGB: the profile is broken, or none for such pixels */
    IMAGE_COLOURS_KINDS
};

#define IMAGE_FRAMES_MAX 64 /* of one video */

/* What a file says of itself; sizes are those of the picture as seen, after
 * orientation, at full scale. */
struct image_info {
    enum image_kind    kind;
    int                width, height;
    int                orientation; /* EXIF 1..8, 1 when absent or senseless */
    int64_t            taken_at;    /* EXIF DateTimeOriginal, a film's creation, as Unix seconds
                                       (OffsetTimeOriginal applied where present, else taken as
                                       UTC; base/moment.h), 0 when absent: metadata_taken_at
                                       (meta/metadata.h) weighs it with other dates */
    char               camera[96];  /* "Make Model" (the model alone when it begins with the make),
                                       UTF-8 without control characters, "" when absent */
    int                pages;       /* of a TIFF, told with its first page; of a video, the frames
                                       that were asked for and found; else 1; 0 with an error */
    enum image_colours colours;     /* known once it is decoded */
    int32_t            times_ms[IMAGE_FRAMES_MAX]; /* (pages) of a video's frames, rising, once
                                                      it is decoded; else 0 */
};

/* Reads the header alone. */
int image_probe(const uint8_t *bytes, size_t n, struct image_info *info, struct err *err);

/* Decodes, orients, composes. min_side > 0 lets a JPEG be decoded at a reduced
 * scale (n/8) as long as its shorter side stays at least 2 * min_side (so that
 * the resize that follows still has twice the pixels it needs); 0 decodes at
 * full scale. A camera's raw file may come smaller than its info says: as the
 * preview inside it, or developed at half size. info may be NULL. A truncated or corrupt picture is
 * an error that says how far decoding came ("truncated after 1,024 of 48,113
 * rows"). */
int image_decode(const uint8_t *bytes, size_t n, int min_side, const struct image_limits *limits,
                 struct image *out, struct image_info *info, struct err *err);

/* What of a file that has several. Zeros, with time_ms IMAGE_ANY_TIME: its first. */
#define IMAGE_ANY_TIME (-1)
struct image_part {
    int     page;    /* of a TIFF, from 0 */
    int     frames;  /* of a video: at most so many are looked for; info tells their times */
    int32_t time_ms; /* of a video: the frame that is wanted, as info told it */
};
/* NULL: the first. */
int image_decode_part(const uint8_t *bytes, size_t n, const struct image_part *part, int min_side,
                      const struct image_limits *limits, struct image *out, struct image_info *info,
                      struct err *err);

/* The same into room, of size bytes: out->data is room then, and
 * not to be freed. ERR_LIMIT when it is too small. */
int image_decode_into(const uint8_t *bytes, size_t n, const struct image_part *part, int min_side,
                      const struct image_limits *limits, uint8_t *room, size_t size,
                      struct image *out, struct image_info *info, struct err *err);

#endif
