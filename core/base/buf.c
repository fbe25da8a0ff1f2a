/* A growing byte buffer with a ceiling: see buf.h. */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_release(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Makes room for n more bytes and the NUL. */
static int buf_reserve(struct buf *buf, size_t n, struct err *err)
{
    if (n > buf->max || buf->len > buf->max - n)
        return err_set(err, ERR_LIMIT, "buffer would pass its limit of %zu bytes", buf->max);
    size_t need = buf->len + n + 1;
    if (need <= buf->cap)
        return 0;
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need) {
        if (!size_mul(cap, 2, &cap))
            cap = need;
    }
    char *data = realloc(buf->data, cap);
    if (!data)
        return err_set(err, ERR_NOMEM, "out of memory for a buffer of %zu bytes", cap);
    buf->data = data;
    buf->cap  = cap;
    return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t n, struct err *err)
{
    int rc = buf_reserve(buf, n, err);
    if (rc)
        return rc;
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
    return 0;
}

int buf_append_str(struct buf *buf, const char *s, struct err *err)
{
    return buf_append(buf, s, strlen(s), err);
}

int buf_appendf(struct buf *buf, struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    int rc =
        n < 0 ? err_set(err, ERR_FAILED, "cannot format text") : buf_reserve(buf, (size_t)n, err);
    if (!rc) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

const char *buf_str(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

char *buf_steal(struct buf *buf)
{
    char *data = buf->data ? buf->data : mem_strdup("");
    *buf       = (struct buf){.max = buf->max};
    return data;
}
