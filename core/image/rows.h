/* Rows of pixels on their way from a decoder to the picture: colours converted,
 * alpha composed on white, turned as EXIF says. For core/image's decoders.
 */
#ifndef OSPREY_IMAGE_ROWS_H
#define OSPREY_IMAGE_ROWS_H

#include "image/colour.h"
#include "image/decode.h"

enum rows_alpha { ROWS_OPAQUE, ROWS_ALPHA, ROWS_PREMULTIPLIED };

struct rows {
    const struct decode_job *job;
    const struct colour     *colour; /* NULL: none is needed */
    enum rows_alpha          alpha;
    int                      width, height; /* before orientation */
    uint8_t                 *row;           /* one, as RGBA */
};

/* Makes the picture. colour: for RGB, or RGBA with alpha; stays the caller's. */
int  rows_open(struct rows *rows, const struct decode_job *job, int width, int height,
               enum rows_alpha alpha, const struct colour *colour, struct err *err);
void rows_close(struct rows *rows); /* also of one that was only zeroed */

/* Where row y may be put before rows_put: RGB, or RGBA with alpha. */
uint8_t *rows_room(const struct rows *rows, int y);
/* Row y, which may be changed. It may lie in rows_room or elsewhere. */
void     rows_put(const struct rows *rows, int y, uint8_t *row);

#endif
