/* Who may ask: see access.h. */
#include "searchd/access.h"

#include "base/file.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TOKEN_FILE ((size_t)64 << 10)

static void free_all(char **list, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        free(list[i]);
    *n = 0;
}

void access_release(struct access *access)
{
    free_all(access->tokens, &access->n_tokens);
    free_all(access->hosts, &access->n_hosts);
    free_all(access->origins, &access->n_origins);
    access->n_trusted = 0;
}

static int add_string(char **list, size_t *n, size_t max, const char *text, size_t len,
                      const char *what, struct err *err)
{
    if (*n == max)
        return err_set(err, ERR_LIMIT, "there may be at most %zu %s", max, what);
    char *copy = mem_strndup(text, len);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory for %s", what);
    list[(*n)++] = copy;
    return 0;
}

static bool token_char(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-._~+/=", c));
}

static int add_token(struct access *access, const char *file, int line, const char *text,
                     size_t len, struct err *err)
{
    for (size_t i = 0; i < len; i++) {
        if (!token_char(text[i]))
            return err_set(err, ERR_FORMAT,
                           "%s, line %d: a token has letters, digits and -._~+/= alone", file,
                           line);
    }
    if (len < ACCESS_TOKEN_MIN || len > ACCESS_TOKEN_MAX)
        return err_set(err, ERR_FORMAT, "%s, line %d: a token has %d to %d characters, not %zu",
                       file, line, ACCESS_TOKEN_MIN, ACCESS_TOKEN_MAX, len);
    return add_string(access->tokens, &access->n_tokens, ACCESS_MAX_TOKENS, text, len, "tokens",
                      err);
}

int access_read_tokens(struct access *access, const char *file, struct err *err)
{
    uint8_t *data = NULL;
    size_t   len  = 0;
    int      rc   = file_read(file, MAX_TOKEN_FILE, &data, &len, err);
    if (rc)
        return rc;
    const char *at = (const char *)data, *end = at + len;
    for (int line = 1; !rc && at < end; line++) {
        const char *stop  = memchr(at, '\n', (size_t)(end - at));
        const char *next  = stop ? stop + 1 : end;
        const char *last  = stop ? stop : end;
        const char *sharp = memchr(at, '#', (size_t)(last - at));
        last              = sharp ? sharp : last;
        while (at < last && isspace((unsigned char)*at))
            at++;
        while (last > at && isspace((unsigned char)last[-1]))
            last--;
        if (last > at)
            rc = add_token(access, file, line, at, (size_t)(last - at), err);
        at = next;
    }
    explicit_bzero(data, len);
    free(data);
    if (!rc && access->n_tokens == 0)
        rc = err_set(err, ERR_FORMAT, "%s holds no token", file);
    return rc;
}

/* An address as IPv6; IPv4 ones mapped (RFC 4291, 2.5.5.2). */
static bool parse_ip(const char *text, uint8_t out[16], bool *v4)
{
    struct in_addr a;
    memset(out, 0, 16);
    *v4 = inet_pton(AF_INET, text, &a) == 1;
    if (*v4) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &a, 4);
        return true;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

int access_add_network(struct access *access, const char *cidr, struct err *err)
{
    struct access_network network;
    char                  address[64], *end;
    bool                  v4;
    const char           *slash = strchr(cidr, '/');
    size_t                n     = slash ? (size_t)(slash - cidr) : strlen(cidr);
    if (access->n_trusted == ACCESS_MAX_NAMES)
        return err_set(err, ERR_LIMIT, "there may be at most %d trusted networks",
                       ACCESS_MAX_NAMES);
    snprintf(address, sizeof address, "%.*s", (int)(n < 63 ? n : 63), cidr);
    if (n > 63 || !parse_ip(address, network.address, &v4))
        return err_set(err, ERR_USAGE, "%s is no network such as 172.16.0.0/12", cidr);
    int  most = v4 ? 32 : 128;
    long bits = slash ? strtol(slash + 1, &end, 10) : most;
    if (slash && (!isdigit((unsigned char)slash[1]) || *end || bits > most))
        return err_set(err, ERR_USAGE, "%s is no network: the number after / is one from 0 to %d",
                       cidr, most);
    network.bits                         = (int)bits + (v4 ? 96 : 0);
    access->trusted[access->n_trusted++] = network;
    return 0;
}

int access_add_host(struct access *access, const char *name, struct err *err)
{
    size_t n = strlen(name);
    if (n == 0 || n > 253 || strcspn(name, " \t/:@,") != n)
        return err_set(err, ERR_USAGE, "%s is no host name", name);
    return add_string(access->hosts, &access->n_hosts, ACCESS_MAX_NAMES, name, n, "host names",
                      err);
}

int access_add_origin(struct access *access, const char *origin, struct err *err)
{
    const char *host = strstr(origin, "://");
    if (!host || !host[3] || strcspn(host + 3, "/ \t,") != strlen(host + 3))
        return err_set(err, ERR_USAGE, "%s is no origin such as https://photos.example", origin);
    return add_string(access->origins, &access->n_origins, ACCESS_MAX_NAMES, origin, strlen(origin),
                      "origins", err);
}

/* ---- Checks ---- */

bool access_token_is_right(const struct access *access, const char *token, size_t len)
{
    uint8_t given[ACCESS_TOKEN_MAX + 1] = {0};
    bool    fits                        = len <= ACCESS_TOKEN_MAX;
    memcpy(given, token, fits ? len : ACCESS_TOKEN_MAX);
    unsigned right = 0;
    for (size_t i = 0; i < access->n_tokens; i++) {
        uint8_t  known[ACCESS_TOKEN_MAX + 1] = {0};
        unsigned differ                      = strlen(access->tokens[i]) != len;
        memcpy(known, access->tokens[i], strlen(access->tokens[i]));
        for (size_t k = 0; k < sizeof known; k++)
            differ |= (unsigned)(known[k] ^ given[k]);
        right |= differ == 0;
    }
    return right && fits;
}

static bool network_has(const struct access_network *network, const uint8_t address[16])
{
    int whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, (size_t)whole) != 0)
        return false;
    return rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool access_peer_is_trusted(const struct access *access, const struct sockaddr_storage *peer)
{
    uint8_t address[16] = {0};
    if (peer->ss_family == AF_UNIX)
        return true;
    if (peer->ss_family == AF_INET) {
        address[10] = address[11] = 0xff;
        memcpy(address + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    } else if (peer->ss_family == AF_INET6) {
        memcpy(address, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    } else {
        return false;
    }
    for (size_t i = 0; i < access->n_trusted; i++)
        if (network_has(&access->trusted[i], address))
            return true;
    return false;
}

/* The name in "name", "name:80" or "[::1]:80"; false when it has another form. */
static bool host_name(const char *host, char *out, size_t cap)
{
    bool        bracket = host[0] == '[';
    const char *from    = host + bracket;
    size_t      n       = strcspn(from, bracket ? "]" : ":");
    if (n == 0 || n >= cap || (bracket && from[n] != ']'))
        return false;
    const char *port = from + n + bracket;
    if (*port &&
        (*port != ':' || strspn(port + 1, "0123456789") != strlen(port + 1) || strlen(port) > 6))
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

/* An address cannot be rebound; localhost is this machine by its meaning. */
static bool host_is_allowed(const struct access *access, const char *host)
{
    char    name[256];
    uint8_t address[16];
    bool    v4;
    if (!host) /* HTTP/1.0, which no browser sends */
        return true;
    for (size_t i = 0; i < access->n_hosts; i++)
        if (!strcmp(access->hosts[i], "*"))
            return true;
    if (!host_name(host, name, sizeof name))
        return false;
    if (!strcasecmp(name, "localhost") || parse_ip(name, address, &v4))
        return true;
    for (size_t i = 0; i < access->n_hosts; i++)
        if (!strcasecmp(access->hosts[i], name))
            return true;
    return false;
}

bool access_origin_is_listed(const struct access *access, const char *origin)
{
    for (size_t i = 0; origin && i < access->n_origins; i++)
        if (!strcasecmp(access->origins[i], origin))
            return true;
    return false;
}

/* The page itself: its origin names the host that the request names. */
static bool origin_is_own(const struct http_request *request)
{
    const char *at = strstr(request->origin, "://");
    return at && request->host && !strcasecmp(at + 3, request->host);
}

static bool origin_is_allowed(const struct access *access, const struct http_request *request)
{
    if (request->origin)
        return origin_is_own(request) || access_origin_is_listed(access, request->origin);
    if (!request->fetch_site || !strcasecmp(request->fetch_site, "same-origin") ||
        !strcasecmp(request->fetch_site, "none"))
        return true;
    /* A link that a person follows; its answer opens as a page of its own. */
    return request->fetch_mode && !strcasecmp(request->fetch_mode, "navigate") &&
           !strcmp(request->method, "GET");
}

static bool bearer_is_right(const struct access *access, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *token = authorization + sizeof scheme - 1;
    token += strspn(token, " ");
    return access_token_is_right(access, token, strlen(token));
}

static bool cookie_is_right(const struct access *access, const char *cookie)
{
    static const char name[] = ACCESS_COOKIE "=";
    while (cookie && *cookie) {
        cookie += strspn(cookie, " ;");
        size_t n = strcspn(cookie, ";");
        if (n > sizeof name - 1 && !strncmp(cookie, name, sizeof name - 1) &&
            access_token_is_right(access, cookie + sizeof name - 1, n - (sizeof name - 1)))
            return true;
        cookie += n;
    }
    return false;
}

enum access_verdict access_check(const struct access *access, const struct http_request *request,
                                 bool open)
{
    bool bearer = bearer_is_right(access, request->authorization);
    if (!bearer && request->peer.ss_family != AF_UNIX && !host_is_allowed(access, request->host))
        return ACCESS_WRONG_HOST;
    if (!origin_is_allowed(access, request))
        return ACCESS_WRONG_ORIGIN;
    if (open || bearer || (access->n_tokens == 0 && !access->required) ||
        access_peer_is_trusted(access, &request->peer) || cookie_is_right(access, request->cookie))
        return ACCESS_GRANTED;
    return ACCESS_NEEDS_TOKEN;
}
