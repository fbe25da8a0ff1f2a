/* From a query's vector to lines of results (results.h). */
#include "cli/results.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/preview.h"
#include "image/formats.h"
#include "storage/library_hybrid.h"
#include "storage/library_rerank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREVIEW_MAX_BYTES ((size_t)1 << 30)

/* A hit with what else is known of its place. */
struct found {
    struct rerank_result result;
    double               fused;
    size_t               vector_rank, words_rank;
};

/* Where --in lies, as one filter takes it; freed by the caller. NULL: everywhere. */
static int places_join(const struct places *places, struct library_place **out, struct err *err)
{
    *out = NULL;
    if (places->n_dirs == 0)
        return 0;
    *out = mem_array(places->n + 1, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < places->n; i++)
        (*out)[i] = (struct library_place){places->filters[i].folder_id, places->filters[i].below};
    return 0;
}

/* The filter of a request: what its options say, the least score. */
static struct library_filter filter_of(const struct results_request *r,
                                       const struct library_match   *match)
{
    struct library_filter filter = r->filters.filter;
    filter.has_min_score         = r->has_min_score;
    filter.min_score             = (float)r->min_score;
    filter.every_page            = r->every_page;
    if (r->has_min_match) {
        float least          = library_match_score(match, r->min_match);
        filter.min_score     = r->has_min_score ? fmaxf(filter.min_score, least) : least;
        filter.has_min_score = true;
    }
    return filter;
}

/* How results are printed. */
struct printer {
    const struct common *common;
    struct preview      *preview; /* or NULL */
    struct library_match match;
    int                  width; /* of the rank */
    bool                 reranked, listed, hybrid;
};

static int print_json(const struct results_line *line, struct err *err)
{
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_int(o, "rank", (int64_t)line->rank);
        if (!line->listed)
            failed |= jnode_set_real(o, "score", (double)line->score);
        if (line->matched)
            failed |= jnode_set_real(o, "match", line->match);
        if (line->scored)
            failed |= jnode_set_real(o, "rerank", (double)line->rerank);
        if (line->hybrid)
            failed |= jnode_set_real(o, "fused", line->fused);
        if (line->vector_rank)
            failed |= jnode_set_int(o, "vector_rank", (int64_t)line->vector_rank);
        if (line->words_rank)
            failed |= jnode_set_int(o, "words_rank", (int64_t)line->words_rank);
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
        if (line->pages > 1)
            failed |= jnode_set_int(o, "pages", line->pages);
        if (line->film)
            failed |= jnode_set_bool(o, "film", true);
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
    if (line->listed) {
        char day[32] = "";
        printf("%*zu  %-10.10s  ", width, line->rank,
               line->taken_at ? time_text(line->taken_at, day) : "-");
        out_path(line->path);
        putchar('\n');
        return 0;
    }
    printf("%*zu  %6.3f  ", width, line->rank, (double)line->score);
    if (line->matched)
        printf("%3.0f%%  ", 100 * line->match);
    if (line->scored)
        printf("%6.3f  ", (double)line->rerank);
    else if (line->reranked)
        printf("%6s  ", "-");
    if (line->hybrid)
        printf("%-5s  ", !line->words_rank ? "seen" : !line->vector_rank ? "words" : "both");
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

static int print_hit(const struct printer *p, size_t rank, const struct found *hit,
                     const struct library_image *image, struct err *err)
{
    const struct rerank_result *found = &hit->result;

    char *path = path_join(image->folder, image->path);
    int   rc   = 0;
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    struct results_line line = {.rank        = rank,
                                .listed      = p->listed,
                                .hybrid      = p->hybrid,
                                .fused       = hit->fused,
                                .vector_rank = hit->vector_rank,
                                .words_rank  = hit->words_rank,
                                .score       = found->hit.score,
                                .matched     = p->match.known,
                                .match       = library_match_of(&p->match, found->hit.score),
                                .reranked    = p->reranked,
                                .scored      = found->scored,
                                .rerank      = found->rerank,
                                .id          = found->hit.id,
                                .path        = path,
                                .width       = image->width,
                                .height      = image->height,
                                .taken_at    = image->taken_at,
                                .page        = found->hit.page,
                                .timed       = found->hit.timed,
                                .time_ms     = found->hit.time_ms,
                                .pages       = image->pages,
                                .film        = format_names_video(image->kind)};
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
                      const struct found *found, size_t n, size_t k, size_t *shown, struct err *err)
{
    p->width = results_width(n < k ? n : k);
    for (size_t i = 0; i < n && *shown < k && !output_broken(); i++) {
        struct library_image image;
        int                  rc = library_image_get(lib, found[i].result.hit.id, &image, err);
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
                        const struct library_filter *filter, size_t k, struct library_hit **hits,
                        size_t *n, struct err *err)
{
    for (size_t extra = 8;; extra *= 4) {
        size_t want = k < SIZE_MAX - extra ? k + extra : SIZE_MAX;
        size_t left = 0;
        int    rc   = library_search(lib, r->vector, want, filter, hits, n, err);
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

static int found_new(size_t n, struct found **out, struct err *err)
{
    *out = mem_zeroed(n + 1, sizeof **out);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu results", n);
}

/* The hits in their final order, freed by the caller. */
static int arrange(struct session *s, const struct results_request *r,
                   const struct library_hit *hits, size_t n, struct found **out, struct err *err)
{
    struct rerank         rerank = {.lib      = s->lib,
                                    .enc      = s->enc,
                                    .scratch  = s->scratch,
                                    .reranker = s->reranker,
                                    .threads  = parallel_cores()};
    struct rerank_result *again  = NULL;
    int                   rc     = found_new(n, out, err);
    if (!rc && r->rerank && !(again = mem_array(n + 1, sizeof *again)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu results", n);
    if (!rc && r->rerank)
        rc = library_rerank(&rerank, r->terms, r->n_terms, hits, n, r->rerank, again, err);
    for (size_t i = 0; i < n && !rc; i++)
        (*out)[i].result = again ? again[i] : (struct rerank_result){.hit = hits[i]};
    free(again);
    return rc;
}

static int find_hybrid(struct library *lib, const struct results_request *r,
                       const struct library_filter *filter, size_t k, struct found **out, size_t *n,
                       struct err *err)
{
    struct library_fused *fused = NULL;
    int rc = library_search_hybrid(lib, r->vector, r->words, k, filter, &fused, n, err);
    if (!rc)
        rc = found_new(*n, out, err);
    for (size_t i = 0; i < *n && !rc; i++)
        (*out)[i] = (struct found){.result.hit  = fused[i].hit,
                                   .fused       = fused[i].fused,
                                   .vector_rank = fused[i].vector_rank,
                                   .words_rank  = fused[i].words_rank};
    free(fused);
    return rc;
}

static int find_listed(struct library *lib, const struct library_filter *filter, size_t k,
                       struct found **out, size_t *n, struct err *err)
{
    struct library_stats  stats;
    struct library_image *images = NULL;
    int                   rc     = library_stats(lib, &stats, err);
    if (!rc)
        rc = library_list(lib, filter, LIBRARY_BY_DATE, NULL,
                          k < (size_t)stats.images ? k : (size_t)stats.images, &images, n, err);
    if (!rc)
        rc = found_new(*n, out, err);
    for (size_t i = 0; i < *n; i++) {
        if (!rc)
            (*out)[i].result.hit.id = images[i].id;
        library_image_release(&images[i]);
    }
    free(images);
    return rc;
}

static int find(struct session *s, const struct results_request *r,
                const struct library_filter *filter, size_t k, struct found **out, size_t *n,
                struct err *err)
{
    struct library_hit *hits  = NULL;
    size_t              fetch = k > r->rerank ? k : r->rerank;
    if (!r->vector)
        return find_listed(s->lib, filter, k, out, n, err);
    if (r->words)
        return find_hybrid(s->lib, r, filter, k, out, n, err);
    int rc = r->not_hash ? count_needed(s->lib, r, filter, k, &hits, n, err)
                         : library_search(s->lib, r->vector, fetch, filter, &hits, n, err);
    if (!rc)
        rc = arrange(s, r, hits, *n, out, err);
    free(hits);
    return rc;
}

int results_show(struct session *s, const struct results_request *r, size_t *shown, struct err *err)
{
    struct printer        printer = {.common   = s->common,
                                     .reranked = r->rerank > 0,
                                     .listed   = !r->vector,
                                     .hybrid   = r->words != NULL};
    struct places         places;
    struct library_filter filter;
    struct library_place *within = NULL;
    struct found         *found  = NULL;
    size_t                n      = 0;
    size_t                k      = r->k ? r->k : RESULTS_DEFAULT_K;
    *shown                       = 0;
    int rc = places_init(&places, s, &r->filters.in, r->filters.in != NULL, err);
    if (!rc && r->preview)
        rc = preview_open(r->preview, &printer.preview, err);
    if (!rc && r->vector)
        rc = library_match_begin(s->lib, r->vector, r->kind, &printer.match, err);
    if (!rc && r->has_min_match && r->vector && !printer.match.known)
        note(s->common, "too few pictures to tell good matches from bad: --min-match does nothing");
    if (!rc)
        rc = places_join(&places, &within, err);
    if (!rc) {
        filter          = filter_of(r, &printer.match);
        filter.places   = within;
        filter.n_places = within ? places.n : 0;
        rc              = find(s, r, &filter, k, &found, &n, err);
    }
    if (!rc)
        rc = print_hits(s->lib, r, &printer, found, n, k, shown, err);
    free(found);
    free(within);
    preview_close(printer.preview);
    places_release(&places);
    return rc;
}
