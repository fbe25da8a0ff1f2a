/* EXIF orientation, applied row by row while decoding, so that a turned picture
 * costs no second buffer.
 *
 * Meaning of 1..8: CIPA DC-008 (Exif 2.32), tag 0x0112, as Pillow's
 * ImageOps.exif_transpose does it.
 */
#include "image/decode.h"

#include "base/mem.h"

#include <string.h>

int orient_alloc(const struct decode_job *job, int width, int height, struct err *err)
{
    struct image *out = job->out;
    size_t        pixels;
    if (!size_mul((size_t)width, (size_t)height, &pixels) ||
        (job->room && pixels > job->room_bytes / 3))
        return err_set(err, ERR_LIMIT, "%d x %d pixels do not fit into memory", width, height);
    out->data = job->room ? job->room : mem_array(pixels, 3);
    if (!out->data)
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", width, height);
    out->width  = orient_swaps(job->orientation) ? height : width;
    out->height = orient_swaps(job->orientation) ? width : height;
    return 0;
}

void orient_row(struct image *out, int width, int height, int orientation, int y,
                const uint8_t *row)
{
    bool   swaps   = orient_swaps(orientation);
    /* Which way stored x and y run in the picture as seen. */
    bool   x_turns = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool   y_turns = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    size_t stride  = (size_t)out->width * 3;
    size_t across  = (size_t)(y_turns ? height - 1 - y : y);
    if (!swaps) {
        uint8_t *to = out->data + across * stride;
        if (!x_turns) {
            memcpy(to, row, stride);
            return;
        }
        for (size_t x = 0; x < (size_t)width; x++)
            memcpy(to + 3 * ((size_t)width - 1 - x), row + 3 * x, 3);
        return;
    }
    for (size_t x = 0; x < (size_t)width; x++) {
        size_t down = x_turns ? (size_t)width - 1 - x : x;
        memcpy(out->data + down * stride + 3 * across, row + 3 * x, 3);
    }
}
