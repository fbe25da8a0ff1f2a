/* The one writer: see commit.h. */
#include "indexer/commit.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/formats.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_ITEMS   128  /* items of one commit */
#define BATCH_SECONDS 2.0  /* after which fewer will do */
#define MAINTAIN_MIN  1000 /* changes after which the vector index is looked at, at least */
#define REMOVE_BATCH  500  /* paths of one removal */

struct items {
    struct item **list; /* (n) */
    size_t        n, room;
};

/* An image added in this run as a copy: where a file that is gone may have gone. */
struct copy {
    uint8_t hash[LIBRARY_HASH_BYTES];
    int64_t id;
    bool    used;
};

struct commit {
    struct library  *lib;
    int64_t          model_id;
    struct flight   *flight;
    struct progress *progress;
    struct tally    *tally;
    struct items     batch;    /* to be committed */
    struct items     waiting;  /* for content that is in flight */
    struct items     again;    /* to be encoded after all */
    double           since;    /* when the batch's first item came, seconds */
    int64_t          changes;  /* committed since the vector index was looked at */
    int64_t          patience; /* changes after which it is looked at again */
    struct copy     *copies;   /* (n_copies) */
    size_t           n_copies, room_copies;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int items_add(struct items *items, struct item *item, struct err *err)
{
    if (items->n == items->room) {
        size_t        more = items->room ? items->room * 2 : 256;
        struct item **list = mem_regrow(items->list, more, sizeof(struct item *));
        if (!list) {
            item_free(item);
            return err_set(err, ERR_NOMEM, "out of memory for %zu items", more);
        }
        items->list = list;
        items->room = more;
    }
    items->list[items->n++] = item;
    return 0;
}

static void items_release(struct items *items)
{
    for (size_t i = 0; i < items->n; i++)
        item_free(items->list[i]);
    free(items->list);
    *items = (struct items){0};
}

int commit_new(struct library *lib, int64_t model_id, struct flight *flight,
               struct progress *progress, struct tally *tally, struct commit **out, struct err *err)
{
    struct commit *c = mem_zeroed(1, sizeof *c);
    if (!c)
        return err_set(err, ERR_NOMEM, "out of memory");
    c->lib      = lib;
    c->model_id = model_id;
    c->flight   = flight;
    c->progress = progress;
    c->tally    = tally;
    c->patience = MAINTAIN_MIN;
    *out        = c;
    return 0;
}

void commit_free(struct commit *c)
{
    if (!c)
        return;
    items_release(&c->batch);
    items_release(&c->waiting);
    items_release(&c->again);
    free(c->copies);
    free(c);
}

bool commit_is_idle(const struct commit *c)
{
    return c->batch.n == 0 && c->waiting.n == 0 && c->again.n == 0;
}

struct item *commit_again(struct commit *c)
{
    return c->again.n ? c->again.list[--c->again.n] : NULL;
}

void commit_again_back(struct commit *c, struct item *item)
{
    c->again.list[c->again.n++] = item; /* it came from there: there is room */
}

/* The item is done with: its content is not in flight any more. */
static void item_finish(struct commit *c, struct item *item)
{
    if (item->announced)
        flight_remove(c->flight, item->hash);
    item_free(item);
}

/* Sends an item back to be encoded. */
static int item_retry(struct commit *c, struct item *item, struct err *err)
{
    item->state       = ITEM_FOUND;
    item->must_encode = true;
    item->copy_of     = 0;
    return items_add(&c->again, item, err);
}

int commit_take(struct commit *c, struct item *item, struct err *err)
{
    switch (item->state) {
    case ITEM_NOTE:
        progress_note(c->progress, item->reason ? item->reason : "out of memory");
        item_free(item);
        return 0;
    case ITEM_LEFT:
    case ITEM_SKIPPED:
    case ITEM_FOUND:
        c->tally->skipped += item->state != ITEM_LEFT;
        c->tally->missing += item->known_id && !item->embedded;
        item_finish(c, item);
        return 0;
    case ITEM_WAITING:
        return items_add(&c->waiting, item, err);
    case ITEM_ERROR:
        progress_error(c->progress, item->root, item->path,
                       item->reason ? item->reason : "out of memory");
        break;
    case ITEM_ENCODED:
    case ITEM_COPY:
    default:
        break;
    }
    if (c->batch.n == 0)
        c->since = now();
    int rc = items_add(&c->batch, item, err);
    return !rc && c->batch.n >= BATCH_ITEMS ? commit_tick(c, true, err) : rc;
}

/* True when the batch replaces that image by something else. */
static bool batch_replaces(const struct commit *c, int64_t id, const struct item *except)
{
    for (size_t i = 0; i < c->batch.n; i++) {
        if (c->batch.list[i]->known_id == id && c->batch.list[i] != except)
            return true;
    }
    return false;
}

/* Looks a copy up again. *lost: it must be encoded after all. *touched: its own
 * content is what it was. */
static int copy_check(struct commit *c, struct item *item, bool *lost, bool *touched,
                      struct err *err)
{
    struct err why = ERR_INIT;
    *lost = *touched = false;
    if (item->known_id > 0 && item->embedded) {
        struct library_image image;
        int                  rc = library_image_get(c->lib, item->known_id, &image, &why);
        if (!rc) {
            *touched = !memcmp(image.hash, item->hash, sizeof item->hash);
            library_image_release(&image);
        } else if (rc != ERR_NOTFOUND) {
            *err = why;
            return rc;
        }
        if (*touched) {
            item->copy_of = item->known_id;
            return 0;
        }
    }
    int rc =
        library_find_content(c->lib, c->model_id, item->hash, item->size, &item->copy_of, &why);
    if (rc && rc != ERR_NOTFOUND) {
        *err = why;
        return rc;
    }
    *lost = rc == ERR_NOTFOUND || batch_replaces(c, item->copy_of, item);
    return 0;
}

static int copies_add(struct commit *c, const struct item *item, int64_t id, struct err *err)
{
    if (c->n_copies == c->room_copies) {
        size_t       more = c->room_copies ? c->room_copies * 2 : 64;
        struct copy *list = mem_regrow(c->copies, more, sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "out of memory for %zu copies", more);
        c->copies      = list;
        c->room_copies = more;
    }
    struct copy *copy = &c->copies[c->n_copies++];
    *copy             = (struct copy){.id = id};
    memcpy(copy->hash, item->hash, sizeof copy->hash);
    return 0;
}

/* Settles the copies of the batch: what is lost leaves it. touched: (batch.n). */
static int batch_settle(struct commit *c, bool *touched, struct err *err)
{
    size_t kept = 0;
    int    rc   = 0;
    for (size_t i = 0; i < c->batch.n && !rc; i++) {
        struct item *item = c->batch.list[i];
        bool         lost = false;
        touched[i]        = false;
        if (item->state == ITEM_COPY)
            rc = copy_check(c, item, &lost, &touched[i], err);
        if (lost)
            item->state = ITEM_FOUND; /* still there, for batch_replaces to see */
    }
    for (size_t i = 0; i < c->batch.n && !rc; i++) {
        struct item *item = c->batch.list[i];
        if (item->state == ITEM_FOUND) {
            rc               = item_retry(c, item, err);
            c->batch.list[i] = NULL;
        } else {
            touched[kept]         = touched[i];
            c->batch.list[i]      = NULL;
            c->batch.list[kept++] = item;
        }
    }
    if (!rc)
        c->batch.n = kept;
    return rc;
}

static void library_item_fill(struct library_item *to, const struct item *item)
{
    int64_t taken =
        item->has_said ? metadata_taken_at(&item->said, item->info.taken_at) : item->info.taken_at;
    *to = (struct library_item){.folder_id   = item->folder_id,
                                .path        = item->path,
                                .size        = item->size,
                                .mtime_ns    = item->mtime_ns,
                                .width       = item->info.width,
                                .height      = item->info.height,
                                .kind        = image_kind_name(item->info.kind),
                                .orientation = item->info.orientation,
                                .taken_at    = taken,
                                .camera      = item->info.camera,
                                .colour      = item->colour,
                                .embedding   = item->embedding,
                                .regions     = item->regions,
                                .said        = item->has_said ? &item->said : NULL,
                                .sidecar_ns  = item->sidecar_ns,
                                .fingerprint = item->fingerprint,
                                .n_parts     = item->n_parts,
                                .part_pages  = item->part_pages,
                                .part_times  = item->part_times,
                                .time_ms =
                                    format_is_video(item->info.kind) ? item->info.times_ms : NULL,
                                .part_embeddings = item->part_embeddings,
                                .copy_of         = item->copy_of};
    memcpy(to->hash, item->hash, sizeof to->hash);
    if (item->state == ITEM_ERROR)
        to->error = item->reason ? item->reason : "out of memory";
}

static int tally_item(struct commit *c, const struct item *item, const struct library_item *as,
                      bool touched, struct err *err)
{
    c->tally->errors += item->state == ITEM_ERROR;
    c->tally->encoded += item->state == ITEM_ENCODED;
    if (item->state == ITEM_ERROR)
        return 0;
    c->tally->regions += item->state == ITEM_ENCODED && item->regions;
    if (touched || as->embedded)
        c->tally->touched++;
    else if (item->known_id)
        c->tally->updated++;
    else if (item->state == ITEM_ENCODED)
        c->tally->added++;
    else
        c->tally->copied++;
    bool new_copy = item->state == ITEM_COPY && !item->known_id;
    return new_copy ? copies_add(c, item, as->id, err) : 0;
}

/* Those that waited for content: it came, it is still coming, or it never will. */
static int waiting_settle(struct commit *c, struct err *err)
{
    size_t kept = 0;
    int    rc   = 0;
    for (size_t i = 0; i < c->waiting.n && !rc; i++) {
        struct item *item = c->waiting.list[i];
        struct err   why  = ERR_INIT;
        int          found =
            library_find_content(c->lib, c->model_id, item->hash, item->size, &item->copy_of, &why);
        c->waiting.list[i] = NULL;
        if (found == ERR_NOTFOUND && flight_has(c->flight, item->hash)) {
            c->waiting.list[kept++] = item;
            continue;
        }
        if (found == ERR_NOTFOUND) {
            rc = item_retry(c, item, err);
        } else if (found) {
            *err = why;
            rc   = found;
            item_free(item);
        } else {
            item->state = ITEM_COPY;
            if (c->batch.n == 0)
                c->since = now();
            rc = items_add(&c->batch, item, err);
        }
    }
    if (!rc)
        c->waiting.n = kept;
    return rc;
}

/* Looks after the vector index when a tenth of the library has changed, and at the end:
 * the index may have been lost, too. Through a handle of its own: looking means loading the
 * index, and what is loaded must not stay in memory for the rest of the run. */
static int maintain(struct commit *c, bool end, struct err *err)
{
    struct library      *lib = NULL;
    struct library_stats stats;
    if (!end && (c->changes == 0 || c->changes < c->patience))
        return 0;
    int rc = library_open(library_dir(c->lib), LIBRARY_EXISTING, &lib, err);
    if (!rc)
        rc = library_index_maintain(lib, false, err);
    if (!rc)
        rc = library_stats(lib, &stats, err);
    library_close(lib);
    if (rc)
        return rc;
    c->changes  = 0;
    c->patience = stats.images / 10 > MAINTAIN_MIN ? stats.images / 10 : MAINTAIN_MIN;
    return 0;
}

int commit_tick(struct commit *c, bool force, struct err *err)
{
    bool due = c->batch.n >= BATCH_ITEMS || (c->batch.n && now() - c->since >= BATCH_SECONDS);
    if (c->batch.n == 0)
        return c->waiting.n && force ? waiting_settle(c, err) : 0;
    if (!due && !force)
        return 0;
    bool                *touched = mem_zeroed(c->batch.n, sizeof *touched);
    struct library_item *list    = mem_zeroed(c->batch.n, sizeof *list);
    int rc = touched && list ? 0 : err_set(err, ERR_NOMEM, "out of memory for a batch");
    if (!rc)
        rc = batch_settle(c, touched, err);
    for (size_t i = 0; i < c->batch.n && !rc; i++)
        library_item_fill(&list[i], c->batch.list[i]);
    if (!rc && c->batch.n > 0)
        rc = library_add(c->lib, c->model_id, list, c->batch.n, err);
    if (!rc)
        c->changes += (int64_t)c->batch.n;
    for (size_t i = 0; i < c->batch.n && !rc; i++)
        rc = tally_item(c, c->batch.list[i], &list[i], touched[i], err);
    if (!rc) {
        for (size_t i = 0; i < c->batch.n; i++)
            item_finish(c, c->batch.list[i]);
        c->batch.n = 0;
        rc         = waiting_settle(c, err);
    }
    if (!rc)
        rc = maintain(c, false, err);
    free(touched);
    free(list);
    return rc;
}

static int copy_compare(const void *a, const void *b)
{
    return memcmp(((const struct copy *)a)->hash, ((const struct copy *)b)->hash,
                  LIBRARY_HASH_BYTES);
}

/* A copy with that content that no other file has moved to yet, or NULL. */
static struct copy *copy_find(struct commit *c, const uint8_t *hash)
{
    size_t low  = 0;
    size_t high = c->n_copies;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(c->copies[mid].hash, hash, LIBRARY_HASH_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < c->n_copies && !memcmp(c->copies[low].hash, hash, LIBRARY_HASH_BYTES); low++) {
        if (!c->copies[low].used)
            return &c->copies[low];
    }
    return NULL;
}

/* Gives a gone image the path of its copy, if there is one. */
static int gone_move(struct commit *c, const struct gone *gone, bool *moved, struct err *err)
{
    struct library_image image;
    struct err           why = ERR_INIT;
    *moved                   = false;
    if (gone->id <= 0 || c->n_copies == 0)
        return 0;
    int rc = library_image_get(c->lib, gone->id, &image, &why);
    if (rc == ERR_NOTFOUND) /* somebody else removed it */
        return 0;
    if (rc) {
        *err = why;
        return rc;
    }
    struct copy *copy = copy_find(c, image.hash);
    library_image_release(&image);
    if (!copy || copy->id == gone->id)
        return 0;
    rc = library_move(c->lib, gone->id, copy->id, err);
    if (rc)
        return rc;
    copy->used = *moved = true;
    c->tally->moved++;
    c->tally->copied--;
    return 0;
}

int commit_settle(struct commit *c, const struct feed *feed, bool removals, struct err *err)
{
    const char *paths[REMOVE_BATCH];
    size_t      n      = 0;
    int64_t     folder = 0;
    int64_t     images = 0;
    int         rc     = 0;
    if (c->n_copies)
        qsort(c->copies, c->n_copies, sizeof *c->copies, copy_compare);
    for (size_t i = 0; i <= feed->n_gone && !rc; i++) {
        const struct gone   *gone   = i < feed->n_gone ? &feed->gone[i] : NULL;
        const struct target *target = gone ? &feed->plan->targets[gone->target] : NULL;
        bool                 moved  = false;
        if (n > 0 && (!gone || n == REMOVE_BATCH || target->folder_id != folder)) {
            rc = library_remove(c->lib, folder, paths, n, err);
            if (!rc)
                c->tally->removed += images;
            c->changes += images;
            n      = 0;
            images = 0;
        }
        if (rc || !gone || target->offline)
            continue;
        rc = gone_move(c, gone, &moved, err);
        if (rc || moved || !removals || !target->scanned)
            continue;
        folder     = target->folder_id;
        paths[n++] = gone->path;
        images += gone->id > 0;
    }
    return rc ? rc : maintain(c, true, err);
}
