/* How figures are shown: see eval_report.h. */
#include "cli/eval_report.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/svg.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_CURVES 4
#define POINTS     64 /* of a curve, at most */

void report_head(void)
{
    printf("%-14s %17s  %17s  %17s  %7s  %6s  %6s\n", "", "R@1", "R@5", "R@10", "median", "mAP",
           "n");
}

void report_row(const char *label, const struct retrieval_metrics *m)
{
    printf(
        "%-14s %5.1f (%4.1f-%4.1f)  %5.1f (%4.1f-%4.1f)  %5.1f (%4.1f-%4.1f)  %7.1f  %6.3f  %6zu\n",
        label, m->r1, m->r1_ci.low, m->r1_ci.high, m->r5, m->r5_ci.low, m->r5_ci.high, m->r10,
        m->r10_ci.low, m->r10_ci.high, m->median_rank, m->map, m->n);
}

void report_change(const char *label, const struct retrieval_change *c)
{
    printf("%-14s %+5.1f (%+4.1f,%+4.1f)  %+5.1f (%+4.1f,%+4.1f)  %+5.1f (%+4.1f,%+4.1f)  %7s  "
           "%+6.3f\n",
           label, c->r1, c->r1_ci.low, c->r1_ci.high, c->r5, c->r5_ci.low, c->r5_ci.high, c->r10,
           c->r10_ci.low, c->r10_ci.high, "", c->map);
}

int report_set_interval(struct jnode *node, const char *key, const struct interval *ci)
{
    struct jnode *pair = jnode_array();
    return jnode_push_real(pair, ci->low) | jnode_push_real(pair, ci->high) |
           jnode_set(node, key, pair);
}

static int set_figures(struct jnode *o, const struct retrieval_metrics *m)
{
    return jnode_set_real(o, "r1", m->r1) | jnode_set_real(o, "r5", m->r5) |
           jnode_set_real(o, "r10", m->r10) | jnode_set_real(o, "median_rank", m->median_rank) |
           jnode_set_real(o, "map", m->map) | jnode_set_int(o, "n", (int64_t)m->n) |
           report_set_interval(o, "r1_interval", &m->r1_ci) |
           report_set_interval(o, "r5_interval", &m->r5_ci) |
           report_set_interval(o, "r10_interval", &m->r10_ci) |
           report_set_interval(o, "map_interval", &m->map_ci);
}

int report_set_metrics(struct jnode *node, const char *key, const struct retrieval_metrics *m)
{
    struct jnode *o = jnode_object();
    return set_figures(o, m) | jnode_set(node, key, o);
}

int report_set_changed(struct jnode *node, const char *key, const struct retrieval_metrics *m,
                       const struct retrieval_change *change)
{
    struct jnode *o = jnode_object(), *c = jnode_object();
    return set_figures(o, m) | jnode_set_real(c, "r1", change->r1) |
           jnode_set_real(c, "r5", change->r5) | jnode_set_real(c, "r10", change->r10) |
           jnode_set_real(c, "map", change->map) |
           report_set_interval(c, "r1_interval", &change->r1_ci) |
           report_set_interval(c, "r5_interval", &change->r5_ci) |
           report_set_interval(c, "r10_interval", &change->r10_ci) |
           report_set_interval(c, "map_interval", &change->map_ci) | jnode_set(o, "change", c) |
           jnode_set(node, key, o);
}

static int write_chart(const char *path, const struct buf *chart, struct err *err)
{
    return file_replace(path, chart->data, chart->len, err);
}

/* 1, 2, ... 10 and on in steps of a quarter, up to n_items; returns how many. */
static size_t choose_ks(size_t n_items, double *x)
{
    size_t n = 0;
    for (size_t k = 1; n < POINTS; k += k < 10 ? 1 : k / 4) {
        x[n++] = (double)(k < n_items ? k : n_items);
        if (k >= n_items)
            break;
    }
    return n;
}

int report_curves(const char *path, const char *title, const char *y_label,
                  const struct report_curve *curves, size_t n, struct err *err)
{
    double            x[MAX_CURVES][POINTS], y[MAX_CURVES][POINTS];
    struct svg_series series[MAX_CURVES];
    struct svg_chart  chart = {.title   = title,
                               .x_label = "k",
                               .y_label = y_label,
                               .log_x   = true,
                               .y_low   = 0,
                               .y_high  = 100};
    struct buf        out;
    if (!path)
        return 0;
    for (size_t c = 0; c < n && c < MAX_CURVES; c++) {
        series[c]   = (struct svg_series){.name = curves[c].name, .x = x[c], .y = y[c]};
        series[c].n = choose_ks(curves[c].n_items, x[c]);
        for (size_t i = 0; i < series[c].n; i++)
            y[c][i] = retrieval_recall(curves[c].ranks, (size_t)x[c][i]);
    }
    buf_init(&out, SVG_CEILING);
    int rc = svg_line_chart(&chart, series, n < MAX_CURVES ? n : MAX_CURVES, &out, err);
    if (!rc)
        rc = write_chart(path, &out, err);
    buf_release(&out);
    return rc;
}

int report_histogram(const char *path, const char *title, const char *x_label, const double *values,
                     size_t n, struct err *err)
{
    struct svg_chart chart = {.title = title, .x_label = x_label, .y_label = "queries"};
    struct buf       out;
    if (!path)
        return 0;
    buf_init(&out, SVG_CEILING);
    int rc = svg_histogram(&chart, values, n, 0, &out, err);
    if (!rc)
        rc = write_chart(path, &out, err);
    buf_release(&out);
    return rc;
}
