/* From a request to a reply: which paths there are, their parameters, errors.
 *
 *     GET /healthz, /readyz
 *     GET /v1/stats
 *     GET /v1/search?q=TEXT&k=N
 *     GET /v1/images/{id}
 *     GET /v1/images/{id}/similar?k=N
 *
 * Errors are {"error": {"code", "message"}}; unknown and malformed parameters
 * are 400. The Host header must name this machine, so that a web page elsewhere
 * cannot reach the daemon through a name of its own (DNS rebinding).
 */
#ifndef OSPREY_SEARCHD_ROUTES_H
#define OSPREY_SEARCHD_ROUTES_H

#include "model/encoder.h"
#include "searchd/server.h"
#include "storage/library.h"

#define ROUTES_DEFAULT_K 20
#define ROUTES_MAX_K     1000

/* What the handlers work with; used by the one server thread. */
struct service {
    struct library         *lib;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    float                  *vector;    /* (dim) scratch for the query */
    size_t                  default_k; /* results of a search that does not say */
};

/* An http_handler; ctx is a struct service. */
void routes_handle(void *ctx, const struct http_request *request, struct http_reply *reply);

#endif
