/* HTTP for searchd, behind libmicrohttpd: whole requests out, whole replies in.
 *
 * One thread serves all connections; a request that takes time is handed to other
 * threads (SERVER_LATER), which finish it with exchange_finish. Everything that a
 * client controls is bounded before memory is spent: connections, header bytes,
 * body bytes for a request and for all together, the seconds that a request may
 * take to arrive (so that a slow one cannot hold a connection), and those that a
 * client may take to read.
 */
#ifndef OSPREY_SEARCHD_SERVER_H
#define OSPREY_SEARCHD_SERVER_H

#include "base/err.h"
#include "searchd/http.h"

struct server;

/* One request and its reply. user is the handler's. */
struct exchange {
    struct http_request request;
    struct http_reply   reply;
    void               *user;
};

enum server_verdict { SERVER_NOW, SERVER_LATER };

/* Called in the server's thread. */
struct server_calls {
    /* With the headers alone: the body's ceiling in bytes, or a reply that refuses
     * the request (then true). */
    bool (*refuse)(void *ctx, struct exchange *x, size_t *max_body);
    /* With the whole request. SERVER_NOW: the reply is filled. */
    enum server_verdict (*handle)(void *ctx, struct exchange *x);
    /* For each reply, before it goes (to count and log it). */
    void (*replied)(void *ctx, const struct exchange *x);
    /* Instead: the client went away before its reply could go. */
    void (*dropped)(void *ctx, struct exchange *x);
    /* Fills an error's body: 413 and 503 are the server's own. */
    void (*fault)(struct http_reply *reply, int status, const char *message);
};

struct server_limits {
    unsigned connections;
    size_t   header_bytes;
    size_t   body_bytes_in_flight; /* of all requests together */
    int      arrive_seconds;       /* for a request, from the connection's beginning or the
                                      last reply on */
    int      idle_seconds;         /* without a byte in either direction */
    int      reply_seconds;        /* for a client to read a reply */
    int      deadline_ms;          /* request.deadline_ms is so much after its arrival */
};
struct server_limits server_limits_default(void);

/* Listens on an address ("127.0.0.1", "::1", "0.0.0.0"; port 0 takes a free one),
 * or on a Unix socket ("unix:/path"). */
int      server_start(const char *address, uint16_t port, const struct server_limits *limits,
                      const struct server_calls *calls, void *ctx, struct server **out, struct err *err);
uint16_t server_port(const struct server *server); /* 0 for a Unix socket */
unsigned server_connections(const struct server *server);
/* Requests that have arrived and whose reply was not yet sent whole. */
int      server_unfinished(const struct server *server);

/* From any thread, once for each SERVER_LATER. */
void exchange_finish(struct exchange *x);

/* Accepts no more connections; what is there goes on. */
void server_quiesce(struct server *server);
/* NULL-safe. No exchange may be unfinished. */
void server_stop(struct server *server);

/* Whether an address is one that only this machine reaches. */
bool server_address_is_local(const char *address);

/* The monotonic clock in milliseconds. */
double clock_ms(void);

#endif
