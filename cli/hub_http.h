/* HTTP, behind libcurl: GET with redirects, ranges and time-outs, one request at
 * a time. Knows nothing of hubs but how they name errors.
 *
 * The token goes to the endpoint's own scheme, host and port alone, never along
 * with a redirect elsewhere; an https endpoint never leads to plain http.
 */
#ifndef OSPREY_CLI_HUB_HTTP_H
#define OSPREY_CLI_HUB_HTTP_H

#include "base/err.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

struct http_options {
    const char                  *endpoint;  /* "https://host[:port][/path]" */
    const char                  *token;     /* or NULL */
    long                         timeout_s; /* to connect, and without a byte */
    const volatile sig_atomic_t *stop;      /* set: give up with ERR_CANCELLED */
};

int  http_open(const struct http_options *options, struct http **out, struct err *err);
void http_close(struct http *h); /* NULL-safe */

/* Where the body goes. Both return 0, or a code with err filled, which ends the
 * request. */
struct http_sink {
    /* Before the first byte: the body begins at this offset, the one asked for
     * or, where the server does not know ranges, 0. */
    int (*begin)(void *ctx, int64_t offset, struct err *err);
    int (*bytes)(void *ctx, const void *data, size_t n, struct err *err);
    void *ctx;
};

struct http_reply {
    long    status;             /* of the last response; 0: none came */
    bool    retry;              /* the failure may pass */
    int64_t retry_after_s;      /* what the server asked for, or 0 */
    char    error_code[64];     /* X-Error-Code, or "" */
    char    error_message[256]; /* X-Error-Message, or "" */
};

/* GETs the bytes of url from an offset on. 0 when all of the body has arrived;
 * else the reply says more. */
int http_get(struct http *h, const char *url, int64_t from, const struct http_sink *sink,
             struct http_reply *reply, struct err *err);

#endif
