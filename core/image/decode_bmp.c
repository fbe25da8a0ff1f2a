/* BMP: 1, 4, 8, 16, 24 and 32 bits, RLE4 and RLE8, bit fields, top-down and OS/2's
 * headers (Microsoft's BITMAPFILEHEADER ... BITMAPV5HEADER).
 *
 * As in Pillow, the fourth byte of 32-bit pixels counts only where a header says
 * that it is alpha. Pixels that a run-length file skips have the palette's first
 * colour. Profiles of V5 headers are not read; nearly all say sRGB.
 */
#include "image/rows.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SIDE    1000000 /* pixels */
#define FILE_HEADER 14      /* bytes */

enum { RGB = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3, ALPHABITFIELDS = 6 };

struct bmp {
    const uint8_t *bytes;
    size_t         n, at; /* at: of the pixels */
    int64_t        width, height;
    bool           top_down;
    int            bits;
    uint32_t       compression;
    uint32_t       mask[4]; /* red, green, blue, alpha */
    uint8_t        palette[256][3];
    int            y; /* rows done */
};

static uint32_t number(const struct bmp *b, size_t at, int size)
{
    uint32_t value = 0;
    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | (at + (size_t)i < b->n ? b->bytes[at + (size_t)i] : 0);
    return value;
}

static int truncated(const struct bmp *b, struct err *err)
{
    char done[COUNT_TEXT], all[COUNT_TEXT];
    return err_set(err, ERR_FORMAT, "truncated after %s of %s rows",
                   count_text(done, (unsigned)b->y), count_text(all, (uint64_t)b->height));
}

static void read_palette(struct bmp *b, size_t at, uint32_t colours, size_t entry)
{
    for (uint32_t i = 0; i < 256; i++) {
        for (size_t c = 0; c < 3; c++) { /* blue first */
            size_t from      = at + i * entry + 2 - c;
            b->palette[i][c] = i < colours && from < b->n ? b->bytes[from] : 0;
        }
    }
}

static void read_masks(struct bmp *b, uint32_t header)
{
    static const uint32_t usual[2][3] = {{0x7C00, 0x3E0, 0x1F}, {0xFF0000, 0xFF00, 0xFF}};
    memcpy(b->mask, usual[b->bits != 16], sizeof usual[0]);
    if (b->compression != BITFIELDS && b->compression != ALPHABITFIELDS)
        return;
    bool alpha = header >= 56 || b->compression == ALPHABITFIELDS;
    for (size_t i = 0; i < (alpha ? 4 : 3); i++)
        b->mask[i] = number(b, FILE_HEADER + 40 + 4 * i, 4);
}

static int read_header(struct bmp *b, struct err *err)
{
    size_t   head   = FILE_HEADER;
    uint32_t header = number(b, head, 4), colours = 0;
    bool     os2 = header == 12;
    if (b->n < head + header || b->n < head + 12)
        return err_set(err, ERR_FORMAT, "truncated in its header");
    if (!os2 && (header < 16 || header > 1024))
        return err_set(err, ERR_UNSUPPORTED, "a BMP header of %u bytes", header);
    b->at       = number(b, 10, 4);
    b->width    = os2 ? (int64_t)number(b, head + 4, 2) : (int32_t)number(b, head + 4, 4);
    b->height   = os2 ? (int64_t)number(b, head + 6, 2) : (int32_t)number(b, head + 8, 4);
    b->bits     = (int)number(b, head + (os2 ? 10 : 14), 2);
    b->top_down = b->height < 0;
    if (b->top_down)
        b->height = -b->height;
    if (header >= 40) {
        b->compression = number(b, head + 16, 4);
        colours        = number(b, head + 32, 4);
    }
    bool packed =
        (b->compression == RLE8 && b->bits == 8) || (b->compression == RLE4 && b->bits == 4);
    bool masked = (b->compression == BITFIELDS || b->compression == ALPHABITFIELDS) &&
                  (b->bits == 16 || b->bits == 32);
    if (b->compression != RGB && !packed && !masked)
        return err_set(err, ERR_UNSUPPORTED, "a BMP of %d bits, compressed by method %u", b->bits,
                       b->compression);
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 &&
        b->bits != 32)
        return err_set(err, ERR_UNSUPPORTED, "a BMP of %d bits", b->bits);
    read_masks(b, header);
    if (b->bits <= 8) {
        size_t   after = head + header, entry = os2 ? 3 : 4;
        uint32_t most = 1u << b->bits;
        if (!colours || colours > most)
            colours = most;
        /* Some say that there are more than the pixels leave room for. */
        if (b->at > after && (b->at - after) / entry < colours)
            colours = (uint32_t)((b->at - after) / entry);
        read_palette(b, after, colours, entry);
    }
    return 0;
}

/* A pixel's part, spread over 0 to 255. */
static uint8_t part(uint32_t pixel, uint32_t mask)
{
    if (!mask)
        return 0;
    int      shift = __builtin_ctz(mask);
    uint32_t most = mask >> shift, value = (pixel & mask) >> shift;
    return (uint8_t)(((uint64_t)value * 255 + most / 2) / most);
}

static void plain_row(const struct bmp *b, size_t from, bool alpha, uint8_t *row)
{
    int64_t        step = alpha ? 4 : 3;
    const uint8_t *in   = b->bytes + from;
    for (int64_t x = 0; x < b->width; x++, row += step) {
        if (b->bits <= 8) {
            int per = 8 / b->bits, shift = (int)(per - 1 - x % per) * b->bits;
            memcpy(row, b->palette[in[x / per] >> shift & ((1 << b->bits) - 1)], 3);
        } else if (b->bits == 24) {
            for (int c = 0; c < 3; c++)
                row[c] = in[3 * x + 2 - c];
        } else {
            size_t   bytes = (size_t)b->bits / 8;
            uint32_t pixel = number(b, from + (size_t)x * bytes, (int)bytes);
            for (int c = 0; c < (alpha ? 4 : 3); c++)
                row[c] = part(pixel, b->mask[c]);
        }
    }
}

static int read_plain(struct bmp *b, struct rows *rows, struct err *err)
{
    bool   alpha  = rows->alpha == ROWS_ALPHA;
    size_t stride = (((size_t)b->width * (size_t)b->bits + 31) / 32) * 4;
    size_t least = ((size_t)b->width * (size_t)b->bits + 7) / 8; /* the last may lack its padding */
    for (b->y = 0; b->y < b->height; b->y++) {
        size_t from = b->at + (size_t)b->y * stride;
        if (from > b->n || b->n - from < least)
            return truncated(b, err);
        int      y   = b->top_down ? b->y : (int)b->height - 1 - b->y;
        uint8_t *row = rows_room(rows, y);
        plain_row(b, from, alpha, row);
        rows_put(rows, y, row);
    }
    return 0;
}

/* ---- Run lengths ---- */

/* Where a run-length file is: it may go right and up, never back. */
struct pen {
    uint8_t *levels; /* (height, width), palette indices */
    int64_t  x, y;   /* y from below */
};

static void pen_put(struct pen *pen, const struct bmp *b, uint8_t level)
{
    if (pen->x < b->width && pen->y < b->height)
        pen->levels[pen->y * b->width + pen->x] = level;
    pen->x++;
}

/* count pixels that stand for themselves. False: the file ends. */
static bool put_literal(struct pen *pen, struct bmp *b, int count)
{
    size_t bytes = b->bits == 8 ? (size_t)count : ((size_t)count + 1) / 2;
    if (b->n - b->at < bytes)
        return false;
    for (int i = 0; i < count; i++) {
        uint8_t byte = b->bytes[b->at + (size_t)(b->bits == 8 ? i : i / 2)];
        pen_put(pen, b, b->bits == 8 ? byte : i % 2 ? byte & 15 : byte >> 4);
    }
    b->at += bytes + bytes % 2;
    if (b->at > b->n)
        b->at = b->n;
    return true;
}

/* Returns 0, 1 at the end of the picture, -1 at the end of the file. */
static int run(struct pen *pen, struct bmp *b)
{
    if (b->at > b->n || b->n - b->at < 2)
        return -1;
    uint8_t count = b->bytes[b->at], value = b->bytes[b->at + 1];
    b->at += 2;
    if (count) {
        for (int i = 0; i < count; i++)
            pen_put(pen, b, b->bits == 8 ? value : i % 2 ? value & 15 : value >> 4);
        return 0;
    }
    switch (value) {
    case 0:
        pen->x = 0;
        pen->y++;
        return 0;
    case 1:
        return 1;
    case 2:
        if (b->n - b->at < 2)
            return -1;
        pen->x += b->bytes[b->at];
        pen->y += b->bytes[b->at + 1];
        b->at += 2;
        return 0;
    default:
        return put_literal(pen, b, value) ? 0 : -1;
    }
}

static int read_packed(struct bmp *b, struct rows *rows, struct err *err)
{
    struct pen pen = {.levels = mem_zeroed((size_t)b->width, (size_t)b->height)};
    int        rc = 0, end = 0;
    if (!pen.levels)
        return err_set(err, ERR_NOMEM, "out of memory for %lld x %lld pixels", (long long)b->width,
                       (long long)b->height);
    while (!end && pen.y < b->height)
        end = run(&pen, b);
    if (end < 0) {
        b->y = (int)pen.y;
        rc   = truncated(b, err);
    }
    for (int64_t y = 0; y < b->height && !rc; y++) {
        int      to  = b->top_down ? (int)y : (int)(b->height - 1 - y);
        uint8_t *row = rows_room(rows, to);
        for (int64_t x = 0; x < b->width; x++)
            memcpy(row + 3 * x, b->palette[pen.levels[y * b->width + x]], 3);
        rows_put(rows, to, row);
    }
    free(pen.levels);
    return rc;
}

int bmp_decode(struct decode_job *job, struct err *err)
{
    struct bmp  b    = {.bytes = job->bytes, .n = job->n};
    struct rows rows = {0};
    int         rc   = read_header(&b, err);
    if (rc)
        return rc;
    if (b.width < 1 || b.height < 1)
        return err_set(err, ERR_FORMAT, "it has no pixels (%lld x %lld)", (long long)b.width,
                       (long long)b.height);
    rc = decode_check_pixels(job, (uint64_t)b.width, (uint64_t)b.height, err);
    if (!rc && (b.width > MAX_SIDE || b.height > MAX_SIDE))
        rc = err_set(err, ERR_LIMIT, "a side is longer than %d pixels", MAX_SIDE);
    if (rc)
        return rc;
    job->width  = (int)b.width;
    job->height = (int)b.height;
    if (!job->out)
        return 0;
    bool packed = b.compression == RLE8 || b.compression == RLE4;
    if (packed)
        rc = decode_check_bytes(job, (uint64_t)b.width * (uint64_t)b.height, err);
    if (!rc)
        rc = rows_open(&rows, job, job->width, job->height, b.mask[3] ? ROWS_ALPHA : ROWS_OPAQUE,
                       NULL, err);
    if (!rc)
        rc = packed ? read_packed(&b, &rows, err) : read_plain(&b, &rows, err);
    rows_close(&rows);
    return rc;
}
