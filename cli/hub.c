/* A hub of models (hub.h): its environment, its patience, its listings.
 *
 * The addresses are those of Hugging Face's hub: /api/models/ID/revision/REV
 * lists a commit's files with sizes and hashes, /ID/resolve/REV/FILE leads to a
 * file's bytes.
 */
#include "cli/hub.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_ENDPOINT "https://huggingface.co" /* the one place that names a host */

#define DEFAULT_TIMEOUT_S 30
#define MAX_TRIES         6 /* in a row without a byte gained */
#define MAX_WAIT_S        60
#define MAX_LISTING       (32u << 20) /* bytes */
#define MAX_FILES         100000
#define MAX_FILE_SIZE     ((int64_t)1 << 40) /* bytes */

/* ---- The environment ---- */

static bool is_true(const char *value)
{
    return value && *value && strcmp(value, "0") != 0 && strcasecmp(value, "no") != 0 &&
           strcasecmp(value, "false") != 0 && strcasecmp(value, "off") != 0;
}

static int read_timeout(long *out, struct err *err)
{
    const char *text  = getenv("OSPREY_HUB_TIMEOUT");
    size_t      value = DEFAULT_TIMEOUT_S;
    int         rc    = text && *text ? parse_count(text, "OSPREY_HUB_TIMEOUT", &value, err) : 0;
    if (!rc && value > 86400)
        rc = err_set(err, ERR_USAGE, "OSPREY_HUB_TIMEOUT is more than a day");
    *out = (long)value;
    return rc;
}

int hub_open(struct progress *progress, const volatile sig_atomic_t *stop, struct hub *hub,
             struct err *err)
{
    const char *endpoint = getenv("HF_ENDPOINT"), *token = getenv("HF_TOKEN");
    *hub   = (struct hub){.progress = progress, .stop = stop};
    int rc = read_timeout(&hub->timeout_s, err);
    if (rc)
        return rc;
    if (!endpoint || !*endpoint)
        endpoint = DEFAULT_ENDPOINT;
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/')
        n--;
    hub->endpoint  = mem_strndup(endpoint, n);
    hub->offline   = is_true(getenv("HF_HUB_OFFLINE"));
    hub->has_token = token && *token;
    if (!hub->endpoint)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct http_options options = {.endpoint  = hub->endpoint,
                                   .token     = hub->has_token ? token : NULL,
                                   .timeout_s = hub->timeout_s,
                                   .stop      = stop};
    rc                          = http_open(&options, &hub->http, err);
    if (rc)
        hub_close(hub);
    return rc;
}

void hub_close(struct hub *hub)
{
    http_close(hub->http);
    free(hub->endpoint);
    hub->http     = NULL;
    hub->endpoint = NULL;
}

/* ---- Requests ---- */

/* Says what a refusal means, and what to do. */
static int refused(const struct hub *hub, const struct model_id *id, const struct http_reply *r,
                   int rc, struct err *err)
{
    const char *revision = id->revision[0] ? id->revision : "main";
    bool        gated    = strcmp(r->error_code, "GatedRepo") == 0;
    if (gated || r->status == 403)
        return err_set(err, ERR_FAILED,
                       "the hub lets only those fetch %s who accepted its terms (status %ld): "
                       "accept them on the model's page, and set HF_TOKEN to a token of that "
                       "account%s",
                       id->name, r->status, hub->has_token ? " (the one given is not enough)" : "");
    if (strcmp(r->error_code, "RevisionNotFound") == 0)
        return err_set(err, ERR_NOTFOUND, "%s has no revision %s", id->name, revision);
    if (r->status == 401 && hub->has_token)
        return err_set(err, ERR_NOTFOUND,
                       "the hub has no model %s that the token in HF_TOKEN may see (status 401): "
                       "check the name and the token",
                       id->name);
    if (r->status == 401)
        return err_set(err, ERR_NOTFOUND,
                       "the hub has no public model %s (status 401): check the name; if it is "
                       "private or gated, set HF_TOKEN to an account's token",
                       id->name);
    if (r->status == 404)
        return err_set(err, ERR_NOTFOUND, "the hub has no model %s%s%s (status 404)", id->name,
                       id->revision[0] ? " with a revision " : "", id->revision);
    return rc;
}

/* Waits before another try; stops waiting when told to. */
static int wait_ms(const struct hub *hub, long ms, struct err *err)
{
    for (long waited = 0; waited < ms; waited += 50) {
        struct timespec t = {.tv_nsec = 50 * 1000000L};
        if (hub->stop && *hub->stop)
            return err_set(err, ERR_CANCELLED, "stopped");
        (void)nanosleep(&t, NULL);
    }
    return 0;
}

int hub_get(struct hub *hub, const struct model_id *id, const char *url, const int64_t *at,
            const struct http_sink *sink, struct err *err)
{
    int64_t farthest = at ? *at : 0;
    for (int tries = 1;; tries++) {
        struct http_reply reply;
        struct err        why = ERR_INIT;
        int               rc  = http_get(hub->http, url, at ? *at : 0, sink, &reply, &why);
        if (!rc)
            return 0;
        if (at && *at > farthest) { /* it went on: patience begins anew */
            farthest = *at;
            tries    = 1;
        }
        if (!reply.retry || tries == MAX_TRIES) {
            rc = refused(hub, id, &reply, rc, &why);
            if (reply.retry)
                rc = err_set(&why, why.code, "gave up after %d tries: %s", tries, why.msg);
            if (err)
                *err = why;
            return rc;
        }
        /* 1, 2, 4 ... seconds with the usual time-out */
        long ms = (hub->timeout_s * 1000 / DEFAULT_TIMEOUT_S) << (tries - 1);
        if (reply.retry_after_s > 0)
            ms = reply.retry_after_s < MAX_WAIT_S ? (long)reply.retry_after_s * 1000
                                                  : MAX_WAIT_S * 1000L;
        if (ms > MAX_WAIT_S * 1000L)
            ms = MAX_WAIT_S * 1000L;
        progress_note(hub->progress, "%s; trying again in %.1f s", why.msg, (double)ms * 1e-3);
        rc = wait_ms(hub, ms, err);
        if (rc)
            return rc;
    }
}

/* ---- Listings ---- */

bool hub_name_safe(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 200 || name[0] == '.' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+") == n;
}

static bool is_hex(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

int hub_repo_add(struct hub_repo *repo, const char *name, int64_t size, enum hash_kind kind,
                 const char *hash, struct err *err)
{
    if (!hub_name_safe(name) || hub_repo_find(repo, name))
        return 0;
    if (repo->n == MAX_FILES)
        return err_set(err, ERR_LIMIT, "it holds more than %d files", MAX_FILES);
    struct hub_file *files = mem_regrow(repo->files, repo->n + 1, sizeof *files);
    if (files)
        repo->files = files;
    char *copy = files ? mem_strdup(name) : NULL;
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct hub_file *f = &repo->files[repo->n++];
    *f                 = (struct hub_file){.name = copy, .size = size, .kind = kind};
    (void)snprintf(f->hash, sizeof f->hash, "%s", hash ? hash : "");
    return 0;
}

const struct hub_file *hub_repo_find(const struct hub_repo *repo, const char *name)
{
    for (size_t i = 0; i < repo->n; i++) {
        if (strcmp(repo->files[i].name, name) == 0)
            return &repo->files[i];
    }
    return NULL;
}

void hub_repo_release(struct hub_repo *repo)
{
    for (size_t i = 0; i < repo->n; i++)
        free(repo->files[i].name);
    free(repo->files);
    *repo = (struct hub_repo){0};
}

/* One of "siblings". A file without size and hash cannot be checked; it counts
 * as listed, and is refused when it is needed. */
static int add_sibling(struct hub_repo *repo, const struct jnode *sibling, struct err *err)
{
    const struct jnode *lfs  = jnode_get(sibling, "lfs");
    const char         *name = NULL, *hash = NULL;
    int64_t             size = -1;
    enum hash_kind      kind = HASH_SHA256;
    if (!jnode_to_str(jnode_get(sibling, "rfilename"), &name))
        return 0;
    if (!jnode_to_int(jnode_get(lfs, "size"), &size))
        (void)jnode_to_int(jnode_get(sibling, "size"), &size);
    if (!jnode_to_str(jnode_get(lfs, "sha256"), &hash) && !jnode_is_object(lfs)) {
        kind = HASH_GIT_BLOB;
        (void)jnode_to_str(jnode_get(sibling, "blobId"), &hash);
    }
    if (hash && !is_hex(hash, kind == HASH_SHA256 ? 64 : 40))
        hash = NULL;
    if (size > MAX_FILE_SIZE)
        return err_set(err, ERR_LIMIT, "%.100s is said to have %" PRId64 " bytes", name, size);
    return hub_repo_add(repo, name, size < 0 ? -1 : size, kind, hash, err);
}

static int parse_listing(const char *text, size_t len, struct hub_repo *repo, struct err *err)
{
    struct jnode *root   = NULL;
    const char   *commit = NULL;
    int           rc     = jnode_parse(text, len, "the hub's answer", &root, err);
    if (rc)
        return rc;
    const struct jnode *siblings = jnode_get(root, "siblings");
    if (!jnode_to_str(jnode_get(root, "sha"), &commit) || !is_hex(commit, 40) ||
        !jnode_is_array(siblings))
        rc = err_set(err, ERR_FORMAT, "the hub's answer is no listing of a model's files");
    else
        (void)snprintf(repo->commit, sizeof repo->commit, "%s", commit);
    for (size_t i = 0; !rc && i < jnode_len(siblings); i++)
        rc = add_sibling(repo, jnode_at(siblings, i), err);
    jnode_free(root);
    return rc;
}

static int listing_begin(void *ctx, int64_t offset, struct err *err)
{
    (void)offset, (void)err;
    buf_reset(ctx);
    return 0;
}

static int listing_bytes(void *ctx, const void *data, size_t n, struct err *err)
{
    return buf_append(ctx, data, n, err);
}

int hub_list(struct hub *hub, const struct model_id *id, struct hub_repo *repo, struct err *err)
{
    struct buf       url, text;
    struct http_sink sink = {listing_begin, listing_bytes, &text};
    buf_init(&url, 4096);
    buf_init(&text, MAX_LISTING);
    *repo  = (struct hub_repo){0};
    int rc = buf_appendf(&url, err, "%s/api/models/%s/revision/", hub->endpoint, id->name);
    /* its slashes are part of the revision's name */
    for (const char *c = id->revision[0] ? id->revision : "main"; *c && !rc; c++)
        rc = *c == '/' ? buf_append_str(&url, "%2F", err) : buf_append(&url, c, 1, err);
    if (!rc)
        rc = buf_append_str(&url, "?blobs=true", err);
    if (!rc)
        rc = hub_get(hub, id, buf_str(&url), NULL, &sink, err);
    if (!rc)
        rc = parse_listing(buf_str(&text), text.len, repo, err);
    if (rc) {
        hub_repo_release(repo);
        rc = err_prefix(err, "cannot fetch %s", id->name);
    }
    buf_release(&url);
    buf_release(&text);
    return rc;
}

/* ---- Proposed conversions ---- */

int64_t hub_find_conversion(struct hub *hub, const struct model_id *id)
{
    struct buf       url, text;
    struct http_sink sink   = {listing_begin, listing_bytes, &text};
    struct jnode    *root   = NULL;
    int64_t          number = 0;
    buf_init(&url, 4096);
    buf_init(&text, MAX_LISTING);
    if (buf_appendf(&url, NULL, "%s/api/models/%s/discussions", hub->endpoint, id->name) ||
        hub_get(hub, id, buf_str(&url), NULL, &sink, NULL) ||
        jnode_parse(buf_str(&text), text.len, "discussions", &root, NULL))
        goto out;
    const struct jnode *all = jnode_get(root, "discussions");
    for (size_t i = 0; i < jnode_len(all) && jnode_is_array(all) && !number; i++) {
        const struct jnode *d     = jnode_at(all, i);
        const char         *title = "", *status = "";
        bool                pull = false;
        int64_t             n    = 0;
        if (jnode_to_str(jnode_get(d, "title"), &title) && strcasestr(title, "safetensors") &&
            jnode_to_str(jnode_get(d, "status"), &status) && strcmp(status, "open") == 0 &&
            jnode_to_bool(jnode_get(d, "isPullRequest"), &pull) && pull &&
            jnode_to_int(jnode_get(d, "num"), &n) && n > 0)
            number = n;
    }
out:
    jnode_free(root);
    buf_release(&url);
    buf_release(&text);
    return number;
}
