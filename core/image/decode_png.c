/* PNG through libpng: every colour type and depth, palettes, interlacing.
 *
 * 16 bits become 8 by rounding v * 255 / 65535 (libpng's scale_16). Alpha may come
 * from tRNS too. Of colours, cICP counts before iCCP, sRGB, and gAMA with cHRM
 * (PNG, third edition, section 4.3). An ancillary chunk with a bad
 * checksum is skipped, a critical one is an error. A file without its end chunk
 * is whole, as in Pillow; one without the last data chunk's checksum is not.
 */
#include "image/decode.h"

#include "base/mem.h"
#include "image/rows.h"

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
    int                y;      /* row being read */
    uint8_t           *whole;  /* an interlaced picture, all passes together */
    struct colour     *colour; /* to sRGB, NULL: none is needed */
    struct rows        rows;
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

static int read_plain(struct png_reader *reader)
{
    for (reader->y = 0; reader->y < reader->job->height; reader->y++) {
        uint8_t *row = rows_room(&reader->rows, reader->y);
        png_read_row(reader->png, row, NULL);
        rows_put(&reader->rows, reader->y, row);
    }
    return 0;
}

/* All passes go into one buffer. */
static int read_interlaced(struct png_reader *reader, bool alpha)
{
    struct decode_job *job    = reader->job;
    size_t             stride = (size_t)job->width * (alpha ? 4 : 3);
    int rc = decode_check_bytes(job, (uint64_t)stride * (unsigned)job->height, reader->err);
    if (rc)
        return rc;
    /* Zeroed: libpng combines each pass with the pixels before it. */
    reader->whole = mem_zeroed((size_t)job->height, stride);
    if (!reader->whole)
        return err_set(reader->err, ERR_NOMEM, "out of memory for %d x %d pixels", job->width,
                       job->height);
    for (reader->pass = 0; reader->pass < reader->passes; reader->pass++) {
        for (reader->y = 0; reader->y < job->height; reader->y++)
            png_read_row(reader->png, reader->whole + (size_t)reader->y * stride, NULL);
    }
    for (int y = 0; y < job->height; y++)
        rows_put(&reader->rows, y, reader->whole + (size_t)y * stride);
    return 0;
}

/* The code points of a cICP chunk, which libpng knows since 1.6.45 only. */
static bool find_cicp(const struct png_reader *reader, int *primaries, int *transfer)
{
    size_t         len   = 0;
    const uint8_t *chunk = png_find_chunk(reader->job->bytes, reader->job->n, "cICP", &len);
    if (!chunk || len != 4)
        return false;
    *primaries = chunk[0];
    *transfer  = chunk[1];
    return true;
}

static void find_colours(struct png_reader *reader, bool alpha)
{
    png_structp         png    = reader->png;
    png_infop           info   = reader->info;
    enum colour_layout  layout = alpha ? COLOUR_RGBA : COLOUR_RGB;
    enum image_colours *found  = &reader->job->info->colours;
    int                 primaries, transfer, intent;
    png_charp           name;
    png_bytep           icc;
    png_uint_32         n;
    double              gamma, xy[8];
    if (find_cicp(reader, &primaries, &transfer)) {
        *found = colour_from_cicp(primaries, transfer, layout, &reader->colour);
    } else if (png_get_iCCP(png, info, &name, &intent, &icc, &n)) {
        *found = colour_from_icc(icc, n, layout, &reader->colour);
    } else if (!png_get_sRGB(png, info, &intent) && png_get_gAMA(png, info, &gamma)) {
        bool has = png_get_cHRM(png, info, &xy[0], &xy[1], &xy[2], &xy[3], &xy[4], &xy[5], &xy[6],
                                &xy[7]) != 0;
        *found   = colour_from_gamma(has ? xy : NULL, 1 / gamma, layout, &reader->colour);
    }
}

static int read_png(struct png_reader *reader)
{
    static const png_byte colours[] = "iCCP\0sRGB\0gAMA\0cHRM";
    struct decode_job    *job       = reader->job;
    png_structp           png       = reader->png;
    png_set_read_fn(png, reader, on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are below */
    /* Skip all chunks but those that make pixels (tRNS among them) and colours. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    if (job->out)
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, colours, 4);
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
    bool alpha = channels == 4;
    find_colours(reader, alpha);
    rc = rows_open(&reader->rows, job, job->width, job->height, alpha ? ROWS_ALPHA : ROWS_OPAQUE,
                   reader->colour, reader->err);
    if (!rc)
        rc = reader->passes > 1 ? read_interlaced(reader, alpha) : read_plain(reader);
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
    rows_close(&reader->rows);
    colour_free(reader->colour);
    free(reader->whole);
    free(reader);
    return rc;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

const uint8_t *png_find_chunk(const uint8_t *bytes, size_t n, const char *name, size_t *len)
{
    size_t at = 8; /* past the signature; then length, name, data, checksum */
    while (n - at >= 12) {
        size_t size = big_endian(bytes + at);
        if (size > n - at - 12)
            return NULL;
        if (!memcmp(bytes + at + 4, name, 4)) {
            *len = size;
            return bytes + at + 8;
        }
        at += 12 + size;
    }
    return NULL;
}

const uint8_t *png_find_exif(const uint8_t *bytes, size_t n, size_t *len)
{
    return png_find_chunk(bytes, n, "eXIf", len);
}
