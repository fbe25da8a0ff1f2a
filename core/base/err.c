/* Errors as values: see err.h. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    /* Through a copy: an argument may be err->msg itself. */
    char msg[sizeof err->msg];
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    memcpy(err->msg, msg, sizeof msg);
    err->code = code;
    return code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err)
        return ERR_FAILED;
    char    msg[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof msg)
        (void)snprintf(msg + n, sizeof msg - (size_t)n, ": %s", err->msg);
    memcpy(err->msg, msg, sizeof msg);
    return err->code ? (int)err->code : ERR_FAILED;
}
