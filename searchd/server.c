/* HTTP for searchd, behind libmicrohttpd: see server.h.
 *
 * A request's life: refuse (headers) -> body collected -> handle -> [suspended
 * until exchange_finish] -> reply queued.
 */
#include "searchd/server.h"

#include "base/buf.h"
#include "base/mem.h"
#include "searchd/links.h"
#include "searchd/server_listen.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_WASTED ((size_t)4 << 20) /* bytes of a body that is refused */

struct server {
    struct MHD_Daemon   *daemon;
    struct server_limits limits;
    struct server_calls  calls;
    void                *ctx;
    char                *address;
    uint16_t             port;
    atomic_size_t        body_bytes;
    atomic_int           unfinished;
    struct links        *links;
    bool                 quiet; /* the address is left */
};

/* What an exchange is to this file. */
struct held {
    struct exchange        x; /* first */
    struct server         *server;
    struct MHD_Connection *connection;
    struct link           *link;
    struct buf             body;
    size_t                 counted; /* bytes of the body in server->body_bytes */
    int                    fault;   /* status that the body earned */
    size_t                 wasted;  /* bytes read after that */
    atomic_bool            filled;  /* the reply is: what its thread wrote can be read */
    bool                   finished, arrived, suspended, replied;
};

double clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct server_limits server_limits_default(void)
{
    return (struct server_limits){.connections          = 256,
                                  .header_bytes         = 32u << 10,
                                  .body_bytes_in_flight = (size_t)256 << 20,
                                  .arrive_seconds       = 30,
                                  .idle_seconds         = 15,
                                  .reply_seconds        = 600,
                                  .deadline_ms          = 30000};
}

static enum MHD_Result see_param(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct http_request *r = cls;
    (void)kind;
    if (r->n_params == HTTP_MAX_PARAMS) {
        r->too_many_params = true;
        return MHD_NO;
    }
    r->params[r->n_params++] = (struct http_param){key, value ? value : ""};
    return MHD_YES;
}

static void read_head(struct held *h, const char *url, const char *method)
{
    struct http_request *r = &h->x.request;
    const struct {
        const char  *name;
        const char **to;
    } headers[] = {
        {"Host", &r->host},
        {"Origin", &r->origin},
        {"Authorization", &r->authorization},
        {"Cookie", &r->cookie},
        {"Content-Type", &r->content_type},
        {"Range", &r->range},
        {"If-Range", &r->if_range},
        {"If-None-Match", &r->if_none_match},
        {"Sec-Fetch-Site", &r->fetch_site},
        {"Sec-Fetch-Mode", &r->fetch_mode},
        {"Access-Control-Request-Method", &r->cors_method},
    };
    r->method = method;
    r->path   = url;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        *headers[i].to =
            MHD_lookup_connection_value(h->connection, MHD_HEADER_KIND, headers[i].name);
    MHD_get_connection_values(h->connection, MHD_GET_ARGUMENT_KIND, see_param, r);
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(h->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (peer && peer->client_addr) {
        sa_family_t family = peer->client_addr->sa_family;
        memcpy(&r->peer, peer->client_addr,
               family == AF_INET6  ? sizeof(struct sockaddr_in6)
               : family == AF_INET ? sizeof(struct sockaddr_in)
                                   : sizeof family);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent signs decoded in place. %00 stays as it is: nothing may seem to end before
 * it does. */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    char *to = text;
    (void)cls;
    (void)connection;
    for (const char *at = text; *at; to++) {
        int high = at[0] == '%' ? hex_digit(at[1]) : -1;
        int low  = high >= 0 ? hex_digit(at[2]) : -1;
        if (low >= 0 && (high | low) != 0) {
            *to = (char)(high << 4 | low);
            at += 3;
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

static void release_reply(struct http_reply *reply)
{
    for (size_t i = 0; i < reply->n_headers; i++)
        free(reply->headers[i].value);
    if (reply->from_file && reply->fd >= 0)
        close(reply->fd);
    free(reply->body);
    *reply = (struct http_reply){0};
}

/* Takes over body or fd. */
static struct MHD_Response *make_response(struct http_reply *reply)
{
    static char          nothing[1];
    struct MHD_Response *response;
    if (reply->from_file) {
        response  = MHD_create_response_from_fd_at_offset64(reply->len, reply->fd, reply->offset);
        reply->fd = response ? -1 : reply->fd;
    } else if (reply->body) {
        response =
            MHD_create_response_from_buffer((size_t)reply->len, reply->body, MHD_RESPMEM_MUST_FREE);
        reply->body = response ? NULL : reply->body;
    } else {
        void *fixed = reply->fixed ? (void *)(uintptr_t)reply->fixed : nothing;
        response =
            MHD_create_response_from_buffer((size_t)reply->len, fixed, MHD_RESPMEM_PERSISTENT);
    }
    return response;
}

static enum MHD_Result send_reply(struct held *h)
{
    struct http_reply *reply = &h->x.reply;
    h->replied               = true;
    h->server->calls.replied(h->server->ctx, &h->x);
    int                  status   = reply->status;
    struct MHD_Response *response = make_response(reply);
    enum MHD_Result      ok       = response ? MHD_YES : MHD_NO;
    if (ok == MHD_YES && reply->type)
        ok = MHD_add_response_header(response, "Content-Type", reply->type);
    if (ok == MHD_YES)
        ok = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; ok == MHD_YES && i < reply->n_headers; i++)
        ok = MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (ok == MHD_YES)
        ok = MHD_queue_response(h->connection, (unsigned)status, response);
    if (response)
        MHD_destroy_response(response);
    link_is_replying(h->server->links, h->link);
    return ok;
}

static enum MHD_Result send_fault(struct held *h, int status, const char *message)
{
    release_reply(&h->x.reply);
    h->server->calls.fault(&h->x.reply, status, message);
    return h->x.reply.status ? send_reply(h) : MHD_NO;
}

/* The first call of a request: its headers. */
static enum MHD_Result begin(struct server *server, struct MHD_Connection *connection,
                             const char *url, const char *method, void **state)
{
    struct held *h = mem_zeroed(1, sizeof *h);
    if (!h)
        return MHD_NO;
    *state        = h;
    h->server     = server;
    h->connection = connection;
    h->x.reply.fd = -1;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    h->link = info ? info->socket_context : NULL;
    if (!h->link)
        return MHD_NO;
    read_head(h, url, method);
    size_t max_body = 0;
    if (server->calls.refuse(server->ctx, &h->x, &max_body)) {
        h->finished = true;
        return h->x.reply.status ? send_reply(h) : MHD_NO;
    }
    buf_init(&h->body, max_body);
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (length && strtoull(length, NULL, 10) > max_body) {
        h->finished = true;
        return send_fault(h, 413, "the body is longer than this path takes");
    }
    return MHD_YES;
}

/* A piece of the body; what is wrong with it is said once it has ended. */
static enum MHD_Result collect(struct held *h, const char *data, size_t *len)
{
    struct server *server = h->server;
    size_t         n      = *len;
    *len                  = 0;
    if (h->finished || h->fault) { /* read on, so that the client gets to read why */
        h->wasted += n;
        return h->wasted > MAX_WASTED ? MHD_NO : MHD_YES;
    }
    if (atomic_fetch_add(&server->body_bytes, n) + n > server->limits.body_bytes_in_flight) {
        atomic_fetch_sub(&server->body_bytes, n);
        h->fault = 503;
    } else {
        h->counted += n;
        int rc = buf_append(&h->body, data, n, NULL);
        if (rc)
            h->fault = rc == ERR_LIMIT ? 413 : 503;
    }
    return MHD_YES;
}

static enum MHD_Result handle_whole(struct held *h)
{
    struct server *server    = h->server;
    h->x.request.body        = (const uint8_t *)h->body.data;
    h->x.request.body_len    = h->body.len;
    h->x.request.arrived_ms  = clock_ms();
    h->x.request.deadline_ms = h->x.request.arrived_ms + server->limits.deadline_ms;
    link_is_busy(server->links, h->link);
    h->finished = h->arrived = true;
    atomic_fetch_add(&server->unfinished, 1);
    /* Suspended first: whoever takes it over may finish it at once. */
    MHD_suspend_connection(h->connection);
    h->suspended = true;
    if (server->calls.handle(server->ctx, &h->x) == SERVER_NOW)
        exchange_finish(&h->x);
    return MHD_YES;
}

void exchange_finish(struct exchange *x)
{
    struct held *h = (struct held *)x;
    atomic_store(&h->filled, true);
    MHD_resume_connection(h->connection);
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_len, void **state)
{
    struct held *h = *state;
    (void)version;
    if (!h)
        return begin(cls, connection, url, method, state);
    if (*upload_len > 0)
        return collect(h, upload_data, upload_len);
    if (h->suspended && atomic_load(&h->filled)) { /* resumed */
        h->suspended = false;
        if (!h->x.reply.status)
            return send_fault(h, 500, "out of memory for the answer");
        return send_reply(h);
    }
    if (h->finished)
        return MHD_YES;
    if (h->fault) {
        h->finished = true;
        return send_fault(h, h->fault,
                          h->fault == 413 ? "the body is longer than this path takes"
                                          : "too many bytes are on their way here");
    }
    return handle_whole(h);
}

static void completed(void *cls, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode how)
{
    struct server *server = cls;
    struct held   *h      = *state;
    (void)connection;
    (void)how;
    if (!h)
        return;
    bool arrived = h->arrived;
    *state       = NULL;
    if (!h->replied)
        server->calls.dropped(server->ctx, &h->x);
    if (h->link)
        link_is_idle(server->links, h->link);
    atomic_fetch_sub(&server->body_bytes, h->counted);
    buf_release(&h->body);
    release_reply(&h->x.reply);
    free(h);
    if (arrived)
        atomic_fetch_sub(&server->unfinished, 1);
}

static void connected(void *cls, struct MHD_Connection *connection, void **socket_context,
                      enum MHD_ConnectionNotificationCode what)
{
    struct server *server = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? link_add(server->links, info->connect_fd) : NULL;
    } else if (*socket_context) {
        link_remove(server->links, *socket_context);
        *socket_context = NULL;
    }
}

static void free_server(struct server *server)
{
    links_close(server->links);
    free(server->address);
    free(server);
}

static struct MHD_Daemon *start_daemon(struct server *server, int fd)
{
    const struct server_limits *l = &server->limits;
    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        answer, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, l->connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, l->header_bytes, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)l->idle_seconds, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED,
        completed, server, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, connected, server, MHD_OPTION_END);
}

int server_start(const char *address, uint16_t port, const struct server_limits *limits,
                 const struct server_calls *calls, void *ctx, struct server **out, struct err *err)
{
    int            fd     = -1;
    struct server *server = mem_zeroed(1, sizeof *server);
    if (!server || !(server->address = mem_strdup(address))) {
        free(server);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    server->limits = *limits;
    server->calls  = *calls;
    server->ctx    = ctx;
    server->port   = port;
    int rc         = links_open(limits->arrive_seconds, limits->reply_seconds, &server->links, err);
    if (!rc)
        rc = listen_open(address, &server->port, &fd, err);
    if (!rc && !(server->daemon = start_daemon(server, fd))) {
        close(fd);
        rc = err_set(err, ERR_FAILED, "cannot serve on %s: libmicrohttpd does not start", address);
    }
    if (rc) {
        free_server(server);
        return rc;
    }
    *out = server;
    return 0;
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

unsigned server_connections(const struct server *server)
{
    return links_count(server->links);
}

int server_unfinished(const struct server *server)
{
    return atomic_load(&server->unfinished);
}

void server_quiesce(struct server *server)
{
    int fd = MHD_quiesce_daemon(server->daemon);
    if (fd < 0)
        return;
    listen_clean(server->address);
    server->quiet = true;
    close(fd);
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    if (!server->quiet) /* another daemon may listen there by now */
        listen_clean(server->address);
    free_server(server);
}
