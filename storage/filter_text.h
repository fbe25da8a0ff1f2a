/* Filters as people write them, on the command line and over HTTP alike.
 *
 * what: the name of the option or parameter, for the message of an ERR_USAGE. Dates are
 * UTC, as cameras' local times are kept; each means all of what it names: "2024" begins
 * with the first second of that year and, with until, ends with the last.
 */
#ifndef OSPREY_STORAGE_FILTER_TEXT_H
#define OSPREY_STORAGE_FILTER_TEXT_H

#include "base/err.h"
#include "storage/library.h"

/* "2024", "2024-05", "2024-05-01" or "2024-05-01T12:30:00Z". */
bool filter_text_is_date(const char *text, bool until, int64_t *out);
int filter_text_date(const char *what, const char *text, bool until, int64_t *out, struct err *err);
/* "3": at least so many stars; "2-4"; "unrated", "rejected". Sets the filter's rating. */
int filter_text_rating(const char *what, const char *text, struct library_filter *out,
                       struct err *err);
/* "48.2,16.37,5": degrees north and east, kilometres. Sets the filter's place. */
int filter_text_near(const char *what, const char *text, struct library_filter *out,
                     struct err *err);
/* "landscape", "portrait" or "square". */
int filter_text_shape(const char *what, const char *text, enum library_shape *out, struct err *err);
/* "500k", "2M" (bytes; 1,000 and 1,000,000) or "1920x1080" (pixels). Sets the filter's
 * least size, or least width and height. */
int filter_text_size(const char *what, const char *text, struct library_filter *out,
                     struct err *err);
/* "jpeg", "jpg", "raw", "video": sets the filter's kinds (format_kinds). */
int filter_text_kind(const char *what, const char *text, struct library_filter *out,
                     struct err *err);

#endif
