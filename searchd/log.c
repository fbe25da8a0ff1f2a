/* Lines on standard error: see log.h. Queries are left out: what people look for is
 * nobody else's business. */
#include "searchd/log.h"

#include "base/json.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void stamp(char out[40])
{
    struct timespec now;
    struct tm       t;
    char            date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &t);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out, 40, "%s.%03ldZ", date, now.tv_nsec / 1000000);
}

static void write_node(struct jnode *node)
{
    char *line = jnode_write(node);
    if (line)
        fprintf(stderr, "%s\n", line);
    free(line);
    jnode_free(node);
}

void log_note(const struct config *config, const char *event, const char *fmt, ...)
{
    char    message[1200], when[40];
    va_list ap;
    if (config->quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (config->log != LOG_JSON) {
        fprintf(stderr, "osprey: %s\n", message);
        return;
    }
    struct jnode *node = jnode_object();
    stamp(when);
    if (jnode_set_str(node, "time", when) | jnode_set_str(node, "event", event) |
        jnode_set_str(node, "message", message))
        jnode_free(node);
    else
        write_node(node);
}

static void peer_name(const struct sockaddr_storage *peer, char out[INET6_ADDRSTRLEN])
{
    snprintf(out, INET6_ADDRSTRLEN, "unix");
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, out, INET6_ADDRSTRLEN);
    else if (peer->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, out, INET6_ADDRSTRLEN);
}

/* Text lines hold nothing that a terminal obeys. */
static void print_plain(const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, stderr);
}

void log_request(const struct config *config, const struct http_request *request,
                 const struct http_reply *reply, const char *error)
{
    char   when[40], peer[INET6_ADDRSTRLEN];
    double ms = request->arrived_ms > 0 ? clock_ms() - request->arrived_ms : 0;
    if (config->log == LOG_OFF && !(reply->status == 500 && *error && !config->quiet))
        return;
    stamp(when);
    peer_name(&request->peer, peer);
    if (config->log == LOG_JSON) {
        struct jnode *node = jnode_object();
        int failed = jnode_set_str(node, "time", when) | jnode_set_str(node, "event", "request") |
                     jnode_set_str(node, "peer", peer) |
                     jnode_set_str(node, "method", request->method) |
                     jnode_set_str(node, "path", request->path) |
                     jnode_set_int(node, "status", reply->status) | jnode_set_real(node, "ms", ms) |
                     jnode_set_int(node, "bytes", (int64_t)reply->len);
        if (*error)
            failed |= jnode_set_str(node, "error", error);
        if (failed)
            jnode_free(node);
        else
            write_node(node);
        return;
    }
    flockfile(stderr);
    fprintf(stderr, "%s %s %s ", when, peer, request->method);
    print_plain(request->path);
    fprintf(stderr, " %d %.1f ms %llu bytes%s", reply->status, ms, (unsigned long long)reply->len,
            *error ? ": " : "\n");
    if (*error) {
        print_plain(error);
        fputc('\n', stderr);
    }
    funlockfile(stderr);
}
