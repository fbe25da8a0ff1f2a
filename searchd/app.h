/* The daemon as its parts see it: what it serves, who works, and one request on its
 * way through (struct call).
 *
 *     server thread: dispatch_refuse, dispatch_handle -> queue
 *     workers:       call_run -> the route's handler -> exchange_finish
 *     keeper:        brings handles up to date once a second
 */
#ifndef OSPREY_SEARCHD_APP_H
#define OSPREY_SEARCHD_APP_H

#include "base/parallel.h"
#include "searchd/access.h"
#include "searchd/config.h"
#include "searchd/lighttable.h"
#include "searchd/metrics.h"
#include "searchd/multipart.h"
#include "searchd/picture.h"
#include "searchd/server.h"
#include "searchd/shelf.h"

#include <pthread.h>
#include <stdatomic.h>

struct app {
    struct config      config;
    pthread_rwlock_t   access_lock;
    struct access      access;
    struct shelf      *shelves[CONFIG_MAX_LIBRARIES]; /* the first is the default */
    size_t             n_shelves;
    int                address_fds[CONFIG_MAX_LIBRARIES]; /* library_server.h; -1: none */
    struct metrics    *metrics;
    struct darkroom   *darkroom;
    struct lighttable *lighttable;
    struct queue      *jobs; /* of struct call */
    struct server     *server;
    atomic_int         in_flight, queued;
    atomic_bool        draining;
    double             started_ms;
};

#define CALL_MAX_KEPT 320

struct call;
struct fields;
typedef int (*call_handler)(struct call *call, struct err *err);

enum route_flags {
    ROUTE_OPEN    = 1, /* no token needed */
    ROUTE_QUICK   = 2, /* answered in the server's thread: nothing that waits */
    ROUTE_BODY    = 4, /* takes a body */
    ROUTE_PAGE    = 8, /* its query is the page's own: no library is looked up */
    ROUTE_UNTYPED = 16 /* a body that names no type is JSON: its clients send none */
};

struct route {
    const char  *path;    /* "{id}" stands for a number */
    const char  *methods; /* "GET", "POST", "GET POST"; HEAD goes with GET */
    int          flags;
    call_handler handle;
};

/* One request on its way. */
struct call {
    struct app         *app;
    struct exchange    *x;
    const struct route *route;
    int64_t             id; /* of "{id}" */
    struct shelf       *shelf;
    struct jnode       *json; /* the body, once call_json read it */
    struct multipart    form; /* likewise */
    double              stage_ms[N_STAGES];
    char                log_error[256];      /* what failed here, for the log */
    void               *kept[CALL_MAX_KEPT]; /* freed with it */
    size_t              n_kept;
};

/* What handlers share. */

/* The body as a JSON object; with *form set instead when it is a form and the
 * caller takes one (form not NULL). ERR_USAGE for anything else. */
int           call_body(struct call *call, bool *form, struct err *err);
/* The fields of a body that is JSON and nothing else. */
int           call_take_json(struct call *call, struct fields *fields, struct err *err);
/* ERR_USAGE where the address has parameters. */
int           call_no_query(const struct call *call, struct err *err);
/* memory is freed with the call; on failure (NULL, or no room) at once. */
int           call_keep(struct call *call, void *memory, struct err *err);
/* Adds to a stage, for took_ms and metrics. */
void          call_stage(struct call *call, enum metrics_stage stage, double ms);
/* {"encode": ms, ...} of the stages that took time. */
struct jnode *call_took(const struct call *call);
/* ERR_BUSY once the request's time is up. */
int           call_check_time(const struct call *call, struct err *err);
/* Takes and gives a handle of the call's library. */
int           call_library(struct call *call, struct library **lib, struct err *err);
void          call_done(struct call *call, struct library *lib);
/* The desk of the model that answered last, opened if there is none yet. */
int           call_desk(struct call *call, struct desk **out, struct err *err);

/* For server.h's server_calls; ctx is the app. */
extern const struct server_calls dispatch_calls;
/* Works on one call from the queue to its reply, and frees it. */
void                             call_run(struct call *call);

/* routes.c */
extern const struct route routes[];
extern const size_t       n_routes;

#endif
