/* What a request and a reply are to the rest of searchd, which knows no HTTP
 * library.
 *
 * Everything in a request belongs to the server and lives until its reply was
 * handed over. A reply's parts belong to it until then.
 */
#ifndef OSPREY_SEARCHD_HTTP_H
#define OSPREY_SEARCHD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_MAX_PARAMS  64
#define HTTP_MAX_HEADERS 10

struct http_param {
    const char *name, *value; /* decoded; value "" where there is none */
};

struct http_request {
    const char *method; /* "GET" */
    const char *path;   /* decoded, without the query */

    struct http_param params[HTTP_MAX_PARAMS];
    size_t            n_params;
    bool              too_many_params;

    /* Headers, NULL where absent. */
    const char *host, *origin, *authorization, *cookie, *content_type;
    const char *range, *if_range, *if_none_match, *fetch_site, *fetch_mode;
    const char *cors_method; /* Access-Control-Request-Method */

    const uint8_t *body;
    size_t         body_len; /* bytes */

    struct sockaddr_storage peer;       /* ss_family AF_UNIX for a local socket */
    double                  arrived_ms; /* on the monotonic clock, when it was whole */
    double                  deadline_ms;
};

struct http_header {
    const char *name; /* static */
    char       *value;
};

struct http_reply {
    int         status;
    const char *type;  /* MIME type, static */
    char       *body;  /* freed by the server */
    const void *fixed; /* instead: bytes that stay */
    bool        from_file;
    int         fd; /* with from_file: closed by the server */
    uint64_t    offset;
    uint64_t    len; /* bytes */

    struct http_header headers[HTTP_MAX_HEADERS];
    size_t             n_headers;
};

#endif
