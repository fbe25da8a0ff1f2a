/* From the server to the handlers: which route, who may, is there room.
 *
 * What is refused here costs no worker: a wrong Host or Origin, a missing token, a
 * path that does not exist, a method that it does not take, a queue that is full.
 */
#include "searchd/app.h"
#include "searchd/log.h"
#include "searchd/reply.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ID_DIGITS 18 /* of a number that int64_t surely holds */

static bool match(const char *pattern, const char *path, int64_t *id)
{
    static const char placeholder[] = "{id}";
    const char       *hole          = strstr(pattern, placeholder);
    size_t            n             = strlen(pattern);
    if (pattern[n - 1] == '*')
        return !strncmp(pattern, path, n - 1);
    if (!hole)
        return !strcmp(pattern, path);
    size_t before = (size_t)(hole - pattern);
    if (strncmp(pattern, path, before) != 0)
        return false;
    n = strspn(path + before, "0123456789");
    if (n == 0 || n > ID_DIGITS || strcmp(path + before + n, hole + sizeof placeholder - 1) != 0)
        return false;
    *id = strtoll(path + before, NULL, 10);
    return true;
}

static bool has_method(const struct route *route, const char *method)
{
    size_t n = strlen(method);
    if (!strcmp(method, "HEAD"))
        return has_method(route, "GET");
    for (const char *at = route->methods; (at = strstr(at, method)); at++)
        if ((at == route->methods || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' '))
            return true;
    return false;
}

static const struct route *find_route(const char *path, int64_t *id)
{
    for (size_t i = 0; i < n_routes; i++)
        if (match(routes[i].path, path, id))
            return &routes[i];
    return NULL;
}

/* ---- Refusals ---- */

/* true: allowed. Answers a listed origin's preflight, too. */
static bool pass_access(struct app *app, struct exchange *x, bool open)
{
    struct http_request *r = &x->request;
    pthread_rwlock_rdlock(&app->access_lock);
    enum access_verdict verdict = access_check(&app->access, r, open);
    bool                listed  = access_origin_is_listed(&app->access, r->origin);
    pthread_rwlock_unlock(&app->access_lock);
    bool preflight = !strcmp(r->method, "OPTIONS") && r->origin && r->cors_method;
    /* A browser asks first without the token. */
    if (preflight && listed && verdict == ACCESS_NEEDS_TOKEN)
        verdict = ACCESS_GRANTED;
    if (verdict == ACCESS_WRONG_HOST)
        reply_error(&x->reply, 403,
                    "the Host header names another machine (--host NAME allows a name)");
    else if (verdict == ACCESS_WRONG_ORIGIN)
        reply_error(&x->reply, 403, "another site's page asks (--cors ORIGIN allows one)");
    else if (verdict == ACCESS_NEEDS_TOKEN)
        reply_error(&x->reply, 401, "a token is needed: Authorization: Bearer TOKEN");
    if (verdict == ACCESS_NEEDS_TOKEN)
        reply_header(&x->reply, "WWW-Authenticate", "Bearer realm=\"osprey\"");
    if (verdict == ACCESS_GRANTED && preflight && listed) {
        reply_fixed(&x->reply, 204, NULL, NULL, 0);
        reply_header(&x->reply, "Access-Control-Allow-Methods", "GET, POST");
        reply_header(&x->reply, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        reply_header(&x->reply, "Access-Control-Max-Age", "600");
        return false;
    }
    return verdict == ACCESS_GRANTED;
}

/* With each reply, whatever came of it. */
static void common_headers(struct app *app, struct exchange *x)
{
    pthread_rwlock_rdlock(&app->access_lock);
    bool listed = access_origin_is_listed(&app->access, x->request.origin);
    bool any    = app->access.n_origins > 0;
    pthread_rwlock_unlock(&app->access_lock);
    if (listed)
        reply_header(&x->reply, "Access-Control-Allow-Origin", x->request.origin);
    else
        reply_header(&x->reply, "Cross-Origin-Resource-Policy", "same-origin");
    if (any)
        reply_header(&x->reply, "Vary", "Origin");
    if (atomic_load(&app->draining))
        reply_header(&x->reply, "Connection", "close");
}

static void allow_header(struct http_reply *reply, const char *methods)
{
    char   value[64];
    size_t n = 0;
    for (const char *c = methods; *c && n + 2 < sizeof value; c++) {
        if (*c == ' ')
            value[n++] = ',';
        value[n++] = *c;
    }
    value[n] = '\0';
    if (!strncmp(methods, "GET", 3))
        snprintf(value + n, sizeof value - n, ", HEAD");
    reply_header(reply, "Allow", value);
}

static bool refuse(void *ctx, struct exchange *x, size_t *max_body)
{
    struct app         *app   = ctx;
    int64_t             id    = 0;
    const struct route *route = find_route(x->request.path, &id);
    *max_body                 = 0;
    if (!pass_access(app, x, route && route->flags & ROUTE_OPEN))
        return true;
    if (!route) {
        char message[300];
        snprintf(message, sizeof message, "there is nothing at %.200s", x->request.path);
        reply_error(&x->reply, 404, message);
        return true;
    }
    if (!has_method(route, x->request.method)) {
        reply_error(&x->reply, 405, "this path does not take that method");
        allow_header(&x->reply, route->methods);
        return true;
    }
    if (x->request.too_many_params) {
        reply_error(&x->reply, 400, "the query has too many parameters");
        return true;
    }
    if (route->flags & ROUTE_BODY && strcmp(x->request.method, "POST") == 0)
        *max_body = (size_t)app->config.max_body;
    return false;
}

/* ---- Handling ---- */

static int choose_shelf(struct call *call, struct err *err)
{
    const struct http_request *r    = &call->x->request;
    const char                *name = NULL;
    for (size_t i = 0; i < r->n_params; i++) {
        if (strcmp(r->params[i].name, "library") != 0)
            continue;
        if (name)
            return err_set(err, ERR_USAGE, "library is given twice");
        name = r->params[i].value;
    }
    call->shelf = call->app->shelves[0];
    for (size_t i = 0; name && i < call->app->n_shelves; i++) {
        call->shelf = call->app->shelves[i];
        if (!strcmp(shelf_name(call->shelf), name))
            return 0;
    }
    return name ? err_set(err, ERR_NOTFOUND, "there is no library called %.100s", name) : 0;
}

static void run_handler(struct call *call)
{
    struct err err = ERR_INIT;
    int        rc  = call->route->flags & ROUTE_PAGE ? 0 : choose_shelf(call, &err);
    if (!rc)
        rc = call_check_time(call, &err);
    if (!rc)
        rc = call->route->handle(call, &err);
    if (rc) {
        reply_failure(&call->x->reply, &err);
        if (call->x->reply.status == 500)
            snprintf(call->log_error, sizeof call->log_error, "%s", err.msg);
    }
}

static void dropped(void *ctx, struct exchange *x)
{
    struct app  *app  = ctx;
    struct call *call = x->user;
    if (!call)
        return;
    x->user = NULL;
    jnode_free(call->json);
    for (size_t i = 0; i < call->n_kept; i++)
        free(call->kept[i]);
    free(call);
    atomic_fetch_sub(&app->in_flight, 1);
}

/* The reply is filled; the call lives on until it was counted (replied). */
void call_run(struct call *call)
{
    atomic_fetch_sub(&call->app->queued, 1);
    run_handler(call);
    exchange_finish(call->x);
}

static enum server_verdict handle(void *ctx, struct exchange *x)
{
    struct app  *app  = ctx;
    struct call *call = mem_zeroed(1, sizeof *call);
    if (!call)
        return SERVER_NOW; /* without a status: 500 */
    call->app   = app;
    call->x     = x;
    call->route = find_route(x->request.path, &call->id);
    x->user     = call;
    atomic_fetch_add(&app->in_flight, 1);
    if (call->route->flags & ROUTE_QUICK) {
        run_handler(call);
        return SERVER_NOW;
    }
    if (atomic_load(&app->draining)) {
        reply_error(&x->reply, 503, "the daemon is stopping");
        return SERVER_NOW;
    }
    atomic_fetch_add(&app->queued, 1);
    if (queue_try_push(app->jobs, call))
        return SERVER_LATER;
    atomic_fetch_sub(&app->queued, 1);
    reply_error(&x->reply, 429, "too many requests wait here; try again in a second");
    return SERVER_NOW;
}

static void replied(void *ctx, const struct exchange *const_x)
{
    struct app      *app   = ctx;
    struct exchange *x     = (struct exchange *)(uintptr_t)const_x;
    struct call     *call  = x->user;
    int64_t          id    = 0;
    const char      *route = "other";
    common_headers(app, x);
    if (call) {
        route = call->route->path;
        for (int i = 0; i < STAGE_REQUEST; i++)
            if (call->stage_ms[i] > 0)
                metrics_observe(app->metrics, i, call->stage_ms[i]);
        metrics_observe(app->metrics, STAGE_REQUEST, clock_ms() - x->request.arrived_ms);
    } else {
        const struct route *found = find_route(x->request.path, &id);
        route                     = found ? found->path : route;
    }
    metrics_reply(app->metrics, route, x->reply.status);
    log_request(&app->config, &x->request, &x->reply, call ? call->log_error : "");
    dropped(app, x);
}

const struct server_calls dispatch_calls = {.refuse  = refuse,
                                            .handle  = handle,
                                            .replied = replied,
                                            .dropped = dropped,
                                            .fault   = reply_error};
