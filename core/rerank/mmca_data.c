/* What a re-ranker of the MMCA form learns from: see mmca_data.h. */
#include "rerank/mmca_data.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"
#include "image/decoder.h"
#include "learn/augment.h"
#include "learn/retrieval.h"
#include "model/encoder_features.h"
#include "nn/ops.h"
#include "rerank/rows8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PICTURE ((size_t)1 << 30) /* bytes of a file */
#define TEXTS       32                /* encoded together */

struct making {
    const struct encoder            *enc;
    const struct mmca_sources       *from;
    const struct mmca_data_listener *listener;
    const volatile sig_atomic_t     *stop;
    struct mmca_data                *d;
    float                           *images; /* (n_images, dim) embeddings */
    float                           *means;  /* (n_images, dim) of the texts', of length 1 */
    int                              threads;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory for what a re-ranker learns from");
}

static bool stopped(const struct making *m)
{
    return m->stop && *m->stop;
}

static size_t view_bytes(const struct mmca_data *d)
{
    return rows8_bytes((size_t)d->cells, (size_t)d->region);
}

/* ---- Pictures ---- */

/* Memory of one thread. */
struct desk {
    struct encoder_scratch *scratch;
    struct decoder         *decoder; /* scratch's */
    uint8_t                *pixels;  /* (MMCA_DATA_VIEWS, side, side, 3) */
    float                  *regions; /* (MMCA_DATA_VIEWS, cells, region) */
    float                  *embedding;
};

static int desk_init(const struct making *m, struct desk *k, struct err *err)
{
    size_t side = (size_t)encoder_info(m->enc)->image_size;
    size_t dim  = (size_t)encoder_info(m->enc)->dim;
    int    rc   = encoder_scratch_new(m->enc, 1, &k->scratch, err);
    if (!rc)
        rc = encoder_scratch_decoder(k->scratch, &k->decoder, err);
    k->pixels = mem_array(MMCA_DATA_VIEWS, side * side * 3);
    k->regions =
        mem_array(MMCA_DATA_VIEWS * (size_t)m->d->cells, (size_t)m->d->region * sizeof *k->regions);
    k->embedding = mem_array(MMCA_DATA_VIEWS * dim, sizeof *k->embedding);
    return rc || (k->pixels && k->regions && k->embedding) ? rc : no_memory(err);
}

static void desk_release(struct desk *k)
{
    encoder_scratch_free(k->scratch);
    free(k->pixels);
    free(k->regions);
    free(k->embedding);
}

static int load_views(const struct making *m, struct desk *k, const char *path, struct err *err)
{
    const struct preprocess *pre  = &encoder_info(m->enc)->preprocess;
    size_t                   side = (size_t)encoder_info(m->enc)->image_size, len = 0;
    struct image             image = {0}; /* the decoder's */
    uint8_t                 *bytes = NULL;
    int                      rc    = file_read(path, MAX_PICTURE, &bytes, &len, err);
    if (!rc)
        rc = decoder_decode(k->decoder, bytes, len, preprocess_min_side(pre), &image, NULL, err);
    free(bytes);
    if (!rc)
        rc = augment_image(AUGMENT_NONE, NULL, pre, &image, 0, k->pixels, err);
    if (!rc)
        rc = augment_image(AUGMENT_FLIP, NULL, pre, &image, 0, k->pixels + side * side * 3, err);
    return rc ? err_prefix(err, "cannot read %s", path) : 0;
}

static int see(const struct making *m, struct desk *k, size_t i, struct err *err)
{
    struct mmca_data     *d    = m->d;
    size_t                dim  = (size_t)encoder_info(m->enc)->dim;
    size_t                size = (size_t)d->region, cells = (size_t)d->cells;
    struct image_features seen = {.regions = k->regions, .embedding = k->embedding};
    int                   rc   = load_views(m, k, m->from->paths[i], err);
    if (!rc)
        rc = encoder_image_features(m->enc, k->scratch, k->pixels, MMCA_DATA_VIEWS, &seen, err);
    for (size_t v = 0; v < MMCA_DATA_VIEWS && !rc; v++) {
        uint8_t *kept = d->regions + (i * MMCA_DATA_VIEWS + v) * view_bytes(d);
        float   *x    = k->regions + v * cells * size;
        for (size_t c = 0; c < cells && !rc; c++, x += size) {
            uint16_t step;
            for (size_t j = 0; j < size; j++)
                x[j] = x[j] > 0 ? sqrtf(x[j]) : 0;
            int8_t *row = (int8_t *)(kept + cells * sizeof step) + c * size;
            if (!rows8_pack(x, d->region, &step, row))
                rc = err_set(err, ERR_FORMAT, "what the model sees in %s is no number",
                             m->from->paths[i]);
            memcpy(kept + c * sizeof step, &step, sizeof step);
        }
    }
    if (!rc)
        memcpy(m->images + i * dim, k->embedding, dim * sizeof *m->images);
    return rc;
}

/* A picture a thread at a time. */
static int see_all(const struct making *m, struct err *err)
{
    int        failed = 0;
    size_t     done   = 0;
    struct err first  = ERR_INIT;
#pragma omp parallel num_threads(m->threads) if (m->threads > 1)
    {
        struct desk k   = {0};
        struct err  why = ERR_INIT;
        int         rc  = desk_init(m, &k, &why);
#pragma omp for schedule(dynamic, 16)
        for (size_t i = 0; i < m->from->n_images; i++) {
            if (!rc && !stopped(m))
                rc = see(m, &k, i, &why);
#pragma omp critical
            {
                done++;
                if (m->listener && m->listener->progress)
                    m->listener->progress(m->listener->ctx, done, m->from->n_images, done);
            }
        }
        desk_release(&k);
        if (rc) {
#pragma omp critical
            {
                first  = failed ? first : why;
                failed = failed ? failed : rc;
            }
        }
    }
    return failed ? err_set(err, first.code, "%s", first.msg) : 0;
}

/* ---- Texts ---- */

/* The words of up to TEXTS texts. */
struct chunk {
    uint16_t *words;             /* (starts[TEXTS], word) half precision */
    int       starts[TEXTS + 1]; /* of those that are kept of each text */
};

/* states: (TEXTS * max_tokens, word), scratch. embeddings: (n, dim). */
static int read_chunk(const struct making *m, struct encoder_scratch *scratch, size_t from, int n,
                      float *states, float *embeddings, struct chunk *out, struct err *err)
{
    size_t               word          = (size_t)m->d->word;
    int                  at[TEXTS + 1] = {0};
    struct text_features seen          = {.states    = states,
                                          .starts    = at,
                                          .capacity  = TEXTS * encoder_info(m->enc)->max_tokens,
                                          .embedding = embeddings};
    int rc = encoder_text_features(m->enc, scratch, m->from->texts + from, n, &seen, err);
    if (!rc && !(out->words = mem_array((size_t)at[n] + 1, word * sizeof *out->words)))
        rc = no_memory(err);
    for (int t = 0; t < n && !rc; t++) {
        int       words = at[t + 1] - at[t] < MMCA_DATA_WORDS ? at[t + 1] - at[t] : MMCA_DATA_WORDS;
        uint16_t *rows  = out->words + (size_t)out->starts[t] * word;
        out->starts[t + 1] = out->starts[t] + words;
        half_from_float(rows, states + (size_t)at[t] * word, (size_t)words * word);
        if (!half_finite(rows, (size_t)words * word))
            rc = err_set(err, ERR_FORMAT,
                         "cannot keep the words of %.400s: half precision cannot hold them",
                         m->from->texts[from + (size_t)t]);
    }
    return rc;
}

/* A chunk a thread at a time. texts: (n_texts, dim) embeddings. */
static int read_chunks(const struct making *m, struct chunk *chunks, float *texts, struct err *err)
{
    size_t     n = m->from->n_texts, dim = (size_t)encoder_info(m->enc)->dim;
    size_t     room   = TEXTS * (size_t)encoder_info(m->enc)->max_tokens;
    int        failed = 0;
    struct err first  = ERR_INIT;
#pragma omp parallel num_threads(m->threads) if (m->threads > 1)
    {
        struct encoder_scratch *scratch = NULL;
        struct err              why     = ERR_INIT;
        float                  *states  = mem_array(room, (size_t)m->d->word * sizeof *states);
        int rc = states ? encoder_scratch_new(m->enc, 1, &scratch, &why) : no_memory(&why);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i += TEXTS) {
            if (!rc && !stopped(m))
                rc = read_chunk(m, scratch, i, (int)(n - i < TEXTS ? n - i : TEXTS), states,
                                texts + i * dim, &chunks[i / TEXTS], &why);
        }
        encoder_scratch_free(scratch);
        free(states);
        if (rc) {
#pragma omp critical
            {
                first  = failed ? first : why;
                failed = failed ? failed : rc;
            }
        }
    }
    return failed ? err_set(err, first.code, "%s", first.msg) : 0;
}

/* All words end to end. */
static int join_chunks(struct mmca_data *d, const struct chunk *chunks, size_t n, struct err *err)
{
    size_t word = (size_t)d->word;
    for (size_t i = 0; i < n; i++)
        d->starts[i + 1] = d->starts[i] + chunks[i / TEXTS].starts[i % TEXTS + 1] -
                           chunks[i / TEXTS].starts[i % TEXTS];
    d->words = mem_array((size_t)d->starts[n] + 1, word * sizeof *d->words);
    if (!d->words)
        return no_memory(err);
    for (size_t i = 0; i < n; i += TEXTS) {
        const struct chunk *c    = &chunks[i / TEXTS];
        size_t              last = n - i < TEXTS ? n - i : TEXTS;
        memcpy(d->words + (size_t)d->starts[i] * word, c->words,
               (size_t)c->starts[last] * word * sizeof *d->words);
    }
    return 0;
}

/* What a picture's texts say together. texts: (n_texts, dim). */
static void take_means(const struct making *m, const float *texts)
{
    size_t dim = (size_t)encoder_info(m->enc)->dim;
    for (size_t i = 0; i < m->from->n_images; i++) {
        float *mean = m->means + i * dim;
        memset(mean, 0, dim * sizeof *mean);
        for (size_t t = (size_t)m->from->first[i]; t < (size_t)m->from->first[i + 1]; t++) {
            for (size_t j = 0; j < dim; j++)
                mean[j] += texts[t * dim + j];
        }
        ops_l2_normalize(mean, (int)dim);
    }
}

static int read_all(const struct making *m, struct err *err)
{
    size_t        n = m->from->n_texts, dim = (size_t)encoder_info(m->enc)->dim;
    size_t        count  = (n + TEXTS - 1) / TEXTS;
    float        *texts  = mem_array(n * dim + 1, sizeof *texts);
    struct chunk *chunks = mem_zeroed(count + 1, sizeof *chunks);
    int           rc     = texts && chunks ? read_chunks(m, chunks, texts, err) : no_memory(err);
    if (!rc && !stopped(m))
        rc = join_chunks(m->d, chunks, n, err);
    if (!rc && !stopped(m))
        take_means(m, texts);
    for (size_t i = 0; chunks && i < count; i++)
        free(chunks[i].words);
    free(chunks);
    free(texts);
    return rc;
}

/* ---- Neighbours ---- */

static int find_near(const struct making *m, struct err *err)
{
    struct mmca_data      *d     = m->d;
    struct retrieval_lists lists = {0};
    struct retrieval_task  task  = {.queries      = m->means,
                                    .n_queries    = d->n,
                                    .items        = m->images,
                                    .n_items      = d->n,
                                    .dim          = encoder_info(m->enc)->dim,
                                    .n_groups     = d->n,
                                    .without_self = true,
                                    .distance     = encoder_info(m->enc)->distance};
    int                    rc    = retrieval_top(&task, MMCA_DATA_NEAR, m->threads, &lists, err);
    if (rc)
        return rc;
    d->near     = lists.items;
    d->n_near   = (int)lists.top;
    lists.items = NULL;
    retrieval_lists_release(&lists);
    return 0;
}

static int make(struct making *m, struct err *err)
{
    struct mmca_data            *d     = m->d;
    const struct mmca_sources   *from  = m->from;
    struct encoder_feature_sizes sizes = encoder_feature_sizes(m->enc);
    size_t                       dim   = (size_t)encoder_info(m->enc)->dim;
    d->n                               = from->n_images;
    d->cells                           = sizes.grid * sizes.grid;
    d->region                          = sizes.region;
    d->word                            = sizes.text;
    d->regions                         = mem_array(d->n * MMCA_DATA_VIEWS + 1, view_bytes(d));
    d->starts                          = mem_zeroed(from->n_texts + 1, sizeof *d->starts);
    d->first                           = mem_array(d->n + 1, sizeof *d->first);
    d->group                           = mem_array(d->n + 1, sizeof *d->group);
    m->images                          = mem_array(d->n * dim + 1, sizeof *m->images);
    m->means                           = mem_array(d->n * dim + 1, sizeof *m->means);
    if (!d->regions || !d->starts || !d->first || !d->group || !m->images || !m->means)
        return no_memory(err);
    memcpy(d->first, from->first, (d->n + 1) * sizeof *d->first);
    memcpy(d->group, from->group, d->n * sizeof *d->group);
    int rc = see_all(m, err);
    if (!rc)
        rc = read_all(m, err);
    if (!rc && stopped(m))
        rc = err_set(err, ERR_CANCELLED, "stopped");
    return rc ? rc : find_near(m, err);
}

int mmca_data_make(const struct encoder *enc, const struct mmca_sources *from, int threads,
                   const struct mmca_data_listener *listener, const volatile sig_atomic_t *stop,
                   struct mmca_data *out, struct err *err)
{
    struct mmca_data d  = {0};
    struct making    m  = {.enc      = enc,
                           .from     = from,
                           .listener = listener,
                           .stop     = stop,
                           .d        = &d,
                           .threads  = threads < 1 ? 1 : threads};
    int              rc = make(&m, err);
    free(m.images);
    free(m.means);
    if (rc)
        mmca_data_release(&d);
    else
        *out = d;
    return rc;
}

void mmca_data_release(struct mmca_data *d)
{
    if (!d)
        return;
    free(d->regions);
    free(d->words);
    free(d->starts);
    free(d->first);
    free(d->group);
    free(d->near);
    *d = (struct mmca_data){0};
}

void mmca_data_hash(const struct mmca_data *d, uint8_t out[HASH_BYTES])
{
    size_t  texts = (size_t)d->first[d->n], words = (size_t)d->starts[texts];
    size_t  sizes[] = {d->n, (size_t)d->cells, (size_t)d->region, (size_t)d->word,
                       (size_t)d->n_near};
    uint8_t parts[7][HASH_BYTES];
    hash_bytes(sizes, sizeof sizes, parts[0]);
    hash_bytes(d->regions, d->n * MMCA_DATA_VIEWS * view_bytes(d), parts[1]);
    hash_bytes(d->words, words * (size_t)d->word * sizeof *d->words, parts[2]);
    hash_bytes(d->starts, (texts + 1) * sizeof *d->starts, parts[3]);
    hash_bytes(d->first, (d->n + 1) * sizeof *d->first, parts[4]);
    hash_bytes(d->group, d->n * sizeof *d->group, parts[5]);
    hash_bytes(d->near, d->n * (size_t)d->n_near * sizeof *d->near, parts[6]);
    hash_bytes(parts, sizeof parts, out);
}

void mmca_data_regions(const struct mmca_data *d, int picture, int view, float *out)
{
    size_t         cells = (size_t)d->cells, size = (size_t)d->region;
    const uint8_t *kept =
        d->regions + ((size_t)picture * MMCA_DATA_VIEWS + (size_t)view) * view_bytes(d);
    const int8_t *rows = (const int8_t *)(kept + cells * sizeof(uint16_t));
    for (size_t c = 0; c < cells; c++, out += size, rows += size) {
        uint16_t half;
        float    step;
        memcpy(&half, kept + c * sizeof half, sizeof half);
        half_to_float(&step, &half, 1);
        for (size_t j = 0; j < size; j++)
            out[j] = step * (float)rows[j];
    }
}
