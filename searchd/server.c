/* HTTP for searchd, behind libmicrohttpd: see server.h. */
#include "searchd/server.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_CONNECTIONS  256
#define MAX_HEADER_BYTES (32u << 10)
#define IDLE_SECONDS     15

struct server {
    struct MHD_Daemon *daemon;
    http_handler       handler;
    void              *ctx;
    uint16_t           port;
};

struct param_walk {
    int (*see)(void *ctx, const char *name, const char *value);
    void *ctx;
    int   rc;
};

static enum MHD_Result see_param(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct param_walk *walk = cls;
    (void)kind;
    walk->rc = walk->see(walk->ctx, key, value ? value : "");
    return walk->rc ? MHD_NO : MHD_YES;
}

int http_each_param(const struct http_request *request,
                    int (*see)(void *ctx, const char *name, const char *value), void *ctx)
{
    struct param_walk walk = {.see = see, .ctx = ctx};
    (void)MHD_get_connection_values(request->handle, MHD_GET_ARGUMENT_KIND, see_param, &walk);
    return walk.rc;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct http_reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->len, reply->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(reply->body);
        return MHD_NO;
    }
    enum MHD_Result ok = MHD_add_response_header(response, "Content-Type", reply->type);
    if (ok == MHD_YES)
        ok = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (ok == MHD_YES && reply->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        ok = MHD_add_response_header(response, "Allow", "GET, HEAD");
    if (ok == MHD_YES)
        ok = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return ok;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_len, void **state)
{
    static int     started;
    struct server *server = cls;
    (void)version;
    (void)upload_data;
    if (!*state) { /* the header alone has arrived */
        *state = &started;
        const char *length =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
        bool body = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") ||
                    (length && strcmp(length, "0") != 0);
        if (!body)
            return MHD_YES;
    } else if (*upload_len > 0) {
        *upload_len = 0; /* never kept */
        return MHD_YES;
    }
    struct http_request request = {
        .method = method,
        .path   = url,
        .host   = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"),
        .handle = connection};
    struct http_reply reply = {0};
    server->handler(server->ctx, &request, &reply);
    return reply.body ? send_reply(connection, &reply) : MHD_NO;
}

/* A loopback address in its binary form; its length, or 0. */
static socklen_t loopback_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in  v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1 && ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
        memcpy(out, &v6, sizeof v6);
        return sizeof v6;
    }
    return 0;
}

int server_start(const char *address, uint16_t port, http_handler handler, void *ctx,
                 struct server **out, struct err *err)
{
    struct sockaddr_storage where = {0};
    if (!loopback_address(address, port, &where))
        return err_set(err, ERR_USAGE,
                       "cannot listen on %s: only loopback addresses (127.0.0.1, ::1) are served, "
                       "since there is no authentication",
                       address);
    struct server *server = mem_zeroed(1, sizeof *server);
    if (!server)
        return err_set(err, ERR_NOMEM, "out of memory");
    server->handler = handler;
    server->ctx     = ctx;
    unsigned flags  = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME;
    if (where.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    server->daemon = MHD_start_daemon(flags, port, NULL, NULL, answer, server, MHD_OPTION_SOCK_ADDR,
                                      (struct sockaddr *)&where, MHD_OPTION_CONNECTION_LIMIT,
                                      (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                      (size_t)MAX_HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
                                      (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (!server->daemon) {
        int why = errno;
        free(server);
        return err_set(err, ERR_IO, "cannot listen on %s port %u: %s", address, port,
                       strerror(why));
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->port = info ? info->port : port;
    *out         = server;
    return 0;
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
