/* Many pictures or texts to embeddings: see eval_encode.h. A thread a core, each
 * with scratch of its own, takes a batch at a time: reads, decodes, encodes. */
#include "cli/eval_encode.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "image/decoder.h"
#include "model/encoder_features.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PICTURE_BYTES ((size_t)1 << 30)
#define PICTURES_AT_ONCE  64 /* at most; the encoder says how many it likes */
#define TEXTS_AT_ONCE     32

struct crew;

/* Encodes items [from, from + n) with the worker's own memory. */
typedef int crew_step(struct crew *crew, struct encoder_scratch *scratch, uint8_t *pixels,
                      size_t from, size_t n, struct err *err);

struct crew {
    struct session               *s;
    const struct encode_pictures *pictures; /* or NULL */
    const char *const            *texts;    /* or NULL */
    float                        *out;
    crew_step                    *step;
    size_t                        n, batch, pixel_bytes;
    atomic_size_t                 next;
    atomic_bool                   stop;
    pthread_mutex_t               lock; /* of what follows */
    size_t                        failed_at;
    struct err                    err; /* of the first item that failed */
};

/* ---- Pictures ---- */

/* pixels: (image_size, image_size, 3). */
static int load_picture(const struct crew *crew, struct encoder_scratch *scratch, size_t i,
                        uint8_t *pixels, struct err *err)
{
    const struct encode_pictures *job     = crew->pictures;
    const struct preprocess      *p       = &encoder_info(crew->s->enc)->preprocess;
    struct decoder               *decoder = NULL;
    struct image                  image   = {0}; /* the decoder's */
    uint8_t                      *bytes   = NULL;
    size_t                        len     = 0;
    int side = job->part ? augment_min_side(job->part, p) : preprocess_min_side(p);
    int rc   = encoder_scratch_decoder(scratch, &decoder, err);
    if (!rc)
        rc = file_read(job->paths[i], MAX_PICTURE_BYTES, &bytes, &len, err);
    if (rc)
        return rc;
    rc = decoder_decode(decoder, bytes, len, side, &image, NULL, err);
    if (!rc)
        rc = augment_image(job->part ? AUGMENT_CROP : AUGMENT_NONE, job->part, p, &image,
                           augment_seed(path_base(job->paths[i]), &image, job->seed, 0), pixels,
                           err);
    if (rc)
        err_prefix(err, "cannot read %s", job->paths[i]);
    free(bytes);
    return rc;
}

/* What is wanted of n pictures: their embeddings, made, and what else the job asks for.
 * pooled: (n, features) or NULL. */
static int encode_pixels(struct crew *crew, struct encoder_scratch *scratch, const uint8_t *pixels,
                         size_t from, size_t n, float *made, float *pooled, struct err *err)
{
    const struct encode_pictures *job = crew->pictures;
    const struct image_features   out = {.pooled = pooled, .embedding = made};
    if (job->kept)
        return reranker_pictures(crew->s->reranker, scratch, pixels, (int)n, made,
                                 job->kept + from * reranker_info(crew->s->reranker)->kept_bytes,
                                 err);
    return pooled ? encoder_image_features(crew->s->enc, scratch, pixels, (int)n, &out, err)
                  : encoder_images(crew->s->enc, scratch, pixels, (int)n, made, err);
}

static int encode_some(struct crew *crew, struct encoder_scratch *scratch, uint8_t *pixels,
                       size_t from, size_t n, struct err *err)
{
    const struct encode_pictures *job = crew->pictures;
    size_t dim = (size_t)encoder_info(crew->s->enc)->dim, good[PICTURES_AT_ONCE], n_good = 0;
    size_t features = job->pooled ? (size_t)encoder_feature_sizes(crew->s->enc).image : 0;
    int    rc       = 0;
    for (size_t i = from; !rc && i < from + n; i++) {
        struct err one = ERR_INIT;
        int        got = load_picture(crew, scratch, i, pixels + n_good * crew->pixel_bytes, &one);
        if (!got)
            good[n_good++] = i;
        else if (!job->broken || got == ERR_NOMEM)
            rc = err_set(err, one.code, "%s", one.msg);
        else if (!(job->broken[i] = mem_strdup(one.msg)))
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    if (rc || n_good == 0)
        return rc;
    float *made   = mem_array(n_good * dim, sizeof *made);
    float *pooled = features ? mem_array(n_good * features, sizeof *pooled) : NULL;
    if (!made || (features && !pooled))
        rc = err_set(err, ERR_NOMEM, "out of memory for embeddings");
    else
        rc = encode_pixels(crew, scratch, pixels, from, n_good, made, pooled, err);
    for (size_t j = 0; !rc && j < n_good; j++) {
        memcpy(crew->out + good[j] * dim, made + j * dim, dim * sizeof *made);
        if (pooled)
            memcpy(job->pooled + good[j] * features, pooled + j * features,
                   features * sizeof *pooled);
    }
    free(made);
    free(pooled);
    return rc;
}

/* ---- Texts ---- */

static int encode_some_texts(struct crew *crew, struct encoder_scratch *scratch, uint8_t *pixels,
                             size_t from, size_t n, struct err *err)
{
    (void)pixels;
    size_t dim = (size_t)encoder_info(crew->s->enc)->dim;
    return encoder_texts(crew->s->enc, scratch, crew->texts + from, (int)n, crew->out + from * dim,
                         err);
}

/* ---- The crew ---- */

static void crew_fail(struct crew *crew, size_t at, const struct err *why)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->err.code || at < crew->failed_at) {
        crew->err       = *why;
        crew->failed_at = at;
    }
    pthread_mutex_unlock(&crew->lock);
    atomic_store(&crew->stop, true);
}

static bool cancelled(const struct crew *crew)
{
    return crew->pictures && crew->pictures->cancel && *crew->pictures->cancel;
}

static void *crew_run(void *arg)
{
    struct crew            *crew    = arg;
    struct encoder_scratch *scratch = NULL;
    struct err              err     = ERR_INIT;
    uint8_t                *pixels  = mem_aligned(crew->batch * crew->pixel_bytes + 1, 1);
    int                     rc      = pixels ? encoder_scratch_new(crew->s->enc, 1, &scratch, &err)
                                             : err_set(&err, ERR_NOMEM, "out of memory for %zu pictures", crew->batch);
    if (rc)
        crew_fail(crew, 0, &err);
    while (!rc && !atomic_load(&crew->stop)) {
        size_t from = atomic_fetch_add(&crew->next, crew->batch);
        if (from >= crew->n)
            break;
        size_t left = crew->n - from;
        rc          = cancelled(crew) ? err_set(&err, ERR_CANCELLED, "stopped while judging")
                                      : crew->step(crew, scratch, pixels, from,
                                          left < crew->batch ? left : crew->batch, &err);
        if (rc)
            crew_fail(crew, from, &err);
    }
    encoder_scratch_free(scratch);
    free(pixels);
    return NULL;
}

/* The caller's thread is one of the crew: it goes on where others cannot be had. */
static int crew_work(struct crew *crew, struct err *err)
{
    size_t     batches = (crew->n + crew->batch - 1) / crew->batch, started = 0;
    size_t     cores   = (size_t)parallel_cores();
    size_t     others  = (batches < cores ? batches : cores) - (batches > 0);
    pthread_t *threads = mem_array(others, sizeof *threads);
    if (!threads)
        return err_set(err, ERR_NOMEM, "out of memory for %zu threads", others);
    pthread_mutex_init(&crew->lock, NULL);
    while (started < others && !pthread_create(&threads[started], NULL, crew_run, crew))
        started++;
    crew_run(crew);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&crew->lock);
    free(threads);
    if (crew->err.code)
        return err_set(err, crew->err.code, "%s", crew->err.msg);
    return 0;
}

int encode_pictures(struct session *s, const struct encode_pictures *job, float *out,
                    struct err *err)
{
    const struct encoder_info *info  = encoder_info(s->enc);
    int                        batch = info->image_batch;
    struct crew                crew  = {.s        = s,
                                        .pictures = job,
                                        .out      = out,
                                        .step     = encode_some,
                                        .n        = job->n,
                                        .pixel_bytes =
                                            (size_t)info->preprocess.out_w * (size_t)info->preprocess.out_h * 3};
    crew.batch = batch < 1 ? 1 : batch > PICTURES_AT_ONCE ? PICTURES_AT_ONCE : (size_t)batch;
    return crew_work(&crew, err);
}

int encode_texts(struct session *s, const char *const *texts, size_t n, float *out, struct err *err)
{
    struct crew crew = {.s     = s,
                        .texts = texts,
                        .out   = out,
                        .step  = encode_some_texts,
                        .n     = n,
                        .batch = TEXTS_AT_ONCE};
    return crew_work(&crew, err);
}
