/* A library's handles and its model: see shelf.h. */
#include "searchd/shelf.h"

#include "base/mem.h"
#include "searchd/server.h"
#include "storage/library_encoder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_HANDLES 64

struct shelf {
    char                    name[SHELF_NAME_MAX];
    char                   *dir, *model;
    struct shelf_options    options;
    pthread_mutex_t         lock; /* over the stack */
    pthread_cond_t          given;
    struct library         *idle[MAX_HANDLES]; /* the last given back on top */
    int                     n_idle, n_open;
    pthread_mutex_t         desk_lock; /* over desk; held while a model is opened */
    struct desk            *desk;      /* NULL: none yet */
    struct thumbnail_store *thumbnails;
};

static int open_handle(const struct shelf *shelf, struct library **out, struct err *err)
{
    int rc = library_open(shelf->dir, LIBRARY_EXISTING, out, err);
    if (!rc)
        library_keep_index(*out, true);
    return rc;
}

static int open_desk(struct shelf *shelf, struct library *lib, struct desk **out, struct err *err)
{
    struct encoder *enc = NULL;
    int rc = library_open_encoder(lib, shelf->model, shelf->options.precision, &enc, err);
    return rc ? rc : desk_open(enc, shelf->options.cache, shelf->options.metrics, out, err);
}

int shelf_open(const char *name, const char *dir, const struct shelf_options *options,
               struct shelf **out, struct err *err)
{
    struct library_model model;
    pthread_condattr_t   monotonic;
    struct shelf        *shelf = mem_zeroed(1, sizeof *shelf);
    if (!shelf)
        return err_set(err, ERR_NOMEM, "out of memory");
    shelf->options = *options;
    if (shelf->options.handles > MAX_HANDLES)
        shelf->options.handles = MAX_HANDLES;
    snprintf(shelf->name, sizeof shelf->name, "%s", name);
    pthread_mutex_init(&shelf->lock, NULL);
    pthread_mutex_init(&shelf->desk_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&shelf->given, &monotonic);
    pthread_condattr_destroy(&monotonic);
    shelf->dir   = mem_strdup(dir);
    shelf->model = options->model ? mem_strdup(options->model) : NULL;
    int rc       = !shelf->dir || (options->model && !shelf->model)
                       ? err_set(err, ERR_NOMEM, "out of memory")
                       : open_handle(shelf, &shelf->idle[0], err);
    if (!rc) {
        shelf->n_idle = shelf->n_open = 1;
        rc                            = library_model_active(shelf->idle[0], &model, err);
        if (!rc)
            rc = open_desk(shelf, shelf->idle[0], &shelf->desk, err);
        else if (rc == ERR_NOTFOUND) /* pictures may come */
            rc = 0;
    }
    if (!rc)
        rc = library_catch_up(shelf->idle[0], err);
    if (!rc)
        rc = thumbnail_store_new(shelf->dir, options->thumbnails, &shelf->thumbnails, err);
    if (rc)
        shelf_close(shelf);
    else
        *out = shelf;
    return rc;
}

void shelf_close(struct shelf *shelf)
{
    if (!shelf)
        return;
    for (int i = 0; i < shelf->n_idle; i++)
        library_close(shelf->idle[i]);
    desk_release(shelf->desk);
    thumbnail_store_free(shelf->thumbnails);
    pthread_mutex_destroy(&shelf->lock);
    pthread_mutex_destroy(&shelf->desk_lock);
    pthread_cond_destroy(&shelf->given);
    free(shelf->dir);
    free(shelf->model);
    free(shelf);
}

const char *shelf_name(const struct shelf *shelf)
{
    return shelf->name;
}

const char *shelf_dir(const struct shelf *shelf)
{
    return shelf->dir;
}

struct thumbnail_store *shelf_thumbnails(const struct shelf *shelf)
{
    return shelf->thumbnails;
}

int shelf_take(struct shelf *shelf, double deadline_ms, struct library **lib, struct err *err)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1e3)};
    until.tv_nsec         = (long)((deadline_ms - (double)until.tv_sec * 1e3) * 1e6);
    int  rc               = 0;
    bool open_one         = false;
    pthread_mutex_lock(&shelf->lock);
    while (!rc && shelf->n_idle == 0 && shelf->n_open >= shelf->options.handles)
        rc = pthread_cond_timedwait(&shelf->given, &shelf->lock, &until);
    if (!rc && shelf->n_idle > 0) {
        *lib = shelf->idle[--shelf->n_idle];
    } else if (!rc) {
        shelf->n_open++;
        open_one = true;
    }
    pthread_mutex_unlock(&shelf->lock);
    if (rc)
        return err_set(err, ERR_BUSY, "the request waited too long for the library");
    if (!open_one)
        return 0;
    rc = open_handle(shelf, lib, err);
    if (rc) {
        pthread_mutex_lock(&shelf->lock);
        shelf->n_open--;
        pthread_cond_signal(&shelf->given);
        pthread_mutex_unlock(&shelf->lock);
    }
    return rc;
}

void shelf_give(struct shelf *shelf, struct library *lib)
{
    if (!lib)
        return;
    pthread_mutex_lock(&shelf->lock);
    shelf->idle[shelf->n_idle++] = lib;
    pthread_cond_signal(&shelf->given);
    pthread_mutex_unlock(&shelf->lock);
}

int shelf_desk(struct shelf *shelf, struct library *lib, struct desk **out, struct err *err)
{
    struct library_model model;
    int                  rc = library_model_active(lib, &model, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_BUSY, "the library has no pictures to search yet");
    if (rc)
        return rc;
    pthread_mutex_lock(&shelf->desk_lock);
    if (!shelf->desk || strcmp(encoder_info(desk_encoder(shelf->desk))->hash, model.hash) != 0) {
        struct desk *desk = NULL;
        rc                = open_desk(shelf, lib, &desk, err);
        if (!rc) {
            desk_release(shelf->desk);
            shelf->desk = desk;
        }
    }
    if (!rc) {
        desk_share(shelf->desk);
        *out = shelf->desk;
    }
    pthread_mutex_unlock(&shelf->desk_lock);
    return rc;
}

struct desk *shelf_last_desk(struct shelf *shelf)
{
    pthread_mutex_lock(&shelf->desk_lock);
    struct desk *desk = shelf->desk;
    if (desk)
        desk_share(desk);
    pthread_mutex_unlock(&shelf->desk_lock);
    return desk;
}

/* The one at the bottom of the stack, so that each comes by in its turn; what is
 * needed most stays on top. */
static struct library *take_bottom(struct shelf *shelf)
{
    struct library *lib = NULL;
    pthread_mutex_lock(&shelf->lock);
    if (shelf->n_idle > 0) {
        lib = shelf->idle[0];
        shelf->n_idle--;
        memmove(shelf->idle, shelf->idle + 1, (size_t)shelf->n_idle * sizeof *shelf->idle);
    }
    pthread_mutex_unlock(&shelf->lock);
    return lib;
}

/* One more handle, until there are all: no request shall wait for one to open. */
static void open_more(struct shelf *shelf)
{
    struct library *lib = NULL;
    pthread_mutex_lock(&shelf->lock);
    bool more = shelf->n_open < shelf->options.handles;
    shelf->n_open += more;
    pthread_mutex_unlock(&shelf->lock);
    if (!more)
        return;
    if (!open_handle(shelf, &lib, NULL)) {
        (void)library_catch_up(lib, NULL);
        shelf_give(shelf, lib);
        return;
    }
    pthread_mutex_lock(&shelf->lock);
    shelf->n_open--;
    pthread_mutex_unlock(&shelf->lock);
}

void shelf_keep(struct shelf *shelf)
{
    open_more(shelf);
    pthread_mutex_lock(&shelf->lock);
    int n = shelf->n_idle;
    pthread_mutex_unlock(&shelf->lock);
    thumbnail_store_trim(shelf->thumbnails);
    for (int i = 0; i < n; i++) {
        struct library *lib = take_bottom(shelf);
        if (!lib)
            return;
        library_keep_index(lib, false);
        (void)library_catch_up(lib, NULL); /* a search will say what is wrong */
        library_keep_index(lib, true);
        shelf_give(shelf, lib);
    }
}
