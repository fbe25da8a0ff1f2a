/* Filling replies: see reply.h. */
#include "searchd/reply.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *code_of(int status)
{
    switch (status) {
    case 400:
        return "bad_request";
    case 401:
        return "unauthorized";
    case 403:
        return "forbidden";
    case 404:
        return "not_found";
    case 405:
        return "method_not_allowed";
    case 413:
        return "too_large";
    case 415:
        return "unsupported_media_type";
    case 416:
        return "range_not_satisfiable";
    case 429:
        return "too_many_requests";
    case 503:
        return "unavailable";
    default:
        return "internal";
    }
}

void reply_json(struct http_reply *reply, int status, struct jnode *node)
{
    reply->body = node ? jnode_write(node) : NULL;
    jnode_free(node);
    if (!reply->body)
        return;
    reply->status = status;
    reply->type   = TYPE_JSON;
    reply->len    = strlen(reply->body);
}

void reply_error(struct http_reply *reply, int status, const char *message)
{
    struct jnode *error  = jnode_object();
    struct jnode *node   = jnode_object();
    int           failed = jnode_set_str(error, "code", code_of(status)) |
                 jnode_set_str(error, "message", message) | jnode_set(node, "error", error);
    if (failed) {
        jnode_free(node);
        return;
    }
    reply_json(reply, status, node);
    if (status == 429 || status == 503)
        reply_header(reply, "Retry-After", "1");
}

int status_of_error(enum err_code code)
{
    switch (code) {
    case ERR_USAGE:
    case ERR_LIMIT:
    case ERR_FORMAT:
    case ERR_UNSUPPORTED:
        return 400;
    case ERR_NOTFOUND:
        return 404;
    case ERR_BUSY:
    case ERR_CANCELLED:
        return 503;
    default:
        return 500;
    }
}

void reply_failure(struct http_reply *reply, const struct err *err)
{
    int status = status_of_error(err->code);
    reply_error(reply, status,
                status == 500 ? "something failed here; the daemon's log says what" : err->msg);
}

void reply_text(struct http_reply *reply, int status, const char *type, const char *text)
{
    reply->body = mem_strdup(text);
    if (!reply->body)
        return;
    reply->status = status;
    reply->type   = type;
    reply->len    = strlen(text);
}

void reply_fixed(struct http_reply *reply, int status, const char *type, const void *bytes,
                 size_t len)
{
    reply->status = status;
    reply->type   = type;
    reply->fixed  = bytes;
    reply->len    = len;
}

void reply_header(struct http_reply *reply, const char *name, const char *value)
{
    char *copy = mem_strdup(value);
    if (!copy || reply->n_headers == HTTP_MAX_HEADERS) {
        free(copy);
        return;
    }
    reply->headers[reply->n_headers++] = (struct http_header){name, copy};
}
