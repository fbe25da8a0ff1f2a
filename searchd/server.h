/* HTTP for searchd, behind libmicrohttpd: one handler, whole requests in, whole
 * replies out.
 *
 * One thread serves all connections, so a handler is never called twice at the
 * same time. Bounded: connections, header bytes, idle seconds. Requests with a
 * body are refused (413) until a route needs one.
 */
#ifndef OSPREY_SEARCHD_SERVER_H
#define OSPREY_SEARCHD_SERVER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct server;

struct http_request {
    const char *method; /* "GET" */
    const char *path;   /* decoded, without the query */
    const char *host;   /* the Host header, or NULL */
    void       *handle; /* for http_each_param */
};

struct http_reply {
    int         status;
    const char *type; /* MIME type, static */
    char       *body; /* freed by the server */
    size_t      len;  /* bytes */
};

/* Calls see for every query parameter, decoded, in order ("" for one without a
 * value); a nonzero return ends the walk and is returned. */
int http_each_param(const struct http_request *request,
                    int (*see)(void *ctx, const char *name, const char *value), void *ctx);

typedef void (*http_handler)(void *ctx, const struct http_request *request,
                             struct http_reply *reply);

/* Listens on a loopback address ("127.0.0.1", "::1"); port 0 takes a free one.
 * ctx is handed to the handler. */
int      server_start(const char *address, uint16_t port, http_handler handler, void *ctx,
                      struct server **out, struct err *err);
uint16_t server_port(const struct server *server);
/* Finishes what it has, refuses new connections. NULL-safe. */
void     server_stop(struct server *server);

#endif
