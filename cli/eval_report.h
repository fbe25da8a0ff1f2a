/* How figures are shown: tables for people, fields of JSON, charts. */
#ifndef OSPREY_CLI_EVAL_REPORT_H
#define OSPREY_CLI_EVAL_REPORT_H

#include "base/json.h"
#include "learn/retrieval.h"

/* A table of retrieval figures. */
void report_head(void);
void report_row(const char *label, const struct retrieval_metrics *m);
/* A row beside them: points gained, below 0 lost. */
void report_change(const char *label, const struct retrieval_change *c);

/* Setters as those of json.h: 0, or -1 when out of memory. */
int report_set_metrics(struct jnode *node, const char *key, const struct retrieval_metrics *m);
/* The same with the object "change": r1, r5, r10, map and their intervals. */
int report_set_changed(struct jnode *node, const char *key, const struct retrieval_metrics *m,
                       const struct retrieval_change *change);
int report_set_interval(struct jnode *node, const char *key, const struct interval *ci);

/* A line of a chart: recall over k. */
struct report_curve {
    const char                   *name;
    const struct retrieval_ranks *ranks;
    size_t                        n_items; /* k goes up to it */
};

/* Draws them to a file; does nothing where path is NULL. */
int report_curves(const char *path, const char *title, const char *y_label,
                  const struct report_curve *curves, size_t n, struct err *err);
/* Likewise how often each value stands there. */
int report_histogram(const char *path, const char *title, const char *x_label, const double *values,
                     size_t n, struct err *err);

#endif
