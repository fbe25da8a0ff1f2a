/* A line of what osprey export wrote, and which lines may follow one another.
 *
 * A picture has one line; a scan or a film one for each page or frame, the first first, in
 * order and next to one another, each with all that is known of the file and with
 *   parts    how many lines the picture has
 *   page     of a scan, from 1; or
 *   frame    of a film, from 1, and
 *   time_ms  when in the film that is
 * Pages that could not be looked at are missing from the numbers. Scans and films that came
 * from older exports have one line without these.
 *
 * Where the picture has captions that a person gave it, its first line has
 *   captions  their texts, in order
 */
#ifndef OSPREY_CLI_EXCHANGE_LINE_H
#define OSPREY_CLI_EXCHANGE_LINE_H

#include "base/json.h"
#include "meta/strings.h"
#include "storage/library_parts.h"

#include <stdbool.h>

struct exchange_line {
    struct library_item item; /* what the line says, but for its texts */
    char               *folder, *path, *kind, *camera;
    size_t              parts;   /* lines of this picture; 0: it does not tell */
    int                 page;    /* which of them it is, from 1 */
    int32_t             time_ms; /* of a film's frame; -1: none */
    struct strings      captions;
};

#define EXCHANGE_CAPTIONS ((size_t)128 << 10) /* bytes of a picture's, so that a line can be read  \
                                               */

/* Page i (from 0) of an image with these captions (or NULL), as the row; NULL when out of
 * memory. */
struct jnode *exchange_line_make(const struct library_whole *whole, const struct strings *captions,
                                 size_t i, int64_t row);

/* ERR_FORMAT says what is wrong with "it", the line. */
int  exchange_line_read(const char *text, size_t len, size_t row, struct exchange_line *out,
                        struct err *err);
void exchange_line_release(struct exchange_line *line);

/* Where among the lines of a picture a reader is; begins as zeros. */
struct exchange_order {
    struct exchange_line last;
    size_t               seen; /* lines of the last picture, with that one */
};
/* Whether a line may come next. */
int  exchange_order_take(struct exchange_order *order, const struct exchange_line *line,
                         struct err *err);
/* Whether this may be the end. */
int  exchange_order_end(const struct exchange_order *order, struct err *err);
void exchange_order_release(struct exchange_order *order);

#endif
