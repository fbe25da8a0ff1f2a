/* Re-ranking what a search found: see library_rerank.h. */
#include "storage/library_rerank.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/decoder.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* One picture that is looked at again. */
struct candidate {
    uint8_t *kept; /* (kept_bytes) */
    char    *path; /* of its file, where the library keeps nothing of it; else NULL */
    int64_t  size; /* bytes that the file should have */
    bool     ready;

    struct image_part part; /* of it: the page or the frame that was found */
};

struct work {
    const struct rerank *r;
    struct candidate    *all; /* (n) */
    size_t               n, missing;
    uint8_t             *memory; /* (n, kept_bytes) */
};

static void work_release(struct work *w)
{
    for (size_t i = 0; w->all && i < w->n; i++)
        free(w->all[i].path);
    free(w->all);
    free(w->memory);
}

bool rerank_has_text(const struct query_term *terms, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (terms[i].text)
            return true;
    }
    return false;
}

/* ---- What is needed of the pictures ---- */

static int find_file(struct library *lib, int64_t id, struct candidate *c, struct err *err)
{
    struct library_image image;
    struct err           why = ERR_INIT;
    int                  rc  = library_image_get(lib, id, &image, &why);
    if (rc == ERR_NOTFOUND) /* it has just gone */
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    c->path = path_join(image.folder, image.path);
    c->size = image.size;
    library_image_release(&image);
    return c->path ? 0 : err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
}

/* Takes what the library keeps; notes the files of the others. What is kept of a scan is
 * of its first page. */
static int take_kept(struct work *w, const struct library_hit *hits, struct err *err)
{
    const struct reranker_info *info = reranker_info(w->r->reranker);
    struct library             *lib  = w->r->lib;
    struct library_regions      of;
    struct err                  why  = ERR_INIT;
    int                         rc   = library_regions_find(lib, info->hash, &of, &why);
    bool                        some = rc == 0 && of.bytes == info->kept_bytes;
    if (rc && rc != ERR_NOTFOUND)
        return err_set(err, why.code, "%s", why.msg);
    for (size_t i = 0; i < w->n; i++) {
        struct candidate *c = &w->all[i];
        c->kept             = w->memory + i * info->kept_bytes;
        c->part             = (struct image_part){.page    = hits[i].page > 1 ? hits[i].page - 1 : 0,
                                                  .time_ms = hits[i].timed ? hits[i].time_ms : IMAGE_ANY_TIME};
        /* what is kept is of a scan's first page; which frame it is of nobody noted */
        rc                  = some && !c->part.page && !hits[i].timed
                                  ? library_regions_get(lib, &of, hits[i].id, c->kept, &why)
                                  : ERR_NOTFOUND;
        if (rc && rc != ERR_NOTFOUND && rc != ERR_DAMAGED)
            return err_set(err, why.code, "%s", why.msg);
        c->ready = rc == 0;
        if (rc)
            rc = find_file(lib, hits[i].id, c, err);
        if (rc)
            return rc;
        w->missing += c->path != NULL;
    }
    return 0;
}

/* Decodes and encodes one picture. A file that is not what it was, or no picture any
 * more, is left out; other failures are errors. */
static int look_again(const struct rerank *r, struct candidate *c, uint8_t *pixels,
                      struct encoder_scratch *scratch, struct err *err)
{
    const struct preprocess *pre     = &encoder_info(r->enc)->preprocess;
    struct decoder          *decoder = NULL;
    struct image             view    = {0};
    uint8_t                 *bytes   = NULL;
    size_t                   len     = 0;
    int                      rc      = encoder_scratch_decoder(scratch, &decoder, err);
    if (rc)
        return rc;
    rc = file_read(c->path, QUERY_MAX_IMAGE_BYTES, &bytes, &len, NULL);
    if (!rc && (int64_t)len != c->size)
        rc = ERR_NOTFOUND;
    if (!rc)
        rc = decoder_decode_part(decoder, bytes, len, &c->part, preprocess_min_side(pre), &view,
                                 NULL, NULL);
    if (!rc)
        rc = preprocess_image(pre, &view, pixels, NULL);
    free(bytes);
    if (rc)
        return 0;
    rc       = reranker_pictures(r->reranker, scratch, pixels, 1, NULL, c->kept, err);
    c->ready = rc == 0;
    return rc;
}

/* Goes through the files, one picture a thread at a time. */
static int look_at_files(struct work *w, struct err *err)
{
    const struct rerank       *r    = w->r;
    const struct encoder_info *info = encoder_info(r->enc);
    size_t     size    = (size_t)info->preprocess.out_w * (size_t)info->preprocess.out_h;
    int        count   = (int)w->missing;
    int        threads = r->threads < 1 ? 1 : r->threads < count ? r->threads : count;
    int        failed  = 0;
    struct err first   = ERR_INIT;
    if (w->missing == 0)
        return 0;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        struct encoder_scratch *scratch = NULL;
        struct err              why     = ERR_INIT;
        uint8_t                *pixels  = mem_aligned(size, 3);
        int                     rc      = pixels ? encoder_scratch_new(r->enc, 1, &scratch, &why)
                                                 : err_set(&why, ERR_NOMEM, "cannot re-rank: out of memory");
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < w->n; i++) {
            if (!rc && w->all[i].path)
                rc = look_again(r, &w->all[i], pixels, scratch, &why);
        }
        encoder_scratch_free(scratch);
        free(pixels);
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

/* ---- Scores ---- */

/* Adds one text's scores, times weight, to those of the candidates that are ready. */
static int score_text(const struct work *w, const char *text, float weight, const uint8_t **kept,
                      float *scores, struct rerank_result *out, struct err *err)
{
    const struct rerank   *r     = w->r;
    struct reranker_query *query = NULL;
    int                    n     = 0;
    int                    rc    = reranker_query_new(r->reranker, r->scratch, text, &query, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < w->n; i++) {
        if (w->all[i].ready)
            kept[n++] = w->all[i].kept;
    }
    rc = reranker_score(r->reranker, query, kept, n, r->threads, scores, err);
    n  = 0;
    for (size_t i = 0; i < w->n && !rc; i++) {
        if (w->all[i].ready)
            out[i].rerank += weight * scores[n++];
    }
    reranker_query_free(query);
    return rc;
}

static int score_all(const struct work *w, const struct query_term *terms, size_t n_terms,
                     struct rerank_result *out, struct err *err)
{
    const uint8_t **kept   = mem_array(w->n + 1, sizeof *kept);
    float          *scores = mem_array(w->n + 1, sizeof *scores);
    double          parts  = 0;
    int rc = kept && scores ? 0 : err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
    for (size_t i = 0; i < n_terms; i++)
        parts += fabs((double)terms[i].weight);
    for (size_t i = 0; i < n_terms && !rc; i++) {
        float share = (float)((double)terms[i].weight / parts);
        if (terms[i].text && share != 0)
            rc = score_text(w, terms[i].text, share, kept, scores, out, err);
    }
    free(kept);
    free(scores);
    return rc;
}

/* ---- Order ---- */

struct ordered {
    struct rerank_result result;
    float                mixed;
};

/* A higher mixed score first, then a lower id, as searches list them. */
static int better_first(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->mixed != y->mixed)
        return x->mixed > y->mixed ? -1 : 1;
    return (x->result.hit.id > y->result.hit.id) - (x->result.hit.id < y->result.hit.id);
}

/* Sorts those that were scored among their places; the others keep theirs. */
static int reorder(struct rerank_result *all, size_t n, float weight, struct err *err)
{
    struct ordered *list = mem_array(n + 1, sizeof *list);
    size_t          m    = 0;
    if (!list)
        return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
    for (size_t i = 0; i < n; i++) {
        if (all[i].scored)
            list[m++] = (struct ordered){all[i], all[i].hit.score + weight * all[i].rerank};
    }
    qsort(list, m, sizeof *list, better_first);
    m = 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i].scored)
            all[i] = list[m++].result;
    }
    free(list);
    return 0;
}

int library_rerank(const struct rerank *r, const struct query_term *terms, size_t n_terms,
                   const struct library_hit *hits, size_t n, size_t top, struct rerank_result *out,
                   struct err *err)
{
    const struct reranker_info *info = reranker_info(r->reranker);
    struct work                 w    = {.r = r, .n = top < n ? top : n};
    if (!rerank_has_text(terms, n_terms))
        return err_set(err, ERR_USAGE, "there is nothing to re-rank by: the query has no text");
    for (size_t i = 0; i < n; i++)
        out[i] = (struct rerank_result){.hit = hits[i]};
    w.all    = mem_zeroed(w.n + 1, sizeof *w.all);
    w.memory = mem_array(w.n + 1, info->kept_bytes);
    int rc   = w.all && w.memory ? 0 : err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
    if (!rc)
        rc = take_kept(&w, hits, err);
    if (!rc)
        rc = look_at_files(&w, err);
    for (size_t i = 0; i < w.n && !rc; i++)
        out[i].scored = w.all[i].ready;
    if (!rc)
        rc = score_all(&w, terms, n_terms, out, err);
    if (!rc)
        rc = reorder(out, w.n, info->weight, err);
    work_release(&w);
    return rc;
}
