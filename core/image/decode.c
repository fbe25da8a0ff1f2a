/* The one door through which files become pixels: see image.h.
 *
 * Chooses the decoder by content, finds and reads EXIF, and says what a picture
 * may cost. It knows no format; the decoders know no EXIF beyond where it lies.
 */
#include "image/decode.h"

#include "image/formats.h"
#include "image/modules.h"

#include <stdlib.h>
#include <string.h>

/* The decoders that are always there, and where EXIF lies. */
static const struct {
    int (*decode)(struct decode_job *job, struct err *err);
    const uint8_t *(*find_exif)(const uint8_t *bytes, size_t n, size_t *len);
} linked[IMAGE_KINDS] = {
    [IMAGE_JPEG] = {jpeg_decode, jpeg_find_exif},
    [IMAGE_PNG]  = {png_decode, png_find_exif},
    [IMAGE_BMP]  = {bmp_decode, NULL},
    [IMAGE_PNM]  = {pnm_decode, NULL},
};

static int decode_job_run(struct decode_job *job, struct image_info *info, struct err *err)
{
    *info      = (struct image_info){.orientation = 1, .pages = 1};
    info->kind = image_kind_of(job->bytes, job->n);
    job->info  = info;
    if (!job->n)
        return err_set(err, ERR_FORMAT, "the file is empty");
    if (info->kind == IMAGE_UNKNOWN)
        return err_set(err, ERR_FORMAT, "not a picture of any known format");

    size_t         len  = 0;
    const uint8_t *exif = NULL;
    if (linked[info->kind].find_exif)
        exif = linked[info->kind].find_exif(job->bytes, job->n, &len);
    if (exif)
        exif_read(exif, len, info);
    job->orientation = info->orientation;

    int  rc           = linked[info->kind].decode ? linked[info->kind].decode(job, err)
                                                  : module_decode(info->kind, job, err);
    bool swaps        = orient_swaps(job->orientation);
    info->orientation = job->orientation;
    info->width       = swaps ? job->height : job->width;
    info->height      = swaps ? job->width : job->height;
    return rc;
}

int image_probe(const uint8_t *bytes, size_t n, struct image_info *info, struct err *err)
{
    struct image_limits limits = {.max_pixels = UINT64_MAX, .max_bytes = UINT64_MAX};
    struct decode_job   job    = {.bytes = bytes, .n = n, .limits = &limits};
    return decode_job_run(&job, info, err);
}

/* Without a room the picture is the caller's. */
static int decode(const struct decode_job *asked, struct image_info *info, struct err *err)
{
    struct image_limits defaults = image_limits_default();
    struct image_info   unused;
    struct decode_job   job = *asked;
    if (!job.limits)
        job.limits = &defaults;
    *job.out = (struct image){0};
    int rc   = decode_job_run(&job, info ? info : &unused, err);
    if (rc && job.out->data == job.room)
        *job.out = (struct image){0};
    if (rc)
        image_free(job.out);
    return rc;
}

static void set_part(struct decode_job *job, const struct image_part *part)
{
    job->page    = part ? part->page : 0;
    job->frames  = part ? part->frames : 0;
    job->time_ms = part ? part->time_ms : IMAGE_ANY_TIME;
}

int image_decode_part(const uint8_t *bytes, size_t n, const struct image_part *part, int min_side,
                      const struct image_limits *limits, struct image *out, struct image_info *info,
                      struct err *err)
{
    struct decode_job job = {
        .bytes = bytes, .n = n, .limits = limits, .min_side = min_side, .out = out};
    set_part(&job, part);
    return decode(&job, info, err);
}

int image_decode(const uint8_t *bytes, size_t n, int min_side, const struct image_limits *limits,
                 struct image *out, struct image_info *info, struct err *err)
{
    return image_decode_part(bytes, n, NULL, min_side, limits, out, info, err);
}

int image_decode_into(const uint8_t *bytes, size_t n, const struct image_part *part, int min_side,
                      const struct image_limits *limits, uint8_t *room, size_t size,
                      struct image *out, struct image_info *info, struct err *err)
{
    struct decode_job job = {.bytes      = bytes,
                             .n          = n,
                             .limits     = limits,
                             .min_side   = min_side,
                             .out        = out,
                             .room       = room,
                             .room_bytes = size};
    set_part(&job, part);
    int rc = decode(&job, info, err);
    if (rc || out->data == room)
        return rc;
    /* A decoder that needed a buffer of its own. */
    size_t bytes_out = (size_t)out->width * (size_t)out->height * 3;
    if (bytes_out > size)
        rc = err_set(err, ERR_LIMIT, "%d x %d pixels do not fit into memory", out->width,
                     out->height);
    else
        memcpy(room, out->data, bytes_out);
    free(out->data);
    if (rc)
        *out = (struct image){0};
    else
        out->data = room;
    return rc;
}
