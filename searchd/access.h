/* Who may ask: tokens, trusted networks, and what a browser says of where a request
 * comes from.
 *
 * Three doors, in this order:
 * - Host. A web page elsewhere can point a name of its own at this machine (DNS
 *   rebinding) and would then read answers as its own; so a request must name this
 *   machine by an address, as localhost, or by a name that was allowed. One that
 *   carries a right token in its Authorization header needs no such check: a page
 *   elsewhere does not know it.
 * - Origin and Sec-Fetch-Site. Another site's page may neither post forms here nor
 *   show pictures from here, unless its origin is listed.
 * - The token, compared in constant time, in the Authorization header or in a
 *   cookie (pictures in a page cannot send headers). Connections through a Unix
 *   socket or from a trusted network go without, and so does everyone where none is
 *   set and the address is a loopback one.
 */
#ifndef OSPREY_SEARCHD_ACCESS_H
#define OSPREY_SEARCHD_ACCESS_H

#include "base/err.h"
#include "searchd/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCESS_TOKEN_MIN  16
#define ACCESS_TOKEN_MAX  256
#define ACCESS_MAX_TOKENS 64
#define ACCESS_MAX_NAMES  64
#define ACCESS_COOKIE     "osprey_token"

struct access_network {
    uint8_t address[16]; /* IPv4 ones mapped into IPv6 */
    int     bits;        /* 0..128 */
};

struct access {
    bool                  required; /* also where no token is set: the address is not local */
    char                 *tokens[ACCESS_MAX_TOKENS];
    size_t                n_tokens;
    struct access_network trusted[ACCESS_MAX_NAMES];
    size_t                n_trusted;
    char                 *hosts[ACCESS_MAX_NAMES]; /* "*": any */
    size_t                n_hosts;
    char                 *origins[ACCESS_MAX_NAMES]; /* "https://photos.example" */
    size_t                n_origins;
};

void access_release(struct access *access);
/* One token a line, '#' begins a comment; letters, digits and -._~+/= alone. */
int  access_read_tokens(struct access *access, const char *file, struct err *err);
int  access_add_network(struct access *access, const char *cidr, struct err *err);
int  access_add_host(struct access *access, const char *name, struct err *err);
int  access_add_origin(struct access *access, const char *origin, struct err *err);

/* Whether token is one of the tokens; takes as long for any. */
bool access_token_is_right(const struct access *access, const char *token, size_t len);

enum access_verdict {
    ACCESS_GRANTED,
    ACCESS_WRONG_HOST,   /* 403 */
    ACCESS_WRONG_ORIGIN, /* 403 */
    ACCESS_NEEDS_TOKEN,  /* 401 */
};
/* open: a path that needs no token (health, the page's own files). */
enum access_verdict access_check(const struct access *access, const struct http_request *request,
                                 bool open);
/* The request's origin is listed: CORS headers may be sent. */
bool                access_origin_is_listed(const struct access *access, const char *origin);
/* Whether the peer is a Unix socket or lies in a trusted network. */
bool access_peer_is_trusted(const struct access *access, const struct sockaddr_storage *peer);

#endif
