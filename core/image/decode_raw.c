/* Camera RAW through libraw: the preview inside, where it has pixels enough, else
 * the sensor's, developed at half size.
 *
 * Enough is twice min_side on the shorter side, as for scaled JPEGs; for a picture
 * at full scale, half the sensor's. Half-size development makes one pixel of each
 * 2 x 2 cell: no demosaicing. White balance is the camera's, brightness libraw's.
 * The preview is turned as the RAW says, whatever it says itself. A module
 * (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <libraw/libraw.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_SIDE        1000000 /* pixels */
#define BYTES_PER_PIXEL 8       /* of the sensor: its samples, a quarter of 4 x 16 bits, a copy */

struct raw_reader {
    struct decode_job        *job;
    libraw_data_t            *raw;
    libraw_processed_image_t *made;
    struct rows               rows;
};

static int explain(int why, const char *what, struct err *err)
{
    switch (why) {
    case LIBRAW_UNSUFFICIENT_MEMORY:
    case LIBRAW_TOO_BIG:
        return err_set(err, ERR_LIMIT, "decoding takes more memory than allowed");
    case LIBRAW_FILE_UNSUPPORTED:
        return err_set(err, ERR_UNSUPPORTED, "libraw does not know this kind of RAW");
    default:
        return err_set(err, ERR_FORMAT, "corrupt or truncated %s: %s", what, libraw_strerror(why));
    }
}

/* libraw's flip as EXIF orientation. */
static int orientation_of(int flip)
{
    switch (flip) {
    case 3:
        return 3;
    case 5:
        return 8;
    case 6:
        return 6;
    default:
        return 1;
    }
}

static void read_metadata(struct raw_reader *r)
{
    const libraw_iparams_t  *camera   = &r->raw->idata;
    const libraw_imgother_t *other    = &r->raw->other;
    char                     date[32] = "";
    struct tm                tm;
    time_t                   taken = other->timestamp;
    /* libraw took the date for local time: what it was is what the file says. */
    if (taken > 0 && localtime_r(&taken, &tm))
        (void)strftime(date, sizeof date, "%Y:%m:%d %H:%M:%S", &tm);
    exif_take(camera->make, camera->model, date, NULL, r->job->info);
}

/* ---- The preview ---- */

static bool preview_suffices(const struct raw_reader *r, int width, int height)
{
    const struct decode_job *job     = r->job;
    int                      shorter = width < height ? width : height;
    int                      whole   = job->width < job->height ? job->width : job->height;
    if (job->min_side > 0 && shorter >= 2 * (int64_t)job->min_side)
        return true;
    return shorter >= whole / 2;
}

static int read_bitmap(struct raw_reader *r, const libraw_thumbnail_t *t, struct err *err)
{
    size_t stride = (size_t)t->twidth * 3;
    if (t->twidth < 1 || t->theight < 1 || t->tcolors != 3 ||
        (uint64_t)stride * t->theight > t->tlength)
        return err_set(err, ERR_FORMAT, "corrupt preview");
    int rc = rows_open(&r->rows, r->job, t->twidth, t->theight, ROWS_OPAQUE, NULL, err);
    for (int y = 0; y < t->theight && !rc; y++)
        rows_put(&r->rows, y, (uint8_t *)t->thumb + (size_t)y * stride);
    return rc;
}

/* The preview's own sizes: what libraw says of them is not always so. */
static int read_jpeg(struct raw_reader *r, const libraw_thumbnail_t *t, struct err *err)
{
    struct image_info unused = {.orientation = 1};
    struct decode_job inner  = *r->job;
    inner.bytes              = (const uint8_t *)t->thumb;
    inner.n                  = t->tlength;
    inner.out                = NULL;
    inner.info               = &unused;
    int rc                   = jpeg_decode(&inner, err);
    if (!rc && !preview_suffices(r, inner.width, inner.height))
        rc = err_set(err, ERR_NOTFOUND, "the preview is too small");
    if (rc)
        return rc;
    inner.out  = r->job->out;
    inner.info = r->job->info;
    return jpeg_decode(&inner, err);
}

/* 0: it is the picture now. Anything else: there is none that would do. */
static int read_preview(struct raw_reader *r)
{
    struct err                why = ERR_INIT;
    const libraw_thumbnail_t *t   = &r->raw->thumbnail;
    if (t->twidth && t->theight && !preview_suffices(r, t->twidth, t->theight))
        return ERR_NOTFOUND;
    if (libraw_unpack_thumb(r->raw) != LIBRAW_SUCCESS || !t->thumb)
        return ERR_NOTFOUND;
    int rc = ERR_UNSUPPORTED;
    if (t->tformat == LIBRAW_THUMBNAIL_JPEG)
        rc = read_jpeg(r, t, &why);
    else if (t->tformat == LIBRAW_THUMBNAIL_BITMAP && preview_suffices(r, t->twidth, t->theight))
        rc = read_bitmap(r, t, &why);
    if (!rc)
        return 0;
    rows_close(&r->rows);
    if (r->job->out->data != r->job->room)
        image_free(r->job->out);
    *r->job->out = (struct image){0};
    return rc;
}

/* ---- The sensor ---- */

static int develop(struct raw_reader *r, struct err *err)
{
    libraw_output_params_t *p = &r->raw->params;
    p->half_size              = 1;
    p->use_camera_wb          = 1;
    p->output_bps             = 8;
    p->output_color           = 1; /* sRGB */
    p->gamm[0]                = 1 / 2.4;
    p->gamm[1]                = 12.92;
    p->user_flip              = 0; /* turning is ours */
    int why                   = libraw_unpack(r->raw);
    if (why == LIBRAW_SUCCESS)
        why = libraw_dcraw_process(r->raw);
    if (why != LIBRAW_SUCCESS)
        return explain(why, "amid its pixels", err);
    r->made = libraw_dcraw_make_mem_image(r->raw, &why);
    if (!r->made)
        return explain(why, "amid its pixels", err);
    const libraw_processed_image_t *made   = r->made;
    size_t                          stride = (size_t)made->width * made->colors;
    if (made->type != LIBRAW_IMAGE_BITMAP || made->bits != 8 ||
        (made->colors != 3 && made->colors != 1) || made->width < 1 || made->height < 1 ||
        (uint64_t)stride * made->height > made->data_size)
        return err_set(err, ERR_FAILED, "libraw made no picture of it");
    int rc = rows_open(&r->rows, r->job, made->width, made->height, ROWS_OPAQUE, NULL, err);
    for (int y = 0; y < made->height && !rc; y++) {
        const uint8_t *from = made->data + (size_t)y * stride;
        uint8_t       *row  = rows_room(&r->rows, y);
        for (int x = 0; x < made->width; x++) {
            for (int c = 0; c < 3; c++)
                row[3 * x + c] = from[made->colors == 3 ? 3 * x + c : x];
        }
        rows_put(&r->rows, y, row);
    }
    return rc;
}

static int read_raw(struct raw_reader *r, struct err *err)
{
    struct decode_job *job = r->job;
    r->raw                 = libraw_init(0);
    if (!r->raw)
        return err_set(err, ERR_NOMEM, "out of memory decoding a RAW");
    libraw_set_dataerror_handler(r->raw, NULL, NULL);
    int why = libraw_open_buffer(r->raw, (void *)job->bytes, job->n);
    if (why != LIBRAW_SUCCESS)
        return explain(why, "in its header", err);
    const libraw_image_sizes_t *s  = &r->raw->sizes;
    int                         rc = decode_check_pixels(job, s->width, s->height, err);
    if (!rc && s->raw_width && s->raw_height)
        rc = decode_check_pixels(job, s->raw_width, s->raw_height, err);
    if (rc)
        return rc;
    job->width       = s->width;
    job->height      = s->height;
    job->orientation = orientation_of(s->flip);
    read_metadata(r);
    if (!job->out || !read_preview(r))
        return 0;
    rc = decode_check_bytes(job, (uint64_t)s->raw_width * s->raw_height * BYTES_PER_PIXEL, err);
    return rc ? rc : develop(r, err);
}

static int raw_decode(struct decode_job *job, struct err *err)
{
    struct raw_reader r       = {.job = job};
    int               threads = omp_get_max_threads();
    omp_set_num_threads(1); /* the sandbox lets nobody start one */
    int rc = read_raw(&r, err);
    omp_set_num_threads(threads);
    rows_close(&r.rows);
    if (r.made)
        libraw_dcraw_clear_mem(r.made);
    if (r.raw)
        libraw_close(r.raw);
    return rc;
}

static unsigned raw_begin(void)
{
    return format_bit(IMAGE_RAW);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = raw_begin,
                                            .decode    = raw_decode};
