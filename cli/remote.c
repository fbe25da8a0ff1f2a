/* A daemon's answers, through libcurl: see remote.h. */
#include "cli/remote.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"

#include <curl/curl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIX_PREFIX "unix:"
#define MAX_ANSWER  ((size_t)256 << 20)
#define MAX_IMAGE   ((size_t)64 << 20)
#define CONNECT_MS  2000L
#define ANSWER_S    120L

/* ---- The question ---- */

static int term_node(const struct term *term, struct jnode **out, struct err *err)
{
    struct jnode *node   = jnode_object();
    int           failed = jnode_set_real(node, "weight", (double)term->weight);
    int           rc     = 0;
    if (term->is_image) {
        uint8_t *bytes = NULL;
        size_t   n     = 0;
        rc             = file_read(term->text, MAX_IMAGE, &bytes, &n, err);
        char *text     = rc ? NULL : base64_encode(bytes, n);
        failed |= text ? jnode_set_str(node, "image", text) : -1;
        free(text);
        free(bytes);
    } else {
        failed |= jnode_set_str(node, "text", term->text);
    }
    if (!rc && failed)
        rc = err_set(err, ERR_NOMEM, "out of memory for the query");
    if (rc)
        jnode_free(node);
    else
        *out = node;
    return rc;
}

static int question(const struct terms *terms, const struct results_request *request, char **out,
                    struct err *err)
{
    struct jnode *list   = jnode_array();
    struct jnode *node   = jnode_object();
    char         *folder = NULL;
    int           failed = 0, rc = 0;
    for (size_t i = 0; i < terms->n && !rc; i++) {
        struct jnode *term = NULL;
        rc                 = term_node(&terms->items[i], &term, err);
        failed |= rc ? 0 : jnode_push(list, term);
    }
    if (!rc && request->filters.in)
        rc = path_absolute(request->filters.in, &folder, err);
    if (terms->n)
        failed |= jnode_set(node, "terms", list);
    else
        jnode_free(list);
    failed |= filters_to_json(&request->filters, folder, node) |
              jnode_set_int(node, "k", (int64_t)(request->k ? request->k : RESULTS_DEFAULT_K));
    if (request->has_min_score)
        failed |= jnode_set_real(node, "min_score", request->min_score);
    if (request->has_min_match)
        failed |= jnode_set_real(node, "min_match", request->min_match);
    if (request->words)
        failed |= jnode_set_bool(node, "hybrid", true);
    if (request->every_page)
        failed |= jnode_set_bool(node, "pages", true);
    if (request->rerank)
        failed |= jnode_set_int(node, "rerank", (int64_t)request->rerank);
    *out = rc || failed ? NULL : jnode_write(node);
    if (!rc && !*out)
        rc = err_set(err, ERR_NOMEM, "out of memory for the query");
    free(folder);
    jnode_free(node);
    return rc;
}

/* ---- The exchange ---- */

static size_t receive(char *data, size_t size, size_t n, void *ctx)
{
    return buf_append(ctx, data, size * n, NULL) ? 0 : size * n;
}

/* Where to: for a Unix socket, its path and a host that is never looked up. */
struct target {
    char *url, *socket;
};

static void target_release(struct target *t)
{
    free(t->url);
    free(t->socket);
}

static int target_init(struct target *t, const char *server, struct err *err)
{
    const char *query = strchr(server, '?');
    size_t      n     = query ? (size_t)(query - server) : strlen(server);
    bool        local = !strncmp(server, UNIX_PREFIX, sizeof UNIX_PREFIX - 1);
    while (n > 0 && server[n - 1] == '/')
        n--;
    size_t cap = n + (query ? strlen(query) : 0) + 64;
    t->url     = mem_array(cap, 1);
    t->socket =
        local ? mem_strndup(server + sizeof UNIX_PREFIX - 1, n - (sizeof UNIX_PREFIX - 1)) : NULL;
    if (!t->url || (local && !t->socket))
        return err_set(err, ERR_NOMEM, "out of memory");
    snprintf(t->url, cap, "%.*s/v1/search%s", local ? 16 : (int)n,
             local ? "http://localhost" : server, query ? query : "");
    return 0;
}

static struct curl_slist *headers(bool trusted)
{
    char               line[512];
    const char        *token = trusted ? getenv("OSPREY_TOKEN") : NULL;
    struct curl_slist *list  = curl_slist_append(NULL, "Content-Type: application/json");
    if (token && *token && strlen(token) < 400 && !strpbrk(token, "\r\n")) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", token);
        list = curl_slist_append(list, line);
    }
    return curl_slist_append(list, "Expect:");
}

static int post(const char *server, bool trusted, const char *body, struct buf *answer,
                long *status, struct err *err)
{
    struct target      target = {NULL, NULL};
    struct curl_slist *list   = headers(trusted);
    CURL              *curl   = curl_easy_init();
    int                rc =
        curl && list ? target_init(&target, server, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc)
        goto out;
    curl_easy_setopt(curl, CURLOPT_URL, target.url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target.socket);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, trusted ? NULL : "");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_S);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        rc = err_set(err, ERR_IO, "cannot ask %s: %s", server, curl_easy_strerror(code));
    else
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
out:
    curl_easy_cleanup(curl);
    curl_slist_free_all(list);
    target_release(&target);
    return rc;
}

/* ---- The answer ---- */

/* A path's own bytes, which may be no UTF-8. */
static char *path_of(const struct jnode *result, const char *key)
{
    char        name[32];
    const char *text;
    uint8_t    *bytes = NULL;
    size_t      n     = 0;
    snprintf(name, sizeof name, "%s_bytes", key);
    if (jnode_to_str(jnode_get(result, name), &text) &&
        !base64_decode(text, strlen(text), &bytes, &n, NULL)) {
        char *path = mem_strndup((const char *)bytes, n);
        free(bytes);
        return path;
    }
    return jnode_to_str(jnode_get(result, key), &text) ? mem_strdup(text) : NULL;
}

static int print_result(const struct common *common, const struct jnode *result, int width,
                        const struct results_line *kind, struct err *err)
{
    struct results_line line  = *kind;
    int64_t             rank  = 0, number;
    double              score = 0, again = 0;
    char               *folder = path_of(result, "folder"), *below = path_of(result, "path");
    char               *path  = folder && below ? path_join(folder, below) : NULL;
    int                 rc    = 0;
    bool                sound = jnode_to_int(jnode_get(result, "rank"), &rank) &&
                 (line.listed || jnode_to_double(jnode_get(result, "score"), &score)) &&
                 jnode_to_int(jnode_get(result, "id"), &line.id) && folder && below && rank > 0;
    if (!sound)
        rc = err_set(err, ERR_FORMAT, "the daemon's answer is not understood");
    else if (!path)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    line.rank    = (size_t)rank;
    line.score   = (float)score;
    line.path    = path;
    line.matched = jnode_to_double(jnode_get(result, "match"), &line.match);
    if (line.hybrid && !jnode_to_double(jnode_get(result, "fused"), &line.fused))
        rc = rc ? rc : err_set(err, ERR_FORMAT, "the daemon's answer is not understood");
    if (jnode_to_int(jnode_get(result, "vector_rank"), &number) && number > 0)
        line.vector_rank = (size_t)number;
    if (jnode_to_int(jnode_get(result, "words_rank"), &number) && number > 0)
        line.words_rank = (size_t)number;
    if (jnode_to_double(jnode_get(result, "rerank"), &again)) {
        line.scored = true;
        line.rerank = (float)again;
    }
    if (jnode_to_int(jnode_get(result, "width"), &number))
        line.width = (int)number;
    if (jnode_to_int(jnode_get(result, "height"), &number))
        line.height = (int)number;
    if (jnode_to_int(jnode_get(result, "taken_at"), &number))
        line.taken_at = number;
    if (jnode_to_int(jnode_get(result, "page"), &number))
        line.page = (int)number;
    line.timed = jnode_to_int(jnode_get(result, "time_ms"), &line.time_ms) && line.time_ms >= 0 &&
                 line.time_ms <= INT32_MAX;
    if (jnode_to_int(jnode_get(result, "pages"), &number) && number <= INT32_MAX)
        line.pages = (int)number;
    if (!jnode_to_bool(jnode_get(result, "film"), &line.film))
        line.film = false;
    if (!rc)
        rc = results_print(common, &line, width, err);
    free(folder);
    free(below);
    free(path);
    return rc;
}

static int refused(const char *server, long status, const struct jnode *root, struct err *err)
{
    const char *message;
    if (!jnode_to_str(jnode_get(jnode_get(root, "error"), "message"), &message))
        message = "it gives no reason";
    return err_set(err, status == 400 ? ERR_USAGE : ERR_FAILED, "%s answers %ld: %s", server,
                   status, message);
}

int remote_search(const char *url, bool trusted, const struct common *common,
                  const struct terms *terms, const struct results_request *request, size_t *shown,
                  struct err *err)
{
    struct buf    answer;
    struct jnode *root   = NULL;
    char         *body   = NULL;
    long          status = 0;
    buf_init(&answer, MAX_ANSWER);
    int rc = question(terms, request, &body, err);
    if (!rc)
        rc = post(url, trusted, body, &answer, &status, err);
    if (!rc)
        rc = jnode_parse(buf_str(&answer), answer.len, url, &root, err);
    if (!rc && status != 200)
        rc = refused(url, status, root, err);
    const struct jnode *results = jnode_get(root, "results");
    if (!rc && !jnode_is_array(results))
        rc = err_set(err, ERR_FORMAT, "the daemon's answer is not understood");
    const struct results_line kind = {
        .listed = terms->n == 0, .hybrid = request->words != NULL, .reranked = request->rerank > 0};

    size_t n     = jnode_len(results);
    int    width = results_width(n);
    for (*shown = 0; !rc && *shown < n && !output_broken(); ++*shown)
        rc = print_result(common, jnode_at(results, *shown), width, &kind, err);
    jnode_free(root);
    buf_release(&answer);
    free(body);
    return rc;
}
