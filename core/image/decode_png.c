/* PNG through libpng: every colour type and depth, palettes, interlacing.
 *
 * 16 bits become 8 by rounding v * 255 / 65535 (libpng's scale_16). Alpha,
 * also that of tRNS, is composed on white as round((c * a + 255 * (255 - a)) /
 * 255) on the stored values, which is what pasting onto white does in Pillow.
 * Gamma and colour profiles are ignored. An ancillary chunk with a bad
 * checksum is skipped, a critical one is an error. A file without its end chunk
 * is whole, as in Pillow; one without the last data chunk's checksum is not.
 */
#include "image/decode.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#define MAX_SIDE 1000000 /* pixels; a row then takes 8 MB at most */

struct png_reader {
    png_structp        png;
    png_infop          info;
    struct decode_job *job;
    struct err        *err;
    size_t             at;       /* bytes read so far */
    bool               ran_out;  /* the file ended too soon */
    bool               complete; /* every row is there */
    int                pass, passes;
    int                y;          /* row being read */
    uint8_t           *row;        /* one row before composing or turning */
    uint8_t           *whole;      /* an interlaced picture, all passes together */
    char               reason[96]; /* libpng's, when it gave up */
};

static void on_read(png_structp png, png_bytep to, size_t n)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (n > reader->job->n - reader->at) {
        reader->ran_out = true;
        png_error(png, "the file ends");
    }
    memcpy(to, reader->job->bytes + reader->at, n);
    reader->at += n;
}

static _Noreturn void on_error(png_structp png, png_const_charp message)
{
    struct png_reader *reader = png_get_error_ptr(png);
    (void)snprintf(reader->reason, sizeof reader->reason, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

/* libpng gave up: what to say of it. */
static int explain(struct png_reader *reader)
{
    const struct decode_job *job = reader->job;
    char                     where[128], y[COUNT_TEXT], height[COUNT_TEXT], pass[32] = "";
    if (reader->complete && reader->ran_out)
        return 0;
    if (strstr(reader->reason, "memory"))
        return err_set(reader->err, ERR_NOMEM, "out of memory decoding a PNG");
    if (reader->passes > 1)
        (void)snprintf(pass, sizeof pass, "in pass %d ", reader->pass + 1);
    if (reader->passes)
        (void)snprintf(where, sizeof where, "%safter %s of %s rows", pass,
                       count_text(y, (unsigned)reader->y),
                       count_text(height, (unsigned)job->height));
    else
        (void)snprintf(where, sizeof where, "in its header");
    if (reader->ran_out)
        return err_set(reader->err, ERR_FORMAT, "truncated %s", where);
    return err_set(reader->err, ERR_FORMAT, "corrupt %s: %s", where, reader->reason);
}

/* RGBA to RGB on white; in place is fine. */
static void compose_on_white(const uint8_t *rgba, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, rgba += 4, rgb += 3) {
        int a = rgba[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((rgba[c] * a + 255 * (255 - a) + 127) / 255);
    }
}

/* Everything to 8-bit RGB or RGBA. */
static void ask_for_rgb(struct png_reader *reader)
{
    png_structp png   = reader->png;
    int         type  = png_get_color_type(png, reader->info);
    int         depth = png_get_bit_depth(png, reader->info);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, reader->info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    if (depth == 16)
        png_set_scale_16(png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    reader->passes = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
}

static int read_plain(struct png_reader *reader, bool alpha)
{
    struct decode_job *job    = reader->job;
    bool               direct = job->orientation == 1 && !alpha;
    int                rc     = orient_alloc(job, job->width, job->height, reader->err);
    if (rc)
        return rc;
    reader->row = mem_array((size_t)job->width, 4);
    if (!reader->row)
        return err_set(reader->err, ERR_NOMEM, "out of memory for a row of %d pixels", job->width);
    for (reader->y = 0; reader->y < job->height; reader->y++) {
        uint8_t *row =
            direct ? job->out->data + (size_t)reader->y * (size_t)job->width * 3 : reader->row;
        png_read_row(reader->png, row, NULL);
        if (alpha)
            compose_on_white(row, row, job->width);
        if (!direct)
            orient_row(job->out, job->width, job->height, job->orientation, reader->y, row);
    }
    return 0;
}

/* All passes go into one buffer; it becomes the picture unless it must turn. */
static int read_interlaced(struct png_reader *reader, bool alpha)
{
    struct decode_job *job    = reader->job;
    size_t             stride = (size_t)job->width * (alpha ? 4 : 3), bytes;
    char               need[COUNT_TEXT], max[COUNT_TEXT];
    if (!size_mul(stride, (size_t)job->height, &bytes) || bytes > job->limits->max_bytes)
        return err_set(reader->err, ERR_LIMIT,
                       "decoding it takes %s bytes, more than the limit of %s",
                       count_text(need, (uint64_t)stride * (unsigned)job->height),
                       count_text(max, job->limits->max_bytes));
    /* Zeroed: libpng combines each pass with the pixels before it. */
    reader->whole = mem_zeroed((size_t)job->height, stride);
    if (!reader->whole)
        return err_set(reader->err, ERR_NOMEM, "out of memory for %d x %d pixels", job->width,
                       job->height);
    for (reader->pass = 0; reader->pass < reader->passes; reader->pass++) {
        for (reader->y = 0; reader->y < job->height; reader->y++)
            png_read_row(reader->png, reader->whole + (size_t)reader->y * stride, NULL);
    }
    if (job->orientation != 1) {
        int rc = orient_alloc(job, job->width, job->height, reader->err);
        if (rc)
            return rc;
    }
    for (int y = 0; y < job->height; y++) {
        uint8_t *row = reader->whole + (size_t)y * stride;
        uint8_t *rgb =
            job->orientation == 1 ? reader->whole + (size_t)y * (size_t)job->width * 3 : row;
        if (alpha)
            compose_on_white(row, rgb, job->width);
        if (job->orientation != 1)
            orient_row(job->out, job->width, job->height, job->orientation, y, rgb);
    }
    if (job->orientation == 1) {
        uint8_t *shrunk = mem_regrow(reader->whole, (size_t)job->height, (size_t)job->width * 3);
        *job->out       = (struct image){
                  .width = job->width, .height = job->height, .data = shrunk ? shrunk : reader->whole};
        reader->whole = NULL;
    }
    return 0;
}

static int read_png(struct png_reader *reader)
{
    struct decode_job *job = reader->job;
    png_structp        png = reader->png;
    png_set_read_fn(png, reader, on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are below */
    /* Skip all chunks but those that make pixels (tRNS among them). */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
    png_read_info(png, reader->info);
    job->width  = (int)png_get_image_width(png, reader->info);
    job->height = (int)png_get_image_height(png, reader->info);
    if (!job->out)
        return 0;
    int rc = decode_check_pixels(job, (unsigned)job->width, (unsigned)job->height, reader->err);
    if (rc)
        return rc;
    if (job->width > MAX_SIDE || job->height > MAX_SIDE)
        return err_set(reader->err, ERR_LIMIT, "%d x %d pixels: a side is longer than %d",
                       job->width, job->height, MAX_SIDE);
    ask_for_rgb(reader);
    int channels = png_get_channels(png, reader->info);
    if (png_get_bit_depth(png, reader->info) != 8 || (channels != 3 && channels != 4))
        return err_set(reader->err, ERR_FAILED, "the PNG library gave neither RGB nor RGBA");
    rc = reader->passes > 1 ? read_interlaced(reader, channels == 4)
                            : read_plain(reader, channels == 4);
    if (rc)
        return rc;
    reader->complete = true;
    png_read_end(png, NULL); /* checks the last data chunk's checksum */
    return 0;
}

int png_decode(struct decode_job *job, struct err *err)
{
    struct png_reader *reader = mem_zeroed(1, sizeof *reader);
    if (!reader)
        return err_set(err, ERR_NOMEM, "out of memory decoding a PNG");
    reader->job = job;
    reader->err = err;
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
    if (reader->png)
        reader->info = png_create_info_struct(reader->png);
    int rc;
    if (!reader->info)
        rc = err_set(err, ERR_NOMEM, "out of memory decoding a PNG");
    else if (setjmp(png_jmpbuf(reader->png)))
        rc = explain(reader);
    else
        rc = read_png(reader);
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader->row);
    free(reader->whole);
    free(reader);
    return rc;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

const uint8_t *png_find_exif(const uint8_t *bytes, size_t n, size_t *len)
{
    size_t at = 8; /* past the signature; then length, name, data, checksum */
    while (n - at >= 12) {
        size_t size = big_endian(bytes + at);
        if (size > n - at - 12)
            return NULL;
        if (!memcmp(bytes + at + 4, "eXIf", 4)) {
            *len = size;
            return bytes + at + 8;
        }
        at += 12 + size;
    }
    return NULL;
}
