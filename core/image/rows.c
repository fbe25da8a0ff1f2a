/* Rows of pixels: see rows.h.
 *
 * On white, a sample c with alpha a becomes round((c * a + 255 * (255 - a)) / 255),
 * which is what pasting onto white does in Pillow.
 */
#include "image/rows.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int rows_open(struct rows *rows, const struct decode_job *job, int width, int height,
              enum rows_alpha alpha, const struct colour *colour, struct err *err)
{
    *rows = (struct rows){
        .job = job, .colour = colour, .alpha = alpha, .width = width, .height = height};
    int rc = orient_alloc(job, width, height, err);
    if (rc)
        return rc;
    rows->row = mem_array((size_t)width, 4);
    return rows->row ? 0 : err_set(err, ERR_NOMEM, "out of memory for a row of %d pixels", width);
}

void rows_close(struct rows *rows)
{
    free(rows->row);
    rows->row = NULL;
}

static uint8_t *row_of_picture(const struct rows *rows, int y)
{
    return rows->job->out->data + (size_t)y * (size_t)rows->width * 3;
}

uint8_t *rows_room(const struct rows *rows, int y)
{
    bool direct = rows->job->orientation == 1 && rows->alpha == ROWS_OPAQUE;
    return direct ? row_of_picture(rows, y) : rows->row;
}

/* In place is fine, also in the lower three quarters. */
static void compose(const uint8_t *rgba, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, rgba += 4, rgb += 3) {
        int a = rgba[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((rgba[c] * a + 255 * (255 - a) + 127) / 255);
    }
}

static void compose_premultiplied(const uint8_t *rgba, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, rgba += 4, rgb += 3) {
        int white = 255 - rgba[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(rgba[c] + white > 255 ? 255 : rgba[c] + white);
    }
}

static void divide_by_alpha(uint8_t *rgba, int width)
{
    for (int x = 0; x < width; x++, rgba += 4) {
        int a = rgba[3];
        for (int c = 0; c < 3 && a; c++) {
            int value = (rgba[c] * 255 + a / 2) / a;
            rgba[c]   = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

void rows_put(const struct rows *rows, int y, uint8_t *row)
{
    int             turned = rows->job->orientation != 1;
    uint8_t        *to     = turned ? rows->row : row_of_picture(rows, y);
    enum rows_alpha alpha  = rows->alpha;
    const uint8_t  *from   = row;
    if (alpha == ROWS_PREMULTIPLIED && rows->colour) {
        divide_by_alpha(row, rows->width);
        alpha = ROWS_ALPHA;
    }
    if (rows->colour && alpha == ROWS_OPAQUE) {
        colour_row(rows->colour, row, to, rows->width);
        from = to;
    } else if (rows->colour) {
        colour_row(rows->colour, row, row, rows->width);
    }
    if (alpha == ROWS_OPAQUE && from != to && !turned)
        memcpy(to, from, (size_t)rows->width * 3);
    if (alpha == ROWS_OPAQUE && !turned)
        return;
    if (alpha == ROWS_ALPHA)
        compose(row, to, rows->width);
    else if (alpha == ROWS_PREMULTIPLIED)
        compose_premultiplied(row, to, rows->width);
    if (alpha != ROWS_OPAQUE)
        from = to;
    if (turned)
        orient_row(rows->job->out, rows->width, rows->height, rows->job->orientation, y, from);
}
