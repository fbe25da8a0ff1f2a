/* The kind "regions" behind rerank.h: the heads of the file on what a model's towers
 * show of a picture's parts. */
#include "rerank/reranker_family.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "model/encoder_features.h"
#include "model/head.h"
#include "rerank/regions.h"
#include "rerank/rows8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16 /* pictures whose cells exist at a time */

struct regions {
    struct regions_config        config;
    struct encoder_feature_sizes sizes; /* of the towers */
    struct head                 *head;
    int                          cells;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
}

static void family_close(void *model)
{
    struct regions *m = model;
    if (!m)
        return;
    head_free(m->head);
    free(m);
}

/* What it takes must be what the towers give. */
static int check_sizes(const struct regions *m, const struct encoder *enc, struct err *err)
{
    if (m->config.grid == m->sizes.grid && m->sizes.region == m->sizes.image &&
        m->sizes.first == m->sizes.text)
        return 0;
    return err_set(err, ERR_FORMAT,
                   "it takes %d x %d regions that are like whole pictures, and texts with their "
                   "words, but the model %s yields %d x %d of %d numbers where a picture has %d, "
                   "and words of %d: it is another model's",
                   m->config.grid, m->config.grid, encoder_info(enc)->name, m->sizes.grid,
                   m->sizes.grid, m->sizes.region, m->sizes.image, m->sizes.first);
}

static int family_open(const struct safetensors *st, const struct jnode *config,
                       const struct encoder *enc, struct prepared *p, struct reranker_info *info,
                       void **out, struct err *err)
{
    struct regions *m = mem_zeroed(1, sizeof *m);
    if (!m)
        return no_memory(err);
    m->sizes                  = encoder_feature_sizes(enc);
    struct head_towers towers = {.features = m->sizes.image,
                                 .stages   = m->sizes.stages,
                                 .classes  = m->sizes.classes,
                                 .hidden   = m->sizes.text};
    int                rc     = regions_config_parse(config, &m->config, err);
    if (!rc)
        rc = check_sizes(m, enc, err);
    if (!rc)
        rc = head_load(st, jnode_get(config, "head"), &towers, p, cpu_detect(), PRECISION_F32,
                       &m->head, err);
    if (rc) {
        family_close(m);
        return rc;
    }
    m->cells         = m->config.grid * m->config.grid;
    info->kept_bytes = rows8_bytes((size_t)m->cells, (size_t)head_dim(m->head));
    info->parameters = head_parameters(m->head);
    info->weight     = m->config.weight;
    *out             = m;
    return 0;
}

/* ---- Pictures ---- */

/* Memory of a batch; parts begin at multiples of 64 bytes. */
struct work {
    float *grid;    /* (BATCH, cells, region) */
    float *stages;  /* (BATCH, stages) */
    float *logits;  /* (BATCH, classes) */
    float *average; /* (cells, region); these of one picture */
    float *beside;  /* (cells, stages) the picture's for each region */
    float *likely;  /* (cells, classes) likewise */
    float *vectors; /* (cells, dim) */
    void  *head;
    void  *memory;
};

static int work_init(const struct regions *m, int room, struct work *w, struct err *err)
{
    size_t cells = (size_t)m->cells, n = (size_t)room, total = 0, bytes, at[8];
    size_t sizes[] = {n * cells * (size_t)m->sizes.region, n * (size_t)m->sizes.stages,
                      n * (size_t)m->sizes.classes,        cells * (size_t)m->sizes.region,
                      cells * (size_t)m->sizes.stages,     cells * (size_t)m->sizes.classes,
                      cells * (size_t)head_dim(m->head)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        at[i] = total;
        total += (sizes[i] + 15) / 16 * 16;
    }
    if (!size_mul(total, sizeof(float), &bytes) ||
        !(w->memory = mem_aligned(bytes + head_scratch_size(m->head, m->cells), 1)))
        return no_memory(err);
    float *base = w->memory;
    w->grid     = base + at[0];
    w->stages   = base + at[1];
    w->logits   = base + at[2];
    w->average  = base + at[3];
    w->beside   = base + at[4];
    w->likely   = base + at[5];
    w->vectors  = base + at[6];
    w->head     = base + total;
    return 0;
}

static void repeat(const float *row, int n, int times, float *out)
{
    for (int i = 0; i < times; i++)
        memcpy(out + (ptrdiff_t)i * n, row, (size_t)n * sizeof *out);
}

/* The i-th picture of the batch. */
static int keep_one(const struct regions *m, const struct work *w, int i, int threads,
                    uint8_t *kept, struct err *err)
{
    const struct encoder_feature_sizes *s = &m->sizes;
    regions_average(&m->config, w->grid + (ptrdiff_t)i * m->cells * s->region, s->region,
                    w->average);
    repeat(w->stages + (ptrdiff_t)i * s->stages, s->stages, m->cells, w->beside);
    repeat(w->logits + (ptrdiff_t)i * s->classes, s->classes, m->cells, w->likely);
    head_images(m->head,
                &(struct head_seen){.pooled = w->average, .stages = w->beside, .logits = w->likely},
                m->cells, threads, w->head, w->vectors);
    if (regions_keep(w->vectors, m->cells, head_dim(m->head), kept))
        return 0;
    return err_set(err, ERR_DAMAGED, "cannot re-rank: a picture's regions are no numbers");
}

static int family_pictures(const void *model, const struct encoder *enc,
                           struct encoder_scratch *scratch, const uint8_t *pixels, int n,
                           float *embedding, uint8_t *kept, struct err *err)
{
    const struct regions *m    = model;
    size_t                side = (size_t)encoder_info(enc)->image_size;
    size_t                dim  = (size_t)encoder_info(enc)->dim;
    size_t                each = rows8_bytes((size_t)m->cells, (size_t)head_dim(m->head));
    struct work           w    = {0};
    int                   rc   = work_init(m, n < BATCH ? n : BATCH, &w, err);
    for (int i = 0; i < n && !rc; i += BATCH) {
        int                   count = n - i < BATCH ? n - i : BATCH;
        struct image_features seen  = {.regions   = w.grid,
                                       .stages    = m->sizes.stages ? w.stages : NULL,
                                       .logits    = m->sizes.classes ? w.logits : NULL,
                                       .embedding = embedding ? embedding + (size_t)i * dim : NULL};
        rc = encoder_image_features(enc, scratch, pixels + (size_t)i * side * side * 3, count,
                                    &seen, err);
        for (int k = 0; k < count && !rc; k++)
            rc = keep_one(m, &w, k, encoder_scratch_threads(scratch), kept + (size_t)(i + k) * each,
                          err);
    }
    free(w.memory);
    return rc;
}

/* ---- Texts ---- */

static int family_query_new(const void *model, const struct encoder *enc,
                            struct encoder_scratch *scratch, const char *text, void **out,
                            struct err *err)
{
    const struct regions *m      = model;
    size_t                hidden = (size_t)m->sizes.text, first = (size_t)m->sizes.first;
    float                *vector = mem_array((size_t)head_dim(m->head), sizeof *vector);
    float                *seen   = mem_array(hidden + first, sizeof *seen);
    void                 *work   = mem_aligned(head_scratch_size(m->head, 1), 1);
    struct text_features  read   = {.pooled = seen, .first = first ? seen + hidden : NULL};
    int                   rc     = vector && seen && work ? 0 : no_memory(err);
    if (!rc)
        rc = encoder_text_features(enc, scratch, &text, 1, &read, err);
    if (!rc)
        head_texts(m->head, &(struct head_read){.pooled = read.pooled, .first = read.first}, 1, 1,
                   work, vector);
    free(work);
    free(seen);
    if (rc)
        free(vector);
    else
        *out = vector;
    return rc;
}

static void family_query_free(void *query)
{
    free(query);
}

/* ---- Pairs ---- */

static int family_score(const void *model, const void *query, const uint8_t *const *kept, int n,
                        int threads, float *scores, struct err *err)
{
    const struct regions *m = model;
    (void)threads; /* a thousand pictures take some milliseconds */
    for (int i = 0; i < n; i++) {
        scores[i] = regions_score(&m->config, query, head_dim(m->head), kept[i]);
        if (!isfinite(scores[i]))
            return err_set(err, ERR_DAMAGED,
                           "the re-ranker yields what is no number: it, or what was kept for it, "
                           "is damaged");
    }
    return 0;
}

const struct reranker_family regions_family = {
    .type       = "regions",
    .open       = family_open,
    .close      = family_close,
    .pictures   = family_pictures,
    .query_new  = family_query_new,
    .query_free = family_query_free,
    .score      = family_score,
};
