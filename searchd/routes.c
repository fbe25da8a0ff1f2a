/* Which paths there are: the table that dispatch.c looks requests up in, and that
 * openapi.json describes. "*" at the end stands for anything. */
#include "searchd/handlers.h"

const struct route routes[] = {
    {"/healthz", "GET", ROUTE_OPEN | ROUTE_QUICK, handle_healthz},
    {"/readyz", "GET", ROUTE_OPEN | ROUTE_QUICK, handle_readyz},
    {"/metrics", "GET", 0, handle_metrics},
    {"/openapi.json", "GET", ROUTE_OPEN | ROUTE_QUICK, handle_openapi},
    {"/", "GET", ROUTE_OPEN | ROUTE_QUICK | ROUTE_PAGE, handle_page},
    {"/page/*", "GET", ROUTE_OPEN | ROUTE_QUICK | ROUTE_PAGE, handle_page},
    {"/v1/login", "POST", ROUTE_OPEN | ROUTE_BODY, handle_login},
    {"/v1/logout", "POST", ROUTE_OPEN | ROUTE_BODY, handle_logout},
    {"/v1/stats", "GET", 0, handle_stats},
    {"/v1/libraries", "GET", 0, handle_libraries},
    {"/v1/folders", "GET", 0, handle_folders},
    {"/v1/search", "GET POST", ROUTE_BODY, handle_search},
    {"/v1/images", "GET", 0, handle_images},
    {"/v1/images/{id}", "GET", 0, handle_image},
    {"/v1/images/{id}/thumbnail", "GET", 0, handle_thumbnail},
    {"/v1/images/{id}/file", "GET", 0, handle_file},
    {"/v1/images/{id}/similar", "GET", 0, handle_similar},
    {"/v1/images/{id}/tags", "POST", ROUTE_BODY, handle_image_tags},
    {"/v1/tags", "GET POST", ROUTE_BODY, handle_tags},
    {"/v1/tags/suggest", "POST", ROUTE_BODY, handle_suggest},
    {"/v1/dupes", "GET", 0, handle_dupes},
    {"/v1/classify", "POST", ROUTE_BODY, handle_classify},
    {"/v1/embeddings", "POST", ROUTE_BODY, handle_embeddings},
    {"/ping", "GET", ROUTE_OPEN | ROUTE_QUICK, handle_ping},
    {"/predict", "POST", ROUTE_BODY, handle_predict},
    {"/knn-service", "POST", ROUTE_BODY | ROUTE_UNTYPED, handle_knn},
    {"/indices-list", "GET", 0, handle_indices},
};

const size_t n_routes = sizeof routes / sizeof *routes;
