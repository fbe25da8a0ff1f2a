/* From a request to a reply: see routes.h. */
#include "searchd/routes.h"

#include "base/json.h"
#include "searchd/handlers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_TYPE "application/json"

struct params {
    const char *q;
    size_t      k;
    bool        takes_q, takes_k;
    struct err  err;
};

static int parse_k(const char *value, size_t *k)
{
    char *end;
    errno                = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < 1 || number > ROUTES_MAX_K)
        return -1;
    *k = number;
    return 0;
}

static int see_param(void *ctx, const char *name, const char *value)
{
    struct params *p = ctx;
    if (p->takes_q && !strcmp(name, "q")) {
        p->q = value;
        return 0;
    }
    if (p->takes_k && !strcmp(name, "k"))
        return parse_k(value, &p->k)
                   ? err_set(&p->err, ERR_USAGE, "k must be a whole number from 1 to %d",
                             ROUTES_MAX_K)
                   : 0;
    return err_set(&p->err, ERR_USAGE, "unknown parameter: %s", name);
}

static const char *code_of(int status)
{
    switch (status) {
    case 400:
        return "bad_request";
    case 403:
        return "forbidden";
    case 404:
        return "not_found";
    case 405:
        return "method_not_allowed";
    default:
        return "internal";
    }
}

static void reply_json(struct http_reply *reply, int status, const struct jnode *node)
{
    reply->status = status;
    reply->type   = JSON_TYPE;
    reply->body   = jnode_write(node);
    reply->len    = reply->body ? strlen(reply->body) : 0;
}

static void reply_error(struct http_reply *reply, int status, const char *message)
{
    struct jnode *error  = jnode_object();
    struct jnode *node   = jnode_object();
    int           failed = jnode_set_str(error, "code", code_of(status)) |
                 jnode_set_str(error, "message", message) | jnode_set(node, "error", error);
    if (!failed)
        reply_json(reply, status, node);
    jnode_free(node);
}

static int status_of(int rc)
{
    switch (rc) {
    case ERR_USAGE:
    case ERR_LIMIT:
        return 400;
    case ERR_NOTFOUND:
        return 404;
    default:
        return 500;
    }
}

/* localhost, 127.x.x.x or [::1], with or without a port. A request without a
 * Host (HTTP/1.0) cannot come from a browser. */
static bool host_is_local(const char *host)
{
    if (!host)
        return true;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    return (len == 9 && !strncasecmp(host, "localhost", len)) ||
           (len == 5 && !strncmp(host, "[::1]", len)) ||
           (!strncmp(host, "127.", 4) && strspn(host, "0123456789.") == len);
}

/* "/v1/images/{id}" + tail; false when the path is not of that form. */
static bool image_path(const char *path, int64_t *id, const char **tail)
{
    static const char prefix[] = "/v1/images/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *digits = path + sizeof prefix - 1;
    size_t      n      = strspn(digits, "0123456789");
    if (n == 0 || n > 18)
        return false;
    *id   = strtoll(digits, NULL, 10);
    *tail = digits + n;
    return true;
}

static int read_params(const struct service *service, const struct http_request *request, bool q,
                       bool k, struct params *p)
{
    *p     = (struct params){.k = service->default_k, .takes_q = q, .takes_k = k};
    int rc = http_each_param(request, see_param, p);
    if (!rc && q && (!p->q || !*p->q))
        rc = err_set(&p->err, ERR_USAGE, "q, the text to search for, is missing");
    return rc;
}

/* Finds the handler; ERR_NOTFOUND with an empty message when there is no such
 * path. */
static int route(struct service *service, const struct http_request *request, struct jnode **out,
                 struct err *err)
{
    struct params params;
    const char   *path = request->path;
    const char   *tail;
    int64_t       id;
    int           rc;
    if (!strcmp(path, "/healthz") || !strcmp(path, "/readyz") || !strcmp(path, "/v1/stats")) {
        rc = read_params(service, request, false, false, &params);
        if (!rc)
            return handle_stats(service, out, err);
    } else if (!strcmp(path, "/v1/search")) {
        rc = read_params(service, request, true, true, &params);
        if (!rc)
            return handle_search(service, params.q, params.k, out, err);
    } else if (image_path(path, &id, &tail) && !*tail) {
        rc = read_params(service, request, false, false, &params);
        if (!rc)
            return handle_image(service, id, out, err);
    } else if (image_path(path, &id, &tail) && !strcmp(tail, "/similar")) {
        rc = read_params(service, request, false, true, &params);
        if (!rc)
            return handle_similar(service, id, params.k, out, err);
    } else {
        return err_set(err, ERR_NOTFOUND, "there is nothing at %s", path);
    }
    return err_set(err, (enum err_code)rc, "%s", params.err.msg);
}

void routes_handle(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct jnode *node = NULL;
    struct err    err  = ERR_INIT;
    if (!host_is_local(request->host)) {
        reply_error(reply, 403, "the Host header names another machine");
        return;
    }
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        reply_error(reply, 405, "only GET is served here");
        return;
    }
    int rc = route(ctx, request, &node, &err);
    if (rc)
        reply_error(reply, status_of(rc), err.msg);
    else
        reply_json(reply, 200, node);
    jnode_free(node);
}
