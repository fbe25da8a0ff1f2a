/* JPEG XL through libjxl: both modes, alpha, any depth, JPEGs inside; of an
 * animation the first frame. libjxl applies the orientation of the codestream,
 * which rules over EXIF's.
 *
 * Pixels come in the picture's own colours, or what libjxl makes of them, and are
 * converted as those of every format: libjxl maps what lies outside sRGB otherwise
 * than littlecms. On one thread. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <jxl/decode.h>
#include <jxl/version.h>
#include <stdlib.h>
#include <string.h>

#define MOST_EXIF       ((size_t)1 << 20)  /* bytes */
#define MOST_ICC        ((size_t)16 << 20) /* bytes */
#define MAX_SIDE        1000000            /* pixels */
#define BYTES_PER_PIXEL 20                 /* of libjxl's own, three floats and their kin */

struct jxl_reader {
    struct decode_job *job;
    JxlDecoder        *decoder;
    JxlBasicInfo       basic;
    bool               has_basic, has_exif, done;
    uint8_t           *exif; /* (MOST_EXIF) */
    uint8_t           *pixels;
    size_t             stride;
    struct colour     *colour;
    struct rows        rows;
};

static JxlPixelFormat pixel_format(const struct jxl_reader *r)
{
    return (JxlPixelFormat){.num_channels = r->basic.alpha_bits ? 4 : 3,
                            .data_type    = JXL_TYPE_UINT8,
                            .endianness   = JXL_NATIVE_ENDIAN};
}

static int take_basic(struct jxl_reader *r, struct err *err)
{
    struct decode_job *job = r->job;
    if (JxlDecoderGetBasicInfo(r->decoder, &r->basic) != JXL_DEC_SUCCESS)
        return err_set(err, ERR_FORMAT, "corrupt in its header");
    r->has_basic = true;
    int rc       = decode_check_pixels(job, r->basic.xsize, r->basic.ysize, err);
    if (!rc && (r->basic.xsize > MAX_SIDE || r->basic.ysize > MAX_SIDE))
        rc = err_set(err, ERR_LIMIT, "a side is longer than %d pixels", MAX_SIDE);
    if (rc)
        return rc;
    job->width  = (int)r->basic.xsize; /* as seen: turned already */
    job->height = (int)r->basic.ysize;
    return 0;
}

static JxlDecoderStatus icc_size(const JxlDecoder *decoder, size_t *n)
{
#if JPEGXL_NUMERIC_VERSION < JPEGXL_COMPUTE_NUMERIC_VERSION(0, 9, 0)
    return JxlDecoderGetICCProfileSize(decoder, NULL, JXL_COLOR_PROFILE_TARGET_DATA, n);
#else
    return JxlDecoderGetICCProfileSize(decoder, JXL_COLOR_PROFILE_TARGET_DATA, n);
#endif
}

static JxlDecoderStatus icc_get(const JxlDecoder *decoder, uint8_t *icc, size_t n)
{
#if JPEGXL_NUMERIC_VERSION < JPEGXL_COMPUTE_NUMERIC_VERSION(0, 9, 0)
    return JxlDecoderGetColorAsICCProfile(decoder, NULL, JXL_COLOR_PROFILE_TARGET_DATA, icc, n);
#else
    return JxlDecoderGetColorAsICCProfile(decoder, JXL_COLOR_PROFILE_TARGET_DATA, icc, n);
#endif
}

static void take_colours(struct jxl_reader *r)
{
    size_t n = 0;
    if (icc_size(r->decoder, &n) != JXL_DEC_SUCCESS || !n || n > MOST_ICC)
        return;
    uint8_t *icc = mem_array(n, 1);
    if (icc && icc_get(r->decoder, icc, n) == JXL_DEC_SUCCESS)
        r->job->info->colours =
            colour_from_icc(icc, n, r->basic.alpha_bits ? COLOUR_RGBA : COLOUR_RGB, &r->colour);
    free(icc);
}

static int take_room(struct jxl_reader *r, struct err *err)
{
    JxlPixelFormat format = pixel_format(r);
    uint64_t       pixels = (uint64_t)r->basic.xsize * r->basic.ysize;
    size_t         bytes  = 0;
    int rc = decode_check_bytes(r->job, pixels * (BYTES_PER_PIXEL + format.num_channels), err);
    if (rc)
        return rc;
    r->stride = (size_t)r->basic.xsize * format.num_channels;
    if (JxlDecoderImageOutBufferSize(r->decoder, &format, &bytes) != JXL_DEC_SUCCESS ||
        bytes != r->stride * r->basic.ysize)
        return err_set(err, ERR_FAILED, "libjxl wants another buffer than expected");
    free(r->pixels);
    r->pixels = mem_array(bytes, 1);
    if (!r->pixels)
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", r->job->width,
                       r->job->height);
    if (JxlDecoderSetImageOutBuffer(r->decoder, &format, r->pixels, bytes) != JXL_DEC_SUCCESS)
        return err_set(err, ERR_FORMAT, "corrupt: libjxl takes no buffer for its pixels");
    return 0;
}

/* The box before, if it was EXIF: 4 bytes say how many more come before the TIFF
 * header. Some write the header at once. */
static void end_exif(struct jxl_reader *r)
{
    if (!r->has_exif)
        return;
    r->has_exif = false;
    size_t n    = MOST_EXIF - JxlDecoderReleaseBoxBuffer(r->decoder);
    size_t skip =
        (size_t)r->exif[0] << 24 | (size_t)r->exif[1] << 16 | (size_t)r->exif[2] << 8 | r->exif[3];
    bool bare = !memcmp(r->exif, "MM\0*", 4) || !memcmp(r->exif, "II*\0", 4);
    if (bare)
        exif_read(r->exif, n, r->job->info);
    else if (n > 4 && skip < n - 4)
        exif_read(r->exif + 4 + skip, n - 4 - skip, r->job->info);
    r->job->info->orientation = r->job->orientation = 1;
}

static void begin_box(struct jxl_reader *r)
{
    JxlBoxType type;
    end_exif(r);
    if (JxlDecoderGetBoxType(r->decoder, type, JXL_TRUE) != JXL_DEC_SUCCESS ||
        memcmp(type, "Exif", 4) != 0)
        return;
    if (!r->exif)
        r->exif = mem_zeroed(MOST_EXIF, 1);
    r->has_exif =
        r->exif && JxlDecoderSetBoxBuffer(r->decoder, r->exif, MOST_EXIF) == JXL_DEC_SUCCESS;
}

static int too_short(const struct jxl_reader *r, struct err *err)
{
    char bytes[COUNT_TEXT], all[COUNT_TEXT];
    if (!r->has_basic)
        return err_set(err, ERR_FORMAT, "truncated in its header");
    return err_set(err, ERR_FORMAT, "truncated before all of its %s rows: it ends after %s bytes",
                   count_text(all, (unsigned)r->job->height), count_text(bytes, r->job->n));
}

/* One event of the decoder. *go_on: whether more are to come. */
static int take_event(struct jxl_reader *r, JxlDecoderStatus event, bool *go_on, struct err *err)
{
    switch (event) {
    case JXL_DEC_BASIC_INFO:
        return take_basic(r, err);
    case JXL_DEC_COLOR_ENCODING:
        take_colours(r);
        return 0;
    case JXL_DEC_BOX:
        begin_box(r);
        return 0;
    case JXL_DEC_BOX_NEED_MORE_OUTPUT: /* more EXIF than anyone writes */
        (void)JxlDecoderReleaseBoxBuffer(r->decoder);
        r->has_exif = false;
        return 0;
    case JXL_DEC_NEED_IMAGE_OUT_BUFFER:
        return take_room(r, err);
    case JXL_DEC_FULL_IMAGE: /* of an animation the first */
        r->done = true;
        *go_on  = r->job->info->taken_at == 0 && !r->basic.have_animation;
        return 0;
    case JXL_DEC_SUCCESS:
        *go_on = false;
        return 0;
    case JXL_DEC_NEED_MORE_INPUT:
        *go_on = false;
        return r->done ? 0 : too_short(r, err);
    default:
        return err_set(err, ERR_FORMAT, "corrupt %s",
                       r->has_basic ? "amid its pixels" : "in its header");
    }
}

static int read_jxl(struct jxl_reader *r, struct err *err)
{
    struct decode_job *job    = r->job;
    int                events = JXL_DEC_BASIC_INFO | JXL_DEC_BOX;
    int                rc     = 0;
    if (job->out)
        events |= JXL_DEC_COLOR_ENCODING | JXL_DEC_FULL_IMAGE;
    r->decoder = JxlDecoderCreate(NULL);
    if (!r->decoder)
        return err_set(err, ERR_NOMEM, "out of memory decoding a JPEG XL");
    if (JxlDecoderSubscribeEvents(r->decoder, events) != JXL_DEC_SUCCESS ||
        JxlDecoderSetInput(r->decoder, job->bytes, job->n) != JXL_DEC_SUCCESS)
        return err_set(err, ERR_FAILED, "libjxl cannot be started");
    (void)JxlDecoderSetDecompressBoxes(r->decoder, JXL_TRUE);
    for (bool go_on = true; go_on && !rc;)
        rc = take_event(r, JxlDecoderProcessInput(r->decoder), &go_on, err);
    /* What follows the pixels, or stands after the header, may be broken. */
    if (rc && (r->done || (!job->out && job->width)) && rc == ERR_FORMAT) {
        *err = (struct err)ERR_INIT;
        rc   = 0;
    }
    end_exif(r);
    if (rc || !job->out)
        return rc;
    if (!r->done)
        return too_short(r, err);
    enum rows_alpha alpha = !r->basic.alpha_bits           ? ROWS_OPAQUE
                            : r->basic.alpha_premultiplied ? ROWS_PREMULTIPLIED
                                                           : ROWS_ALPHA;
    rc = rows_open(&r->rows, job, job->width, job->height, alpha, r->colour, err);
    for (int y = 0; y < job->height && !rc; y++)
        rows_put(&r->rows, y, r->pixels + (size_t)y * r->stride);
    return rc;
}

static int jxl_decode(struct decode_job *job, struct err *err)
{
    struct jxl_reader r  = {.job = job};
    int               rc = read_jxl(&r, err);
    JxlDecoderDestroy(r.decoder);
    rows_close(&r.rows);
    colour_free(r.colour);
    free(r.exif);
    free(r.pixels);
    return rc;
}

static unsigned jxl_begin(void)
{
    return format_bit(IMAGE_JXL);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = jxl_begin,
                                            .decode    = jxl_decode};
