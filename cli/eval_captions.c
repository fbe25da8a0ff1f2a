/* osprey eval --captions: do captions and pictures find each other? */
#include "cli/eval.h"
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

struct direction {
    struct retrieval_ranks   ranks;
    struct retrieval_metrics metrics;
};

static int measure(const struct retrieval_task *task, uint64_t seed, struct direction *out,
                   struct err *err)
{
    int rc = retrieval_rank(task, NULL, parallel_cores(), &out->ranks, err);
    return rc ? rc : retrieval_measure(&out->ranks, seed, &out->metrics, err);
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

static int print(const struct direction *t2i, const struct direction *i2t,
                 const struct match_figures *matches, const struct common *common, struct err *err)
{
    if (common->json) {
        struct jnode *o = jnode_object();
        return out_json(o,
                        report_set_metrics(o, "t2i", &t2i->metrics) |
                            report_set_metrics(o, "i2t", &i2t->metrics) | set_matches(o, matches),
                        err);
    }
    report_head();
    report_row("text to image", &t2i->metrics);
    report_row("image to text", &i2t->metrics);
    print_matches(matches);
    return 0;
}

/* images: (n_images, dim), texts: (n_captions, dim). */
static int compare(struct session *s, const struct eval_request *request,
                   const struct captions *set, const float *images, const float *texts,
                   struct err *err)
{
    int                   dim = encoder_info(s->enc)->dim;
    struct direction      t2i = {0}, i2t = {0};
    struct match_figures  matches   = {.known = false};
    struct retrieval_task from_text = retrieval_texts_to_images(
        images, set->n_images, texts, set->n_captions, set->image_of, dim);
    struct retrieval_task from_image = retrieval_images_to_texts(
        images, set->n_images, texts, set->n_captions, set->image_of, dim);
    from_text.distance = from_image.distance = encoder_info(s->enc)->distance;
    int rc                                   = measure(&from_text, request->seed, &t2i, err);
    if (!rc)
        rc = measure(&from_image, request->seed, &i2t, err);
    if (!rc)
        rc = match_measure(s, &from_text, &matches, err);
    const struct report_curve curves[] = {{"text to image", &t2i.ranks, set->n_images},
                                          {"image to text", &i2t.ranks, set->n_captions}};
    if (!rc)
        rc = report_curves(request->svg, "How often the right one is among the first k",
                           "recall@k in percent", curves, 2, err);
    if (!rc)
        rc = print(&t2i, &i2t, &matches, s->common, err);
    retrieval_ranks_release(&t2i.ranks);
    retrieval_ranks_release(&i2t.ranks);
    return rc;
}

int eval_captions(struct session *s, const struct eval_request *request, struct err *err)
{
    struct captions set    = {0};
    struct pictures files  = {0};
    float          *images = NULL, *texts = NULL;
    int             rc = captions_read(request->captions, request->split, &set, err);
    if (!rc)
        rc = pictures_below(request->images, set.files, set.n_images, &files, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (rc)
        goto out;
    size_t dim = (size_t)encoder_info(s->enc)->dim;
    images     = mem_array(set.n_images * dim, sizeof *images);
    texts      = mem_array(set.n_captions * dim, sizeof *texts);
    if (!images || !texts) {
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu embeddings",
                     set.n_images + set.n_captions);
        goto out;
    }
    note(s->common, "encoding %zu pictures and %zu captions", set.n_images, set.n_captions);
    const struct encode_pictures job = {.paths = (const char *const *)files.paths, .n = files.n};
    rc                               = encode_pictures(s, &job, images, err);
    if (!rc)
        rc = encode_texts(s, (const char *const *)set.texts, set.n_captions, texts, err);
    if (!rc)
        rc = compare(s, request, &set, images, texts, err);
out:
    free(images);
    free(texts);
    pictures_release(&files);
    captions_release(&set);
    return rc;
}
