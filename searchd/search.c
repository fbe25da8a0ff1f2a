/* One search: see search.h.
 *
 * The query is encoded before a handle of the library is taken, since there are
 * fewer of those than of requests. In between the library may have got another
 * model; then the query is encoded again.
 */
#include "searchd/search.h"

#include "base/buf.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 3

static int encode(struct call *call, const struct search *s, struct desk *desk, float **out,
                  struct err *err)
{
    size_t dim                      = (size_t)encoder_info(desk_encoder(desk))->dim;
    size_t n                        = s->vector ? 1 : s->terms->n;
    float *vector                   = mem_array(dim, sizeof *vector);
    float *each                     = mem_array(n * dim, sizeof *each);
    float  weights[QUERY_MAX_TERMS] = {1};
    int    rc = vector && each ? 0 : err_set(err, ERR_NOMEM, "out of memory for the query");
    if (!rc && s->vector && s->vector_dim != dim)
        rc = err_set(err, ERR_USAGE, "the embedding must have %zu numbers, not %zu", dim,
                     s->vector_dim);
    if (!rc && s->vector)
        memcpy(each, s->vector, dim * sizeof *each);
    if (!rc && !s->vector) {
        for (size_t i = 0; i < n; i++)
            weights[i] = s->terms->items[i].weight;
        rc = terms_encode(call, desk, s->terms, each, err);
    }
    if (!rc)
        rc = query_combine(each, weights, n, (int)dim, vector, err);
    free(each);
    if (rc)
        free(vector);
    else
        *out = vector;
    return rc;
}

/* Looks at the first hits again, and keeps the best k of all. */
static int look_again(struct call *call, struct search *s, struct desk *desk, struct err *err)
{
    struct query_term       terms[QUERY_MAX_TERMS] = {{.weight = 0}};
    struct encoder_scratch *scratch                = NULL;
    struct rerank           r                      = {.lib = s->lib, .enc = desk_encoder(desk)};
    double                  start                  = clock_ms();
    int                     rc                     = call_check_time(call, err);
    s->reranked                                    = mem_array(s->n + 1, sizeof *s->reranked);
    if (!rc && !s->reranked)
        rc = err_set(err, ERR_NOMEM, "out of memory for the query");
    if (!rc)
        rc = desk_reranker(desk, &r.reranker, err);
    if (!rc)
        rc = encoder_scratch_new(r.enc, 1, &scratch, err);
    for (size_t i = 0; i < s->terms->n; i++) {
        terms[i].text   = s->terms->items[i].text;
        terms[i].weight = s->terms->items[i].weight;
    }
    r.scratch = scratch;
    r.threads = parallel_cores();
    if (!rc)
        rc = library_rerank(&r, terms, s->terms->n, s->hits, s->n, s->rerank, s->reranked, err);
    for (size_t i = 0; i < s->n && !rc; i++)
        s->hits[i] = s->reranked[i].hit;
    s->n = s->n < s->k ? s->n : s->k;
    encoder_scratch_free(scratch);
    call_stage(call, STAGE_RERANK, clock_ms() - start);
    return rc;
}

/* The texts that are wanted, as one. */
static int wanted_words(const struct terms *terms, struct buf *words, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < terms->n && !rc; i++) {
        const struct term *t = &terms->items[i];
        if (!t->text || t->weight <= 0)
            continue;
        rc = words->len ? buf_append_str(words, " ", err) : 0;
        rc = rc ? rc : buf_append_str(words, t->text, err);
    }
    return rc || words->len
               ? rc
               : err_set(err, ERR_USAGE, "hybrid looks for words, and no text is wanted here");
}

static int find_hybrid(struct search *s, const float *vector, const struct library_filter *filter,
                       struct err *err)
{
    struct buf words;
    buf_init(&words, (size_t)QUERY_MAX_TERMS * (TERMS_MAX_TEXT + 1));
    int rc = wanted_words(s->terms, &words, err);
    if (!rc)
        rc = library_search_hybrid(s->lib, vector, buf_str(&words), s->k, filter, &s->fused, &s->n,
                                   err);
    buf_release(&words);
    if (!rc && !(s->hits = mem_array(s->n + 1, sizeof *s->hits)))
        rc = err_set(err, ERR_NOMEM, "out of memory for the query");
    for (size_t i = 0; i < s->n && !rc; i++)
        s->hits[i] = s->fused[i].hit;
    return rc;
}

static int find(struct call *call, struct search *s, struct desk *desk, const float *vector,
                struct err *err)
{
    struct library_filter filter = {.folder_id = 0};
    double                start  = clock_ms();
    int rc = s->filter ? answers_filter(call, s->lib, s->filter, s->fields, &filter, err) : 0;
    filter.every_page    = s->every_page;
    filter.has_min_score = s->has_min_score;
    filter.min_score     = s->min_score;
    if (!rc && s->terms)
        rc = library_match_begin(s->lib, vector, terms_kind(s->terms), &s->match, err);
    if (!rc && s->has_min_match) {
        float least          = library_match_score(&s->match, s->min_match);
        filter.min_score     = s->has_min_score ? fmaxf(s->min_score, least) : least;
        filter.has_min_score = true;
    }
    if (!rc && s->hybrid)
        rc = find_hybrid(s, vector, &filter, err);
    else if (!rc)
        rc = library_search(s->lib, vector, s->k > s->rerank ? s->k : s->rerank, &filter, &s->hits,
                            &s->n, err);
    call_stage(call, STAGE_SEARCH, clock_ms() - start);
    return rc || !s->rerank ? rc : look_again(call, s, desk, err);
}

int search_run(struct call *call, struct search *s, struct err *err)
{
    struct desk *desk = NULL, *now = NULL;
    int          rc = call_desk(call, &desk, err);
    for (int try = 0; !rc; try++) {
        float *vector = NULL;
        rc            = encode(call, s, desk, &vector, err);
        if (!rc)
            rc = call_check_time(call, err);
        if (!rc)
            rc = call_library(call, &s->lib, err);
        if (!rc)
            rc = shelf_desk(call->shelf, s->lib, &now, err);
        bool same = now == desk;
        desk_release(desk);
        desk = now;
        now  = NULL;
        if (!rc && same)
            rc = find(call, s, desk, vector, err);
        free(vector);
        if (rc || same)
            break;
        call_done(call, s->lib);
        s->lib = NULL;
        if (try == TRIES)
            rc = err_set(err, ERR_BUSY, "the library changes its model just now");
    }
    desk_release(desk);
    return rc;
}

void search_release(struct call *call, struct search *s)
{
    call_done(call, s->lib);
    free(s->hits);
    free(s->reranked);
    free(s->fused);
    s->fused    = NULL;
    s->lib      = NULL;
    s->hits     = NULL;
    s->reranked = NULL;
}
