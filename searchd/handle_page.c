/* The page's own files, openapi.json, and the login that lets the page's pictures
 * through. */
#include "searchd/handlers.h"

#include "searchd/answers.h"
#include "searchd/embedded.h"
#include "searchd/reply.h"

#include <stdlib.h>
#include <string.h>

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "        \
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "               \
    "frame-ancestors 'none'"

#define COOKIE_SECONDS (30 * 24 * 3600)

static const struct embedded_file *find(const char *path)
{
    for (size_t i = 0; i < n_embedded_files; i++)
        if (!strcmp(embedded_files[i].path, path))
            return &embedded_files[i];
    return NULL;
}

static int answer(struct call *call, const char *path, struct err *err)
{
    const struct embedded_file *file  = find(path);
    const struct http_request  *r     = &call->x->request;
    struct http_reply          *reply = &call->x->reply;
    if (!file)
        return err_set(err, ERR_NOTFOUND, "there is nothing at %.200s", path);
    if (r->if_none_match && strstr(r->if_none_match, file->etag))
        reply_fixed(reply, 304, NULL, NULL, 0);
    else
        reply_fixed(reply, 200, file->type, file->bytes, file->len);
    reply_header(reply, "ETag", file->etag);
    reply_header(reply, "Cache-Control", "no-cache");
    reply_header(reply, "Content-Security-Policy", POLICY);
    reply_header(reply, "Referrer-Policy", "no-referrer");
    return 0;
}

/* "/" and "/page/NAME"; a query is the page's own. */
int handle_page(struct call *call, struct err *err)
{
    static const char folder[] = "/page";
    const char       *path     = call->x->request.path;
    if (!strcmp(path, "/"))
        return answer(call, "/index.html", err);
    return answer(call, path + sizeof folder - 1, err);
}

int handle_openapi(struct call *call, struct err *err)
{
    return answer(call, "/openapi.json", err);
}

static void set_cookie(struct http_reply *reply, const char *value, int seconds)
{
    char cookie[ACCESS_TOKEN_MAX + 160];
    snprintf(cookie, sizeof cookie,
             ACCESS_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d", value, seconds);
    reply_header(reply, "Set-Cookie", cookie);
    reply_header(reply, "Cache-Control", "no-store");
}

struct login_input {
    const char *token;
};

static const struct field login_fields[] = {
    {"token", FIELD_TEXT, 0, 0, offsetof(struct login_input, token)},
};

int handle_login(struct call *call, struct err *err)
{
    struct login_input input  = {.token = NULL};
    struct fields      fields = {.table = login_fields, .n = 1, .into = &input};
    int                rc     = call_take_json(call, &fields, err);
    if (!rc && !input.token)
        rc = err_set(err, ERR_USAGE, "token is missing");
    if (rc)
        return rc;
    pthread_rwlock_rdlock(&call->app->access_lock);
    bool right = access_token_is_right(&call->app->access, input.token, strlen(input.token));
    pthread_rwlock_unlock(&call->app->access_lock);
    if (!right) {
        reply_error(&call->x->reply, 401, "the token is not right");
        return 0;
    }
    reply_fixed(&call->x->reply, 204, NULL, NULL, 0);
    set_cookie(&call->x->reply, input.token, COOKIE_SECONDS);
    return 0;
}

int handle_logout(struct call *call, struct err *err)
{
    (void)err;
    reply_fixed(&call->x->reply, 204, NULL, NULL, 0);
    set_cookie(&call->x->reply, "", 0);
    return 0;
}
