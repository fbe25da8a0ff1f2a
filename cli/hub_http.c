/* HTTP, behind libcurl (hub_http.h). Redirects are followed here and not by
 * curl, so that what goes along with them is decided in one place. */
#include "cli/hub_http.h"

#include "base/mem.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS 5
#define MAX_TOKEN     1024
#define MAX_ERROR     65536 /* bytes read of the body of an error */

struct http {
    CURL                        *curl;
    char                        *endpoint;
    char                        *token;
    long                         timeout_s;
    const volatile sig_atomic_t *stop;
    bool                         met; /* some server has answered */
    char                         why[CURL_ERROR_SIZE];
};

/* One response on its way. */
struct transfer {
    struct http            *http;
    const struct http_sink *sink;
    struct http_reply      *reply;
    struct err             *err;
    int64_t                 from;
    int64_t                 range_start; /* of Content-Range, or -1 */
    size_t                  discarded;
    bool                    begun;
    int                     rc; /* what ended it from our side */
};

static bool token_valid(const char *token)
{
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        if (token[i] <= ' ' || token[i] > '~') /* nothing that could start another header */
            return false;
    }
    return n > 0 && n <= MAX_TOKEN;
}

int http_open(const struct http_options *o, struct http **out, struct err *err)
{
    if (strncmp(o->endpoint, "https://", 8) != 0 && strncmp(o->endpoint, "http://", 7) != 0)
        return err_set(err, ERR_USAGE, "HF_ENDPOINT is \"%.100s\", not an http or https address",
                       o->endpoint);
    if (o->token && !token_valid(o->token))
        return err_set(err, ERR_USAGE, "HF_TOKEN does not look like a token");
    struct http *h = mem_zeroed(1, sizeof *h);
    if (!h)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(h);
        return err_set(err, ERR_FAILED, "cannot start libcurl");
    }
    h->curl      = curl_easy_init();
    h->endpoint  = mem_strdup(o->endpoint);
    h->token     = o->token ? mem_strdup(o->token) : NULL;
    h->timeout_s = o->timeout_s;
    h->stop      = o->stop;
    if (!h->curl || !h->endpoint || (o->token && !h->token)) {
        http_close(h);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    *out = h;
    return 0;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    curl_global_cleanup();
    free(h->endpoint);
    free(h->token);
    free(h);
}

/* ---- Addresses ---- */

/* Scheme, host and port of a URL as "https://host:443"; "" when it is none. */
static void origin_of(const char *url, char *out, size_t n)
{
    CURLU *u      = curl_url();
    char  *scheme = NULL, *host = NULL, *port = NULL;
    out[0] = '\0';
    if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
        !curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) &&
        !curl_url_get(u, CURLUPART_HOST, &host, 0) &&
        !curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
        int len = snprintf(out, n, "%s://%s:%s", scheme, host, port);
        if (len < 0 || (size_t)len >= n)
            out[0] = '\0';
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static bool same_origin(const char *a, const char *b)
{
    char x[512], y[512];
    origin_of(a, x, sizeof x);
    origin_of(b, y, sizeof y);
    return x[0] && strcasecmp(x, y) == 0;
}

/* ---- What curl calls ---- */

static void take_header(const char *line, size_t n, const char *name, char *out, size_t max)
{
    size_t len = strlen(name);
    if (n < len || strncasecmp(line, name, len) != 0)
        return;
    line += len;
    n -= len;
    while (n > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    size_t at = 0;
    for (size_t i = 0; i < n && at + 1 < max; i++) {
        if (line[i] >= ' ' && line[i] <= '~') /* it will be shown */
            out[at++] = line[i];
    }
    out[at] = '\0';
}

static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    (void)one;
    char range[100] = "";
    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) {
        t->reply->error_code[0] = t->reply->error_message[0] = '\0';
        t->range_start                                       = -1;
    }
    take_header(line, n, "x-error-code:", t->reply->error_code, sizeof t->reply->error_code);
    take_header(line, n, "x-error-message:", t->reply->error_message,
                sizeof t->reply->error_message);
    take_header(line, n, "content-range:", range, sizeof range);
    if (strncasecmp(range, "bytes ", 6) == 0 && range[6] >= '0' && range[6] <= '9')
        t->range_start = strtoll(range + 6, NULL, 10);
    return n;
}

/* The body is what was asked for: tells the sink where it begins. */
static int begin(struct transfer *t)
{
    int64_t offset = 0;
    if (t->reply->status == 206) {
        if (t->range_start != t->from)
            return err_set(t->err, ERR_FORMAT,
                           "the server was asked for bytes from %" PRId64 " on and sent them from "
                           "%" PRId64,
                           t->from, t->range_start);
        offset = t->from;
    }
    t->begun = true;
    return t->sink->begin(t->sink->ctx, offset, t->err);
}

static size_t on_body(char *data, size_t one, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    (void)one;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    if (t->reply->status != 200 && t->reply->status != 206) {
        t->discarded += n;
        return t->discarded > MAX_ERROR ? 0 : n;
    }
    if (!t->begun)
        t->rc = begin(t);
    if (!t->rc)
        t->rc = t->sink->bytes(t->sink->ctx, data, n, t->err);
    return t->rc ? 0 : n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *t = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return t->http->stop && *t->http->stop;
}

/* ---- One request ---- */

static void set_options(struct transfer *t, const char *url, struct curl_slist *headers)
{
    CURL *c = t->http->curl;
    curl_easy_reset(c); /* connections stay open */
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "osprey/" OSPREY_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR,
                     strncmp(t->http->endpoint, "https:", 6) == 0 ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, t->http->timeout_s);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, t->http->timeout_s);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->http->why);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    const char *authorities = getenv("SSL_CERT_FILE");
    if (authorities && *authorities)
        curl_easy_setopt(c, CURLOPT_CAINFO, authorities);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    if (t->from > 0) {
        char range[32];
        (void)snprintf(range, sizeof range, "%" PRId64 "-", t->from);
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
}

/* What curl says went wrong. */
static int failed(struct transfer *t, CURLcode code, const char *url)
{
    char host[512];
    origin_of(url, host, sizeof host);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return err_set(t->err, ERR_CANCELLED, "stopped");
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_PROXY:
        /* without a network from the start, waiting is of no use */
        t->reply->retry = t->http->met;
        break;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        t->reply->retry = true;
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(t->err, ERR_FAILED, "the server leads to %.200s, which is not followed",
                       url);
    default:
        break;
    }
    return err_set(t->err, ERR_IO, "%s %s: %s%s", t->reply->status ? "lost" : "cannot reach",
                   host[0] ? host : "the server",
                   t->http->why[0] ? t->http->why : curl_easy_strerror(code),
                   t->http->met ? ""
                                : " (a model's folder can also be carried here from another "
                                  "machine: see `man osprey-model`)");
}

static int request(struct transfer *t, const char *url, char **location)
{
    struct http       *h       = t->http;
    struct curl_slist *headers = NULL;
    char               bearer[MAX_TOKEN + 64];
    *location = NULL;
    if (h->token && same_origin(url, h->endpoint)) {
        (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", h->token);
        headers = curl_slist_append(NULL, bearer);
        if (!headers)
            return err_set(t->err, ERR_NOMEM, "out of memory");
    }
    t->reply->status = 0;
    h->why[0]        = '\0';
    t->discarded     = 0;
    set_options(t, url, headers);
    CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    h->met = h->met || t->reply->status != 0;
    if (t->rc)
        return t->rc;
    /* of an error, the head is enough */
    if (code && !(code == CURLE_WRITE_ERROR && t->discarded > MAX_ERROR))
        return failed(t, code, url);
    curl_off_t after = 0;
    char      *next  = NULL;
    if (!curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &after))
        t->reply->retry_after_s = after;
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &next);
    if (t->reply->status / 100 == 3 && next) {
        *location = mem_strdup(next);
        return *location ? 0 : err_set(t->err, ERR_NOMEM, "out of memory");
    }
    if (t->reply->status != 200 && t->reply->status != 206) {
        t->reply->retry = t->reply->status == 429 || t->reply->status == 408 ||
                          (t->reply->status >= 500 && t->reply->status != 501);
        return err_set(t->err, ERR_FAILED, "the server answered with status %ld%s%s",
                       t->reply->status, t->reply->error_message[0] ? ": " : "",
                       t->reply->error_message);
    }
    return t->begun ? 0 : begin(t); /* an empty body */
}

int http_get(struct http *h, const char *url, int64_t from, const struct http_sink *sink,
             struct http_reply *reply, struct err *err)
{
    *reply             = (struct http_reply){0};
    struct transfer t  = {.http = h, .sink = sink, .reply = reply, .err = err, .from = from};
    char           *at = mem_strdup(url), *next = NULL;
    int             rc = at ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (int i = 0; !rc; i++) {
        rc = request(&t, at, &next);
        if (rc || !next)
            break;
        free(at);
        at = next;
        if (i == MAX_REDIRECTS)
            rc = err_set(err, ERR_FAILED, "the server redirects more than %d times", MAX_REDIRECTS);
    }
    free(at);
    return rc;
}
