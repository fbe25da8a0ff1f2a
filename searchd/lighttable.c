/* Looking for copies beside the requests: see lighttable.h. */
#include "searchd/lighttable.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "searchd/server.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEPT          4      /* answers: 100 MB at worst */
#define PICTURES_MOST 200000 /* of one question: some 900 MB while it is looked for */
#define WAITS_MS      3000   /* who has not asked for so long has gone */
#define STANDS        2      /* times the time it took, an answer stands in any case */
#define LOWEST        19     /* nice */

/* Behind the struct that others see. */
struct found {
    struct lighttable_found open;
    int                     shares;
};

/* A question with its own copy of its text, and what is known of it. */
struct look {
    struct lighttable_question question; /* shelf NULL: an empty place */
    char                      *below;
    struct found              *found; /* NULL: none yet, or it failed */
    struct err                 failure;
    uint8_t                    basis[HASH_BYTES];
    int64_t                    generation;
    double                     asked_ms, done_ms, took_ms;
};

struct lighttable {
    pthread_mutex_t lock;
    pthread_cond_t  came;
    pthread_t       thread;
    bool            has_thread;
    struct look     kept[KEPT];
    struct look     now, next; /* under way, and after it */
    bool            settled;   /* what is under way is not stopped while someone waits for it */
    int64_t         version;
    atomic_bool     stop; /* what is under way */
    atomic_int      done; /* of it, in thousandths */
    bool            closing;
};

/* ---- Questions and answers ---- */

static bool is_equal(double a, double b)
{
    return !(a < b || a > b);
}

static bool is_same(const struct lighttable_question *a, const struct lighttable_question *b)
{
    bool near = a->kinds[DUPLICATE_NEAR], looks = near || a->kinds[DUPLICATE_SAME];
    return a->shelf == b->shelf && memcmp(a->kinds, b->kinds, sizeof a->kinds) == 0 &&
           a->folder_id == b->folder_id && !a->below == !b->below &&
           (!a->below || strcmp(a->below, b->below) == 0) &&
           (!looks || is_equal(a->same, b->same)) && (!near || is_equal(a->near, b->near));
}

static void found_release(struct found *found)
{
    if (!found || --found->shares > 0)
        return;
    duplicates_release(&found->open.copies);
    free(found);
}

static void look_release(struct look *look)
{
    free(look->below);
    found_release(look->found);
    *look = (struct look){0};
}

static int look_set(struct look *look, const struct lighttable_question *q, struct err *err)
{
    char *below = q->below ? mem_strdup(q->below) : NULL;
    if (q->below && !below)
        return err_set(err, ERR_NOMEM, "out of memory");
    look_release(look);
    look->question       = *q;
    look->question.below = look->below = below;
    look->asked_ms                     = clock_ms();
    return 0;
}

static struct look *find_kept(struct lighttable *t, const struct lighttable_question *q)
{
    for (int i = 0; i < KEPT; i++)
        if (t->kept[i].question.shelf && is_same(&t->kept[i].question, q))
            return &t->kept[i];
    return NULL;
}

/* The place that is free, or was asked for the longest ago. */
static struct look *find_place(struct lighttable *t)
{
    struct look *place = &t->kept[0];
    for (int i = 1; i < KEPT && place->question.shelf; i++)
        if (!t->kept[i].question.shelf || t->kept[i].asked_ms < place->asked_ms)
            place = &t->kept[i];
    return place;
}

/* ---- The thread ---- */

static int go_on(void *ctx, double done, struct err *err)
{
    struct lighttable *t = ctx;
    atomic_store(&t->done, (int)(done * 1000));
    return atomic_load(&t->stop) ? err_set(err, ERR_CANCELLED, "the look for copies was stopped")
                                 : 0;
}

/* Fills look with what there is; *fresh: it is not what `before` has already. */
static int look_at(struct lighttable *t, struct library *lib, struct look *look,
                   const uint8_t *before, bool *fresh, struct err *err)
{
    struct library_filter     place = {.folder_id = look->question.folder_id, .below = look->below};
    struct duplicates_options options = {.same     = look->question.same,
                                         .near     = look->question.near,
                                         .places   = &place,
                                         .n_places = place.folder_id ? 1 : 0,
                                         .most     = PICTURES_MOST,
                                         .go_on    = {.ask = go_on, .ctx = t}};
    struct library_stats      stats;
    memcpy(options.kinds, look->question.kinds, sizeof options.kinds);
    int rc = library_stats(lib, &stats, err);
    if (rc)
        return rc;
    look->generation = stats.generation; /* what is committed from now on makes it old */
    rc               = duplicates_basis(lib, &options, look->basis, err);
    *fresh           = !before || memcmp(before, look->basis, HASH_BYTES) != 0;
    if (rc == ERR_LIMIT)
        return err_set(err, ERR_LIMIT,
                       "more than %d pictures are too many to look for copies among here: name a "
                       "folder, or run osprey dupes",
                       PICTURES_MOST);
    if (rc || !*fresh)
        return rc;
    look->found = mem_zeroed(1, sizeof *look->found);
    if (!look->found)
        return err_set(err, ERR_NOMEM, "out of memory");
    look->found->shares    = 1;
    struct duplicates *got = &look->found->open.copies;
    rc                     = duplicates_find(lib, &options, got, err);
    for (size_t i = 0; i < got->n && !rc; i++)
        look->found->open.goers += got->groups[i].n - 1;
    struct duplicates_group *fit = rc ? NULL : mem_regrow(got->groups, got->n + 1, sizeof *fit);
    if (fit)
        got->groups = fit; /* there was room for as many as pictures */
    if (rc) {
        found_release(look->found);
        look->found = NULL;
    }
    return rc;
}

/* Takes the answer in; the lock is held. */
static void publish(struct lighttable *t, struct look *look, bool fresh)
{
    struct look *kept = find_kept(t, &look->question);
    look->done_ms     = clock_ms();
    look->asked_ms    = t->now.asked_ms;
    if (!fresh && !look->failure.code) {
        if (kept)
            kept->generation = look->generation;
        look_release(look);
        return;
    }
    if (look->found)
        look->found->open.version = ++t->version;
    kept = kept ? kept : find_place(t);
    look_release(kept);
    *kept = *look;
}

/* Works on t->now; the lock is held, and is not meanwhile. */
static void work(struct lighttable *t)
{
    struct library *lib   = NULL;
    struct look     look  = {0};
    bool            fresh = true;
    uint8_t         before[HASH_BYTES];
    double          start = clock_ms();
    struct look    *kept  = find_kept(t, &t->now.question);
    bool            known = kept && kept->found;
    if (known)
        memcpy(before, kept->basis, sizeof before);
    int rc = look_set(&look, &t->now.question, &look.failure);
    pthread_mutex_unlock(&t->lock);
    if (!rc)
        rc = library_open(shelf_dir(look.question.shelf), LIBRARY_EXISTING, &lib, &look.failure);
    if (!rc)
        rc = look_at(t, lib, &look, known ? before : NULL, &fresh, &look.failure);
    library_close(lib);
    pthread_mutex_lock(&t->lock);
    look.took_ms = clock_ms() - start;
    if (rc && (look.failure.code == ERR_CANCELLED || !look.question.shelf))
        look_release(&look);
    else
        publish(t, &look, fresh);
}

static void *run(void *arg)
{
    struct lighttable *t     = arg;
    int                cores = parallel_cores();
    /* Of this thread alone, and of those of OpenMP that it starts. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOWEST);
    omp_set_num_threads(cores > 2 ? cores / 2 : 1);
    pthread_mutex_lock(&t->lock);
    while (!t->closing) {
        if (!t->next.question.shelf) {
            pthread_cond_wait(&t->came, &t->lock);
            continue;
        }
        t->now  = t->next;
        t->next = (struct look){0};
        atomic_store(&t->stop, false);
        atomic_store(&t->done, 0);
        work(t);
        look_release(&t->now);
        t->settled = t->next.question.shelf != NULL;
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- For requests ---- */

int lighttable_open(struct lighttable **out, struct err *err)
{
    struct lighttable *t = mem_zeroed(1, sizeof *t);
    if (!t)
        return err_set(err, ERR_NOMEM, "out of memory");
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->came, NULL);
    t->has_thread = pthread_create(&t->thread, NULL, run, t) == 0;
    *out          = t;
    if (t->has_thread)
        return 0;
    lighttable_close(t);
    *out = NULL;
    return err_set(err, ERR_FAILED, "cannot start a thread");
}

void lighttable_stop(struct lighttable *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    atomic_store(&t->stop, true);
    pthread_cond_signal(&t->came);
    pthread_mutex_unlock(&t->lock);
}

void lighttable_close(struct lighttable *t)
{
    if (!t)
        return;
    lighttable_stop(t);
    if (t->has_thread)
        pthread_join(t->thread, NULL);
    for (int i = 0; i < KEPT; i++)
        look_release(&t->kept[i]);
    look_release(&t->next);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->came);
    free(t);
}

/* Sees to it that a question is worked on. */
static int order(struct lighttable *t, const struct lighttable_question *q, struct err *err)
{
    bool busy = t->now.question.shelf != NULL;
    if (busy && is_same(&t->now.question, q) && !atomic_load(&t->stop)) {
        t->now.asked_ms = clock_ms();
        return 0;
    }
    if (t->next.question.shelf && is_same(&t->next.question, q)) {
        t->next.asked_ms = clock_ms();
        return 0;
    }
    int rc = look_set(&t->next, q, err);
    if (!rc && busy && (!t->settled || clock_ms() - t->now.asked_ms > WAITS_MS)) {
        atomic_store(&t->stop, true);
        t->settled = true; /* for the one that comes now */
    }
    if (!rc)
        pthread_cond_signal(&t->came);
    return rc;
}

static int ask(struct lighttable *t, const struct lighttable_question *q, int64_t generation,
               struct lighttable_answer *out, struct err *err)
{
    struct look *kept = find_kept(t, q);
    double       now  = clock_ms();
    if (t->closing)
        return err_set(err, ERR_BUSY, "the daemon is stopping");
    if (kept && kept->failure.code) {
        struct err why = kept->failure;
        look_release(kept);
        return err_set(err, why.code, "%s", why.msg);
    }
    if (kept) {
        kept->asked_ms = now;
        kept->found->shares++;
        out->found = &kept->found->open;
        out->ready = kept->generation == generation || now - kept->done_ms < STANDS * kept->took_ms;
    }
    if (out->ready)
        return 0;
    if (t->now.question.shelf && is_same(&t->now.question, q))
        out->progress = atomic_load(&t->done) / 1000.0;
    return order(t, q, err);
}

int lighttable_ask(struct lighttable *t, const struct lighttable_question *q, int64_t generation,
                   struct lighttable_answer *out, struct err *err)
{
    *out = (struct lighttable_answer){0};
    pthread_mutex_lock(&t->lock);
    int rc = ask(t, q, generation, out, err);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

void lighttable_give(struct lighttable *t, const struct lighttable_found *found)
{
    if (!found)
        return;
    pthread_mutex_lock(&t->lock);
    found_release((struct found *)(uintptr_t)found);
    pthread_mutex_unlock(&t->lock);
}
