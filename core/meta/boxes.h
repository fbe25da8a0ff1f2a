/* The boxes that HEIF, AVIF, JPEG XL, MP4 and QuickTime files are made of: size, name,
 * contents. ISO/IEC 14496-12, section 4.2. Points into the caller's bytes, allocates nothing,
 * trusts no size.
 */
#ifndef OSPREY_META_BOXES_H
#define OSPREY_META_BOXES_H

#include "meta/container.h"

struct boxes {
    struct span all;  /* what they lie in */
    size_t      at;   /* of the next */
    size_t      seen; /* so far, of which there is a most */
    const char *name; /* of the present one, 4 bytes, and */
    struct span data; /* what is in it */
};

/* The boxes in a span, skip bytes after its start. */
struct boxes boxes_in(const struct span *all, size_t skip);
/* The next one; false at the end, or at what is none. */
bool         boxes_next(struct boxes *b);
bool         boxes_is(const struct boxes *b, const char name[4]);
/* The contents of the first box of this name; of len 0, data NULL, without one. */
struct span  boxes_find(const struct span *all, size_t skip, const char name[4]);

/* Numbers one after the other; beyond the end they are 0, and short_of is true. */
struct bits {
    struct span left;
    bool        short_of;
};
uint64_t    bits_number(struct bits *b, size_t bytes); /* 0 to 8, big-endian */
/* A text up to its zero, which is passed over; "" when it has none. */
const char *bits_text(struct bits *b);

#endif
