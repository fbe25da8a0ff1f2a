/* osprey eval --index: how much of the exact answer the vector index finds.
 *
 * Recall@k of the answers that a search gives, against an exact search over the
 * stored embeddings. Pictures of the library ask (each for the others: itself is
 * found by any index), and captions, where a file of them is given. What scores
 * as high as the exact answer's last one is right, whichever of equals it is.
 */
#include "cli/eval.h"
#include "cli/eval_encode.h"
#include "cli/eval_report.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/splitmix.h"
#include "learn/bootstrap.h"
#include "learn/captions.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_K      10
#define DEFAULT_SAMPLE 200
#define PAGE           1000 /* files listed at a time */

/* One kind of query. */
struct agreement {
    double         *recall; /* (n) percent, NaN where there is nothing to find */
    size_t          n;
    double          mean;
    struct interval ci;
};

struct sample {
    int64_t *ids; /* (n) */
    size_t   n, max;
    size_t   seen;
    uint64_t state;
};

/* Each of those seen stays with the same probability (Vitter's algorithm R, 1985). */
static void sample_offer(struct sample *sample, int64_t id)
{
    size_t at = sample->seen++;
    if (at >= sample->max)
        at = splitmix_below(&sample->state, sample->seen);
    if (at < sample->max)
        sample->ids[at] = id;
    if (sample->n < sample->max)
        sample->n++;
}

static int sample_folder(struct session *s, int64_t folder, int64_t model, struct sample *out,
                         struct err *err)
{
    char *after = mem_strdup("");
    int   rc    = after ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t n = PAGE; !rc && n == PAGE;) {
        struct library_known *known = NULL;
        rc = library_known_after(s->lib, folder, model, "", after, PAGE, &known, &n, err);
        if (rc)
            break;
        for (size_t i = 0; i < n; i++)
            if (known[i].id > 0 && known[i].embedded)
                sample_offer(out, known[i].id);
        free(after);
        after = mem_strdup(n ? known[n - 1].path : "");
        rc    = after ? 0 : err_set(err, ERR_NOMEM, "out of memory");
        library_known_free(known, n);
    }
    free(after);
    return rc;
}

static int sample_library(struct session *s, const struct library_model *model, struct sample *out,
                          struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int                    rc      = library_folders(s->lib, &folders, &n, err);
    for (size_t i = 0; !rc && i < n; i++)
        rc = sample_folder(s, folders[i].id, model->id, out, err);
    library_folders_free(folders, n);
    return rc;
}

/* Takes the asking picture out; at most k are left. */
static size_t without(struct library_hit *hits, size_t n, int64_t self, size_t k)
{
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < k; i++)
        if (hits[i].id != self)
            hits[kept++] = hits[i];
    return kept;
}

/* self: the picture that asks, or 0. */
static int compare(struct session *s, const float *query, int64_t self, size_t k, double *recall,
                   struct err *err)
{
    const struct library_filter all   = {.exact = true};
    struct library_hit         *found = NULL, *right = NULL;
    size_t                      ask = k + (self > 0), n_found = 0, n_right = 0, hits = 0;
    int rc = library_search(s->lib, query, ask, &all, &right, &n_right, err);
    if (!rc)
        rc = library_search(s->lib, query, ask, NULL, &found, &n_found, err);
    if (!rc) {
        n_right = without(right, n_right, self, k);
        n_found = without(found, n_found, self, k);
        for (size_t i = 0; i < n_found && i < n_right; i++)
            hits += found[i].score >= right[n_right - 1].score;
        *recall = n_right ? 100.0 * (double)hits / (double)n_right : NAN;
    }
    free(found);
    free(right);
    return rc;
}

static int finish(struct agreement *a, uint64_t seed, struct err *err)
{
    size_t n = 0;
    a->mean  = 0;
    for (size_t i = 0; i < a->n; i++)
        if (!isnan(a->recall[i])) {
            a->mean += a->recall[i];
            n++;
        }
    a->mean = n ? a->mean / (double)n : 0;
    return bootstrap_mean(a->recall, NULL, a->n, a->n, seed, &a->ci, err);
}

static size_t sample_size(const struct eval_request *request)
{
    return request->sample ? request->sample : DEFAULT_SAMPLE;
}

static int ask_pictures(struct session *s, const struct library_model *model,
                        const struct library_stats *stats, const struct eval_request *request,
                        size_t k, struct agreement *out, struct err *err)
{
    struct sample sample = {.max = sample_size(request), .state = request->seed};
    float        *query  = mem_array((size_t)model->dim, sizeof *query);
    if (sample.max > (size_t)stats->images)
        sample.max = (size_t)stats->images;
    sample.ids  = mem_array(sample.max, sizeof *sample.ids);
    out->recall = mem_array(sample.max, sizeof *out->recall);
    int rc      = query && sample.ids && out->recall
                      ? sample_library(s, model, &sample, err)
                      : err_set(err, ERR_NOMEM, "out of memory for %zu queries", sample.max);
    if (!rc && sample.n == 0)
        rc = err_set(err, ERR_NOTFOUND, "the library has no pictures to ask for");
    for (size_t i = 0; !rc && i < sample.n; i++) {
        struct err gone = ERR_INIT;
        rc              = library_embedding_get(s->lib, sample.ids[i], query, &gone);
        if (rc == ERR_NOTFOUND) { /* removed since */
            rc = 0;
            continue;
        }
        rc = rc ? err_set(err, gone.code, "%s", gone.msg)
                : compare(s, query, sample.ids[i], k, &out->recall[out->n++], err);
    }
    if (!rc)
        rc = finish(out, request->seed, err);
    free(query);
    free(sample.ids);
    return rc;
}

/* texts: (n), encoded here. */
static int ask_texts(struct session *s, const char *const *texts, size_t n, size_t k,
                     struct agreement *out, struct err *err)
{
    size_t dim     = (size_t)encoder_info(s->enc)->dim;
    float *queries = mem_array(n * dim, sizeof *queries);
    out->recall    = mem_array(n, sizeof *out->recall);
    int rc = queries && out->recall ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu texts", n);
    if (!rc) {
        note(s->common, "encoding %zu captions", n);
        rc = encode_texts(s, texts, n, queries, err);
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = compare(s, queries + i * dim, 0, k, &out->recall[out->n++], err);
    free(queries);
    return rc;
}

static int ask_captions(struct session *s, const struct eval_request *request, size_t k,
                        struct agreement *out, struct err *err)
{
    struct captions set   = {0};
    uint64_t        state = request->seed;
    int             rc    = captions_read(request->captions, request->split, &set, err);
    if (!rc)
        rc = session_library_encoder(s, err);
    size_t n = sample_size(request);
    if (n > set.n_captions)
        n = set.n_captions;
    for (size_t i = 0; !rc && i < n; i++) { /* the first n of a shuffle */
        size_t j     = i + splitmix_below(&state, set.n_captions - i);
        char  *moved = set.texts[i];
        set.texts[i] = set.texts[j];
        set.texts[j] = moved;
    }
    if (!rc)
        rc = ask_texts(s, (const char *const *)set.texts, n, k, out, err);
    if (!rc)
        rc = finish(out, request->seed, err);
    captions_release(&set);
    return rc;
}

/* ---- Showing it ---- */

static int set_agreement(struct jnode *node, const char *key, const struct agreement *a)
{
    struct jnode *o = jnode_object();
    return jnode_set_real(o, "recall", a->mean) | report_set_interval(o, "interval", &a->ci) |
           jnode_set_int(o, "n", (int64_t)a->n) | jnode_set(node, key, o);
}

static void print_row(const char *what, const struct agreement *a)
{
    printf("%-9s %6.2f (%6.2f-%6.2f)  %6zu\n", what, a->mean, a->ci.low, a->ci.high, a->n);
}

static int show(const struct session *s, const struct library_stats *stats, size_t k,
                const struct agreement *pictures, const struct agreement *texts, struct err *err)
{
    if (s->common->json) {
        struct jnode *o = jnode_object(), *index = jnode_object();
        int           failed = jnode_set_str(index, "kind", stats->index_kind) |
                     jnode_set_int(index, "images", stats->images) |
                     jnode_set_int(index, "base", stats->index_base) |
                     jnode_set_int(index, "delta", stats->index_delta) |
                     jnode_set_int(index, "k", (int64_t)k) |
                     set_agreement(index, "image_queries", pictures);
        if (texts->n)
            failed |= set_agreement(index, "text_queries", texts);
        return out_json(o, failed | jnode_set(o, "index", index), err);
    }
    printf("index     %s, %" PRId64 " pictures (%" PRId64 " in its base, %" PRId64 " since)\n\n",
           stats->index_kind[0] ? stats->index_kind : "none", stats->images, stats->index_base,
           stats->index_delta);
    printf("%-9s recall@%-4zu %12s  %6s\n", "queries", k, "", "n");
    print_row("pictures", pictures);
    if (texts->n)
        print_row("captions", texts);
    return 0;
}

int eval_index(struct session *s, const struct eval_request *request, struct err *err)
{
    struct agreement     pictures = {0}, texts = {0};
    struct library_model model;
    struct library_stats stats;
    size_t               k  = s->common->k ? s->common->k : DEFAULT_K;
    int                  rc = session_library(s, err);
    if (!rc)
        rc = library_model_active(s->lib, &model, err);
    if (!rc)
        rc = library_stats(s->lib, &stats, err);
    if (!rc)
        rc = ask_pictures(s, &model, &stats, request, k, &pictures, err);
    if (!rc && request->captions)
        rc = ask_captions(s, request, k, &texts, err);
    if (!rc)
        rc = report_histogram(request->svg, "How much of the exact answer a search finds",
                              "recall in percent", pictures.recall, pictures.n, err);
    if (!rc)
        rc = show(s, &stats, k, &pictures, &texts, err);
    free(pictures.recall);
    free(texts.recall);
    return rc;
}
