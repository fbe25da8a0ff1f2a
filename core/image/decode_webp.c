/* WebP through libwebp: lossy, lossless, with alpha; of an animation the first
 * frame, on a white canvas.
 *
 * A lossy picture's chroma is enlarged by libwebp's "fancy" filter, as in Pillow
 * with the same library. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

struct webp_reader {
    struct decode_job *job;
    WebPDemuxer       *demux;
    WebPIterator       frame;
    bool               has_frame;
    bool               alpha;
    struct colour     *colour;
    struct rows        rows;
    uint8_t           *pixels; /* the frame's, (height, width, 3 or 4) */
};

/* Decodes the frame; what is missing at its end is told. */
static int decode_frame(struct webp_reader *r, struct err *err)
{
    int               width = r->frame.width, height = r->frame.height, rows_done = 0;
    size_t            stride = (size_t)width * (r->alpha ? 4 : 3);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(err, ERR_FAILED, "libwebp is of another version");
    config.output.colorspace         = r->alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba        = r->pixels;
    config.output.u.RGBA.stride      = (int)stride;
    config.output.u.RGBA.size        = stride * (size_t)height;
    WebPIDecoder *decoder            = WebPIDecode(NULL, 0, &config);
    if (!decoder)
        return err_set(err, ERR_NOMEM, "out of memory decoding a WebP");
    VP8StatusCode status = WebPIUpdate(decoder, r->frame.fragment.bytes, r->frame.fragment.size);
    if (status != VP8_STATUS_OK)
        (void)WebPIDecGetRGB(decoder, &rows_done, NULL, NULL, NULL);
    WebPIDelete(decoder);
    char done[COUNT_TEXT], all[COUNT_TEXT];
    switch (status) {
    case VP8_STATUS_OK:
        return 0;
    case VP8_STATUS_OUT_OF_MEMORY:
        return err_set(err, ERR_NOMEM, "out of memory decoding a WebP");
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return err_set(err, ERR_FORMAT, "truncated after %s of %s rows",
                       count_text(done, (unsigned)rows_done), count_text(all, (unsigned)height));
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return err_set(err, ERR_UNSUPPORTED, "a feature that libwebp does not know");
    default:
        return err_set(err, ERR_FORMAT, "corrupt after %s of %s rows",
                       count_text(done, (unsigned)rows_done), count_text(all, (unsigned)height));
    }
}

/* A chunk of the file beside the frames; valid while the demuxer is. */
static const uint8_t *find_chunk(const struct webp_reader *r, const char *name, size_t *len)
{
    WebPChunkIterator chunk;
    const uint8_t    *found = NULL;
    if (WebPDemuxGetChunk(r->demux, name, 1, &chunk)) {
        found = chunk.chunk.bytes; /* in the file itself */
        *len  = chunk.chunk.size;
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return found;
}

static void read_metadata(struct webp_reader *r)
{
    size_t         n    = 0;
    const uint8_t *exif = find_chunk(r, "EXIF", &n);
    if (exif && n > 6 && !memcmp(exif, "Exif\0", 6)) { /* some write JPEG's prefix too */
        exif += 6;
        n -= 6;
    }
    if (exif)
        exif_read(exif, n, r->job->info);
    r->job->orientation = r->job->info->orientation;
}

/* Row y of the canvas from the frame, which may be smaller. */
static void put_row(const struct webp_reader *r, int y)
{
    size_t   channels = r->alpha ? 4 : 3, stride = (size_t)r->frame.width * channels;
    uint8_t *row = rows_room(&r->rows, y);
    int      in  = y - r->frame.y_offset;
    if (r->frame.width == r->job->width && r->frame.height == r->job->height) {
        rows_put(&r->rows, y, r->pixels + (size_t)y * stride);
        return;
    }
    memset(row, r->alpha ? 0 : 255, (size_t)r->job->width * channels);
    if (in >= 0 && in < r->frame.height)
        memcpy(row + (size_t)r->frame.x_offset * channels, r->pixels + (size_t)in * stride, stride);
    rows_put(&r->rows, y, row);
}

static int read_pixels(struct webp_reader *r, struct err *err)
{
    struct decode_job *job      = r->job;
    size_t             channels = r->alpha ? 4 : 3;
    if (!WebPDemuxGetFrame(r->demux, 1, &r->frame))
        return err_set(err, ERR_FORMAT, "truncated before its first frame");
    r->has_frame = true;
    if (r->frame.width < 1 || r->frame.height < 1 ||
        r->frame.x_offset > job->width - r->frame.width ||
        r->frame.y_offset > job->height - r->frame.height)
        return err_set(err, ERR_FORMAT, "corrupt: its first frame lies outside");
    /* libwebp's own rows and, of lossless ones, whole pictures of 4 bytes. */
    uint64_t pixels = (uint64_t)r->frame.width * (unsigned)r->frame.height;
    int      rc     = decode_check_bytes(job, pixels * (channels + 4), err);
    if (rc)
        return rc;
    r->pixels = mem_array((size_t)pixels, channels);
    if (!r->pixels)
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", r->frame.width,
                       r->frame.height);
    rc = decode_frame(r, err);
    if (rc)
        return rc;
    size_t         n   = 0;
    const uint8_t *icc = find_chunk(r, "ICCP", &n);
    if (icc)
        job->info->colours =
            colour_from_icc(icc, n, r->alpha ? COLOUR_RGBA : COLOUR_RGB, &r->colour);
    rc = rows_open(&r->rows, job, job->width, job->height, r->alpha ? ROWS_ALPHA : ROWS_OPAQUE,
                   r->colour, err);
    for (int y = 0; y < job->height && !rc; y++)
        put_row(r, y);
    return rc;
}

static int read_webp(struct webp_reader *r, struct err *err)
{
    struct decode_job *job  = r->job;
    WebPData           data = {.bytes = job->bytes, .size = job->n};
    WebPDemuxState     state;
    r->demux = WebPDemuxPartial(&data, &state);
    if (!r->demux || state == WEBP_DEMUX_PARSING_HEADER)
        return err_set(err, ERR_FORMAT, "%s in its header",
                       state == WEBP_DEMUX_PARSE_ERROR ? "corrupt" : "truncated");
    uint32_t flags  = WebPDemuxGetI(r->demux, WEBP_FF_FORMAT_FLAGS);
    uint32_t width  = WebPDemuxGetI(r->demux, WEBP_FF_CANVAS_WIDTH);
    uint32_t height = WebPDemuxGetI(r->demux, WEBP_FF_CANVAS_HEIGHT);
    int      rc     = decode_check_pixels(job, width, height, err);
    if (rc)
        return rc;
    job->width  = (int)width; /* at most 2^24 */
    job->height = (int)height;
    r->alpha    = (flags & ALPHA_FLAG) != 0;
    read_metadata(r);
    return job->out ? read_pixels(r, err) : 0;
}

static int webp_decode(struct decode_job *job, struct err *err)
{
    struct webp_reader r  = {.job = job};
    int                rc = read_webp(&r, err);
    rows_close(&r.rows);
    colour_free(r.colour);
    free(r.pixels);
    if (r.has_frame)
        WebPDemuxReleaseIterator(&r.frame);
    WebPDemuxDelete(r.demux);
    return rc;
}

static unsigned webp_begin(void)
{
    return format_bit(IMAGE_WEBP);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = webp_begin,
                                            .decode    = webp_decode};
