/* Filling replies. Each leaves reply->status 0 when memory is short, which the
 * server answers with 500. */
#ifndef OSPREY_SEARCHD_REPLY_H
#define OSPREY_SEARCHD_REPLY_H

#include "base/err.h"
#include "base/json.h"
#include "searchd/http.h"

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"

/* Takes node over. */
void reply_json(struct http_reply *reply, int status, struct jnode *node);
/* {"error": {"code", "message"}} */
void reply_error(struct http_reply *reply, int status, const char *message);
/* The same for an error that a function returned; what is the daemon's own fault
 * is not told to the client in detail. */
void reply_failure(struct http_reply *reply, const struct err *err);
/* A copy of text. */
void reply_text(struct http_reply *reply, int status, const char *type, const char *text);
/* Bytes that stay. */
void reply_fixed(struct http_reply *reply, int status, const char *type, const void *bytes,
                 size_t len);
/* name is static, value is copied. */
void reply_header(struct http_reply *reply, const char *name, const char *value);

int status_of_error(enum err_code code);

#endif
