/* What the decoders share, for core/image alone; everyone else goes through
 * image.h.
 *
 * A decoder is one function over a struct decode_job: it reads the header,
 * checks the limits, and unless only the header was asked for, allocates the
 * picture and fills it row by row, already oriented.
 */
#ifndef OSPREY_IMAGE_DECODE_H
#define OSPREY_IMAGE_DECODE_H

#include "image/image.h"

#include <stdbool.h>

struct decode_job {
    const uint8_t             *bytes;
    size_t                     n;
    const struct image_limits *limits;        /* unused when out is NULL */
    int                        min_side;      /* as for image_decode */
    int                        page;          /* image_part's: which of a file that has several */
    int                        frames;        /* likewise */
    int32_t                    time_ms;       /* likewise; IMAGE_ANY_TIME: find them */
    int                        orientation;   /* EXIF 1..8, to be applied */
    int                        width, height; /* set by the decoder: as stored, full scale */
    struct image_info         *info;          /* where a decoder puts what it alone can say */
    struct image              *out;           /* NULL: the header alone */
    uint8_t                   *room;          /* where pixels go, or NULL: allocated */
    size_t                     room_bytes;
};

int jpeg_decode(struct decode_job *job, struct err *err);
int png_decode(struct decode_job *job, struct err *err);
int bmp_decode(struct decode_job *job, struct err *err);
int pnm_decode(struct decode_job *job, struct err *err);

/* The EXIF block (a TIFF structure, without the "Exif\0\0" before it) inside
 * bytes, NULL when there is none. They walk the file's segments or chunks and
 * trust no length. */
const uint8_t *jpeg_find_exif(const uint8_t *bytes, size_t n, size_t *len);
const uint8_t *png_find_exif(const uint8_t *bytes, size_t n, size_t *len);
/* The contents of a PNG's first chunk of this name. */
const uint8_t *png_find_chunk(const uint8_t *bytes, size_t n, const char *name, size_t *len);

/* Fills orientation, taken_at and camera; leaves alone what the block does not
 * say sensibly. Never fails: broken EXIF is as good as none. */
void exif_read(const uint8_t *tiff, size_t len, struct image_info *info);
/* The same from single tags, as they stand in a file: "" or NULL when absent. */
void exif_take(const char *make, const char *model, const char *date, const char *offset,
               struct image_info *info);

/* Whether width * height stays within max_pixels, both at least 1. */
int decode_check_pixels(const struct decode_job *job, uint64_t width, uint64_t height,
                        struct err *err);

/* Whether bytes, the decoder's own memory, stay within max_bytes. */
int decode_check_bytes(const struct decode_job *job, uint64_t bytes, struct err *err);

/* "1,024" into buf, which it returns. */
#define COUNT_TEXT 32
const char *count_text(char buf[COUNT_TEXT], uint64_t count);

/* Makes job->out a picture of width by height before orientation: in the job's
 * room, or allocated. */
int orient_alloc(const struct decode_job *job, int width, int height, struct err *err);

/* Puts row y of a picture of width by height (before orientation) where EXIF
 * orientation wants it in out. */
void orient_row(struct image *out, int width, int height, int orientation, int y,
                const uint8_t *row);

/* Whether the orientation swaps width and height. */
static inline bool orient_swaps(int orientation)
{
    return orientation >= 5;
}

#endif
