/* The daemon's life: see daemon.h.
 *
 * Signals are passed to the main thread through a pipe: libraries start threads before
 * main, which would otherwise take a signal's default action. Stopping: no new connections,
 * requests that come on old ones get 503, what was accepted is finished, at most GRACE_SECONDS
 * long.
 */
#include "searchd/daemon.h"

#include "base/mem.h"
#include "searchd/app.h"
#include "searchd/log.h"
#include "storage/library.h"
#include "storage/library_server.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GRACE_SECONDS    20
#define KEEP_SECONDS     1
#define MAX_WORKERS      256
#define MAX_HANDLES      8 /* of each library */
#define WORKERS_PER_CORE 8 /* most of them wait for the model, in one batch */

/* The one global there is: a handler has nothing else to find the pipe by. */
static int signal_pipe[2] = {-1, -1};

static void note_signal(int which)
{
    char byte  = (char)which;
    int  saved = errno;
    if (write(signal_pipe[1], &byte, 1) != 1)
        byte = 0; /* full: as many wait as anyone needs */
    errno = saved;
}

static int catch_signals(struct err *err)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    if (pipe2(signal_pipe, O_CLOEXEC) || fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK))
        return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int next_signal(void)
{
    struct pollfd wait = {.fd = signal_pipe[0], .events = POLLIN};
    char          byte = 0;
    while (poll(&wait, 1, -1) < 0 && errno == EINTR)
        ;
    return read(signal_pipe[0], &byte, 1) == 1 ? byte : SIGTERM;
}

struct threads {
    struct app     *app;
    pthread_t       workers[MAX_WORKERS];
    int             n_workers;
    pthread_t       keeper;
    bool            has_keeper;
    pthread_mutex_t lock;
    pthread_cond_t  stop;
    bool            stopping;
};

static void *work(void *arg)
{
    struct app *app = arg;
    for (struct call *call; (call = queue_pop(app->jobs));)
        call_run(call);
    return NULL;
}

static void *keep(void *arg)
{
    struct threads *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += KEEP_SECONDS;
        pthread_mutex_unlock(&t->lock);
        for (size_t i = 0; i < t->app->n_shelves; i++)
            shelf_keep(t->app->shelves[i]);
        pthread_mutex_lock(&t->lock);
        if (!t->stopping)
            pthread_cond_timedwait(&t->stop, &t->lock, &until);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- Libraries ---- */

/* "NAME=DIR" or "DIR": a name has letters, digits, - and _ alone. */
static const char *split_name(const char *text, char name[SHELF_NAME_MAX])
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '-' || text[n] == '_')
        n++;
    if (n == 0 || n >= SHELF_NAME_MAX || text[n] != '=') {
        snprintf(name, SHELF_NAME_MAX, "default");
        return text;
    }
    snprintf(name, SHELF_NAME_MAX, "%.*s", (int)n, text);
    return text + n + 1;
}

static int open_library(struct app *app, const char *text, struct err *err)
{
    char                 name[SHELF_NAME_MAX];
    const char          *dir     = split_name(text, name);
    int                  cores   = parallel_cores();
    struct shelf_options options = {.model      = app->config.model,
                                    .precision  = app->config.precision,
                                    .cache      = (size_t)app->config.cache,
                                    .handles    = cores < 2             ? 2
                                                  : cores > MAX_HANDLES ? MAX_HANDLES
                                                                        : cores,
                                    .thumbnails = app->config.thumbnails,
                                    .metrics    = app->metrics};
    for (size_t i = 0; i < app->n_shelves; i++)
        if (!strcmp(shelf_name(app->shelves[i]), name))
            return err_set(err, ERR_USAGE, "two libraries are called %s: --library NAME=DIR", name);
    int rc = shelf_open(name, dir, &options, &app->shelves[app->n_shelves], err);
    app->n_shelves += !rc;
    return rc;
}

static int open_libraries(struct app *app, struct err *err)
{
    char *fallback = NULL;
    int   rc       = 0;
    if (app->config.libraries.n == 0) {
        rc = library_default_dir(&fallback, err);
        if (!rc)
            rc = open_library(app, fallback, err);
        free(fallback);
        return rc;
    }
    for (size_t i = 0; i < app->config.libraries.n && !rc; i++)
        rc = open_library(app, app->config.libraries.items[i], err);
    return rc;
}

/* ---- Who may ask ---- */

static int read_access(const struct config *config, struct access *access, struct err *err)
{
    int rc           = 0;
    *access          = (struct access){.n_tokens = 0};
    access->required = !server_address_is_local(config->address);
    if (config->token_file)
        rc = access_read_tokens(access, config->token_file, err);
    for (size_t i = 0; i < config->trusted.n && !rc; i++)
        rc = access_add_network(access, config->trusted.items[i], err);
    for (size_t i = 0; i < config->hosts.n && !rc; i++)
        rc = access_add_host(access, config->hosts.items[i], err);
    for (size_t i = 0; i < config->origins.n && !rc; i++)
        rc = access_add_origin(access, config->origins.items[i], err);
    if (!rc && access->required && access->n_tokens == 0 && access->n_trusted == 0)
        rc = err_set(err, ERR_USAGE,
                     "%s is reached from other machines: give --token-file FILE, or --trust CIDR "
                     "for a network whose machines need no token",
                     config->address);
    if (rc)
        access_release(access);
    return rc;
}

/* What may change while serving: who may ask, the default k, how it logs. A mistake
 * leaves everything as it was. */
static void reload(struct app *app, int argc, char **argv)
{
    struct config fresh;
    struct access access;
    struct err    err = ERR_INIT;
    int           rc  = config_read(&fresh, argc, argv, &err);
    if (!rc) {
        free(fresh.address); /* that does not change */
        fresh.address = mem_strdup(app->config.address);
        rc            = fresh.address ? read_access(&fresh, &access, &err)
                                      : err_set(&err, ERR_NOMEM, "out of memory");
    }
    if (!rc) {
        pthread_rwlock_wrlock(&app->access_lock);
        struct access old = app->access;
        app->access       = access;
        pthread_rwlock_unlock(&app->access_lock);
        access_release(&old);
        log_note(&app->config, "reloaded", "read the settings again: %zu tokens, %zu networks",
                 access.n_tokens, access.n_trusted);
    } else {
        log_note(&app->config, "reload_failed", "the settings stay as they were: %s", err.msg);
    }
    config_release(&fresh);
}

/* ---- Start and stop ---- */

static int start_threads(struct threads *t, struct err *err)
{
    int64_t n = t->app->config.workers;
    if (n == 0)
        n = parallel_cores() * WORKERS_PER_CORE;
    n = n > MAX_WORKERS ? MAX_WORKERS : n;
    for (; t->n_workers < n; t->n_workers++)
        if (pthread_create(&t->workers[t->n_workers], NULL, work, t->app))
            break;
    t->has_keeper = pthread_create(&t->keeper, NULL, keep, t) == 0;
    return t->n_workers > 0 && t->has_keeper ? 0 : err_set(err, ERR_FAILED, "cannot start threads");
}

static void stop_threads(struct threads *t)
{
    if (t->app->jobs)
        queue_close(t->app->jobs);
    for (int i = 0; i < t->n_workers; i++)
        pthread_join(t->workers[i], NULL);
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->stop);
    pthread_mutex_unlock(&t->lock);
    if (t->has_keeper)
        pthread_join(t->keeper, NULL);
}

static void url_of(const struct app *app, const char *address, char *url, size_t cap)
{
    bool v6 = strchr(address, ':') != NULL;
    if (!strncmp(address, "unix:", 5))
        snprintf(url, cap, "%s", address);
    else
        snprintf(url, cap, "http://%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "",
                 server_port(app->server));
}

/* Leaves the address in each library, for `osprey search` on this machine. What
 * cannot be written does without. */
static void leave_addresses(struct app *app)
{
    char        url[400], whole[500];
    const char *address = app->config.address;
    if (!strcmp(address, "0.0.0.0"))
        address = "127.0.0.1";
    else if (!strcmp(address, "::"))
        address = "::1";
    url_of(app, address, url, sizeof url);
    for (size_t i = 0; i < app->n_shelves; i++) {
        snprintf(whole, sizeof whole, "%s?library=%s", url, shelf_name(app->shelves[i]));
        if (library_server_announce(shelf_dir(app->shelves[i]), whole, &app->address_fds[i], NULL))
            app->address_fds[i] = -1;
    }
}

static void take_addresses(struct app *app)
{
    for (size_t i = 0; i < app->n_shelves; i++) {
        if (app->address_fds[i] >= 0)
            close(app->address_fds[i]);
        app->address_fds[i] = -1;
    }
}

/* Finishes what was accepted. */
static void drain(struct app *app)
{
    struct timespec nap = {.tv_nsec = 10000000};
    double          end = clock_ms() + GRACE_SECONDS * 1e3;
    atomic_store(&app->draining, true);
    lighttable_stop(app->lighttable);
    take_addresses(app);
    server_quiesce(app->server);
    while (server_unfinished(app->server) > 0 && clock_ms() < end)
        nanosleep(&nap, NULL);
    /* Those still working must be done before the server goes, however late. */
    while (atomic_load(&app->in_flight) > 0)
        nanosleep(&nap, NULL);
}

static void announce(struct app *app)
{
    char url[400];
    url_of(app, app->config.address, url, sizeof url);
    leave_addresses(app);
    printf(app->config.json ? "{\"url\":\"%s\"}\n" : "%s\n", url);
    fflush(stdout);
    log_note(&app->config, "serving", "serving %s on %s; Ctrl-C stops", shelf_dir(app->shelves[0]),
             url);
}

static int serve(struct app *app, struct threads *threads, int argc, char **argv, struct err *err)
{
    struct server_limits limits = server_limits_default();
    limits.deadline_ms          = (int)app->config.timeout * 1000;
    limits.arrive_seconds       = (int)app->config.arrive_seconds;
    int rc                      = start_threads(threads, err);
    if (!rc)
        rc = server_start(app->config.address, (uint16_t)app->config.port, &limits, &dispatch_calls,
                          app, &app->server, err);
    if (rc)
        return rc;
    announce(app);
    while (next_signal() == SIGHUP)
        reload(app, argc, argv);
    log_note(&app->config, "stopping", "finishing %d requests", atomic_load(&app->in_flight));
    drain(app);
    return 0;
}

static void close_app(struct app *app)
{
    lighttable_close(app->lighttable);
    for (size_t i = 0; i < app->n_shelves; i++)
        shelf_close(app->shelves[i]);
    darkroom_close(app->darkroom);
    queue_free(app->jobs);
    metrics_free(app->metrics);
    access_release(&app->access);
    pthread_rwlock_destroy(&app->access_lock);
    config_release(&app->config);
    free(app);
}

int daemon_run(int argc, char **argv, struct err *err)
{
    struct threads threads = {.n_workers = 0};
    struct app    *app     = mem_zeroed(1, sizeof *app);
    if (!app)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_rwlock_init(&app->access_lock, NULL);
    pthread_mutex_init(&threads.lock, NULL);
    pthread_cond_init(&threads.stop, NULL);
    threads.app = app;
    mem_stay_flat(parallel_cores() + 2);
    app->started_ms = clock_ms();
    int rc          = config_read(&app->config, argc, argv, err);
    if (!rc && app->config.help) {
        fputs("Serves libraries over HTTP until it is stopped.\n\n"
              "Usage: osprey serve [OPTION...]\n\n",
              stdout);
        fputs(config_help, stdout);
        fputs("\nEvery option is also a setting of the environment (OSPREY_MAX_K) and of the file\n"
              "(max-k = N); /openapi.json describes what is answered.\n\n"
              "Exit status: 0 stopped by a signal, 2 wrong usage, 3 failed.\n",
              stdout);
    } else if (!rc) {
        rc = catch_signals(err);
        if (!rc)
            rc = read_access(&app->config, &app->access, err);
        if (!rc)
            rc = metrics_new(&app->metrics, err);
        if (!rc)
            rc = darkroom_open(parallel_cores() < 2 ? 2 : parallel_cores(),
                               (int)app->config.timeout * 1000, &app->darkroom, err);
        if (!rc)
            rc = lighttable_open(&app->lighttable, err);
        if (!rc)
            rc = queue_new((size_t)app->config.queue, &app->jobs, err);
        if (!rc)
            rc = open_libraries(app, err);
        if (!rc)
            rc = serve(app, &threads, argc, argv, err);
        server_stop(app->server);
        stop_threads(&threads);
    }
    pthread_mutex_destroy(&threads.lock);
    pthread_cond_destroy(&threads.stop);
    close_app(app);
    return rc;
}
