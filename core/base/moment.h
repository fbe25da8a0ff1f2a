/* Dates as pictures tell them, which may be as coarse as a year: a scan's often are.
 *
 * EXIF's "2004:06:01 12:00:00" (CIPA DC-008, section 4.6.5), where zeros or blanks stand for
 * what is not known; XMP's "2004", "2004-06", "2004-06-01T12:00:00.5+02:00" (ISO 16684-1,
 * section 8.2.1.2); IIM's "20040601", with a time "120000+0200" after a space or a T. Each
 * form is taken wherever it stands, for programs mix them up.
 */
#ifndef OSPREY_BASE_MOMENT_H
#define OSPREY_BASE_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#define MOMENT_FIRST (-INT64_C(62135596800)) /* the beginning of the year 1 */
#define MOMENT_END   INT64_C(253402300800)   /* the end of the year 9999 */

struct moment {
    int64_t from; /* Unix seconds: when it begins; 0 only where there is none */
    int64_t span; /* seconds that it may be: 1, a day's, a month's, a year's */
};

/* zone: "+02:00", for a date that has none of its own; NULL, "" or senseless: UTC. False,
 * and *out all zeros, for what is no date. The first second of 1970 is told as the next
 * one: 0 is no date. */
bool moment_parse(const char *text, const char *zone, struct moment *out);

/* Of two that should be the same, the one with more weight first: a coarse one gives way to
 * a finer one within it, nothing to anything. */
struct moment moment_of_two(const struct moment *first, const struct moment *second);

#endif
