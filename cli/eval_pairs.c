/* osprey eval --image-to-image: do pictures find pictures? No text is encoded, so
 * that it judges what learned without captions: beside the model's space stands what
 * its image tower sees, by cosine, which nothing was learned for.
 *
 * With labels a picture asks the others for its class. Without, a part of each
 * (augment.h) asks all pictures for the one that it was cut from.
 */
#include "cli/eval.h"
#include "cli/eval_encode.h"
#include "cli/eval_report.h"
#include "cli/eval_sets.h"
#include "cli/output.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "learn/captions.h"
#include "model/encoder_features.h"
#include "nn/ops.h"

#include <stdio.h>
#include <stdlib.h>

/* One way to see the pictures, and how well it finds them. */
struct space {
    const char              *label;
    int                      dim;
    enum distance            distance;
    float                   *items, *queries; /* (n, dim); queries NULL: the items are */
    struct retrieval_ranks   ranks;
    struct retrieval_metrics metrics;
};

enum { MODEL, RAW, SPACES };

static int read_set(const struct eval_request *request, struct pictures *out, struct err *err)
{
    struct captions set = {0};
    if (request->labels)
        return pictures_labelled(request->labels, 2, out, err);
    if (!request->captions)
        return pictures_in(request->images, out, err);
    int rc = captions_read(request->captions, request->split, &set, err);
    if (!rc)
        rc = pictures_below(request->images, set.files, set.n_images, out, err);
    captions_release(&set);
    return rc;
}

static int encode_parts(struct session *s, const struct pictures *set, uint64_t seed,
                        struct space all[SPACES], struct err *err)
{
    for (int k = 0; k < SPACES; k++) {
        all[k].queries = mem_array(set->n * (size_t)all[k].dim, sizeof *all[k].queries);
        if (!all[k].queries)
            return err_set(err, ERR_NOMEM, "out of memory for %zu embeddings", set->n);
    }
    const struct encode_pictures job = {.paths  = (const char *const *)set->paths,
                                        .n      = set->n,
                                        .part   = &augment_part,
                                        .seed   = seed,
                                        .pooled = all[RAW].queries};
    note(s->common, "encoding a part of each");
    return encode_pictures(s, &job, all[MODEL].queries, err);
}

static void normalise(float *rows, size_t n, int dim)
{
    for (size_t i = 0; rows && i < n; i++)
        ops_l2_normalize(rows + i * (size_t)dim, dim);
}

static int measure(const struct pictures *set, uint64_t seed, struct space *space, struct err *err)
{
    const struct retrieval_task task = {.queries   = space->queries ? space->queries : space->items,
                                        .n_queries = set->n,
                                        .items     = space->items,
                                        .n_items   = set->n,
                                        .dim       = space->dim,
                                        .query_group  = set->label,
                                        .item_group   = set->label,
                                        .n_groups     = space->queries ? set->n : set->n_labels,
                                        .distance     = space->distance,
                                        .without_self = !space->queries,
                                        .draw_queries = true};
    int rc = retrieval_rank(&task, NULL, parallel_cores(), &space->ranks, err);
    if (!rc)
        rc = retrieval_measure(&space->ranks, seed, &space->metrics, err);
    if (!rc && space->metrics.n == 0)
        rc = err_set(err, ERR_FORMAT, "no label has two pictures: none can find another");
    return rc;
}

static int show(const struct eval_request *request, const struct common *common,
                const struct space all[SPACES], size_t n_items, size_t broken, struct err *err)
{
    struct retrieval_change   change;
    const struct report_curve curves[SPACES] = {{all[MODEL].label, &all[MODEL].ranks, n_items},
                                                {all[RAW].label, &all[RAW].ranks, n_items}};
    int rc = retrieval_compare(&all[RAW].ranks, &all[MODEL].ranks, request->seed, &change, err);
    if (!rc)
        rc = report_curves(request->svg, "How often a right picture is among the first k",
                           "recall@k in percent", curves, SPACES, err);
    if (rc)
        return rc;
    if (common->json) {
        struct jnode *o = jnode_object();
        return out_json(o,
                        report_set_changed(o, "i2i", &all[MODEL].metrics, &change) |
                            report_set_metrics(o, "raw", &all[RAW].metrics) |
                            jnode_set_int(o, "errors", (int64_t)broken),
                        err);
    }
    report_head();
    for (int k = 0; k < SPACES; k++)
        report_row(all[k].label, &all[k].metrics);
    report_change("the difference", &change);
    return 0;
}

int eval_image_to_image(struct session *s, const struct eval_request *request, struct err *err)
{
    struct space all[SPACES] = {
        [MODEL] = {.label = "image to image"}, [RAW] = {.label = "raw features"}};
    struct pictures set    = {0};
    size_t          broken = 0;
    int             rc     = read_set(request, &set, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (rc)
        goto out;
    all[MODEL].dim      = encoder_info(s->enc)->dim;
    all[MODEL].distance = encoder_info(s->enc)->distance;
    all[RAW].dim        = encoder_feature_sizes(s->enc).image;
    rc = pictures_encode(s, &set, &all[MODEL].items, &all[RAW].items, &broken, err);
    if (!rc && !request->labels)
        rc = encode_parts(s, &set, request->seed, all, err);
    if (!rc) {
        normalise(all[RAW].items, set.n, all[RAW].dim);
        normalise(all[RAW].queries, set.n, all[RAW].dim);
    }
    for (int k = 0; !rc && k < SPACES; k++)
        rc = measure(&set, request->seed, &all[k], err);
    if (!rc)
        rc = show(request, s->common, all, set.n, broken, err);
out:
    for (int k = 0; k < SPACES; k++) {
        retrieval_ranks_release(&all[k].ranks);
        free(all[k].items);
        free(all[k].queries);
    }
    pictures_release(&set);
    return rc;
}
