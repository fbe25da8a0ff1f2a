/* osprey eval --labels: zero-shot labels, by templates and by their ensemble.
 *
 * A label becomes a text by each template; a picture's label is the nearest one.
 * The ensemble takes the mean of a label's normalised texts, normalised again
 * (Radford et al., "Learning transferable visual models from natural language
 * supervision", 2021, section 3.1.4).
 */
#include "cli/eval.h"
#include "cli/eval_report.h"
#include "cli/eval_sets.h"
#include "cli/output.h"
#include "cli/prompts.h"

#include "base/mem.h"
#include "base/parallel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct accuracy {
    double          top1, top5; /* percent */
    struct interval top1_ci, top5_ci;
};

/* ---- Accuracy ---- */

/* labels: (n_labels, dim). */
static int rank_pictures(const struct session *s, const struct pictures *set, const float *pictures,
                         const float *labels, struct retrieval_ranks *out, struct err *err)
{
    const struct retrieval_task task = {.queries      = pictures,
                                        .n_queries    = set->n,
                                        .items        = labels,
                                        .n_items      = set->n_labels,
                                        .dim          = encoder_info(s->enc)->dim,
                                        .distance     = encoder_info(s->enc)->distance,
                                        .query_group  = set->label,
                                        .n_groups     = set->n_labels,
                                        .draw_queries = true};
    return retrieval_rank(&task, NULL, parallel_cores(), out, err);
}

static int measure(const struct retrieval_ranks *ranks, uint64_t seed, struct accuracy *out,
                   struct err *err)
{
    struct retrieval_metrics m;
    int                      rc = retrieval_measure(ranks, seed, &m, err);
    if (!rc)
        *out = (struct accuracy){m.r1, m.r5, m.r1_ci, m.r5_ci};
    return rc;
}

/* Everything that is measured, for printing. */
struct outcome {
    const struct pictures *set;
    const struct prompts  *prompts;
    struct accuracy        each[MAX_PROMPTS];
    struct accuracy        ensemble;
    struct retrieval_ranks ranks; /* of the ensemble */
    size_t                 broken;
};

static int measure_all(struct session *s, const float *pictures, uint64_t seed, struct outcome *out,
                       struct err *err)
{
    const struct pictures *set = out->set;
    size_t                 dim = (size_t)encoder_info(s->enc)->dim, cells = set->n_labels * dim;
    float                 *one  = mem_array(cells, sizeof *one);
    float                 *mean = mem_zeroed(cells, sizeof *mean);
    int                    rc =
        one && mean ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu labels", set->n_labels);
    for (size_t p = 0; !rc && p < out->prompts->n; p++) {
        struct retrieval_ranks ranks = {0};
        rc = prompt_encode(s, out->prompts->list[p], (const char *const *)set->labels,
                           set->n_labels, one, err);
        if (!rc)
            encoder_as_names(s->enc, one, (int)set->n_labels);
        if (!rc)
            rc = rank_pictures(s, set, pictures, one, &ranks, err);
        if (!rc)
            rc = measure(&ranks, seed, &out->each[p], err);
        for (size_t i = 0; !rc && i < cells; i++)
            mean[i] += one[i];
        retrieval_ranks_release(&ranks);
    }
    if (!rc) {
        rows_normalise(mean, set->n_labels, dim);
        rc = rank_pictures(s, set, pictures, mean, &out->ranks, err);
    }
    if (!rc)
        rc = measure(&out->ranks, seed, &out->ensemble, err);
    free(one);
    free(mean);
    return rc;
}

/* ---- Showing it ---- */

struct tally {
    size_t n, top1, top5;
};

static double percent(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* out: (n_labels). */
static void count_labels(const struct outcome *o, struct tally *out)
{
    for (size_t i = 0; i < o->set->n; i++) {
        struct tally *t = &out[o->set->label[i]];
        t->n++;
        t->top1 += o->ranks.best[i] == 1;
        t->top5 += o->ranks.best[i] <= 5;
    }
}

static int print_json(const struct outcome *o, const struct tally *tallies, struct err *err)
{
    struct jnode *root = jnode_object(), *each = jnode_array(), *labels = jnode_array();
    int           failed = jnode_set_real(root, "top1", o->ensemble.top1) |
                 jnode_set_real(root, "top5", o->ensemble.top5) |
                 report_set_interval(root, "top1_interval", &o->ensemble.top1_ci) |
                 report_set_interval(root, "top5_interval", &o->ensemble.top5_ci) |
                 jnode_set_int(root, "n", (int64_t)o->set->n) |
                 jnode_set_int(root, "errors", (int64_t)o->broken);
    for (size_t p = 0; p < o->prompts->n; p++) {
        struct jnode *t = jnode_object();
        failed |= jnode_set_str(t, "template", o->prompts->list[p]) |
                  jnode_set_real(t, "top1", o->each[p].top1) |
                  jnode_set_real(t, "top5", o->each[p].top5) |
                  report_set_interval(t, "top1_interval", &o->each[p].top1_ci) |
                  report_set_interval(t, "top5_interval", &o->each[p].top5_ci) |
                  jnode_push(each, t);
    }
    for (size_t l = 0; l < o->set->n_labels; l++) {
        const struct tally *t   = &tallies[l];
        struct jnode       *one = jnode_object();
        failed |= jnode_set_str(one, "label", o->set->labels[l]) |
                  jnode_set_real(one, "top1", percent(t->top1, t->n)) |
                  jnode_set_real(one, "top5", percent(t->top5, t->n)) |
                  jnode_set_int(one, "n", (int64_t)t->n) | jnode_push(labels, one);
    }
    failed |= jnode_set(root, "templates", each) | jnode_set(root, "labels", labels);
    return out_json(root, failed, err);
}

static void print_accuracy(const struct accuracy *a, const char *name)
{
    printf("%5.1f (%4.1f-%5.1f)  %5.1f (%4.1f-%5.1f)  ", a->top1, a->top1_ci.low, a->top1_ci.high,
           a->top5, a->top5_ci.low, a->top5_ci.high);
    out_path(name);
    putchar('\n');
}

static void print_tables(const struct outcome *o, const struct tally *tallies)
{
    printf("%18s  %18s  %zu pictures, %zu labels\n", "top 1", "top 5", o->set->n, o->set->n_labels);
    print_accuracy(&o->ensemble, "all templates together");
    for (size_t p = 0; p < o->prompts->n; p++)
        print_accuracy(&o->each[p], o->prompts->list[p]);
    printf("\n%6s  %6s  %6s  label\n", "top 1", "top 5", "n");
    for (size_t l = 0; l < o->set->n_labels; l++) {
        const struct tally *t = &tallies[l];
        if (t->n)
            printf("%6.1f  %6.1f  %6zu  ", percent(t->top1, t->n), percent(t->top5, t->n), t->n);
        else
            printf("%6s  %6s  %6d  ", "-", "-", 0);
        out_path(o->set->labels[l]);
        putchar('\n');
    }
}

static int show(const struct outcome *o, const struct common *common, struct err *err)
{
    struct tally *tallies = mem_zeroed(o->set->n_labels, sizeof *tallies);
    if (!tallies)
        return err_set(err, ERR_NOMEM, "out of memory for %zu labels", o->set->n_labels);
    int rc = 0;
    count_labels(o, tallies);
    if (common->json)
        rc = print_json(o, tallies, err);
    else
        print_tables(o, tallies);
    free(tallies);
    return rc;
}

int eval_labels(struct session *s, const struct eval_request *request, struct err *err)
{
    struct pictures set      = {0};
    struct prompts  prompts  = {0};
    struct outcome *o        = mem_zeroed(1, sizeof *o);
    float          *pictures = NULL;
    int             rc       = o ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = prompts_read(request->prompts, &prompts, err);
    if (!rc)
        rc = pictures_labelled(request->labels, 2, &set, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (rc)
        goto out;
    o->set     = &set;
    o->prompts = &prompts;
    rc         = pictures_encode(s, &set, &pictures, NULL, &o->broken, err);
    if (!rc)
        rc = measure_all(s, pictures, request->seed, o, err);
    if (!rc) {
        const struct report_curve curve = {"all templates", &o->ranks, set.n_labels};
        rc = report_curves(request->svg, "How often the right label is among the first k",
                           "accuracy in percent", &curve, 1, err);
    }
    if (!rc)
        rc = show(o, s->common, err);
out:
    if (o)
        retrieval_ranks_release(&o->ranks);
    free(o);
    free(pictures);
    prompts_release(&prompts);
    pictures_release(&set);
    return rc;
}
