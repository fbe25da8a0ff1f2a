/* TIFF through libtiff: strips and tiles, every compression it knows, 1 to 16
 * bits, palettes, CMYK, YCbCr, Lab, alpha, any page of a file of several.
 *
 * Pixels come through libtiff's RGBA interface, band by band (a strip or a row of
 * tiles), except CMYK with a profile, whose inks littlecms wants. Samples of 16
 * bits become 8 as in PNG. Extra samples that are not said to be alpha are left
 * out, as in Pillow. Samples of 32 bits are not read. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#define MAX_SIDE   1000000 /* pixels */
#define MOST_PAGES 4096
#define REASON     160

struct tiff_reader {
    struct decode_job *job;
    TIFF              *tif;
    uint64_t           at;
    bool               ran_out;
    char               reason[REASON];
    TIFFRGBAImage      image;
    bool               begun; /* image */
    int                done;  /* rows */
    uint32_t          *band;  /* (rows, width) ABGR */
    uint8_t           *inks;  /* one row of CMYK */
    struct colour     *colour;
    struct rows        rows;
};

/* ---- libtiff's file ---- */

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t n)
{
    struct tiff_reader *r    = handle;
    uint64_t            left = r->at < r->job->n ? r->job->n - r->at : 0;
    uint64_t            take = (uint64_t)n < left ? (uint64_t)n : left;
    if (take < (uint64_t)n)
        r->ran_out = true;
    memcpy(to, r->job->bytes + (take ? r->at : 0), (size_t)take);
    r->at += take;
    return (tmsize_t)take;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle, (void)from, (void)n;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct tiff_reader *r    = handle;
    uint64_t            base = whence == SEEK_CUR ? r->at : whence == SEEK_END ? r->job->n : 0;
    r->at                    = base + offset; /* wraps for steps back, as it should */
    return r->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    const struct tiff_reader *r = handle;
    return r->job->n;
}

static int on_error(TIFF *tif, void *user, const char *module, const char *format, va_list list)
{
    struct tiff_reader *r = user;
    (void)tif, (void)module;
    if (!r->reason[0])
        (void)vsnprintf(r->reason, sizeof r->reason, format, list);
    return 1;
}

static int on_warning(TIFF *tif, void *user, const char *module, const char *format, va_list list)
{
    (void)tif, (void)user, (void)module, (void)format, (void)list;
    return 1;
}

/* libtiff gave up before the pixels. */
static int explain_header(const struct tiff_reader *r, struct err *err)
{
    if (strstr(r->reason, "emory"))
        return err_set(err, ERR_LIMIT, "decoding takes more memory than allowed");
    return err_set(err, ERR_FORMAT, "%s in its header", r->ran_out ? "truncated" : "corrupt");
}

static int open_tiff(struct tiff_reader *r, struct err *err)
{
    uint64_t         most    = r->job->limits->max_bytes;
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return err_set(err, ERR_NOMEM, "out of memory decoding a TIFF");
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, r);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, r);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, most > PTRDIFF_MAX ? 0 : (tmsize_t)most);
    /* h: one directory's header, no more; m: no mapping, so that reads beyond the
     * end are seen. */
    r->tif = TIFFClientOpenExt("picture", "rhm", r, on_read, on_write, on_seek, on_close, on_size,
                               NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return r->tif ? 0 : explain_header(r, err);
}

/* libtiff gave up while reading pixels. */
static int explain(const struct tiff_reader *r, struct err *err)
{
    char        done[COUNT_TEXT], all[COUNT_TEXT];
    const char *what = r->ran_out ? "truncated" : "corrupt";
    if (strstr(r->reason, "emory"))
        return err_set(err, ERR_LIMIT, "decoding takes more memory than allowed");
    return err_set(err, ERR_FORMAT, "%s after %s of %s rows%s%s", what,
                   count_text(done, (unsigned)r->done), count_text(all, (unsigned)r->job->height),
                   r->ran_out || !r->reason[0] ? "" : ": ", r->ran_out ? "" : r->reason);
}

/* ---- Pages ---- */

static bool is_page(TIFF *tif)
{
    uint32_t type = 0;
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_SUBFILETYPE, &type);
    return !(type & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK));
}

/* Goes to the job's page; thumbnails and masks are none, unless there is nothing
 * else. With the first one all are counted; for another it goes no further than to
 * that, from directory to directory, which costs what it must. */
static int find_page(struct tiff_reader *r, struct err *err)
{
    int    page = r->job->page, pages = 0, seen = 0;
    tdir_t wanted = 0;
    bool   found  = false;
    while (seen < MOST_PAGES && (seen ? TIFFReadDirectory(r->tif) : TIFFSetDirectory(r->tif, 0))) {
        if (is_page(r->tif) && pages++ == page) {
            wanted = (tdir_t)seen;
            found  = true;
        }
        seen++;
        if (found && page)
            break;
    }
    r->job->info->pages = pages ? pages : 1;
    if (!seen)
        return explain_header(r, err);
    r->reason[0] = '\0';
    r->ran_out   = false;
    if (!found && page)
        return err_set(err, ERR_NOTFOUND, "it has no page %d, only %d", page + 1,
                       r->job->info->pages);
    if (page || TIFFSetDirectory(r->tif, wanted))
        return 0;
    return explain_header(r, err);
}

/* ---- What it says ---- */

static void read_metadata(struct tiff_reader *r, uint16_t orientation)
{
    char        make[64] = "", model[64] = "";
    const char *text, *date = NULL, *offset = NULL;
    uint64_t    exif = 0;
    if (orientation >= 1 && orientation <= 8)
        r->job->orientation = orientation;
    if (TIFFGetField(r->tif, TIFFTAG_MAKE, &text) && text)
        (void)snprintf(make, sizeof make, "%s", text);
    if (TIFFGetField(r->tif, TIFFTAG_MODEL, &text) && text)
        (void)snprintf(model, sizeof model, "%s", text);
    tdir_t here = TIFFCurrentDirectory(r->tif);
    bool   left = TIFFGetField(r->tif, TIFFTAG_EXIFIFD, &exif) != 0;
    if (left && TIFFReadEXIFDirectory(r->tif, exif)) {
        (void)TIFFGetField(r->tif, EXIFTAG_DATETIMEORIGINAL, &date);
        (void)TIFFGetField(r->tif, EXIFTAG_OFFSETTIMEORIGINAL, &offset);
    }
    exif_take(make, model, date, offset, r->job->info);
    if (left)
        (void)TIFFSetDirectory(r->tif, here);
    r->reason[0] = '\0';
    r->ran_out   = false;
}

static enum rows_alpha find_alpha(TIFF *tif)
{
    uint16_t count = 0, *types = NULL;
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_EXTRASAMPLES, &count, &types);
    if (!count || !types)
        return ROWS_OPAQUE;
    /* libtiff multiplies what is not multiplied yet. */
    return types[0] == EXTRASAMPLE_UNSPECIFIED ? ROWS_OPAQUE : ROWS_PREMULTIPLIED;
}

static void find_colours(struct tiff_reader *r, enum colour_layout layout)
{
    uint32_t n   = 0;
    void    *icc = NULL;
    if (TIFFGetField(r->tif, TIFFTAG_ICCPROFILE, &n, &icc) && icc && n)
        r->job->info->colours = colour_from_icc(icc, n, layout, &r->colour);
}

/* Inks as bytes, one row after another. */
static bool has_plain_inks(TIFF *tif)
{
    uint16_t photometric = 0, bits = 0, samples = 0, planes = 0, inks = 0;
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_PHOTOMETRIC, &photometric);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &bits);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &samples);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &planes);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_INKSET, &inks);
    return photometric == PHOTOMETRIC_SEPARATED && bits == 8 && samples == 4 &&
           planes == PLANARCONFIG_CONTIG && inks == INKSET_CMYK && !TIFFIsTiled(tif);
}

/* ---- Pixels ---- */

static int read_inks(struct tiff_reader *r, struct err *err)
{
    int rc = rows_open(&r->rows, r->job, r->job->width, r->job->height, ROWS_OPAQUE, NULL, err);
    if (rc)
        return rc;
    tmsize_t size = TIFFScanlineSize(r->tif);
    r->inks       = mem_zeroed((size_t)r->job->width, 4);
    if (!r->inks)
        return err_set(err, ERR_NOMEM, "out of memory for a row of %d pixels", r->job->width);
    if (size != (tmsize_t)r->job->width * 4)
        return err_set(err, ERR_FORMAT, "corrupt: its rows have %lld bytes", (long long)size);
    for (r->done = 0; r->done < r->job->height; r->done++) {
        if (TIFFReadScanline(r->tif, r->inks, (uint32_t)r->done, 0) != 1)
            return explain(r, err);
        uint8_t *row = rows_room(&r->rows, r->done);
        colour_row(r->colour, r->inks, row, r->job->width);
        rows_put(&r->rows, r->done, row);
    }
    return 0;
}

/* Rows that come at one go. */
static uint32_t band_rows(const struct tiff_reader *r)
{
    uint32_t rows = 0, height = (uint32_t)r->job->height;
    if (TIFFIsTiled(r->tif))
        (void)TIFFGetField(r->tif, TIFFTAG_TILELENGTH, &rows);
    else
        (void)TIFFGetFieldDefaulted(r->tif, TIFFTAG_ROWSPERSTRIP, &rows);
    return rows < 1 || rows > height ? height : rows;
}

static void put_row(struct tiff_reader *r, int y, const uint32_t *from)
{
    uint8_t *row = rows_room(&r->rows, y), *to = row;
    bool     alpha = r->rows.alpha != ROWS_OPAQUE;
    for (int x = 0; x < r->job->width; x++) {
        *to++ = (uint8_t)TIFFGetR(from[x]);
        *to++ = (uint8_t)TIFFGetG(from[x]);
        *to++ = (uint8_t)TIFFGetB(from[x]);
        if (alpha)
            *to++ = (uint8_t)TIFFGetA(from[x]);
    }
    rows_put(&r->rows, y, row);
}

static int read_rgba(struct tiff_reader *r, enum rows_alpha alpha, struct err *err)
{
    struct decode_job *job = r->job;
    char               why[1024];
    uint32_t           rows = band_rows(r);
    if (!TIFFRGBAImageBegin(&r->image, r->tif, 1, why))
        return err_set(err, ERR_UNSUPPORTED, "libtiff: %.200s", r->reason[0] ? r->reason : why);
    r->begun                 = true;
    r->image.req_orientation = r->image.orientation; /* turning is ours */
    /* The band, and libtiff's own buffer of up to four 16-bit samples. */
    int rc = decode_check_bytes(job, (uint64_t)rows * (unsigned)job->width * 12, err);
    if (!rc)
        rc = rows_open(&r->rows, job, job->width, job->height, alpha, r->colour, err);
    if (rc)
        return rc;
    r->band = mem_zeroed((size_t)rows * (size_t)job->width, sizeof *r->band);
    if (!r->band)
        return err_set(err, ERR_NOMEM, "out of memory for %u rows of %d pixels", rows, job->width);
    while (r->done < job->height) {
        uint32_t left = (uint32_t)(job->height - r->done), n = rows < left ? rows : left;
        r->image.row_offset = r->done;
        if (!TIFFRGBAImageGet(&r->image, r->band, (uint32_t)job->width, n))
            return explain(r, err);
        for (uint32_t i = 0; i < n; i++, r->done++)
            put_row(r, r->done, r->band + (size_t)i * (size_t)job->width);
    }
    return 0;
}

static int read_tiff(struct tiff_reader *r, struct err *err)
{
    struct decode_job *job   = r->job;
    uint32_t           width = 0, height = 0;
    uint16_t           orientation = 1;
    int                rc          = open_tiff(r, err);
    if (!rc)
        rc = find_page(r, err);
    if (rc)
        return rc;
    (void)TIFFGetField(r->tif, TIFFTAG_IMAGEWIDTH, &width);
    (void)TIFFGetField(r->tif, TIFFTAG_IMAGELENGTH, &height);
    (void)TIFFGetFieldDefaulted(r->tif, TIFFTAG_ORIENTATION, &orientation);
    rc = decode_check_pixels(job, width, height, err);
    if (!rc && (width > MAX_SIDE || height > MAX_SIDE))
        rc = err_set(err, ERR_LIMIT, "a side is longer than %d pixels", MAX_SIDE);
    if (rc)
        return rc;
    job->width  = (int)width;
    job->height = (int)height;
    read_metadata(r, orientation);
    if (!job->out)
        return 0;
    if (has_plain_inks(r->tif)) {
        find_colours(r, COLOUR_CMYK);
        if (r->colour)
            return read_inks(r, err);
        return read_rgba(r, ROWS_OPAQUE, err);
    }
    enum rows_alpha alpha = find_alpha(r->tif);
    find_colours(r, alpha == ROWS_OPAQUE ? COLOUR_RGB : COLOUR_RGBA);
    return read_rgba(r, alpha, err);
}

static int tiff_decode(struct decode_job *job, struct err *err)
{
    struct tiff_reader *r = mem_zeroed(1, sizeof *r);
    if (!r)
        return err_set(err, ERR_NOMEM, "out of memory decoding a TIFF");
    r->job = job;
    int rc = read_tiff(r, err);
    if (rc)
        job->info->pages = 0;
    if (r->begun)
        TIFFRGBAImageEnd(&r->image);
    if (r->tif)
        TIFFClose(r->tif);
    rows_close(&r->rows);
    colour_free(r->colour);
    free(r->band);
    free(r->inks);
    free(r);
    return rc;
}

static unsigned tiff_begin(void)
{
    return format_bit(IMAGE_TIFF);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = tiff_begin,
                                            .decode    = tiff_decode};
