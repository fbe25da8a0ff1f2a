/* Charts as SVG: lines of several series, and a histogram.
 *
 * Not a drawing library: one size, one look, readable on light and on dark
 * ground (the picture follows prefers-color-scheme). A title, axes with round
 * ticks, a legend where there is more than one series. Texts may hold any
 * bytes. What cannot be drawn (not finite, not positive on a logarithmic axis)
 * is left out, and a line is broken there.
 */
#ifndef OSPREY_BASE_SVG_H
#define OSPREY_BASE_SVG_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SVG_CEILING ((size_t)16 << 20) /* bytes: the ceiling that suits a chart's buffer */

struct svg_chart {
    const char *title;         /* or NULL */
    const char *x_label;       /* or NULL */
    const char *y_label;       /* or NULL */
    bool        log_x;         /* lines only */
    bool        log_y;         /* lines only */
    double      y_low, y_high; /* lines only; equal: what the data need */
};

struct svg_series {
    const char   *name; /* or NULL */
    const double *x;    /* (n), or NULL: 1, 2, ... */
    const double *y;    /* (n) */
    size_t        n;
};

/* Append a whole SVG document. A chart without a point is drawn empty. */
int svg_line_chart(const struct svg_chart *chart, const struct svg_series *series, size_t n,
                   struct buf *out, struct err *err);
/* Counts n values in bins of equal width; bins 0: as many as suit n. */
int svg_histogram(const struct svg_chart *chart, const double *values, size_t n, size_t bins,
                  struct buf *out, struct err *err);

#endif
