/* Parts of a file (RFC 9110, section 14): one range of bytes for a request. */
#ifndef OSPREY_SEARCHD_RANGE_H
#define OSPREY_SEARCHD_RANGE_H

#include <stdint.h>

enum range_kind {
    RANGE_WHOLE, /* none, several, or one that is not understood: all of it */
    RANGE_PART,  /* from `first` to `last`, inclusive */
    RANGE_BEYOND /* nothing of it is there: 416 */
};

enum range_kind range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *last);

#endif
