/* Charts as SVG: see svg.h.
 *
 * Ticks stand at 1, 2 or 5 times a power of ten, about five to an axis. Colours
 * are told apart without regard to red and green, after Okabe and Ito ("Color
 * Universal Design", 2008), darker on light ground and lighter on dark.
 */
#include "base/svg.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pixels. */
#define WIDTH      720
#define HEIGHT     420
#define LEFT       64
#define RIGHT      24
#define LEGEND     140 /* to the right of the lines */
#define TOP        44
#define BOTTOM     56
#define LEGEND_ROW 20

#define COLOURS   6
#define MARKERS   24 /* up to so many points of a series are marked one by one */
#define MAX_TICKS 24
#define LARGEST   1e300  /* beyond, differences of two values could overflow */
#define SMALLEST  1e-300 /* below, steps between them would */
#define MAX_BINS  1000

static const char style[] =
    "<style>"
    "text{font:13px system-ui,sans-serif;fill:#222}"
    ".ground{fill:#fff}.title{font-weight:600;font-size:15px}"
    ".grid{stroke:#ddd}.axis{stroke:#555}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
    ".s0{stroke:#0072b2}.f0{fill:#0072b2}.s1{stroke:#c44e00}.f1{fill:#c44e00}"
    ".s2{stroke:#00805d}.f2{fill:#00805d}.s3{stroke:#a8437f}.f3{fill:#a8437f}"
    ".s4{stroke:#946200}.f4{fill:#946200}.s5{stroke:#5b5b5b}.f5{fill:#5b5b5b}"
    "@media(prefers-color-scheme:dark){"
    "text{fill:#ddd}.ground{fill:#161616}.grid{stroke:#3a3a3a}.axis{stroke:#aaa}"
    ".s0{stroke:#56b4e9}.f0{fill:#56b4e9}.s1{stroke:#ff8a3d}.f1{fill:#ff8a3d}"
    ".s2{stroke:#2fc79a}.f2{fill:#2fc79a}.s3{stroke:#e39cc4}.f3{fill:#e39cc4}"
    ".s4{stroke:#f0c24b}.f4{fill:#f0c24b}.s5{stroke:#bdbdbd}.f5{fill:#bdbdbd}"
    "}</style>\n";

/* The first failure stays; what follows it is not written. */
struct pen {
    struct buf *out;
    struct err *err;
    int         rc;
};

__attribute__((format(printf, 2, 3))) static void put(struct pen *pen, const char *fmt, ...)
{
    char    text[512];
    va_list ap;
    if (pen->rc)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        pen->rc = err_set(pen->err, ERR_LIMIT, "cannot draw a chart: a piece is too long");
    else
        pen->rc = buf_append(pen->out, text, (size_t)n, pen->err);
}

/* Text as XML has it: what it does not allow becomes U+FFFD. */
static void put_text(struct pen *pen, const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        char     bytes[4];
        at += utf8_decode(text + at, n - at, &cp);
        if ((cp < 0x20 && cp != '\t') || cp == 0xFFFE || cp == 0xFFFF)
            cp = UTF8_REPLACEMENT;
        size_t len = utf8_encode(cp, bytes);
        if (cp == '<')
            put(pen, "&lt;");
        else if (cp == '&')
            put(pen, "&amp;");
        else
            put(pen, "%.*s", (int)len, bytes);
    }
}

/* From values to pixels. */
struct axis {
    double low, high; /* values */
    double from, to;  /* pixels */
    bool   log;
    double ticks[MAX_TICKS];
    int    n_ticks;
};

static bool drawable(const struct axis *axis, double value)
{
    return isfinite(value) && fabs(value) <= LARGEST && (!axis->log || value >= SMALLEST);
}

static double place(const struct axis *axis, double value)
{
    double part = axis->log ? (log(value) - log(axis->low)) / (log(axis->high) - log(axis->low))
                            : (value - axis->low) / (axis->high - axis->low);
    return axis->from + part * (axis->to - axis->from);
}

/* The least of 1, 2, 5, 10 ... that is at least value. */
static double round_step(double value)
{
    double unit = pow(10, floor(log10(value)));
    double in   = value / unit;
    return unit * (in <= 1 ? 1 : in <= 2 ? 2 : in <= 5 ? 5 : 10);
}

static void axis_linear(struct axis *axis, bool fixed)
{
    double size = fmax(fabs(axis->low), fabs(axis->high));
    if (!(axis->high - axis->low > fmax(1e-9 * size, SMALLEST))) { /* one value: room about it */
        double room = size > SMALLEST ? size * 0.5 : 0.5;
        axis->low -= room;
        axis->high += room;
    }
    double step  = round_step((axis->high - axis->low) / 6);
    double first = floor(axis->low / step), last = ceil(axis->high / step);
    if (fixed) {
        first = ceil(axis->low / step);
        last  = floor(axis->high / step);
    } else {
        axis->low  = first * step;
        axis->high = last * step;
    }
    for (double t = first; t <= last && axis->n_ticks < MAX_TICKS; t += 1)
        axis->ticks[axis->n_ticks++] = t * step;
}

static void axis_log(struct axis *axis)
{
    static const double marks[] = {1, 2, 5};
    if (!(log(axis->high) - log(axis->low) > 1e-9)) {
        axis->low /= 2;
        axis->high *= 2;
    }
    double decades = log10(axis->high) - log10(axis->low);
    int    every   = decades > 12 ? (int)(decades / 12) + 1 : 1;
    int    n_marks = decades > 4 ? 1 : 3;
    for (int e = (int)floor(log10(axis->low)); e <= (int)ceil(log10(axis->high)); e += every)
        for (int m = 0; m < n_marks && axis->n_ticks < MAX_TICKS; m++) {
            double tick = marks[m] * pow(10, e);
            if (tick >= axis->low * (1 - 1e-9) && tick <= axis->high * (1 + 1e-9))
                axis->ticks[axis->n_ticks++] = tick;
        }
}

/* low and high are what the data span: low > high when there are none. */
static void axis_finish(struct axis *axis, bool fixed)
{
    if (axis->low > axis->high) {
        axis->low  = axis->log ? 1 : 0;
        axis->high = axis->log ? 10 : 1;
    }
    if (axis->log)
        axis_log(axis);
    else
        axis_linear(axis, fixed);
}

static void axis_take(struct axis *axis, double value)
{
    axis->low  = fmin(axis->low, value);
    axis->high = fmax(axis->high, value);
}

static void begin(struct pen *pen, const struct svg_chart *chart)
{
    put(pen,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%d\" height=\"%d\" "
        "viewBox=\"0 0 %d %d\">\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    if (chart->title) {
        put(pen, "<title>");
        put_text(pen, chart->title);
        put(pen, "</title>\n");
    }
    if (!pen->rc)
        pen->rc = buf_append_str(pen->out, style, pen->err);
    put(pen, "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", WIDTH, HEIGHT);
    if (chart->title) {
        put(pen, "<text class=\"title\" x=\"%d\" y=\"24\">", LEFT);
        put_text(pen, chart->title);
        put(pen, "</text>\n");
    }
}

static void draw_axes(struct pen *pen, const struct svg_chart *chart, const struct axis *x,
                      const struct axis *y)
{
    for (int i = 0; i < y->n_ticks; i++) {
        double at = place(y, y->ticks[i]);
        put(pen, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", x->from, at, x->to);
        put(pen, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", x->from - 8, at + 4,
            y->ticks[i]);
    }
    for (int i = 0; i < x->n_ticks; i++) {
        double at = place(x, x->ticks[i]);
        put(pen, "<path class=\"axis\" d=\"M%.1f %.1fv5\"/>", at, y->from);
        put(pen, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n", at, y->from + 19,
            x->ticks[i]);
    }
    put(pen, "<path class=\"axis\" fill=\"none\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", x->from, y->to,
        y->from, x->to);
    if (chart->x_label) {
        put(pen, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", (x->from + x->to) / 2,
            HEIGHT - 14);
        put_text(pen, chart->x_label);
        put(pen, "</text>\n");
    }
    if (chart->y_label) {
        put(pen, "<text transform=\"translate(16 %.1f)rotate(-90)\" text-anchor=\"middle\">",
            (y->from + y->to) / 2);
        put_text(pen, chart->y_label);
        put(pen, "</text>\n");
    }
}

static double x_of(const struct svg_series *s, size_t i)
{
    return s->x ? s->x[i] : (double)(i + 1);
}

static void draw_series(struct pen *pen, const struct svg_series *s, int colour,
                        const struct axis *x, const struct axis *y)
{
    bool open = false;
    for (size_t i = 0; i < s->n && !pen->rc; i++) {
        if (!drawable(x, x_of(s, i)) || !drawable(y, s->y[i])) {
            if (open)
                put(pen, "\"/>\n");
            open = false;
            continue;
        }
        if (!open)
            put(pen, "<polyline class=\"line s%d\" points=\"", colour);
        put(pen, "%s%.1f,%.1f", open ? " " : "", place(x, x_of(s, i)), place(y, s->y[i]));
        open = true;
    }
    if (open)
        put(pen, "\"/>\n");
    for (size_t i = 0; i < s->n && s->n <= MARKERS; i++)
        if (drawable(x, x_of(s, i)) && drawable(y, s->y[i]))
            put(pen, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", colour,
                place(x, x_of(s, i)), place(y, s->y[i]));
}

static void draw_legend(struct pen *pen, const struct svg_series *series, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double y = TOP + 10 + (double)i * LEGEND_ROW;
        if (y > HEIGHT - BOTTOM)
            return;
        put(pen, "<path class=\"line s%d\" d=\"M%d %.1fh18\"/>", (int)(i % COLOURS),
            WIDTH - LEGEND + 10, y);
        put(pen, "<text x=\"%d\" y=\"%.1f\">", WIDTH - LEGEND + 34, y + 4);
        put_text(pen, series[i].name ? series[i].name : "");
        put(pen, "</text>\n");
    }
}

int svg_line_chart(const struct svg_chart *chart, const struct svg_series *series, size_t n,
                   struct buf *out, struct err *err)
{
    struct pen  pen   = {.out = out, .err = err};
    bool        fixed = chart->y_low < chart->y_high;
    struct axis x     = {.low  = INFINITY,
                         .high = -INFINITY,
                         .from = LEFT,
                         .to   = WIDTH - (n > 1 ? LEGEND : RIGHT),
                         .log  = chart->log_x};
    struct axis y     = {.low  = INFINITY,
                         .high = -INFINITY,
                         .from = HEIGHT - BOTTOM,
                         .to   = TOP,
                         .log  = chart->log_y};
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < series[s].n; i++)
            if (drawable(&x, x_of(&series[s], i)) && drawable(&y, series[s].y[i])) {
                axis_take(&x, x_of(&series[s], i));
                axis_take(&y, series[s].y[i]);
            }
    if (fixed) {
        y.low  = chart->y_low;
        y.high = chart->y_high;
    }
    axis_finish(&x, false);
    axis_finish(&y, fixed);
    begin(&pen, chart);
    draw_axes(&pen, chart, &x, &y);
    for (size_t s = 0; s < n; s++)
        draw_series(&pen, &series[s], (int)(s % COLOURS), &x, &y);
    if (n > 1)
        draw_legend(&pen, series, n);
    put(&pen, "</svg>\n");
    return pen.rc;
}

/* Draws the counts of bins over x's range. */
static void draw_bars(struct pen *pen, const size_t *counts, size_t bins, const struct axis *x,
                      const struct axis *y)
{
    double width = (x->to - x->from) / (double)bins;
    double gap   = width > 4 ? 1 : 0;
    for (size_t b = 0; b < bins; b++) {
        double top = place(y, (double)counts[b]);
        if (counts[b] > 0)
            put(pen, "<rect class=\"f0\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>\n",
                x->from + (double)b * width, top, width - gap, y->from - top);
    }
}

int svg_histogram(const struct svg_chart *chart, const double *values, size_t n, size_t bins,
                  struct buf *out, struct err *err)
{
    struct pen  pen = {.out = out, .err = err};
    struct axis x   = {.low = INFINITY, .high = -INFINITY, .from = LEFT, .to = WIDTH - RIGHT};
    struct axis y   = {.low = 0, .high = 1, .from = HEIGHT - BOTTOM, .to = TOP};
    if (bins == 0)
        bins = (size_t)fmin(fmax(sqrt((double)n), 5), 60);
    if (bins > MAX_BINS)
        bins = MAX_BINS;
    size_t *counts = mem_zeroed(bins, sizeof *counts);
    if (!counts)
        return err_set(err, ERR_NOMEM, "out of memory for a histogram of %zu bins", bins);
    for (size_t i = 0; i < n; i++)
        if (drawable(&x, values[i]))
            axis_take(&x, values[i]);
    axis_finish(&x, false);
    for (size_t i = 0; i < n; i++) {
        if (!drawable(&x, values[i]))
            continue;
        size_t b = (size_t)((values[i] - x.low) / (x.high - x.low) * (double)bins);
        counts[b < bins ? b : bins - 1]++;
    }
    for (size_t b = 0; b < bins; b++)
        axis_take(&y, (double)counts[b]);
    axis_finish(&y, false);
    begin(&pen, chart);
    draw_axes(&pen, chart, &x, &y);
    draw_bars(&pen, counts, bins, &x, &y);
    put(&pen, "</svg>\n");
    free(counts);
    return pen.rc;
}
