/* osprey eval --image-to-image: do pictures find pictures? No text is encoded, so
 * that it judges what learned without captions.
 *
 * With labels a picture asks the others for its class. Without, a view of each
 * (views.h) asks all pictures for the one that it was cut from.
 */
#include "cli/eval.h"
#include "cli/eval_encode.h"
#include "cli/eval_report.h"
#include "cli/eval_sets.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "learn/captions.h"

#include <stdio.h>
#include <stdlib.h>

/* A tenth to a third of the area, mirrored: hard enough to tell models apart. */
static const struct view judged_by = {.area_low = 0.1, .area_high = 0.35, .mirrored = 1};

static int read_set(const struct eval_request *request, struct pictures *out, struct err *err)
{
    struct captions set = {0};
    if (request->labels)
        return pictures_labelled(request->labels, out, err);
    if (!request->captions)
        return pictures_in(request->images, out, err);
    int rc = captions_read(request->captions, request->split, &set, err);
    if (!rc)
        rc = pictures_below(request->images, set.files, set.n_images, out, err);
    captions_release(&set);
    return rc;
}

static int encode_views(struct session *s, const struct pictures *set, uint64_t seed, float **out,
                        struct err *err)
{
    const struct encode_pictures job = {
        .paths = (const char *const *)set->paths, .n = set->n, .view = &judged_by, .seed = seed};
    float *views = mem_array(set->n * (size_t)encoder_info(s->enc)->dim, sizeof *views);
    if (!views)
        return err_set(err, ERR_NOMEM, "out of memory for %zu embeddings", set->n);
    note(s->common, "encoding a view of each");
    int rc = encode_pictures(s, &job, views, err);
    if (rc)
        free(views);
    else
        *out = views;
    return rc;
}

static int show(const struct eval_request *request, const struct common *common,
                const struct retrieval_ranks *ranks, size_t n_items, size_t broken, struct err *err)
{
    struct retrieval_metrics  metrics;
    const struct report_curve curve = {"image to image", ranks, n_items};
    int                       rc    = retrieval_measure(ranks, request->seed, &metrics, err);
    if (!rc && metrics.n == 0)
        rc = err_set(err, ERR_FORMAT, "no label has two pictures: none can find another");
    if (!rc)
        rc = report_curves(request->svg, "How often a right picture is among the first k",
                           "recall@k in percent", &curve, 1, err);
    if (rc)
        return rc;
    if (common->json) {
        struct jnode *o = jnode_object();
        return out_json(
            o, report_set_metrics(o, "i2i", &metrics) | jnode_set_int(o, "errors", (int64_t)broken),
            err);
    }
    report_head();
    report_row("image to image", &metrics);
    return 0;
}

int eval_image_to_image(struct session *s, const struct eval_request *request, struct err *err)
{
    struct pictures        set    = {0};
    struct retrieval_ranks ranks  = {0};
    float                 *images = NULL, *views = NULL;
    size_t                 broken = 0;
    int                    rc     = read_set(request, &set, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (!rc)
        rc = pictures_encode(s, &set, &images, &broken, err);
    if (!rc && !request->labels)
        rc = encode_views(s, &set, request->seed, &views, err);
    if (!rc) {
        const struct retrieval_task task = {.queries      = views ? views : images,
                                            .n_queries    = set.n,
                                            .items        = images,
                                            .n_items      = set.n,
                                            .dim          = encoder_info(s->enc)->dim,
                                            .query_group  = set.label,
                                            .item_group   = set.label,
                                            .n_groups     = views ? set.n : set.n_labels,
                                            .without_self = !views,
                                            .draw_queries = true};
        rc = retrieval_rank(&task, NULL, parallel_cores(), &ranks, err);
    }
    if (!rc)
        rc = show(request, s->common, &ranks, set.n, broken, err);
    retrieval_ranks_release(&ranks);
    free(images);
    free(views);
    pictures_release(&set);
    return rc;
}
