/* The kind "both" behind rerank.h: one file that is a re-ranker of the kind "regions"
 * and one of the kind "mmca", whose errors differ:
 *
 *     score = regions + share * mmca
 *
 * config: {"type": "both", "share": .., "weight": .., "regions": {..}, "mmca": {..}}.
 * What is kept of a picture is what both keep, one behind the other.
 */
#include "rerank/reranker_family.h"

#include "base/mem.h"
#include "rerank/reranker_config.h"

#include <stdlib.h>
#include <string.h>

#define KINDS 2

static const struct reranker_family *const KIND[KINDS] = {&regions_family, &mmca_family};

struct both {
    void  *model[KINDS];
    size_t kept[KINDS]; /* bytes */
    float  share;
};

struct both_query {
    void *query[KINDS];
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
}

static void family_close(void *model)
{
    struct both *m = model;
    for (int k = 0; m && k < KINDS; k++)
        KIND[k]->close(m->model[k]);
    free(m);
}

static int family_open(const struct safetensors *st, const struct jnode *config,
                       const struct encoder *enc, struct prepared *p, struct reranker_info *info,
                       void **out, struct err *err)
{
    double       share = 0;
    struct both *m     = mem_zeroed(1, sizeof *m);
    if (!m)
        return no_memory(err);
    int rc = reranker_config_weight(config, &info->weight, err);
    if (!rc &&
        (!jnode_to_double(jnode_get(config, "share"), &share) || !(share >= 0 && share <= 1e6)))
        rc = err_set(err, ERR_FORMAT, "its \"share\" is not a number from 0 to 1e6");
    m->share         = (float)share;
    info->kept_bytes = 0;
    info->parameters = 0;
    for (int k = 0; k < KINDS && !rc; k++) {
        struct reranker_info of = {0};
        rc = KIND[k]->open(st, jnode_get(config, KIND[k]->type), enc, p, &of, &m->model[k], err);
        if (rc)
            (void)err_prefix(err, "its \"%s\"", KIND[k]->type);
        m->kept[k] = of.kept_bytes;
        info->kept_bytes += of.kept_bytes;
        info->parameters += of.parameters;
    }
    if (rc) {
        family_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

static int family_pictures(const void *model, const struct encoder *enc,
                           struct encoder_scratch *scratch, const uint8_t *pixels, int n,
                           float *embedding, uint8_t *kept, struct err *err)
{
    const struct both *m = model;
    uint8_t *one         = mem_array((size_t)n, m->kept[0] > m->kept[1] ? m->kept[0] : m->kept[1]);
    int      rc          = one ? 0 : no_memory(err);
    for (int k = 0; k < KINDS && !rc; k++) {
        rc =
            KIND[k]->pictures(m->model[k], enc, scratch, pixels, n, k ? NULL : embedding, one, err);
        for (size_t i = 0; i < (size_t)n && !rc; i++)
            memcpy(kept + i * (m->kept[0] + m->kept[1]) + (k ? m->kept[0] : 0),
                   one + i * m->kept[k], m->kept[k]);
    }
    free(one);
    return rc;
}

static void family_query_free(void *query)
{
    struct both_query *q = query;
    for (int k = 0; q && k < KINDS; k++) {
        if (q->query[k])
            KIND[k]->query_free(q->query[k]);
    }
    free(q);
}

static int family_query_new(const void *model, const struct encoder *enc,
                            struct encoder_scratch *scratch, const char *text, void **out,
                            struct err *err)
{
    const struct both *m  = model;
    struct both_query *q  = mem_zeroed(1, sizeof *q);
    int                rc = q ? 0 : no_memory(err);
    for (int k = 0; k < KINDS && !rc; k++)
        rc = KIND[k]->query_new(m->model[k], enc, scratch, text, &q->query[k], err);
    if (rc) {
        family_query_free(q);
        return rc;
    }
    *out = q;
    return 0;
}

static int family_score(const void *model, const void *query, const uint8_t *const *kept, int n,
                        int threads, float *scores, struct err *err)
{
    const struct both       *m      = model;
    const struct both_query *q      = query;
    const uint8_t          **second = mem_array((size_t)n, sizeof *second);
    float                   *more   = mem_array((size_t)n, sizeof *more);
    int                      rc     = second && more ? 0 : no_memory(err);
    for (int i = 0; i < n && !rc; i++)
        second[i] = kept[i] + m->kept[0];
    if (!rc)
        rc = KIND[0]->score(m->model[0], q->query[0], kept, n, threads, scores, err);
    if (!rc)
        rc = KIND[1]->score(m->model[1], q->query[1], second, n, threads, more, err);
    for (int i = 0; i < n && !rc; i++)
        scores[i] += m->share * more[i];
    free(second);
    free(more);
    return rc;
}

const struct reranker_family both_family = {
    .type       = "both",
    .open       = family_open,
    .close      = family_close,
    .pictures   = family_pictures,
    .query_new  = family_query_new,
    .query_free = family_query_free,
    .score      = family_score,
};
