/* osprey eval --captions: do captions and pictures find each other? And, with
 * --rerank, what changes when the first are looked at again? */
#include "cli/eval.h"
#include "cli/eval_encode.h"
#include "cli/eval_report.h"
#include "cli/eval_sets.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "learn/captions.h"
#include "rerank/rerank_trial.h"

#include <stdio.h>
#include <stdlib.h>

/* Captions ask pictures, or back. */
struct direction {
    struct retrieval_ranks   ranks, again; /* again: re-ranked, where that is asked for */
    struct retrieval_metrics metrics, metrics_again;
    struct retrieval_change  change;
};

static const char *const KEYS[]   = {[RERANK_T2I] = "t2i", [RERANK_I2T] = "i2t"};
static const char *const LABELS[] = {
    [RERANK_T2I] = "text to image", [RERANK_I2T] = "image to text"};

static int measure(const struct retrieval_task *task, uint64_t seed, struct direction *out,
                   struct err *err)
{
    int rc = retrieval_rank(task, NULL, parallel_cores(), &out->ranks, err);
    return rc ? rc : retrieval_measure(&out->ranks, seed, &out->metrics, err);
}

static int measure_again(const struct rerank_trial *trial, enum rerank_direction which,
                         float weight, uint64_t seed, struct direction *out, struct err *err)
{
    int rc = rerank_trial_rank(trial, which, weight, parallel_cores(), &out->again, err);
    if (!rc)
        rc = retrieval_measure(&out->again, seed, &out->metrics_again, err);
    return rc ? rc : retrieval_compare(&out->ranks, &out->again, seed, &out->change, err);
}

/* kept: (n_images, kept_bytes). */
static int rerank(struct session *s, const struct eval_request *request, const struct captions *set,
                  const uint8_t *kept, const struct retrieval_task *tasks, struct direction *all,
                  struct err *err)
{
    struct rerank_trial           trial = {0};
    const struct rerank_captioned of    = {.enc      = s->enc,
                                           .reranker = s->reranker,
                                           .texts    = (const char *const *)set->texts,
                                           .kept     = kept};
    note(s->common, "looking at the first %zu of each again", request->rerank);
    int rc = rerank_trial_score(&of, tasks, request->rerank, parallel_cores(), &trial, err);
    for (int d = 0; d < RERANK_DIRECTIONS && !rc; d++)
        rc = measure_again(&trial, (enum rerank_direction)d, reranker_info(s->reranker)->weight,
                           request->seed, &all[d], err);
    rerank_trial_release(&trial);
    return rc;
}

static int print_json(const struct session *s, const struct eval_request *request,
                      const struct direction *all, struct err *err)
{
    struct jnode *o = jnode_object(), *again = request->rerank ? jnode_object() : NULL;
    int           bad = request->rerank && !again;
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        bad |= report_set_metrics(o, KEYS[d], &all[d].metrics);
    if (again) {
        bad |= jnode_set_int(again, "top", (int64_t)request->rerank) |
               jnode_set_real(again, "weight", (double)reranker_info(s->reranker)->weight);
        for (int d = 0; d < RERANK_DIRECTIONS; d++)
            bad |= report_set_reranked(again, KEYS[d], &all[d].metrics_again, &all[d].change);
        bad |= jnode_set(o, "reranked", again);
    }
    return out_json(o, bad, err);
}

static int print(const struct session *s, const struct eval_request *request,
                 const struct direction *all, struct err *err)
{
    if (s->common->json)
        return print_json(s, request, all, err);
    report_head();
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_row(LABELS[d], &all[d].metrics);
    if (!request->rerank)
        return 0;
    printf("the first %zu looked at again:\n", request->rerank);
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_row(LABELS[d], &all[d].metrics_again);
    printf("what that changed:\n");
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_change(LABELS[d], &all[d].change);
    return 0;
}

static int draw(const struct eval_request *request, const struct direction *all,
                const struct captions *set, struct err *err)
{
    const struct report_curve curves[] = {
        {LABELS[RERANK_T2I], &all[RERANK_T2I].ranks, set->n_images},
        {LABELS[RERANK_I2T], &all[RERANK_I2T].ranks, set->n_captions},
        {"text to image, re-ranked", &all[RERANK_T2I].again, set->n_images},
        {"image to text, re-ranked", &all[RERANK_I2T].again, set->n_captions}};
    return report_curves(request->svg, "How often the right one is among the first k",
                         "recall@k in percent", curves, request->rerank ? 4 : 2, err);
}

/* images: (n_images, dim), texts: (n_captions, dim). kept: see rerank. */
static int compare(struct session *s, const struct eval_request *request,
                   const struct captions *set, const float *images, const float *texts,
                   const uint8_t *kept, struct err *err)
{
    int                   dim = encoder_info(s->enc)->dim, rc = 0;
    struct direction      all[RERANK_DIRECTIONS] = {0};
    struct retrieval_task tasks[]                = {
                       [RERANK_T2I] = retrieval_texts_to_images(images, set->n_images, texts, set->n_captions,
                                                                set->image_of, dim),
                       [RERANK_I2T] = retrieval_images_to_texts(images, set->n_images, texts, set->n_captions,
                                                                set->image_of, dim)};
    for (int d = 0; d < RERANK_DIRECTIONS && !rc; d++) {
        tasks[d].distance = encoder_info(s->enc)->distance;
        rc                = measure(&tasks[d], request->seed, &all[d], err);
    }
    if (!rc && request->rerank)
        rc = rerank(s, request, set, kept, tasks, all, err);
    if (!rc)
        rc = draw(request, all, set, err);
    if (!rc)
        rc = print(s, request, all, err);
    for (int d = 0; d < RERANK_DIRECTIONS; d++) {
        retrieval_ranks_release(&all[d].ranks);
        retrieval_ranks_release(&all[d].again);
    }
    return rc;
}

int eval_captions(struct session *s, const struct eval_request *request, struct err *err)
{
    struct captions set    = {0};
    struct pictures files  = {0};
    float          *images = NULL, *texts = NULL;
    uint8_t        *kept = NULL;
    int             rc   = captions_read(request->captions, request->split, &set, err);
    if (!rc)
        rc = pictures_below(request->images, set.files, set.n_images, &files, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (!rc && request->rerank)
        rc = session_reranker(s, request->reranker, err);
    if (rc)
        goto out;
    size_t dim = (size_t)encoder_info(s->enc)->dim;
    images     = mem_array(set.n_images * dim, sizeof *images);
    texts      = mem_array(set.n_captions * dim, sizeof *texts);
    if (request->rerank)
        kept = mem_array(set.n_images, reranker_info(s->reranker)->kept_bytes);
    if (!images || !texts || (request->rerank && !kept)) {
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu embeddings",
                     set.n_images + set.n_captions);
        goto out;
    }
    note(s->common, "encoding %zu pictures and %zu captions", set.n_images, set.n_captions);
    const struct encode_pictures job = {
        .paths = (const char *const *)files.paths, .n = files.n, .kept = kept};
    rc = encode_pictures(s, &job, images, err);
    if (!rc)
        rc = encode_texts(s, (const char *const *)set.texts, set.n_captions, texts, err);
    if (!rc)
        rc = compare(s, request, &set, images, texts, kept, err);
out:
    free(images);
    free(texts);
    free(kept);
    pictures_release(&files);
    captions_release(&set);
    return rc;
}
