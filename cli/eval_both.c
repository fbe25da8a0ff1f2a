/* Captions ask pictures and pictures ask captions: see eval_both.h. */
#include "cli/eval_both.h"
#include "cli/eval_report.h"

#include "base/parallel.h"

#include <stdio.h>

static const char *const KEYS[]   = {[RERANK_T2I] = "t2i", [RERANK_I2T] = "i2t"};
static const char *const LABELS[] = {
    [RERANK_T2I] = "text to image", [RERANK_I2T] = "image to text"};

void eval_both_tasks(const struct encoder *enc, const struct captions *set, const float *images,
                     const float *texts, struct retrieval_task *tasks)
{
    int dim           = encoder_info(enc)->dim;
    tasks[RERANK_T2I] = retrieval_texts_to_images(images, set->n_images, texts, set->n_captions,
                                                  set->image_of, dim);
    tasks[RERANK_I2T] = retrieval_images_to_texts(images, set->n_images, texts, set->n_captions,
                                                  set->image_of, dim);
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        tasks[d].distance = encoder_info(enc)->distance;
}

int eval_both_measure(struct eval_both *both, const struct retrieval_task *tasks, struct err *err)
{
    int rc = 0;
    for (int d = 0; d < RERANK_DIRECTIONS && !rc; d++) {
        struct eval_way *way = &both->way[d];
        rc                   = retrieval_rank(&tasks[d], NULL, parallel_cores(), &way->ranks, err);
        if (!rc)
            rc = retrieval_measure(&way->ranks, both->seed, &way->metrics, err);
    }
    return rc;
}

int eval_both_rerank(struct eval_both *both, const struct rerank_trial *trial, size_t top,
                     float weight, struct err *err)
{
    int rc       = 0;
    both->top    = top;
    both->weight = weight;
    for (int d = 0; d < RERANK_DIRECTIONS && !rc; d++) {
        struct eval_way *way = &both->way[d];
        rc = rerank_trial_rank(trial, (enum rerank_direction)d, weight, parallel_cores(),
                               &way->again, err);
        if (!rc)
            rc = retrieval_measure(&way->again, both->seed, &way->metrics_again, err);
        if (!rc)
            rc = retrieval_compare(&way->ranks, &way->again, both->seed, &way->change, err);
    }
    return rc;
}

void eval_both_release(struct eval_both *both)
{
    for (int d = 0; d < RERANK_DIRECTIONS; d++) {
        retrieval_ranks_release(&both->way[d].ranks);
        retrieval_ranks_release(&both->way[d].again);
    }
}

int eval_both_set(struct jnode *o, const struct eval_both *both)
{
    int bad = 0;
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        bad |= report_set_metrics(o, KEYS[d], &both->way[d].metrics);
    if (!both->top)
        return bad;
    struct jnode *again = jnode_object();
    bad |= jnode_set_int(again, "top", (int64_t)both->top) |
           jnode_set_real(again, "weight", (double)both->weight);
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        bad |=
            report_set_changed(again, KEYS[d], &both->way[d].metrics_again, &both->way[d].change);
    return bad | jnode_set(o, "reranked", again);
}

void eval_both_print(const struct eval_both *both)
{
    report_head();
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_row(LABELS[d], &both->way[d].metrics);
    if (!both->top)
        return;
    printf("the first %zu looked at again:\n", both->top);
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_row(LABELS[d], &both->way[d].metrics_again);
    printf("what that changed:\n");
    for (int d = 0; d < RERANK_DIRECTIONS; d++)
        report_change(LABELS[d], &both->way[d].change);
}
