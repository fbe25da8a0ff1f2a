/* osprey eval --captions: do captions and pictures find each other? And, with
 * --rerank, what changes when the first are looked at again? */
#include "cli/eval.h"
#include "cli/eval_both.h"
#include "cli/eval_encode.h"
#include "cli/eval_match.h"
#include "cli/eval_report.h"
#include "cli/eval_sets.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "learn/captions.h"

#include <stdio.h>
#include <stdlib.h>

/* kept: (n_images, kept_bytes). */
static int rerank(struct session *s, const struct eval_request *request, const struct captions *set,
                  const uint8_t *kept, const struct retrieval_task *tasks, struct eval_both *both,
                  struct err *err)
{
    struct rerank_trial           trial = {0};
    const struct rerank_captioned of    = {.enc      = s->enc,
                                           .reranker = s->reranker,
                                           .texts    = (const char *const *)set->texts,
                                           .kept     = kept};
    note(s->common, "looking at the first %zu of each again", request->rerank);
    int rc = rerank_trial_score(&of, tasks, request->rerank, parallel_cores(), &trial, err);
    if (!rc)
        rc = eval_both_rerank(both, &trial, request->rerank, reranker_info(s->reranker)->weight,
                              err);
    rerank_trial_release(&trial);
    return rc;
}

static int set_point(struct jnode *node, const struct match_point *p)
{
    return jnode_set_real(node, "threshold", p->threshold) | jnode_set_real(node, "kept", p->kept) |
           jnode_set_real(node, "told", p->told);
}

static int set_matches(struct jnode *o, const struct match_figures *m)
{
    if (!m->known)
        return 0;
    struct jnode *node = jnode_object(), *good = jnode_object();
    return set_point(node, &m->at_kept) | set_point(good, &m->good) |
           jnode_set(node, "good", good) | jnode_set(o, "no_match", node);
}

static void print_matches(const struct match_figures *m)
{
    const struct match_point *points[] = {&m->at_kept, &m->good};
    for (size_t i = 0; m->known && i < 2; i++)
        printf("%smatch %.2f: reached by %.1f%% of the right first pictures, missed by %.1f%% of "
               "captions without their picture\n",
               i ? "good " : "", points[i]->threshold, points[i]->kept, points[i]->told);
}

static int draw(const struct eval_request *request, const struct eval_both *both,
                const struct captions *set, struct err *err)
{
    const struct eval_way    *t2i = &both->way[RERANK_T2I], *i2t = &both->way[RERANK_I2T];
    const struct report_curve curves[] = {
        {"text to image", &t2i->ranks, set->n_images},
        {"image to text", &i2t->ranks, set->n_captions},
        {"text to image, re-ranked", &t2i->again, set->n_images},
        {"image to text, re-ranked", &i2t->again, set->n_captions}};
    return report_curves(request->svg, "How often the right one is among the first k",
                         "recall@k in percent", curves, both->top ? 4 : 2, err);
}

static int print(const struct session *s, const struct eval_both *both,
                 const struct match_figures *matches, struct err *err)
{
    if (s->common->json) {
        struct jnode *o = jnode_object();
        return out_json(o, eval_both_set(o, both) | set_matches(o, matches), err);
    }
    eval_both_print(both);
    print_matches(matches);
    return 0;
}

/* images: (n_images, dim), texts: (n_captions, dim). kept: see rerank. */
static int compare(struct session *s, const struct eval_request *request,
                   const struct captions *set, const float *images, const float *texts,
                   const uint8_t *kept, struct err *err)
{
    struct retrieval_task tasks[RERANK_DIRECTIONS];
    struct eval_both      both    = {.seed = request->seed};
    struct match_figures  matches = {.known = false};
    eval_both_tasks(s->enc, set, images, texts, tasks);
    int rc = eval_both_measure(&both, tasks, err);
    if (!rc)
        rc = match_measure(s, &tasks[RERANK_T2I], &matches, err);
    if (!rc && request->rerank)
        rc = rerank(s, request, set, kept, tasks, &both, err);
    if (!rc)
        rc = draw(request, &both, set, err);
    if (!rc)
        rc = print(s, &both, &matches, err);
    eval_both_release(&both);
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
