/* What a model's towers see of a data set: see features.h.
 *
 * A shard at a time: its key, then either the mapped file, or workers that take
 * chunks of it, each with scratch memory of its own and one thread a call.
 */
#include "learn/features.h"

#include "base/file.h"
#include "base/half.h"
#include "base/hash.h"
#include "base/mem.h"
#include "image/decoder.h"
#include "learn/features_cache.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LAYOUT_VERSION    1 /* raised whenever the same key should no longer mean the same rows */
#define SHARD_IMAGES      512
#define SHARD_TEXTS       8192
#define CHUNK_TEXTS       64
#define CHUNK_IMAGES      16 /* the most pictures that a worker decodes before it encodes */
#define MAX_PICTURE_BYTES ((size_t)1 << 30)
#define KEY_CEILING       ((size_t)1 << 30) /* bytes of what a key goes over */
#define PROGRESS_NS       100000000         /* between two looks at how far workers are */

#define PARTS 3 /* that a row has at most */

struct features {
    size_t        n, broken, n_shards, per_shard;
    int           views, width;
    struct shard *shards; /* (n_shards) */
};

/* What is being computed. */
struct making {
    const struct encoder       *enc;
    const struct features_plan *plan;
    struct features            *f;
    char *const                *items; /* (n) paths or texts */
    bool                        texts;
    size_t                      done, computed; /* items, so far */
};

/* A shard that workers share; all below lock are guarded by it. */
struct work {
    const struct making *m;
    size_t               first, n; /* items of the shard */
    size_t               chunk;
    uint16_t            *rows;    /* (n, views, width) */
    uint8_t             *usable;  /* (n) */
    char               **reasons; /* (n) why not, or NULL */
    pthread_mutex_t      lock;
    pthread_cond_t       changed;
    size_t               next, finished; /* items of the shard, from 0 */
    int                  working;        /* threads */
    int                  rc;
    struct err           err;
};

static bool stopped(const struct making *m)
{
    return m->plan->stop && *m->plan->stop;
}

/* ---- One chunk ---- */

/* view stays the decoder's. */
static int load_picture(const struct features_plan *plan, struct decoder *decoder, const char *path,
                        const struct preprocess *pre, struct image *view, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t   len   = 0;
    int      side  = plan->parts ? augment_min_side(&plan->augment, pre) : preprocess_min_side(pre);
    int      rc    = file_read(path, MAX_PICTURE_BYTES, &bytes, &len, err);
    if (!rc)
        rc = decoder_decode(decoder, bytes, len, side, view, NULL, err);
    free(bytes);
    return rc;
}

/* All views of one picture. pixels: (views, image_size, image_size, 3). */
static int view_picture(const struct making *m, struct decoder *decoder, const char *path,
                        uint8_t *pixels, struct err *err)
{
    const struct encoder_info *info  = encoder_info(m->enc);
    size_t                     bytes = (size_t)info->image_size * (size_t)info->image_size * 3;
    struct image               image = {0};
    int rc = load_picture(m->plan, decoder, path, &info->preprocess, &image, err);
    for (int v = 0; !rc && v < m->f->views; v++) {
        enum augment_kind kind = v > 1 || m->plan->parts ? AUGMENT_CROP
                                 : v == 1                ? AUGMENT_FLIP
                                                         : AUGMENT_NONE;
        uint64_t          seed = augment_seed(path_base(path), &image, m->plan->seed, v);
        rc = augment_image(kind, &m->plan->augment, &info->preprocess, &image, seed,
                           pixels + (size_t)v * bytes, err);
    }
    return rc;
}

/* What a worker has to itself. */
struct desk {
    struct encoder_scratch *scratch;
    struct decoder         *decoder;          /* scratch's */
    uint8_t                *pixels;           /* (chunk * views, image_size, image_size, 3) */
    float                  *part[PARTS];      /* (chunk * views, width of it) */
    int                     width[PARTS];     /* numbers of a row's parts; 0: none */
    int                     at[CHUNK_IMAGES]; /* which pictures of the chunk are in pixels */
};

static int to_half(uint16_t *out, const float *in, int n, const char *what, struct err *err)
{
    for (int i = 0; i < n; i++) {
        if (!(fabsf(in[i]) <= 65504.0f))
            return err_set(err, ERR_DAMAGED,
                           "cannot keep features of %s: one of them is %g, which half precision "
                           "cannot hold",
                           what, (double)in[i]);
    }
    half_from_float(out, in, (size_t)n);
    return 0;
}

/* Rows at .. at + n - 1 of the desk become the item's. */
static int keep_rows(const struct work *w, const struct desk *d, size_t item, size_t at, int n,
                     struct err *err)
{
    const char *name = w->m->items[w->first + item];
    uint16_t   *out  = w->rows + item * (size_t)n * (size_t)w->m->f->width;
    int         rc   = 0;
    for (int row = 0; !rc && row < n; row++) {
        for (int p = 0; !rc && p < PARTS; p++) {
            rc = to_half(out, d->part[p] + (at + (size_t)row) * (size_t)d->width[p], d->width[p],
                         name, err);
            out += d->width[p];
        }
    }
    w->usable[item] = !rc;
    return rc;
}

/* NULL where a row has no such part. */
static float *part(const struct desk *d, int p)
{
    return d->width[p] ? d->part[p] : NULL;
}

static int do_images(const struct work *w, struct desk *d, size_t from, size_t n, struct err *err)
{
    const struct making *m     = w->m;
    size_t               side  = (size_t)encoder_info(m->enc)->image_size;
    size_t               bytes = side * side * 3 * (size_t)m->f->views;
    int                  good = 0, views = m->f->views;
    for (size_t i = 0; i < n && !stopped(m); i++) {
        struct err why = ERR_INIT;
        int        rc  = view_picture(m, d->decoder, m->items[w->first + from + i],
                                      d->pixels + (size_t)good * bytes, &why);
        if (rc == ERR_NOMEM)
            return err_set(err, ERR_NOMEM, "%s", why.msg);
        if (!rc) {
            d->at[good++] = (int)i;
            continue;
        }
        w->reasons[from + i] = mem_strdup(why.msg);
        if (!w->reasons[from + i])
            return err_set(err, ERR_NOMEM, "out of memory");
    }
    struct image_features out = {.pooled = part(d, 0), .stages = part(d, 1), .logits = part(d, 2)};
    int rc = encoder_image_features(m->enc, d->scratch, d->pixels, good * views, &out, err);
    for (int i = 0; !rc && i < good; i++)
        rc = keep_rows(w, d, from + (size_t)d->at[i], (size_t)i * (size_t)views, views, err);
    return rc;
}

static int do_texts(const struct work *w, struct desk *d, size_t from, size_t n, struct err *err)
{
    const struct making *m   = w->m;
    struct text_features out = {.pooled = part(d, 0), .first = part(d, 1)};
    int                  rc  = encoder_text_features(
                          m->enc, d->scratch, (const char *const *)m->items + w->first + from, (int)n, &out, err);
    for (size_t i = 0; !rc && i < n; i++)
        rc = keep_rows(w, d, from + i, i, 1, err);
    return rc;
}

/* ---- Workers ---- */

static void desk_release(struct desk *d)
{
    encoder_scratch_free(d->scratch);
    free(d->pixels);
    for (int p = 0; p < PARTS; p++)
        free(d->part[p]);
}

static int desk_init(const struct work *w, struct desk *d, struct err *err)
{
    const struct making         *m    = w->m;
    struct encoder_feature_sizes s    = encoder_feature_sizes(m->enc);
    size_t                       side = (size_t)encoder_info(m->enc)->image_size;
    size_t                       rows = w->chunk * (size_t)m->f->views;
    const int image[PARTS] = {s.image, s.stages, s.classes}, text[PARTS] = {s.text, s.first, 0};
    *d     = (struct desk){0};
    int rc = encoder_scratch_new(m->enc, 1, &d->scratch, err);
    if (!rc && !m->texts)
        rc = encoder_scratch_decoder(d->scratch, &d->decoder, err);
    if (!rc && d->decoder)
        rc = decoder_start(d->decoder, err);
    d->pixels = mem_array(m->texts ? 0 : rows, side * side * 3);
    bool full = d->pixels != NULL;
    for (int p = 0; p < PARTS; p++) {
        d->width[p] = m->texts ? text[p] : image[p];
        d->part[p]  = mem_array(rows * (size_t)d->width[p], sizeof **d->part);
        full        = full && d->part[p];
    }
    return rc || full
               ? rc
               : err_set(err, ERR_NOMEM, "out of memory for the features of %zu views", rows);
}

/* The next chunk of the shard; false when there is none for this worker. */
static bool take(struct work *w, size_t *from, size_t *n)
{
    bool some = false;
    pthread_mutex_lock(&w->lock);
    if (!w->rc && w->next < w->n && !stopped(w->m)) {
        *from = w->next;
        *n    = w->n - w->next < w->chunk ? w->n - w->next : w->chunk;
        w->next += *n;
        some = true;
    }
    pthread_mutex_unlock(&w->lock);
    return some;
}

static void report(struct work *w, size_t n, int rc, const struct err *err, bool leaving)
{
    pthread_mutex_lock(&w->lock);
    w->finished += rc ? 0 : n;
    if (rc && !w->rc) {
        w->rc  = rc;
        w->err = *err;
    }
    w->working -= leaving;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void *worker(void *arg)
{
    struct work *w   = arg;
    struct err   err = ERR_INIT;
    struct desk  d;
    int          rc = desk_init(w, &d, &err);
    if (rc)
        report(w, 0, rc, &err, false);
    for (size_t from, n; !rc && take(w, &from, &n);) {
        rc = w->m->texts ? do_texts(w, &d, from, n, &err) : do_images(w, &d, from, n, &err);
        report(w, n, rc, &err, false);
    }
    desk_release(&d);
    report(w, 0, 0, &err, true);
    return NULL;
}

static void tell_progress(const struct making *m, size_t of_shard)
{
    const struct features_listener *l = m->plan->listener;
    if (l && l->progress)
        l->progress(l->ctx, m->done + of_shard, m->f->n, m->computed + of_shard);
}

/* Waits for the workers, and lets the listener know. */
static void watch(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->working > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PROGRESS_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->changed, &w->lock, &until);
        size_t finished = w->finished;
        pthread_mutex_unlock(&w->lock);
        tell_progress(w->m, finished);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static int run_workers(struct work *w, struct err *err)
{
    int        wanted = w->m->plan->threads < 1 ? 1 : w->m->plan->threads, started = 0;
    pthread_t *threads = mem_array((size_t)wanted, sizeof *threads);
    if (!threads)
        return err_set(err, ERR_NOMEM, "out of memory for %d threads", wanted);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->working = wanted;
    while (started < wanted && !pthread_create(&threads[started], NULL, worker, w))
        started++;
    pthread_mutex_lock(&w->lock);
    w->working -= wanted - started;
    pthread_mutex_unlock(&w->lock);
    watch(w);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(threads);
    if (started == 0)
        return err_set(err, ERR_FAILED, "cannot start a thread");
    if (w->rc)
        return err_set(err, w->rc, "%s", w->err.msg);
    return stopped(w->m) ? err_set(err, ERR_CANCELLED, "stopped") : 0;
}

/* ---- Shards ---- */

static int depend_on_picture(struct buf *b, const char *path, struct err *err)
{
    struct stat sb;
    int64_t     numbers[3] = {-1, 0, 0}; /* one that is missing has no size */
    if (!stat(path, &sb)) {
        numbers[0] = (int64_t)sb.st_size;
        numbers[1] = (int64_t)sb.st_mtim.tv_sec;
        numbers[2] = (int64_t)sb.st_mtim.tv_nsec;
    }
    char *full = NULL; /* the same folder under another name or from elsewhere is the same */
    if (path_real(path, &full, NULL))
        full = mem_strdup(path);
    int rc = full ? buf_append(b, full, strlen(full) + 1, err)
                  : err_set(err, ERR_NOMEM, "out of memory");
    free(full);
    return rc ? rc : buf_append(b, numbers, sizeof numbers, err);
}

static int shard_key(const struct making *m, size_t first, size_t n, char key[FEATURES_KEY],
                     struct err *err)
{
    const struct encoder_info *info = encoder_info(m->enc);
    struct buf                 b;
    buf_init(&b, KEY_CEILING);
    int rc = buf_appendf(&b, err, "osprey features %d\n%s %s %s\n%s %d %d\n", LAYOUT_VERSION,
                         encoder_feature_sizes(m->enc).hash, info->precision, info->cpu,
                         m->texts ? "texts" : "images", m->f->views, m->f->width);
    if (!rc && !m->texts)
        rc = buf_append(&b, &info->preprocess, sizeof info->preprocess, err);
    if (!rc && !m->texts && m->plan->parts)
        rc = buf_append_str(&b, "parts\n", err);
    if (!rc && !m->texts && (m->f->views > 2 || m->plan->parts))
        rc = buf_appendf(&b, err, "%.17g %.17g %.17g %" PRIu64 "\n", m->plan->augment.min_area,
                         m->plan->augment.max_area, m->plan->augment.jitter, m->plan->seed);
    for (size_t i = first; !rc && i < first + n; i++)
        rc = m->texts ? buf_append(&b, m->items[i], strlen(m->items[i]) + 1, err)
                      : depend_on_picture(&b, m->items[i], err);
    if (!rc)
        features_cache_key(&b, key);
    buf_release(&b);
    return rc;
}

static void tell_broken(const struct making *m, size_t item, const char *why)
{
    const struct features_listener *l = m->plan->listener;
    m->f->broken++;
    if (l && l->broken)
        l->broken(l->ctx, m->items[item], why);
}

/* Why the pictures that a kept shard marks are broken is not kept. One that can
 * be read now makes the shard useless: false. */
static bool explain_broken(const struct making *m, const struct shard *s, size_t first)
{
    const struct preprocess *pre     = &encoder_info(m->enc)->preprocess;
    struct decoder          *decoder = NULL;
    bool                     same    = !decoder_open(NULL, &decoder, NULL);
    for (int pass = 0; same && pass < 2; pass++) {
        for (size_t i = 0; same && i < s->n; i++) {
            struct image view;
            struct err   why = ERR_INIT;
            if (s->usable[i])
                continue;
            if (!load_picture(m->plan, decoder, m->items[first + i], pre, &view, &why))
                same = pass == 1;
            if (pass == 1)
                tell_broken(m, first + i, why.msg);
        }
    }
    decoder_close(decoder);
    return same;
}

static int compute_shard(const struct making *m, size_t first, size_t n, struct shard *s,
                         struct err *err)
{
    const struct encoder_info *info  = encoder_info(m->enc);
    size_t                     views = (size_t)m->f->views;
    struct work                w     = {.m = m, .first = first, .n = n};
    w.chunk = m->texts ? CHUNK_TEXTS : ((size_t)info->image_batch + views - 1) / views;
    if (!m->texts && w.chunk > CHUNK_IMAGES)
        w.chunk = CHUNK_IMAGES;
    s->n               = n;
    s->computed        = mem_zeroed(n * views, (size_t)m->f->width * sizeof *w.rows);
    s->computed_usable = mem_zeroed(n, 1);
    w.reasons          = mem_zeroed(n, sizeof *w.reasons);
    w.rows             = s->computed;
    w.usable           = s->computed_usable;
    s->rows            = s->computed;
    s->usable          = s->computed_usable;
    int rc             = s->computed && s->computed_usable && w.reasons
                             ? run_workers(&w, err)
                             : err_set(err, ERR_NOMEM, "out of memory for the features of %zu items", n);
    for (size_t i = 0; w.reasons && i < n; i++) {
        if (!rc && w.reasons[i])
            tell_broken(m, first + i, w.reasons[i]);
        free(w.reasons[i]);
    }
    free(w.reasons);
    return rc;
}

static int make_shard(struct making *m, const char *dir, size_t first, size_t n, struct shard *s,
                      struct err *err)
{
    char key[FEATURES_KEY];
    int  rc = dir ? shard_key(m, first, n, key, err) : 0;
    if (!rc && dir && !features_cache_open(dir, key, n, m->f->views, m->f->width, s)) {
        if (explain_broken(m, s, first))
            return 0;
        shard_release(s);
    }
    if (!rc)
        rc = compute_shard(m, first, n, s, err);
    m->computed += rc ? 0 : n;
    if (!rc && dir) /* what cannot be kept is computed again next time */
        (void)features_cache_write(dir, key, s, m->f->views, m->f->width, NULL);
    return rc;
}

static int make(struct making *m, struct features **out, struct err *err)
{
    struct features *f   = m->f;
    char            *dir = NULL;
    f->per_shard         = m->texts ? SHARD_TEXTS : SHARD_IMAGES;
    f->n_shards          = (f->n + f->per_shard - 1) / f->per_shard;
    f->shards            = mem_zeroed(f->n_shards + 1, sizeof *f->shards);
    int rc               = f->shards ? features_cache_dir(m->plan->cache, &dir, err)
                                     : err_set(err, ERR_NOMEM, "out of memory for %zu features", f->n);
    for (size_t i = 0; !rc && i < f->n_shards; i++) {
        size_t first = i * f->per_shard;
        size_t n     = f->n - first < f->per_shard ? f->n - first : f->per_shard;
        rc           = stopped(m) ? err_set(err, ERR_CANCELLED, "stopped")
                                  : make_shard(m, dir, first, n, &f->shards[i], err);
        m->done += n;
        if (!rc)
            tell_progress(m, 0);
    }
    free(dir);
    if (rc)
        features_free(f);
    else
        *out = f;
    return rc;
}

int features_of_images(const struct encoder *enc, const struct features_plan *plan,
                       char *const *paths, size_t n, struct features **out, struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    if (plan->views < 1 || plan->views > FEATURES_MAX_VIEWS)
        return err_set(err, ERR_USAGE, "%d views of a picture: from 1 to %d are possible",
                       plan->views, FEATURES_MAX_VIEWS);
    struct making m = {.enc = enc, .plan = plan, .items = paths};
    m.f             = mem_zeroed(1, sizeof *m.f);
    if (!m.f)
        return err_set(err, ERR_NOMEM, "out of memory");
    m.f->n     = n;
    m.f->views = plan->views;
    m.f->width = sizes.image + sizes.stages + sizes.classes;
    return make(&m, out, err);
}

int features_of_texts(const struct encoder *enc, const struct features_plan *plan,
                      char *const *texts, size_t n, struct features **out, struct err *err)
{
    struct making m = {.enc = enc, .plan = plan, .items = texts, .texts = true};
    m.f             = mem_zeroed(1, sizeof *m.f);
    if (!m.f)
        return err_set(err, ERR_NOMEM, "out of memory");
    m.f->n     = n;
    m.f->views = 1;
    m.f->width = encoder_feature_sizes(enc).text + encoder_feature_sizes(enc).first;
    return make(&m, out, err);
}

void features_free(struct features *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->shards && i < f->n_shards; i++)
        shard_release(&f->shards[i]);
    free(f->shards);
    free(f);
}

size_t features_count(const struct features *f)
{
    return f->n;
}

int features_views(const struct features *f)
{
    return f->views;
}

int features_width(const struct features *f)
{
    return f->width;
}

size_t features_broken(const struct features *f)
{
    return f->broken;
}

bool features_usable(const struct features *f, size_t i)
{
    return f->shards[i / f->per_shard].usable[i % f->per_shard] == 1;
}

const uint16_t *features_row(const struct features *f, size_t i, int view)
{
    const struct shard *s   = &f->shards[i / f->per_shard];
    size_t              row = i % f->per_shard * (size_t)f->views + (size_t)view;
    return s->rows + row * (size_t)f->width;
}
