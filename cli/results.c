/* From a query's vector to lines of results (results.h). */
#include "cli/results.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/preview.h"
#include "storage/library_rerank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREVIEW_MAX_BYTES ((size_t)1 << 30)

static int better_first(const void *a, const void *b)
{
    const struct library_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The k best of all places. */
static int search_places(struct library *lib, const struct results_request *r,
                         const struct library_match *match, const struct places *places, size_t k,
                         struct library_hit **hits, size_t *n, struct err *err)
{
    struct library_hit *all   = NULL;
    size_t              total = 0;
    int                 rc    = 0;
    for (size_t i = 0; !rc && i < places->n; i++) {
        struct library_filter filter = places->filters[i];
        struct library_hit   *some   = NULL;
        size_t                n_some = 0;
        filter.has_min_score         = r->has_min_score;
        filter.min_score             = (float)r->min_score;
        filter.every_page            = r->every_page;
        if (r->has_min_match) {
            float least          = library_match_score(match, r->min_match);
            filter.min_score     = r->has_min_score ? fmaxf(filter.min_score, least) : least;
            filter.has_min_score = true;
        }
        rc = library_search(lib, r->vector, k, &filter, &some, &n_some, err);
        if (rc)
            break;
        if (places->n == 1) {
            *hits = some;
            *n    = n_some;
            return 0;
        }
        struct library_hit *grown = mem_regrow(all, total + n_some + 1, sizeof *all);
        if (!grown) {
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu results", total + n_some);
        } else {
            all = grown;
            if (n_some)
                memcpy(all + total, some, n_some * sizeof *all);
            total += n_some;
        }
        free(some);
    }
    if (rc) {
        free(all);
        return rc;
    }
    if (total)
        qsort(all, total, sizeof *all, better_first);
    *hits = all;
    *n    = total < k ? total : k;
    return 0;
}

/* How results are printed. */
struct printer {
    const struct common *common;
    struct preview      *preview; /* or NULL */
    struct library_match match;
    int                  width; /* of the rank */
    bool                 reranked;
};

static int print_json(const struct results_line *line, struct err *err)
{
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_int(o, "rank", (int64_t)line->rank);
        failed |= jnode_set_real(o, "score", (double)line->score);
        if (line->matched)
            failed |= jnode_set_real(o, "match", line->match);
        if (line->scored)
            failed |= jnode_set_real(o, "rerank", (double)line->rerank);
        failed |= jnode_set_int(o, "id", line->id);
        failed |= jnode_set_path(o, "path", line->path);
        if (line->width > 0 && line->height > 0) {
            failed |= jnode_set_int(o, "width", line->width);
            failed |= jnode_set_int(o, "height", line->height);
        }
        if (line->taken_at)
            failed |= jnode_set_int(o, "taken_at", line->taken_at);
        if (line->page)
            failed |= jnode_set_int(o, "page", line->page);
        if (line->timed)
            failed |= jnode_set_int(o, "time_ms", line->time_ms);
    }
    return out_json(o, failed, err);
}

/* "at 1:23", with hours where there are any. */
static void print_time(int64_t ms)
{
    int seconds = (int)(ms / 1000);
    if (seconds < 3600)
        printf("  at %d:%02d", seconds / 60, seconds % 60);
    else
        printf("  at %d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

int results_print(const struct common *common, const struct results_line *line, int width,
                  struct err *err)
{
    if (common->json)
        return print_json(line, err);
    printf("%*zu  %6.3f  ", width, line->rank, (double)line->score);
    if (line->matched)
        printf("%3.0f%%  ", 100 * line->match);
    if (line->scored)
        printf("%6.3f  ", (double)line->rerank);
    else if (line->reranked)
        printf("%6s  ", "-");
    out_path(line->path);
    if (line->page)
        printf("  page %d", line->page);
    if (line->timed)
        print_time(line->time_ms);
    putchar('\n');
    return 0;
}

static void print_preview(const struct printer *p, const char *path)
{
    uint8_t   *bytes = NULL;
    size_t     len   = 0;
    struct err err   = ERR_INIT;
    if (file_read(path, PREVIEW_MAX_BYTES, &bytes, &len, &err) ||
        preview_print(p->preview, bytes, len, &err))
        note(p->common, "no preview: %s", err.msg);
    free(bytes);
}

static int print_hit(const struct printer *p, size_t rank, const struct rerank_result *found,
                     const struct library_image *image, struct err *err)
{
    char *path = path_join(image->folder, image->path);
    int   rc   = 0;
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct results_line line = {.rank     = rank,
                                .score    = found->hit.score,
                                .matched  = p->match.known,
                                .match    = library_match_of(&p->match, found->hit.score),
                                .reranked = p->reranked,
                                .scored   = found->scored,
                                .rerank   = found->rerank,
                                .id       = found->hit.id,
                                .path     = path,
                                .width    = image->width,
                                .height   = image->height,
                                .taken_at = image->taken_at,
                                .page     = found->hit.page,
                                .timed    = found->hit.timed,
                                .time_ms  = found->hit.time_ms};
    rc                       = results_print(p->common, &line, p->width, err);
    if (!rc && p->preview)
        print_preview(p, path);
    free(path);
    return rc;
}

int results_width(size_t n)
{
    int d = 1;
    for (; n >= 10; n /= 10)
        d++;
    return d;
}

/* Prints up to k hits; what has gone since the search, and what not_hash
 * excludes, gets no rank. */
static int print_hits(struct library *lib, const struct results_request *r, struct printer *p,
                      const struct rerank_result *found, size_t n, size_t k, size_t *shown,
                      struct err *err)
{
    p->width = results_width(n < k ? n : k);
    for (size_t i = 0; i < n && *shown < k && !output_broken(); i++) {
        struct library_image image;
        int                  rc = library_image_get(lib, found[i].hit.id, &image, err);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc)
            return rc;
        if (!r->not_hash || memcmp(image.hash, r->not_hash, LIBRARY_HASH_BYTES) != 0)
            rc = print_hit(p, ++*shown, &found[i], &image, err);
        library_image_release(&image);
        if (rc)
            return rc;
    }
    return 0;
}

/* How many hits to ask for so that k are left without the pictures of a
 * content: copies have the same embedding, but so may others, so it is counted. */
static int count_needed(struct library *lib, const struct results_request *r,
                        const struct library_match *match, const struct places *places, size_t k,
                        struct library_hit **hits, size_t *n, struct err *err)
{
    for (size_t extra = 8;; extra *= 4) {
        size_t want = k < SIZE_MAX - extra ? k + extra : SIZE_MAX;
        size_t left = 0;
        int    rc   = search_places(lib, r, match, places, want, hits, n, err);
        for (size_t i = 0; !rc && i < *n && left < k; i++) {
            struct library_image image;
            rc = library_image_get(lib, (*hits)[i].id, &image, err);
            if (rc == ERR_NOTFOUND) {
                rc = 0;
                continue;
            }
            if (rc)
                break;
            left += memcmp(image.hash, r->not_hash, LIBRARY_HASH_BYTES) != 0;
            library_image_release(&image);
        }
        if (!rc && (left == k || *n < want))
            return 0;
        free(*hits);
        *hits = NULL;
        if (rc)
            return rc;
    }
}

/* The hits in their final order, freed by the caller. */
static int arrange(struct session *s, const struct results_request *r,
                   const struct library_hit *hits, size_t n, struct rerank_result **out,
                   struct err *err)
{
    struct rerank rerank = {.lib      = s->lib,
                            .enc      = s->enc,
                            .scratch  = s->scratch,
                            .reranker = s->reranker,
                            .threads  = parallel_cores()};
    *out                 = mem_array(n + 1, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "out of memory for %zu results", n);
    if (r->rerank)
        return library_rerank(&rerank, r->terms, r->n_terms, hits, n, r->rerank, *out, err);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = (struct rerank_result){.hit = hits[i]};
    return 0;
}

int results_show(struct session *s, const struct results_request *r, size_t *shown, struct err *err)
{
    struct printer        printer = {.common = s->common, .reranked = r->rerank > 0};
    struct places         places;
    struct library_hit   *hits  = NULL;
    struct rerank_result *found = NULL;
    size_t                n     = 0;
    size_t                k     = r->k ? r->k : RESULTS_DEFAULT_K;
    size_t                fetch = k > r->rerank ? k : r->rerank;
    *shown                      = 0;
    int rc                      = places_init(&places, s->lib, &r->in, r->in != NULL, err);
    if (!rc && r->preview)
        rc = preview_open(r->preview, &printer.preview, err);
    if (!rc)
        rc = library_match_begin(s->lib, r->vector, r->kind, &printer.match, err);
    if (!rc && r->has_min_match && !printer.match.known)
        note(s->common, "too few pictures to tell good matches from bad: --min-match does nothing");
    if (!rc)
        rc = r->not_hash ? count_needed(s->lib, r, &printer.match, &places, k, &hits, &n, err)
                         : search_places(s->lib, r, &printer.match, &places, fetch, &hits, &n, err);
    if (!rc)
        rc = arrange(s, r, hits, n, &found, err);
    if (!rc)
        rc = print_hits(s->lib, r, &printer, found, n, k, shown, err);
    free(hits);
    free(found);
    preview_close(printer.preview);
    places_release(&places);
    return rc;
}
