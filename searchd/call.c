/* What handlers share: see app.h. */
#include "base/json.h"
#include "searchd/app.h"
#include "searchd/fields.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "application/json", perhaps with parameters. */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t            n      = sizeof json - 1;
    return type && !strncasecmp(type, json, n) && (!type[n] || strchr("; \t", type[n]));
}

int call_body(struct call *call, bool *form, struct err *err)
{
    const struct http_request *r = &call->x->request;
    if (form && (*form = multipart_is(r->content_type)))
        return multipart_parse(r->content_type, r->body, r->body_len, &call->form, err);
    bool untyped = !r->content_type && call->route->flags & ROUTE_UNTYPED;
    /* A browser sends other types to other sites without asking. */
    if (!is_json(r->content_type) && !untyped)
        return err_set(err, ERR_USAGE, "the body must be application/json%s",
                       form ? " or multipart/form-data" : "");
    int rc = jnode_parse((const char *)r->body, r->body_len, "the body", &call->json, err);
    if (!rc && !jnode_is_object(call->json))
        rc = err_set(err, ERR_USAGE, "the body must be a JSON object");
    return rc;
}

int call_take_json(struct call *call, struct fields *fields, struct err *err)
{
    int rc = call_body(call, NULL, err);
    return rc ? rc : fields_take_json(fields, call->json, err);
}

int call_no_query(const struct call *call, struct err *err)
{
    struct fields none = {.n = 0};
    return fields_take_query(&none, &call->x->request, err);
}

int call_keep(struct call *call, void *memory, struct err *err)
{
    if (!memory || call->n_kept == CALL_MAX_KEPT) {
        free(memory);
        return err_set(err, ERR_NOMEM, "out of memory for the request");
    }
    call->kept[call->n_kept++] = memory;
    return 0;
}

void call_stage(struct call *call, enum metrics_stage stage, double ms)
{
    call->stage_ms[stage] += ms;
}

struct jnode *call_took(const struct call *call)
{
    static const char *const names[] = {"encode", "search", "catalogue", "rerank", "decode"};
    struct jnode            *took    = jnode_object();
    int                      failed  = 0;
    for (int i = 0; i < STAGE_REQUEST; i++)
        if (i <= STAGE_CATALOGUE || call->stage_ms[i] > 0)
            failed |= jnode_set_real(took, names[i], call->stage_ms[i]);
    failed |= jnode_set_real(took, "total", clock_ms() - call->x->request.arrived_ms);
    if (!failed)
        return took;
    jnode_free(took);
    return NULL;
}

int call_check_time(const struct call *call, struct err *err)
{
    return clock_ms() < call->x->request.deadline_ms
               ? 0
               : err_set(err, ERR_BUSY, "the request's time is up");
}

int call_library(struct call *call, struct library **lib, struct err *err)
{
    return shelf_take(call->shelf, call->x->request.deadline_ms, lib, err);
}

void call_done(struct call *call, struct library *lib)
{
    shelf_give(call->shelf, lib);
}

int call_desk(struct call *call, struct desk **out, struct err *err)
{
    struct library *lib = NULL;
    *out                = shelf_last_desk(call->shelf);
    if (*out)
        return 0;
    int rc = call_library(call, &lib, err);
    if (!rc)
        rc = shelf_desk(call->shelf, lib, out, err);
    call_done(call, lib);
    return rc;
}
