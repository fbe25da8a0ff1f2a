/* The one door through which files become pixels: see image.h.
 *
 * Chooses the decoder by content, finds and reads EXIF, and says in one place
 * what a picture may cost. It knows no format beyond its first bytes; the
 * decoders (decode_jpeg.c, decode_png.c) know no EXIF beyond where it lies.
 */
#include "image/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void image_free(struct image *img)
{
    if (!img)
        return;
    free(img->data);
    *img = (struct image){0};
}

const char *image_kind_name(enum image_kind kind)
{
    switch (kind) {
    case IMAGE_JPEG:
        return "JPEG";
    case IMAGE_PNG:
        return "PNG";
    case IMAGE_UNKNOWN:
    default:
        return "unknown";
    }
}

enum image_kind image_kind_of(const uint8_t *bytes, size_t n)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    if (n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF)
        return IMAGE_JPEG;
    if (n >= sizeof png && !memcmp(bytes, png, sizeof png))
        return IMAGE_PNG;
    return IMAGE_UNKNOWN;
}

struct image_limits image_limits_default(void)
{
    return (struct image_limits){.max_pixels = 512000000, .max_bytes = (uint64_t)2 << 30};
}

const char *count_text(char buf[COUNT_TEXT], uint64_t count)
{
    char digits[COUNT_TEXT];
    int  n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    int  k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf[k++] = ',';
        buf[k++] = digits[i];
    }
    buf[k] = '\0';
    return buf;
}

int decode_check_pixels(const struct decode_job *job, uint64_t width, uint64_t height,
                        struct err *err)
{
    if (width < 1 || height < 1)
        return err_set(err, ERR_FORMAT, "it has no pixels (%llu x %llu)", (unsigned long long)width,
                       (unsigned long long)height);
    if (width > job->limits->max_pixels / height) {
        char w[COUNT_TEXT], h[COUNT_TEXT], max[COUNT_TEXT];
        return err_set(err, ERR_LIMIT, "%s x %s pixels are more than the limit of %s",
                       count_text(w, width), count_text(h, height),
                       count_text(max, job->limits->max_pixels));
    }
    return 0;
}

static int decode_job_run(struct decode_job *job, struct image_info *info, struct err *err)
{
    *info      = (struct image_info){.orientation = 1};
    info->kind = image_kind_of(job->bytes, job->n);
    if (!job->n)
        return err_set(err, ERR_FORMAT, "the file is empty");
    if (info->kind == IMAGE_UNKNOWN)
        return err_set(err, ERR_FORMAT, "neither a JPEG nor a PNG");

    bool           jpeg = info->kind == IMAGE_JPEG;
    size_t         len  = 0;
    const uint8_t *exif =
        jpeg ? jpeg_find_exif(job->bytes, job->n, &len) : png_find_exif(job->bytes, job->n, &len);
    if (exif)
        exif_read(exif, len, info);
    job->orientation = info->orientation;

    int  rc      = jpeg ? jpeg_decode(job, err) : png_decode(job, err);
    bool swaps   = orient_swaps(info->orientation);
    info->width  = swaps ? job->height : job->width;
    info->height = swaps ? job->width : job->height;
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

int image_decode(const uint8_t *bytes, size_t n, int min_side, const struct image_limits *limits,
                 struct image *out, struct image_info *info, struct err *err)
{
    struct decode_job job = {
        .bytes = bytes, .n = n, .limits = limits, .min_side = min_side, .out = out};
    return decode(&job, info, err);
}

int image_decode_into(const uint8_t *bytes, size_t n, int min_side,
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
    int               rc  = decode(&job, info, err);
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
