/* One library as the daemon serves it: its model at the desk, and handles that
 * requests take and give back.
 *
 * A struct library belongs to one thread at a time, and holds memory; so there is a
 * small stack of them, not one for each request. Each keeps to the vector index that
 * it has loaded (library_keep_index); a keeper, once a second, takes an idle one at
 * a time aside, brings it up to date, a new index included, and puts it back, so
 * that no search pays for that. A library that has no pictures yet has no model; the
 * first request after it got one, or got another, opens it.
 */
#ifndef OSPREY_SEARCHD_SHELF_H
#define OSPREY_SEARCHD_SHELF_H

#include "base/err.h"
#include "searchd/desk.h"
#include "searchd/thumbnail_store.h"
#include "storage/library.h"

#include <stdbool.h>

#define SHELF_NAME_MAX 64

struct shelf;

struct shelf_options {
    const char     *model; /* NULL: the library's own */
    enum precision  precision;
    size_t          cache;
    int             handles;    /* at most */
    int64_t         thumbnails; /* bytes that are kept, at most */
    struct metrics *metrics;
};

/* name: "photos"; dir: the library. Opens the first handle, and the model if there
 * is one. */
int         shelf_open(const char *name, const char *dir, const struct shelf_options *options,
                       struct shelf **out, struct err *err);
void        shelf_close(struct shelf *shelf); /* NULL-safe; nothing may be out */
const char *shelf_name(const struct shelf *shelf);
const char *shelf_dir(const struct shelf *shelf);
struct thumbnail_store *shelf_thumbnails(const struct shelf *shelf);

/* Waits for a handle until deadline_ms: ERR_BUSY. Given back by shelf_give. */
int  shelf_take(struct shelf *shelf, double deadline_ms, struct library **lib, struct err *err);
void shelf_give(struct shelf *shelf, struct library *lib);

/* The desk of the model that answers for lib now, opened if it changed; ERR_BUSY
 * while the library has no pictures. Released by desk_release. */
int shelf_desk(struct shelf *shelf, struct library *lib, struct desk **out, struct err *err);
/* The same without a look at the library; NULL while none is open. */
struct desk *shelf_last_desk(struct shelf *shelf);

/* Brings idle handles up to date, one after another, and trims the thumbnails; for the
 * keeper. */
void shelf_keep(struct shelf *shelf);

#endif
