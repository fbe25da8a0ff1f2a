/* GIF through giflib: the first frame, on a canvas that is white where the frame
 * does not reach or is transparent.
 *
 * Frames are read line by line, so that an animation costs no more than its first
 * picture. A module (modules.h).
 */
#include "image/modules.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/rows.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

struct gif_reader {
    struct decode_job *job;
    GifFileType       *gif;
    size_t             at; /* bytes read so far */
    bool               ran_out;
    int                transparent; /* index, -1: none */
    int                done;        /* lines of the frame */
    uint8_t           *levels;      /* (frame's height, width), palette indices */
    struct rows        rows;
};

static int on_read(GifFileType *gif, GifByteType *to, int n)
{
    struct gif_reader *r    = gif->UserData;
    size_t             left = r->job->n - r->at, take = (size_t)n;
    if (take > left) {
        take       = left;
        r->ran_out = true;
    }
    memcpy(to, r->job->bytes + r->at, take);
    r->at += take;
    return (int)take;
}

static int explain(const struct gif_reader *r, struct err *err)
{
    const char *what = r->ran_out ? "truncated" : "corrupt";
    char        done[COUNT_TEXT], all[COUNT_TEXT];
    if (r->gif && r->gif->Error == D_GIF_ERR_NOT_ENOUGH_MEM)
        return err_set(err, ERR_NOMEM, "out of memory decoding a GIF");
    if (!r->levels)
        return err_set(err, ERR_FORMAT, "%s before its first picture", what);
    return err_set(err, ERR_FORMAT, "%s after %s of %s rows", what,
                   count_text(done, (unsigned)r->done),
                   count_text(all, (unsigned)r->gif->Image.Height));
}

/* Goes on to the first frame, minding its transparency. */
static int find_frame(struct gif_reader *r, struct err *err)
{
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(r->gif, &type) == GIF_ERROR)
            return explain(r, err);
        if (type == TERMINATE_RECORD_TYPE)
            return err_set(err, ERR_FORMAT, "it has no picture");
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(r->gif) == GIF_ERROR ? explain(r, err) : 0;
        int                  code;
        GifByteType         *block;
        GraphicsControlBlock control;
        if (type != EXTENSION_RECORD_TYPE)
            continue;
        if (DGifGetExtension(r->gif, &code, &block) == GIF_ERROR)
            return explain(r, err);
        if (block && code == GRAPHICS_EXT_FUNC_CODE &&
            DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
            r->transparent = control.TransparentColor;
        while (block) {
            if (DGifGetExtensionNext(r->gif, &block) == GIF_ERROR)
                return explain(r, err);
        }
    }
}

static int read_levels(struct gif_reader *r, struct err *err)
{
    static const struct {
        int from, step;
    } passes[]                = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
    const GifImageDesc *frame = &r->gif->Image;
    size_t              width = (size_t)frame->Width;
    uint64_t            bytes = (uint64_t)width * (unsigned)frame->Height;
    int                 rc    = decode_check_bytes(r->job, bytes, err);
    if (rc)
        return rc;
    r->levels = mem_zeroed(width, (size_t)frame->Height);
    if (!r->levels)
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", frame->Width,
                       frame->Height);
    for (int pass = 0; pass < (frame->Interlace ? 4 : 1); pass++) {
        int from = frame->Interlace ? passes[pass].from : 0;
        int step = frame->Interlace ? passes[pass].step : 1;
        for (int y = from; y < frame->Height; y += step, r->done++) {
            if (DGifGetLine(r->gif, r->levels + (size_t)y * width, frame->Width) == GIF_ERROR)
                return explain(r, err);
        }
    }
    return 0;
}

/* Row y of the canvas. */
static void put_row(const struct gif_reader *r, const ColorMapObject *map, int y)
{
    const GifImageDesc *frame = &r->gif->Image;
    uint8_t            *row   = rows_room(&r->rows, y);
    memset(row, 255, (size_t)r->job->width * 3);
    int in = y - frame->Top;
    for (int x = 0; x < frame->Width && in >= 0 && in < frame->Height; x++) {
        int level = r->levels[(size_t)in * (size_t)frame->Width + (size_t)x], to = frame->Left + x;
        if (to >= r->job->width || level == r->transparent)
            continue;
        if (level < map->ColorCount) {
            const GifColorType *c = &map->Colors[level];
            row[3 * to]           = c->Red;
            row[3 * to + 1]       = c->Green;
            row[3 * to + 2]       = c->Blue;
        } else {
            memset(row + 3 * to, 0, 3);
        }
    }
    rows_put(&r->rows, y, row);
}

static int read_gif(struct gif_reader *r, struct err *err)
{
    struct decode_job *job = r->job;
    int                why = 0;
    r->gif                 = DGifOpen(r, on_read, &why);
    if (!r->gif)
        return why == D_GIF_ERR_NOT_ENOUGH_MEM
                   ? err_set(err, ERR_NOMEM, "out of memory decoding a GIF")
                   : err_set(err, ERR_FORMAT, "%s in its header",
                             r->ran_out ? "truncated" : "corrupt");
    int rc = decode_check_pixels(job, (unsigned)r->gif->SWidth, (unsigned)r->gif->SHeight, err);
    if (rc)
        return rc;
    job->width  = r->gif->SWidth;
    job->height = r->gif->SHeight;
    if (!job->out)
        return 0;
    rc = find_frame(r, err);
    if (!rc && (r->gif->Image.Width < 1 || r->gif->Image.Height < 1))
        rc = err_set(err, ERR_FORMAT, "corrupt: its first picture has no pixels");
    if (!rc)
        rc = decode_check_pixels(job, (unsigned)r->gif->Image.Width, (unsigned)r->gif->Image.Height,
                                 err);
    if (!rc)
        rc = read_levels(r, err);
    const ColorMapObject *map = r->gif->Image.ColorMap ? r->gif->Image.ColorMap : r->gif->SColorMap;
    if (!rc && !map)
        rc = err_set(err, ERR_FORMAT, "it has no palette");
    if (!rc)
        rc = rows_open(&r->rows, job, job->width, job->height, ROWS_OPAQUE, NULL, err);
    for (int y = 0; y < job->height && !rc; y++)
        put_row(r, map, y);
    return rc;
}

static int gif_decode(struct decode_job *job, struct err *err)
{
    struct gif_reader r   = {.job = job, .transparent = NO_TRANSPARENT_COLOR};
    int               rc  = read_gif(&r, err);
    int               why = 0;
    if (r.gif)
        (void)DGifCloseFile(r.gif, &why);
    rows_close(&r.rows);
    free(r.levels);
    return rc;
}

static unsigned gif_begin(void)
{
    return format_bit(IMAGE_GIF);
}

const struct decode_module DECODE_MODULE = {.version   = OSPREY_VERSION,
                                            .job_bytes = sizeof(struct decode_job),
                                            .begin     = gif_begin,
                                            .decode    = gif_decode};
