/* How the daemon and its libraries stand: /v1/stats, /v1/libraries, /v1/folders,
 * /metrics, /healthz, /readyz. */
#include "searchd/handlers.h"

#include "base/buf.h"
#include "image/formats.h"
#include "searchd/answers.h"
#include "storage/library_match.h"
#include "storage/library_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_METRICS ((size_t)4 << 20)

/* What the model can do, where it is open: the one that answered last. */
static int set_model(struct jnode *node, struct shelf *shelf, const struct library_model *model)
{
    struct jnode *languages = jnode_array();
    struct desk  *desk      = shelf_last_desk(shelf);
    bool          same      = desk && !strcmp(encoder_info(desk_encoder(desk))->hash, model->hash);
    const char   *at        = same ? encoder_info(desk_encoder(desk))->languages : "";
    int           failed    = jnode_set_str(node, "model", model->dim ? model->name : NULL) |
                 jnode_set_int(node, "dimension", model->dim) |
                 jnode_set_bool(node, "rerank", same && desk_has_reranker(desk));
    while (*at) {
        char   code[64];
        size_t n = strcspn(at, ",");
        snprintf(code, sizeof code, "%.*s", (int)n, at);
        failed |= jnode_push_str(languages, code);
        at += n + (at[n] == ',');
    }
    desk_release(desk);
    return failed | jnode_set(node, "languages", languages) |
           jnode_set_real(node, "good_match", LIBRARY_GOOD_MATCH);
}

/* The kinds of files that the daemon knows. */
static int set_kinds(struct jnode *node)
{
    struct jnode *list   = jnode_array();
    int           failed = 0;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        struct jnode *one = jnode_object();
        failed |= jnode_set_str(one, "kind", image_kind_name((enum image_kind)kind));
        if (format_is_video((enum image_kind)kind))
            failed |= jnode_set_bool(one, "film", true);
        failed |= jnode_push(list, one);
    }
    return failed | jnode_set(node, "kinds", list);
}

/* How far the indexer is, if there is one and it says so. */
static int set_progress(struct jnode *node, struct shelf *shelf, bool indexing)
{
    struct library_progress progress;
    int                     failed = jnode_set_bool(node, "indexing", indexing);
    if (indexing && !library_progress_read(shelf_dir(shelf), &progress, NULL))
        failed |= jnode_set(node, "progress", library_progress_node(&progress));
    return failed;
}

int handle_stats(struct call *call, struct err *err)
{
    struct library      *lib = NULL;
    struct library_stats stats;
    struct library_model model    = {.dim = 0};
    bool                 indexing = false;
    int                  rc       = call_no_query(call, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    if (!rc)
        rc = library_stats(lib, &stats, err);
    if (!rc) {
        rc = library_model_active(lib, &model, err);
        rc = rc == ERR_NOTFOUND ? 0 : rc;
    }
    if (!rc)
        indexing = library_is_locked(lib);
    call_done(call, lib);
    if (rc)
        return rc;
    struct jnode *node  = jnode_object();
    struct jnode *index = jnode_object();
    int           failed =
        jnode_set_str(node, "library", shelf_name(call->shelf)) |
        jnode_set_int(node, "images", stats.images) | jnode_set_int(node, "errors", stats.errors) |
        jnode_set_int(node, "folders", stats.folders) |
        jnode_set_int(node, "generation", stats.generation) | set_model(node, call->shelf, &model) |
        set_progress(node, call->shelf, indexing) | jnode_set_str(index, "kind", stats.index_kind) |
        jnode_set_int(index, "base", stats.index_base) |
        jnode_set_int(index, "delta", stats.index_delta) | jnode_set(node, "index", index);
    failed |= set_kinds(node);
    return answers_send(call, node, 0, failed, err);
}

int handle_libraries(struct call *call, struct err *err)
{
    int rc = call_no_query(call, err);
    if (rc)
        return rc;
    struct jnode *node   = jnode_object();
    struct jnode *list   = jnode_array();
    int           failed = 0;
    for (size_t i = 0; i < call->app->n_shelves; i++)
        failed |= jnode_push_str(list, shelf_name(call->app->shelves[i]));
    failed |= jnode_set(node, "libraries", list);
    return answers_send(call, node, 0, failed, err);
}

int handle_folders(struct call *call, struct err *err)
{
    struct library        *lib     = NULL;
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = call_no_query(call, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    if (!rc)
        rc = library_folders(lib, &folders, &n, err);
    call_done(call, lib);
    if (rc)
        return rc;
    struct jnode *node   = jnode_object();
    struct jnode *list   = jnode_array();
    int           failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct jnode *folder = jnode_object();
        failed |= jnode_set_path(folder, "path", folders[i].path) |
                  jnode_set_bool(folder, "online", folders[i].online) |
                  jnode_set_int(folder, "images", folders[i].images) |
                  jnode_set_int(folder, "errors", folders[i].errors) | jnode_push(list, folder);
    }
    library_folders_free(folders, n);
    failed |= jnode_set(node, "folders", list);
    return answers_send(call, node, 0, failed, err);
}

int handle_metrics(struct call *call, struct err *err)
{
    struct app            *app    = call->app;
    struct metrics_gauges  gauges = {.connections = server_connections(app->server),
                                     .in_flight   = atomic_load(&app->in_flight),
                                     .queued      = atomic_load(&app->queued),
                                     .uptime_s    = (clock_ms() - app->started_ms) / 1e3};
    struct metrics_library libraries[CONFIG_MAX_LIBRARIES];
    struct buf             out;
    int                    rc = call_no_query(call, err);
    for (size_t i = 0; i < app->n_shelves && !rc; i++) {
        struct library      *lib  = NULL;
        struct desk         *desk = shelf_last_desk(app->shelves[i]);
        struct library_stats stats;
        gauges.cached += desk ? (int64_t)desk_cached(desk) : 0;
        desk_release(desk);
        rc = shelf_take(app->shelves[i], call->x->request.deadline_ms, &lib, err);
        if (!rc)
            rc = library_stats(lib, &stats, err);
        shelf_give(app->shelves[i], lib);
        if (!rc)
            libraries[i] = (struct metrics_library){.name       = shelf_name(app->shelves[i]),
                                                    .images     = stats.images,
                                                    .errors     = stats.errors,
                                                    .generation = stats.generation};
    }
    buf_init(&out, MAX_METRICS);
    if (!rc)
        rc = metrics_write(app->metrics, &gauges, libraries, app->n_shelves, &out, err);
    if (!rc) {
        struct http_reply *reply = &call->x->reply;
        reply->status            = 200;
        reply->type              = "text/plain; version=0.0.4; charset=utf-8";
        reply->len               = out.len;
        reply->body              = buf_steal(&out);
        if (!reply->body)
            rc = answers_no_memory(err);
    }
    buf_release(&out);
    return rc;
}

static int answer_status(struct call *call, const char *status, struct err *err)
{
    struct jnode *node   = jnode_object();
    bool          failed = jnode_set_str(node, "status", status);
    return answers_send(call, node, 0, failed, err);
}

/* It runs and answers: nothing more. */
int handle_healthz(struct call *call, struct err *err)
{
    int rc = call_no_query(call, err);
    return rc ? rc : answer_status(call, "ok", err);
}

/* It takes searches: libraries and models are open, it is not stopping. */
int handle_readyz(struct call *call, struct err *err)
{
    int rc = call_no_query(call, err);
    if (rc)
        return rc;
    if (atomic_load(&call->app->draining))
        return err_set(err, ERR_BUSY, "the daemon is stopping");
    for (size_t i = 0; i < call->app->n_shelves; i++) {
        struct desk *desk = shelf_last_desk(call->app->shelves[i]);
        desk_release(desk);
        if (!desk)
            return err_set(err, ERR_BUSY, "the library %s has no pictures to search yet",
                           shelf_name(call->app->shelves[i]));
    }
    return answer_status(call, "ready", err);
}
