/* HEIC and AVIF through libheif: the primary picture, grids and turned ones too,
 * 8 to 12 bits. Of a sequence or a burst it is the one that the file calls primary.
 *
 * Rotation and mirroring are properties in the file, which libheif applies; EXIF's
 * orientation repeats them and is left alone. Codecs may be plug-ins that libheif
 * reads from files, so it is started before the sandbox is closed. It decodes on
 * this thread; libde265 keeps one of its own. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <libheif/heif.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pixel's planes in libheif and a codec, 16 bits each at worst, and what comes out. */
#define BYTES_PER_PIXEL 16
#define REASON          256
#define SPARE_SIDE      128                /* pixels */
#define MOST_BYTES      ((size_t)64 << 20) /* of a profile or a block of EXIF */

struct heif_job {
    struct decode_job        *job;
    struct heif_context      *context;
    struct heif_image_handle *handle;
    struct heif_image        *image;
    struct colour            *colour;
    struct rows               rows;
};

static int explain(struct heif_error why, struct err *err)
{
    char text[REASON];
    (void)snprintf(text, sizeof text, "%s", why.message ? why.message : "");
    for (size_t i = strlen(text); i-- > 0;) { /* libheif ends lines */
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F)
            text[i] = text[i + 1] ? ' ' : '\0';
    }
    switch (why.code) {
    case heif_error_Memory_allocation_error:
        return err_set(err, ERR_LIMIT, "decoding takes more memory than allowed: %s", text);
    case heif_error_Unsupported_feature:
    case heif_error_Unsupported_filetype:
        return err_set(err, ERR_UNSUPPORTED, "libheif: %s", text);
    default:
        return err_set(err, ERR_FORMAT, "%s: %s",
                       why.subcode == heif_suberror_End_of_data ? "truncated" : "corrupt", text);
    }
}

static void read_exif(struct heif_job *r)
{
    heif_item_id id;
    if (heif_image_handle_get_list_of_metadata_block_IDs(r->handle, "Exif", &id, 1) != 1)
        return;
    size_t   n     = heif_image_handle_get_metadata_size(r->handle, id);
    uint8_t *block = n > 4 && n < MOST_BYTES ? mem_array(n, 1) : NULL;
    if (block && heif_image_handle_get_metadata(r->handle, id, block).code == heif_error_Ok) {
        /* How many bytes there are before the TIFF header. */
        size_t skip =
            (size_t)block[0] << 24 | (size_t)block[1] << 16 | (size_t)block[2] << 8 | block[3];
        if (skip < n - 4)
            exif_read(block + 4 + skip, n - 4 - skip, r->job->info);
    }
    free(block);
    r->job->info->orientation = r->job->orientation = 1;
}

static void find_colours(struct heif_job *r, bool alpha)
{
    enum colour_layout              layout = alpha ? COLOUR_RGBA : COLOUR_RGB;
    struct heif_color_profile_nclx *nclx   = NULL;
    size_t                          n = heif_image_handle_get_raw_color_profile_size(r->handle);
    if (n > 0 && n < MOST_BYTES) {
        void *icc = mem_array(n, 1);
        if (icc && heif_image_handle_get_raw_color_profile(r->handle, icc).code == heif_error_Ok)
            r->job->info->colours = colour_from_icc(icc, n, layout, &r->colour);
        free(icc);
    } else if (heif_image_handle_get_nclx_color_profile(r->handle, &nclx).code == heif_error_Ok) {
        r->job->info->colours = colour_from_cicp(
            (int)nclx->color_primaries, (int)nclx->transfer_characteristics, layout, &r->colour);
        heif_nclx_color_profile_free(nclx);
    }
}

static int read_pixels(struct heif_job *r, struct err *err)
{
    struct decode_job *job   = r->job;
    bool               alpha = heif_image_handle_has_alpha_channel(r->handle) != 0;
    bool premultiplied       = alpha && heif_image_handle_is_premultiplied_alpha(r->handle) != 0;
    int rc = decode_check_bytes(job, (uint64_t)job->width * (unsigned)job->height * BYTES_PER_PIXEL,
                                err);
    if (rc)
        return rc;
    struct heif_decoding_options *options = heif_decoding_options_alloc();
    if (!options)
        return err_set(err, ERR_NOMEM, "out of memory decoding a HEIF");
    options->convert_hdr_to_8bit = 1;
    options->strict_decoding     = 1;
    struct heif_error why        = heif_decode_image(
               r->handle, &r->image, heif_colorspace_RGB,
        alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, options);
    heif_decoding_options_free(options);
    if (why.code != heif_error_Ok)
        return explain(why, err);
    int            stride = 0;
    const uint8_t *plane =
        heif_image_get_plane_readonly(r->image, heif_channel_interleaved, &stride);
    int width  = heif_image_get_width(r->image, heif_channel_interleaved);
    int height = heif_image_get_height(r->image, heif_channel_interleaved);
    if (!plane || width != job->width || height != job->height)
        return err_set(err, ERR_FORMAT, "corrupt: %d x %d pixels came instead of %d x %d", width,
                       height, job->width, job->height);
    find_colours(r, alpha);
    rc           = rows_open(&r->rows, job, width, height,
                   premultiplied ? ROWS_PREMULTIPLIED
                             : alpha       ? ROWS_ALPHA
                                           : ROWS_OPAQUE,
                             r->colour, err);
    size_t bytes = (size_t)width * (alpha ? 4 : 3);
    for (int y = 0; y < height && !rc; y++) {
        uint8_t *row = rows_room(&r->rows, y);
        memcpy(row, plane + (size_t)y * (size_t)stride, bytes);
        rows_put(&r->rows, y, row);
    }
    return rc;
}

static int read_heif(struct heif_job *r, struct err *err)
{
    struct decode_job *job = r->job;
    r->context             = heif_context_alloc();
    if (!r->context)
        return err_set(err, ERR_NOMEM, "out of memory decoding a HEIF");
    /* Codecs' pictures are larger, by whole blocks; the exact limit is below. */
    double side = sqrt((double)job->limits->max_pixels) + SPARE_SIDE;
    heif_context_set_maximum_image_size_limit(r->context, side < 65535 ? (int)side : 65535);
    heif_context_set_max_decoding_threads(r->context, 0);
    struct heif_error why =
        heif_context_read_from_memory_without_copy(r->context, job->bytes, job->n, NULL);
    if (why.code == heif_error_Ok)
        why = heif_context_get_primary_image_handle(r->context, &r->handle);
    if (why.code != heif_error_Ok)
        return explain(why, err);
    int width  = heif_image_handle_get_width(r->handle);
    int height = heif_image_handle_get_height(r->handle);
    int rc     = decode_check_pixels(job, width > 0 ? (unsigned)width : 0,
                                 height > 0 ? (unsigned)height : 0, err);
    if (rc)
        return rc;
    job->width  = width;
    job->height = height;
    read_exif(r);
    return job->out ? read_pixels(r, err) : 0;
}

static int heif_decode(struct decode_job *job, struct err *err)
{
    struct heif_job r  = {.job = job};
    int             rc = read_heif(&r, err);
    rows_close(&r.rows);
    colour_free(r.colour);
    heif_image_release(r.image);
    heif_image_handle_release(r.handle);
    heif_context_free(r.context);
    return rc;
}

static unsigned heif_begin(void)
{
    unsigned kinds = 0;
#if LIBHEIF_NUMERIC_VERSION >= 0x010E0000 /* reads its plug-ins; before 1.14 there were none */
    (void)heif_init(NULL);
#endif
    if (heif_have_decoder_for_format(heif_compression_HEVC))
        kinds |= format_bit(IMAGE_HEIC);
    if (heif_have_decoder_for_format(heif_compression_AV1))
        kinds |= format_bit(IMAGE_AVIF);
    return kinds;
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = heif_begin,
                                            .decode    = heif_decode};
