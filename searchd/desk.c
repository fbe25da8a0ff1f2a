/* Encoding in small batches for many requests: see desk.h. */
#include "searchd/desk.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "searchd/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BATCH   16
#define IMAGE_BATCH  4
#define MOST_THREADS 8 /* of OpenMP, for one batch */
#define MOST_CLERKS  4

/* One text or picture that waits; it lies on the stack of who waits for it. */
struct slip {
    struct slip *next;
    const void  *what; /* const char * or pixels */
    float       *out;  /* (dim) */
    bool         taken, done;
    int          rc;
    struct err   err;
};

struct lane;

/* One thread that encodes. */
struct clerk {
    struct lane            *lane;
    pthread_t               thread;
    struct encoder_scratch *narrow; /* one thread: others are at work */
    struct encoder_scratch *wide;   /* all cores: nobody else is */
    float                  *batch;  /* (TEXT_BATCH or IMAGE_BATCH, dim) */
    uint8_t                *pixels; /* (IMAGE_BATCH, side, side, 3) */
};

struct lane {
    struct desk    *desk;
    bool            texts;
    pthread_mutex_t lock;
    pthread_cond_t  came, done;
    struct slip    *first, **last;
    int             busy; /* clerks at work */
    bool            closing;
    struct clerk    clerks[MOST_CLERKS];
    int             n_clerks;
};

struct desk {
    struct encoder     *enc;
    struct embed_cache *cache;
    struct metrics     *metrics;
    struct lane         lanes[2]; /* texts, pictures */
    int                 n_lanes;
    atomic_int          shares;
    pthread_mutex_t     reranker_lock; /* held while it is opened */
    struct reranker    *reranker;      /* NULL: not asked for yet */
};

static size_t picture_bytes(const struct desk *desk)
{
    size_t side = (size_t)encoder_info(desk->enc)->image_size;
    return side * side * 3;
}

static int encode(struct clerk *clerk, bool wide, struct slip *const *slips, int n, struct err *err)
{
    struct desk            *desk    = clerk->lane->desk;
    struct encoder_scratch *scratch = wide ? clerk->wide : clerk->narrow;
    size_t                  dim     = (size_t)encoder_info(desk->enc)->dim;
    int                     rc;
    if (clerk->lane->texts) {
        const char *texts[TEXT_BATCH];
        for (int i = 0; i < n; i++)
            texts[i] = slips[i]->what;
        rc = encoder_texts(desk->enc, scratch, texts, n, clerk->batch, err);
    } else {
        size_t bytes = picture_bytes(desk);
        for (int i = 0; i < n; i++)
            memcpy(clerk->pixels + (size_t)i * bytes, slips[i]->what, bytes);
        rc = encoder_images(desk->enc, scratch, clerk->pixels, n, clerk->batch, err);
    }
    for (int i = 0; !rc && i < n; i++)
        memcpy(slips[i]->out, clerk->batch + (size_t)i * dim, dim * sizeof(float));
    return rc;
}

/* One that cannot be encoded does not spoil the others. */
static void encode_all(struct clerk *clerk, bool wide, struct slip *const *slips, int n)
{
    struct desk *desk = clerk->lane->desk;
    struct err   err  = ERR_INIT;
    int          rc   = encode(clerk, wide, slips, n, &err);
    if (!rc && clerk->lane->texts && desk->metrics)
        metrics_batch(desk->metrics, n);
    for (int i = 0; i < n; i++) {
        if (rc && n > 1) {
            slips[i]->rc = encode(clerk, wide, &slips[i], 1, &slips[i]->err);
        } else {
            slips[i]->rc  = rc;
            slips[i]->err = err;
        }
    }
}

/* Takes slips off the lane, which is locked. */
static int take_slips(struct lane *lane, struct slip **slips)
{
    int n = 0, most = lane->texts ? TEXT_BATCH : IMAGE_BATCH;
    while (lane->first && n < most) {
        struct slip *slip = lane->first;
        lane->first       = slip->next;
        slip->taken       = true;
        slips[n++]        = slip;
    }
    if (!lane->first)
        lane->last = &lane->first;
    return n;
}

static void *run_clerk(void *arg)
{
    struct clerk *clerk = arg;
    struct lane  *lane  = clerk->lane;
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        struct slip *slips[TEXT_BATCH];
        while (!lane->first && !lane->closing)
            pthread_cond_wait(&lane->came, &lane->lock);
        if (!lane->first)
            break;
        int  n    = take_slips(lane, slips);
        /* Threads that wait for one another at each step make haste only while the
         * cores are theirs; under load each core does better on its own. */
        bool wide = lane->busy++ == 0 && n == 1;
        pthread_mutex_unlock(&lane->lock);
        encode_all(clerk, wide, slips, n);
        pthread_mutex_lock(&lane->lock);
        lane->busy--;
        for (int i = 0; i < n; i++)
            slips[i]->done = true;
        pthread_cond_broadcast(&lane->done);
    }
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

static void cross_out(struct lane *lane, struct slip *slip)
{
    struct slip **at = &lane->first;
    while (*at && *at != slip)
        at = &(*at)->next;
    if (*at)
        *at = slip->next;
    lane->last = &lane->first;
    while (*lane->last)
        lane->last = &(*lane->last)->next;
}

/* Hands n slips in and waits for all; those not yet begun at the deadline come
 * back. */
static int hand_in(struct lane *lane, struct slip *slips, int n, double deadline_ms,
                   struct err *err)
{
    struct timespec until = {
        .tv_sec  = (time_t)(deadline_ms / 1e3),
        .tv_nsec = (long)((deadline_ms - (double)(time_t)(deadline_ms / 1e3) * 1e3) * 1e6)};
    bool late = false;
    pthread_mutex_lock(&lane->lock);
    for (int i = 0; i < n; i++) {
        *lane->last = &slips[i];
        lane->last  = &slips[i].next;
    }
    pthread_cond_signal(&lane->came);
    for (int i = 0; i < n; i++) {
        while (!slips[i].done) {
            if (late && !slips[i].taken) {
                cross_out(lane, &slips[i]);
                slips[i].rc =
                    err_set(&slips[i].err, ERR_BUSY, "the request waited too long for the model");
                break;
            }
            if (late)
                pthread_cond_wait(&lane->done, &lane->lock);
            else
                late = pthread_cond_timedwait(&lane->done, &lane->lock, &until) != 0;
        }
    }
    pthread_mutex_unlock(&lane->lock);
    for (int i = 0; i < n; i++)
        if (slips[i].rc)
            return err_set(err, slips[i].rc, "%s", slips[i].err.msg);
    return 0;
}

int desk_texts(struct desk *desk, const char *const *texts, int n, double deadline_ms, float *out,
               struct err *err)
{
    size_t       dim   = (size_t)encoder_info(desk->enc)->dim;
    struct slip *slips = mem_zeroed((size_t)n, sizeof *slips);
    int          rc = 0, left = 0;
    if (!slips)
        return err_set(err, ERR_NOMEM, "out of memory for %d texts", n);
    for (int i = 0; i < n; i++)
        if (!embed_cache_get(desk->cache, texts[i], out + (size_t)i * dim))
            slips[left++] = (struct slip){.what = texts[i], .out = out + (size_t)i * dim};
    if (desk->metrics)
        metrics_cache(desk->metrics, n - left, left);
    if (left > 0)
        rc = hand_in(&desk->lanes[0], slips, left, deadline_ms, err);
    for (int i = 0; !rc && i < left; i++)
        embed_cache_put(desk->cache, slips[i].what, slips[i].out);
    free(slips);
    return rc;
}

int desk_pixels(struct desk *desk, const uint8_t *pixels, double deadline_ms, float *out,
                struct err *err)
{
    struct slip slip = {.what = pixels, .out = out};
    return hand_in(&desk->lanes[1], &slip, 1, deadline_ms, err);
}

static void release_clerk(struct clerk *clerk)
{
    encoder_scratch_free(clerk->narrow);
    encoder_scratch_free(clerk->wide);
    free(clerk->batch);
    free(clerk->pixels);
}

static int start_clerk(struct lane *lane, int cores, struct err *err)
{
    struct desk  *desk  = lane->desk;
    struct clerk *clerk = &lane->clerks[lane->n_clerks];
    size_t        dim   = (size_t)encoder_info(desk->enc)->dim;
    clerk->lane         = lane;
    clerk->batch =
        mem_aligned((size_t)(lane->texts ? TEXT_BATCH : IMAGE_BATCH) * dim, sizeof(float));
    clerk->pixels = mem_array(lane->texts ? 0 : IMAGE_BATCH, picture_bytes(desk));
    int rc = clerk->batch && clerk->pixels ? encoder_scratch_new(desk->enc, 1, &clerk->narrow, err)
                                           : err_set(err, ERR_NOMEM, "out of memory for encoding");
    if (!rc)
        rc = encoder_scratch_new(desk->enc, cores, &clerk->wide, err);
    if (!rc && pthread_create(&clerk->thread, NULL, run_clerk, clerk))
        rc = err_set(err, ERR_FAILED, "cannot start a thread for encoding");
    if (rc)
        release_clerk(clerk);
    else
        lane->n_clerks++;
    return rc;
}

static void close_lane(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    lane->closing = true;
    pthread_cond_broadcast(&lane->came);
    pthread_mutex_unlock(&lane->lock);
    for (int i = 0; i < lane->n_clerks; i++) {
        pthread_join(lane->clerks[i].thread, NULL);
        release_clerk(&lane->clerks[i]);
    }
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->came);
    pthread_cond_destroy(&lane->done);
}

static int open_lane(struct desk *desk, struct lane *lane, bool texts, struct err *err)
{
    pthread_condattr_t monotonic;
    int                rc = 0, cores = parallel_cores();
    lane->desk  = desk;
    lane->texts = texts;
    lane->last  = &lane->first;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->came, NULL);
    pthread_cond_init(&lane->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int i = 0; i < cores && i < MOST_CLERKS && !rc; i++)
        rc = start_clerk(lane, cores < MOST_THREADS ? cores : MOST_THREADS, err);
    if (rc)
        close_lane(lane);
    return rc;
}

static void desk_close(struct desk *desk)
{
    for (int i = 0; i < desk->n_lanes; i++)
        close_lane(&desk->lanes[i]);
    embed_cache_free(desk->cache);
    reranker_close(desk->reranker);
    pthread_mutex_destroy(&desk->reranker_lock);
    encoder_close(desk->enc);
    free(desk);
}

int desk_open(struct encoder *enc, size_t cache, struct metrics *metrics, struct desk **out,
              struct err *err)
{
    struct desk *desk = mem_zeroed(1, sizeof *desk);
    if (!desk) {
        encoder_close(enc);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    desk->enc     = enc;
    desk->metrics = metrics;
    atomic_init(&desk->shares, 1);
    pthread_mutex_init(&desk->reranker_lock, NULL);
    int rc = embed_cache_new(cache, encoder_info(enc)->dim, &desk->cache, err);
    for (int i = 0; i < 2 && !rc; i++) {
        rc = open_lane(desk, &desk->lanes[i], i == 0, err);
        desk->n_lanes += !rc;
    }
    if (rc)
        desk_close(desk);
    else
        *out = desk;
    return rc;
}

void desk_share(struct desk *desk)
{
    atomic_fetch_add(&desk->shares, 1);
}

void desk_release(struct desk *desk)
{
    if (desk && atomic_fetch_sub(&desk->shares, 1) == 1)
        desk_close(desk);
}

const struct encoder *desk_encoder(const struct desk *desk)
{
    return desk->enc;
}

size_t desk_cached(const struct desk *desk)
{
    return embed_cache_count(desk->cache);
}

int desk_reranker(struct desk *desk, const struct reranker **out, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&desk->reranker_lock);
    if (!desk->reranker)
        rc = reranker_open(NULL, desk->enc, &desk->reranker, err);
    *out = desk->reranker;
    pthread_mutex_unlock(&desk->reranker_lock);
    return rc == ERR_NOTFOUND ? err_set(err, ERR_USAGE, "the model %s has no re-ranker",
                                        encoder_info(desk->enc)->name)
                              : rc;
}

bool desk_has_reranker(const struct desk *desk)
{
    char *path = path_join(encoder_info(desk->enc)->dir, RERANKER_FILE);
    bool  has  = path && file_exists(path);
    free(path);
    return has;
}
