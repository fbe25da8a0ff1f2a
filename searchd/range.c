/* Byte ranges: see range.h. Several at once are answered with the whole, which the
 * specification allows, and which no client can use to be sent the same bytes a
 * thousand times. */
#include "searchd/range.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool number(const char **at, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *out  = strtoull(*at, &end, 10);
    if (errno)
        *out = UINT64_MAX;
    *at = end;
    return true;
}

enum range_kind range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *last)
{
    static const char unit[] = "bytes=";
    if (!header || strncasecmp(header, unit, sizeof unit - 1) != 0)
        return RANGE_WHOLE;
    const char *at   = header + sizeof unit - 1;
    uint64_t    from = 0, to = UINT64_MAX;
    bool        has_from = number(&at, &from);
    if (*at++ != '-')
        return RANGE_WHOLE;
    bool has_to = number(&at, &to);
    if (*at || (!has_from && !has_to) || (has_from && has_to && to < from))
        return RANGE_WHOLE;
    if (!has_from) { /* the last so many bytes */
        if (to == 0 || size == 0)
            return RANGE_BEYOND;
        *first = to < size ? size - to : 0;
        *last  = size - 1;
        return RANGE_PART;
    }
    if (from >= size)
        return RANGE_BEYOND;
    *first = from;
    *last  = to < size ? to : size - 1;
    return RANGE_PART;
}
