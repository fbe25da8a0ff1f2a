/* The workers: see work.h. */
#include "indexer/work.h"

#include "base/mem.h"
#include "image/decoder.h"
#include "image/dominant.h"
#include "image/fingerprint.h"
#include "image/formats.h"
#include "image/preprocess.h"
#include "indexer/pages.h"
#include "indexer/source.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LONG_FILE       (INT64_C(64) << 20)   /* bytes; longer ones are read one at a time */
#define DECODE_BUDGET   (UINT64_C(512) << 20) /* bytes of pixels in flight, all threads */
#define DECODE_PER_CORE (UINT64_C(32) << 20)  /* and for each thread */
#define DEFAULT_FRAMES  8                     /* of a video */
#define BATCH_CEILING   64                    /* pictures of one encoder call */

struct worker {
    struct work            *crew;
    pthread_t               thread;
    struct decoder         *decoder;
    struct encoder_scratch *scratch;
    uint8_t                *pixels; /* (batch, size, size, 3) */
    float                  *out;    /* (batch, dim) */
    uint8_t                *kept;   /* (batch, kept) with a re-ranker */
    struct item            *held[BATCH_CEILING];
    int                     n; /* of held */
};

struct work {
    struct work_setup setup;
    struct budget    *budget;
    pthread_mutex_t   long_file;
    pthread_mutex_t   lock; /* of err */
    struct err        err;
    int               batch;
    size_t            pixel_bytes; /* of one picture as the tower takes it */
    size_t            kept;        /* bytes of one picture's regions; 0: none are wanted */
    struct worker    *workers;     /* (started) */
    int               started;
};

static void crew_fail(struct work *crew, const struct err *why)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->err.code)
        crew->err = *why;
    pthread_mutex_unlock(&crew->lock);
    atomic_store(crew->setup.stop, true);
}

/* Hands an item on. The results' queue is closed only after the workers ended. */
static void pass_on(struct work *crew, struct item *item)
{
    if (item && !queue_push(crew->setup.results, item))
        item_free(item);
}

/* Looks whether the content is in the library, or on its way there. */
static int find_copy(struct work *crew, struct item *item, struct err *err)
{
    if (!flight_add(crew->setup.flight, item->hash)) {
        item->state = ITEM_WAITING;
        return 0;
    }
    item->announced            = true;
    struct scan_reader *reader = crew->setup.reader;
    pthread_mutex_lock(&reader->lock);
    struct err none = ERR_INIT;
    int        rc = library_find_content(reader->lib, crew->setup.model_id, item->hash, item->size,
                                         &item->copy_of, &none);
    pthread_mutex_unlock(&reader->lock);
    if (rc == ERR_NOTFOUND)
        return 0;
    flight_remove(crew->setup.flight, item->hash);
    item->announced = false;
    if (rc) {
        *err = none;
        return rc;
    }
    item->state = ITEM_COPY;
    return 0;
}

/* What decoding takes at most, roughly: all pixels. A JPEG decoded at a reduced
 * scale takes less, unless it is progressive; the header does not tell. */
static uint64_t decode_cost(const struct image_info *info)
{
    return (uint64_t)info->width * (uint64_t)info->height * 3;
}

/* To the user, by way of the queue. */
static void tell_user(void *ctx, const char *text)
{
    struct item *note = item_new(ITEM_NOTE, "");
    if (note)
        note->reason = mem_strdup(text);
    pass_on(ctx, note);
}

/* From bytes to the square of pixels that the tower takes; of further pages, to their
 * embeddings. */
static int make_pixels(struct worker *me, struct item *item, const uint8_t *bytes, size_t n,
                       uint8_t *pixels, struct err *err)
{
    struct work             *crew = me->crew;
    const struct preprocess *p    = &encoder_info(crew->setup.encoder)->preprocess;
    struct image             view;
    struct image_part part = {.frames  = crew->setup.frames ? crew->setup.frames : DEFAULT_FRAMES,
                              .time_ms = IMAGE_ANY_TIME};
    item_forget_parts(item); /* of a try before */
    int rc = decoder_probe(me->decoder, bytes, n, &item->info, err);
    if (rc)
        return rc;
    uint64_t taken = budget_take(crew->budget, decode_cost(&item->info));
    rc = decoder_decode_part(me->decoder, bytes, n, &part, preprocess_min_side(p), &view,
                             &item->info, err);
    if (!rc)
        rc = preprocess_image(p, &view, pixels, err);
    /* Of films that begin alike none is a copy. */
    bool prints = !format_is_video(item->info.kind);
    if (!rc && prints && !item->fingerprint) /* a picture that changed meanwhile comes twice */
        item->fingerprint = mem_array(FINGERPRINT_BYTES, 1);
    if (!rc && prints)
        rc = item->fingerprint ? fingerprint_make(&view, item->fingerprint, err)
                               : err_set(err, ERR_NOMEM, "out of memory for a fingerprint");
    if (!rc)
        item->colour = colour_dominant(pixels, crew->pixel_bytes / 3);
    struct pages_tools tools = {me->decoder, crew->setup.encoder, me->scratch};
    if (!rc && item->info.pages > 1)
        rc = pages_encode(&tools, bytes, n, item, tell_user, crew, err);
    budget_give(crew->budget, taken);
    return rc;
}

/* What it says of itself is no reason to do without a picture: where that cannot be read,
 * it says nothing. */
static int read_said(struct worker *me, struct item *item, size_t n, size_t sidecar_n,
                     struct err *err)
{
    struct err why = ERR_INIT;
    metadata_release(&item->said);
    if (decoder_metadata(me->decoder, n, sidecar_n, &item->said, &why) &&
        decoder_is_broken(me->decoder)) {
        *err = why;
        return why.code;
    }
    item->has_said = true;
    return 0;
}

/* Reads the open file and its sidecar, hashes and decodes it. */
static int take_content(struct worker *me, struct item *item, struct source *src,
                        struct source *sidecar, uint8_t *pixels, struct err *err)
{
    struct work *crew = me->crew;
    size_t       n = (size_t)src->size, beside = (size_t)sidecar->size;
    uint8_t     *bytes;
    int          rc = decoder_input(me->decoder, n + beside, &bytes, err);
    if (!rc)
        rc = source_read(src, bytes, err);
    if (!rc && beside)
        rc = source_read(sidecar, bytes + n, err);
    if (rc)
        return rc;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, n));
    memcpy(item->hash, canonical.digest, sizeof item->hash);
    struct err why = ERR_INIT;
    if (!item->must_encode && find_copy(crew, item, &why)) {
        crew_fail(crew, &why);
        item->state = ITEM_SKIPPED;
    }
    if (item->state == ITEM_FOUND)
        rc = make_pixels(me, item, bytes, n, pixels, err);
    else if (item->state != ITEM_SKIPPED)
        rc = decoder_probe(me->decoder, bytes, n, &item->info, err);
    if (!rc && item->state != ITEM_SKIPPED)
        rc = read_said(me, item, n, beside, err);
    return rc;
}

static void item_fill(struct worker *me, struct item *item, uint8_t *pixels)
{
    struct work *crew = me->crew;
    for (int attempt = 0; attempt < 2; attempt++) {
        struct err    err = ERR_INIT;
        struct source src, sidecar;
        int           rc    = source_open(item->root_fd, item->path, &src, &err);
        bool          large = !rc && src.size > LONG_FILE;
        if (rc != ERR_NOTFOUND && src.fd >= 0) {
            item->size     = src.size;
            item->mtime_ns = src.mtime_ns;
        }
        source_open_sidecar(item->root_fd, item->path, &sidecar, &item->sidecar_ns);
        if (large)
            pthread_mutex_lock(&crew->long_file);
        if (!rc)
            rc = take_content(me, item, &src, &sidecar, pixels, &err);
        if (large)
            pthread_mutex_unlock(&crew->long_file);
        source_close(&src);
        source_close(&sidecar);
        if (!rc)
            return;
        if (rc == ERR_CANCELLED) /* it changed meanwhile: once more */
            continue;
        if (rc == ERR_NOTFOUND)
            break;
        if (decoder_is_broken(me->decoder)) { /* no picture is to blame */
            crew_fail(crew, &err);
            break;
        }
        if (rc == ERR_IO || rc == ERR_NOMEM) /* may be well next time */
            item->mtime_ns = -1;
        item_fail(item, err.msg);
        return;
    }
    item->state = ITEM_SKIPPED;
}

/* Both copies, or neither. */
static int item_result(struct item *item, const float *embedding, size_t dim, const uint8_t *kept,
                       size_t kept_bytes, struct err *err)
{
    item->embedding = mem_array(dim, sizeof *item->embedding);
    if (kept_bytes)
        item->regions = mem_array(kept_bytes, 1);
    if (!item->embedding || (kept_bytes && !item->regions))
        return err_set(err, ERR_NOMEM, "out of memory for an embedding");
    memcpy(item->embedding, embedding, dim * sizeof *embedding);
    if (kept_bytes)
        memcpy(item->regions, kept, kept_bytes);
    return 0;
}

/* Encodes what is held and hands it on. */
static void worker_flush(struct worker *me)
{
    struct work               *crew = me->crew;
    const struct encoder_info *info = encoder_info(crew->setup.encoder);
    struct err                 err  = ERR_INIT;
    size_t                     dim  = (size_t)info->dim;
    int                        rc;
    if (crew->kept)
        rc = reranker_pictures(crew->setup.reranker, me->scratch, me->pixels, me->n, me->out,
                               me->kept, &err);
    else
        rc = encoder_images(crew->setup.encoder, me->scratch, me->pixels, me->n, me->out, &err);
    for (int i = 0; i < me->n; i++) {
        struct item *item = me->held[i];
        if (!rc)
            rc = item_result(item, me->out + (size_t)i * dim, dim,
                             crew->kept ? me->kept + (size_t)i * crew->kept : NULL, crew->kept,
                             &err);
        item->state = rc ? ITEM_SKIPPED : ITEM_ENCODED;
    }
    if (rc)
        crew_fail(crew, &err);
    for (int i = 0; i < me->n; i++)
        pass_on(crew, me->held[i]);
    me->n = 0;
}

static void *worker_run(void *arg)
{
    struct worker *me   = arg;
    struct work   *crew = me->crew;
    omp_set_num_threads(1); /* of this thread alone: the cores are shared out already */
    for (;;) {
        struct item *item = me->n ? queue_try_pop(crew->setup.jobs) : queue_pop(crew->setup.jobs);
        if (!item && me->n) { /* nobody waits for a fuller batch */
            worker_flush(me);
            continue;
        }
        if (!item)
            return NULL;
        if (atomic_load(crew->setup.stop))
            item->state = ITEM_LEFT;
        else
            item_fill(me, item, me->pixels + (size_t)me->n * crew->pixel_bytes);
        if (item->state != ITEM_FOUND) {
            pass_on(crew, item);
            continue;
        }
        me->held[me->n++] = item;
        if (me->n == crew->batch)
            worker_flush(me);
    }
}

static int worker_init(struct worker *me, struct work *crew, struct err *err)
{
    const struct encoder_info *info = encoder_info(crew->setup.encoder);
    me->crew                        = crew;
    me->pixels                      = mem_aligned((size_t)crew->batch * crew->pixel_bytes, 1);
    me->out = mem_aligned((size_t)crew->batch * (size_t)info->dim, sizeof *me->out);
    if (crew->kept)
        me->kept = mem_array((size_t)crew->batch, crew->kept);
    if (!me->pixels || !me->out || (crew->kept && !me->kept))
        return err_set(err, ERR_NOMEM, "out of memory for a worker");
    int rc = decoder_open(NULL, &me->decoder, err);
    if (!rc)
        rc = decoder_start(me->decoder, err);
    return rc ? rc : encoder_scratch_new(crew->setup.encoder, 1, &me->scratch, err);
}

static void worker_release(struct worker *me)
{
    decoder_close(me->decoder);
    encoder_scratch_free(me->scratch);
    free(me->pixels);
    free(me->out);
    free(me->kept);
}

int work_start(const struct work_setup *setup, struct work **out, struct err *err)
{
    const struct encoder_info *info = encoder_info(setup->encoder);
    struct work               *crew = mem_zeroed(1, sizeof *crew);
    if (!crew)
        return err_set(err, ERR_NOMEM, "out of memory");
    crew->setup       = *setup;
    crew->batch       = info->image_batch < 1               ? 1
                        : info->image_batch > BATCH_CEILING ? BATCH_CEILING
                                                            : info->image_batch;
    crew->pixel_bytes = (size_t)info->preprocess.out_w * (size_t)info->preprocess.out_h * 3;
    crew->kept        = setup->reranker ? reranker_info(setup->reranker)->kept_bytes : 0;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_mutex_init(&crew->long_file, NULL);
    uint64_t total = DECODE_BUDGET + DECODE_PER_CORE * (uint64_t)setup->threads;
    int      rc    = budget_new(total, &crew->budget, err);
    if (!rc && !(crew->workers = mem_zeroed((size_t)setup->threads, sizeof *crew->workers)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    while (!rc && crew->started < setup->threads) {
        struct worker *me = &crew->workers[crew->started];
        rc                = worker_init(me, crew, err);
        if (!rc && pthread_create(&me->thread, NULL, worker_run, me))
            rc = err_set(err, ERR_FAILED, "cannot start thread %d of %d", crew->started + 1,
                         setup->threads);
        if (rc)
            worker_release(me);
        else
            crew->started++;
    }
    if (rc) {
        queue_close(setup->jobs);
        (void)work_join(crew, NULL);
        return rc;
    }
    *out = crew;
    return 0;
}

int work_join(struct work *crew, struct err *err)
{
    if (!crew)
        return 0;
    for (int i = 0; i < crew->started; i++) {
        pthread_join(crew->workers[i].thread, NULL);
        worker_release(&crew->workers[i]);
    }
    int rc = crew->err.code;
    if (rc && err)
        *err = crew->err;
    free(crew->workers);
    budget_free(crew->budget);
    pthread_mutex_destroy(&crew->lock);
    pthread_mutex_destroy(&crew->long_file);
    free(crew);
    return rc;
}
