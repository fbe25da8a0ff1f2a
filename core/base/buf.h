/* A growing byte buffer with a ceiling.
 *
 * Every buffer that outside data can grow has a ceiling, given at init; an
 * append that would pass it fails with ERR_LIMIT and leaves the buffer as it
 * was. The bytes are always followed by a NUL that len does not count.
 */
#ifndef OSPREY_BASE_BUF_H
#define OSPREY_BASE_BUF_H

#include "base/err.h"

#include <stddef.h>

struct buf {
    char  *data; /* NULL until the first append */
    size_t len;  /* bytes in use, without the NUL */
    size_t cap;  /* bytes allocated */
    size_t max;  /* ceiling on len */
};

void buf_init(struct buf *buf, size_t max);
void buf_release(struct buf *buf);
/* Empties it, keeps the allocation. */
void buf_reset(struct buf *buf);
int  buf_append(struct buf *buf, const void *bytes, size_t n, struct err *err);
int  buf_append_str(struct buf *buf, const char *s, struct err *err);
__attribute__((format(printf, 3, 4))) int buf_appendf(struct buf *buf, struct err *err,
                                                      const char *fmt, ...);
/* The contents as a string ("" when empty); valid until the next change. */
const char                               *buf_str(const struct buf *buf);
/* Hands the bytes over (freed with free()) and empties the buffer; NULL when
 * out of memory. */
char                                     *buf_steal(struct buf *buf);

#endif
