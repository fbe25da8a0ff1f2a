/* The kind "mmca" behind rerank.h: the network of mmca.h on what a model's towers
 * show. */
#include "rerank/reranker_family.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "model/encoder_features.h"
#include "rerank/mmca.h"

#include <math.h>
#include <stdlib.h>

#define BATCH 16 /* pictures whose regions exist at a time */

/* What it takes must be what the towers give. */
static int check_sizes(const struct mmca_config *c, const struct encoder *enc, struct err *err)
{
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    if (c->cells == sizes.grid * sizes.grid && c->region == sizes.region && c->word == sizes.text)
        return 0;
    return err_set(err, ERR_FORMAT,
                   "it takes %d regions of %d numbers and words of %d, but the model %s yields %d "
                   "of %d and words of %d: it is another model's",
                   c->cells, c->region, c->word, encoder_info(enc)->name, sizes.grid * sizes.grid,
                   sizes.region, sizes.text);
}

static void family_close(void *model)
{
    mmca_free(model);
}

static int family_open(const struct safetensors *st, const struct jnode *config,
                       const struct encoder *enc, struct prepared *p, struct reranker_info *info,
                       void **out, struct err *err)
{
    struct mmca *m;
    int          rc = mmca_load(st, config, p, cpu_detect(), PRECISION_F32, &m, err);
    if (!rc)
        rc = check_sizes(mmca_config_of(m), enc, err);
    else
        return rc;
    if (rc) {
        mmca_free(m);
        return rc;
    }
    info->kept_bytes = mmca_kept_bytes(m);
    info->parameters = mmca_parameters(m);
    info->weight     = mmca_config_of(m)->weight;
    *out             = m;
    return 0;
}

static void take_roots(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] > 0 ? sqrtf(x[i]) : 0;
}

static int family_pictures(const void *model, const struct encoder *enc,
                           struct encoder_scratch *scratch, const uint8_t *pixels, int n,
                           float *embedding, uint8_t *kept, struct err *err)
{
    const struct mmca        *m    = model;
    const struct mmca_config *c    = mmca_config_of(m);
    size_t                    side = (size_t)encoder_info(enc)->image_size;
    size_t                    dim  = (size_t)encoder_info(enc)->dim;
    size_t                    room = (size_t)(n < BATCH ? n : BATCH);
    float *regions = mem_aligned(room, (size_t)c->cells * (size_t)c->region * sizeof *regions);
    int    rc      = regions ? 0 : err_set(err, ERR_NOMEM, "cannot encode regions: out of memory");
    for (int i = 0; i < n && !rc; i += BATCH) {
        int                   count = n - i < BATCH ? n - i : BATCH;
        struct image_features out   = {.regions   = regions,
                                       .embedding = embedding ? embedding + (size_t)i * dim : NULL};
        rc = encoder_image_features(enc, scratch, pixels + (size_t)i * side * side * 3, count, &out,
                                    err);
        if (!rc && c->root)
            take_roots(regions, (size_t)count * (size_t)c->cells * (size_t)c->region);
        if (!rc)
            rc = mmca_keep(m, regions, count, encoder_scratch_threads(scratch),
                           kept + (size_t)i * mmca_kept_bytes(m), err);
    }
    free(regions);
    return rc;
}

static int family_query_new(const void *model, const struct encoder *enc,
                            struct encoder_scratch *scratch, const char *text, void **out,
                            struct err *err)
{
    const struct mmca *m         = model;
    int                starts[2] = {0}, room = encoder_info(enc)->max_tokens;
    struct mmca_query *q = NULL;
    float *words         = mem_array((size_t)room, (size_t)mmca_config_of(m)->word * sizeof *words);
    struct text_features seen = {.states = words, .starts = starts, .capacity = room};
    if (!words)
        return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
    int rc = encoder_text_features(enc, scratch, &text, 1, &seen, err);
    if (!rc)
        rc = mmca_query_new(m, words, starts[1], &q, err);
    free(words);
    *out = q;
    return rc;
}

static void family_query_free(void *query)
{
    mmca_query_free(query);
}

static int family_score(const void *model, const void *query, const uint8_t *const *kept, int n,
                        int threads, float *scores, struct err *err)
{
    return mmca_score(model, query, kept, n, threads, scores, err);
}

const struct reranker_family mmca_family = {
    .type       = "mmca",
    .open       = family_open,
    .close      = family_close,
    .pictures   = family_pictures,
    .query_new  = family_query_new,
    .query_free = family_query_free,
    .score      = family_score,
};
