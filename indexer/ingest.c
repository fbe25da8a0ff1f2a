/* The pipeline: see ingest.h. */
#include "indexer/ingest.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "indexer/feed.h"
#include "indexer/work.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS    256 /* files found and not yet taken, at most */
#define RESULTS 256 /* items finished and not yet taken, at most */
#define TICK_MS 50  /* how often signals and the clock are looked at */

/* Counts the candidates ahead of the scan, so that time left can be told. */
struct counter {
    const struct plan  *plan;
    struct walk_options options;
    atomic_bool        *stop;
    atomic_llong        found;
    atomic_bool         done;
};

struct line {
    struct ingest     *run;
    struct scan_reader reader;
    struct queue      *jobs, *results;
    struct flight     *flight;
    struct commit     *commit;
    struct work       *crew;
    struct feed        feed;
    struct counter     counter;
    pthread_t          feeder, counting;
    bool               has_reader_lock, has_feeder, has_counter;
    atomic_bool        stop;
    int64_t            received; /* items taken from results */
};

static void *counter_run(void *arg)
{
    struct counter *counter = arg;
    counter->options.count  = true;
    for (size_t i = 0; i < counter->plan->n; i++) {
        const struct target *target = &counter->plan->targets[i];
        struct walk         *walk   = NULL;
        struct walk_entry    entry  = {.kind = WALK_FILE};
        char                *dir = *target->below ? path_join(target->root, target->below) : NULL;
        int rc = walk_open(dir ? dir : target->root, "", &counter->options, &walk, NULL);
        while (!rc && entry.kind != WALK_END && !atomic_load(counter->stop)) {
            rc = walk_next(walk, &entry, NULL);
            if (!rc && entry.kind != WALK_END && entry.kind != WALK_EMPTY)
                atomic_fetch_add(&counter->found, 1);
        }
        walk_close(walk);
        free(dir);
    }
    atomic_store(&counter->done, true);
    return NULL;
}

static int line_start(struct line *line, struct err *err)
{
    struct ingest *run = line->run;
    if (pthread_mutex_init(&line->reader.lock, NULL))
        return err_set(err, ERR_FAILED, "cannot make a lock");
    line->has_reader_lock = true;
    int rc = library_open(library_dir(run->lib), LIBRARY_EXISTING, &line->reader.lib, err);
    if (!rc && run->reranker) {
        const struct reranker_info *info = reranker_info(run->reranker);
        rc = library_regions_want(line->reader.lib, run->model_id, info->hash, info->kept_bytes,
                                  err);
    }
    if (!rc)
        rc = queue_new(JOBS, &line->jobs, err);
    if (!rc)
        rc = queue_new(RESULTS, &line->results, err);
    if (!rc && !(line->flight = flight_new()))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = commit_new(run->lib, run->model_id, line->flight, run->progress, &run->tally,
                        &line->commit, err);
    if (rc)
        return rc;
    struct work_setup setup = {.encoder  = run->encoder,
                               .reranker = run->reranker,
                               .reader   = &line->reader,
                               .model_id = run->model_id,
                               .flight   = line->flight,
                               .jobs     = line->jobs,
                               .results  = line->results,
                               .stop     = &line->stop,
                               .threads  = run->threads,
                               .frames   = run->frames};
    rc                      = work_start(&setup, &line->crew, err);
    if (rc)
        return rc;
    line->feed.plan       = run->plan;
    line->feed.reader     = &line->reader;
    line->feed.options    = run->walk;
    line->feed.model_id   = run->model_id;
    line->feed.jobs       = line->jobs;
    line->feed.results    = line->results;
    line->feed.stop       = &line->stop;
    line->counter.plan    = run->plan;
    line->counter.options = run->walk;
    line->counter.stop    = &line->stop;
    if (!pthread_create(&line->counting, NULL, counter_run, &line->counter))
        line->has_counter = true;
    if (pthread_create(&line->feeder, NULL, feed_run, &line->feed))
        return err_set(err, ERR_FAILED, "cannot start a thread for the scan");
    line->has_feeder = true;
    return 0;
}

static void line_show(struct line *line)
{
    const struct tally   *tally = &line->run->tally;
    struct progress_state state = {.encoded = tally->encoded};
    int64_t               same  = (int64_t)atomic_load(&line->feed.same);
    int64_t               known = (int64_t)atomic_load(&line->feed.same_errors);
    int64_t               seen  = (int64_t)atomic_load(&line->feed.seen);
    bool                  ahead = line->has_counter && atomic_load(&line->counter.done);
    state.done                  = same + known + line->received;
    state.errors                = tally->errors + known;
    state.total = line->has_counter ? (int64_t)atomic_load(&line->counter.found) : seen;
    if (state.total < seen)
        state.total = seen;
    state.counting = !ahead && !atomic_load(&line->feed.done);
    if (state.done > state.total)
        state.done = state.total;
    progress_show(line->run->progress, &state);
}

/* Hands back to the workers what must be encoded after all, as far as there is room. */
static void line_again(struct line *line)
{
    struct item *item;
    while ((item = commit_again(line->commit))) {
        if (atomic_load(&line->stop)) {
            item_free(item);
            continue;
        }
        atomic_fetch_add(&line->feed.handed, 1);
        if (!queue_try_push(line->jobs, item)) {
            atomic_fetch_sub(&line->feed.handed, 1);
            commit_again_back(line->commit, item);
            return;
        }
    }
}

/* Takes results and commits them until nothing more can come. After a failure
 * it goes on taking, so that nobody waits for room, and throws away. */
static int line_run(struct line *line, struct err *err)
{
    int rc = 0;
    for (;;) {
        bool         scanned = atomic_load(&line->feed.done); /* before looking for items */
        bool         all = scanned && line->received == (int64_t)atomic_load(&line->feed.handed);
        struct item *item =
            all ? queue_try_pop(line->results) : queue_pop_within(line->results, TICK_MS);
        if (*line->run->interrupted)
            atomic_store(&line->stop, true);
        if (item) {
            line->received++;
            if (!rc)
                rc = commit_take(line->commit, item, err);
            else
                item_free(item);
        }
        bool drained = all && !item;
        if (!rc)
            rc = commit_tick(line->commit, drained, err);
        if (rc)
            atomic_store(&line->stop, true);
        line_again(line);
        line_show(line);
        bool more = line->received < (int64_t)atomic_load(&line->feed.handed);
        if (drained && !more && (rc || commit_is_idle(line->commit)))
            return rc;
    }
}

static int folders_done(struct ingest *run, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < run->plan->n && !rc; i++) {
        const struct target *t = &run->plan->targets[i];
        if (!*t->below && (t->scanned || t->offline))
            rc = library_folder_scanned(run->lib, t->folder_id, !t->offline, err);
    }
    return rc;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names again what was broken before and still is. */
static int old_errors_tell(struct ingest *run, struct feed *feed, struct err *err)
{
    struct library_error *errors = NULL;
    size_t                n      = 0;
    if (feed->n_old == 0)
        return 0;
    int rc = library_errors(run->lib, &errors, &n, err);
    if (rc)
        return rc;
    qsort(feed->old_errors, feed->n_old, sizeof *feed->old_errors, compare_strings);
    for (size_t i = 0; i < n; i++) {
        if (bsearch(&errors[i].path, feed->old_errors, feed->n_old, sizeof *feed->old_errors,
                    compare_strings))
            progress_old_error(run->progress, errors[i].path, errors[i].reason);
    }
    library_errors_free(errors, n);
    return 0;
}

/* Ends the threads and lets go of everything. */
static void line_release(struct line *line)
{
    if (line->has_feeder)
        pthread_join(line->feeder, NULL);
    if (line->has_counter)
        pthread_join(line->counting, NULL);
    struct item *item;
    while (line->jobs && (item = queue_try_pop(line->jobs)))
        item_free(item);
    while (line->results && (item = queue_try_pop(line->results)))
        item_free(item);
    commit_free(line->commit);
    flight_free(line->flight);
    queue_free(line->jobs);
    queue_free(line->results);
    library_close(line->reader.lib);
    if (line->has_reader_lock)
        pthread_mutex_destroy(&line->reader.lock);
    feed_release(&line->feed);
}

int ingest_run(struct ingest *run, struct err *err)
{
    struct line line = {.run = run};
    int         rc   = line_start(&line, err);
    run->tally       = (struct tally){0};
    if (!rc)
        rc = line_run(&line, err);
    atomic_store(&line.stop, rc != 0 || atomic_load(&line.stop));
    if (line.jobs)
        queue_close(line.jobs);
    struct err why = ERR_INIT;
    int        bad = work_join(line.crew, &why);
    if (!rc && bad) {
        rc   = bad;
        *err = why;
    }
    bool fed = line.has_feeder && line.feed.err.code && line.feed.err.code != ERR_CANCELLED;
    if (!rc && fed) {
        rc   = line.feed.err.code;
        *err = line.feed.err;
    }
    run->stopped = *run->interrupted != 0;
    if (!rc)
        rc = commit_settle(line.commit, &line.feed, !run->stopped, err);
    if (!rc)
        rc = folders_done(run, err);
    if (!rc)
        rc = old_errors_tell(run, &line.feed, err);
    run->unchanged  = (int64_t)atomic_load(&line.feed.same) + run->tally.touched;
    run->old_errors = (int64_t)atomic_load(&line.feed.same_errors);
    run->kept       = line.feed.kept;
    run->unembedded = line.feed.unembedded + run->tally.missing;
    atomic_store(&line.stop, true);
    line_release(&line);
    return rc;
}
