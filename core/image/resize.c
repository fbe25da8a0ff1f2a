/* Resizing as Pillow does it: coefficients, and the two passes over rows.
 *
 * Coefficients follow Pillow's Resample.c (antialiased convolution, support
 * growing with the scale, normalised in double, rounded to 22 bits); bicubic is
 * Keys' kernel with a = -0.5 (Keys 1981, "Cubic convolution interpolation").
 * NEAREST follows its affine transform, which adds up the position in double.
 *
 * Which pass comes first shows in the bytes. Pillow up to 12 begins across;
 * Pillow 13 begins down where height loses more than twice what width does
 * (python-pillow/Pillow#9549), and so do we.
 *
 * Departures: only a window of the result is computed, and the rows between the
 * passes live in a ring as tall as the vertical kernel. The bytes are the same.
 */
#include "image/resize.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "image/resize_kernels.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SUPPORT 1e8 /* input pixels on each side of an output pixel */

/* The coefficients of a range of output pixels along one axis. */
struct axis {
    struct resize_taps *taps;  /* (n) */
    int32_t            *k;     /* (n, stride), what taps point into */
    int16_t            *split; /* (n, 2 * stride) */
    int                 n;
    int                 most; /* the largest taps[].n */
};

static void axis_release(struct axis *axis)
{
    free(axis->taps);
    free(axis->k);
    free(axis->split);
}

static double kernel_bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double kernel_bicubic(double x)
{
    const double a = -0.5;
    x              = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

/* One output pixel's coefficients: weights is scratch, split has been zeroed. */
static void taps_fill(struct resize_taps *taps, double center, double support, double inverse,
                      int in_size, double (*kernel)(double), double *weights, int32_t *k,
                      int16_t *split)
{
    int first = (int)(center - support + 0.5);
    int end   = (int)(center + support + 0.5);
    if (first > in_size - 1) /* float cannot hold every size above 2^24 */
        first = in_size - 1;
    if (first < 0)
        first = 0;
    if (end > in_size)
        end = in_size;
    int    n   = end - first;
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        weights[i] = kernel((i + first - center + 0.5) * inverse);
        sum += weights[i];
    }
    for (int i = 0; i < n; i++) {
        double w     = sum != 0.0 ? weights[i] / sum : weights[i];
        k[i]         = (int32_t)((w < 0 ? -0.5 : 0.5) + w * (1 << RESIZE_BITS));
        int32_t  low = k[i] & (RESIZE_LOW_RANGE - 1);
        int16_t *at  = split + 8 * (size_t)(i / RESIZE_GROUP) + (size_t)(i % RESIZE_GROUP);
        at[0]        = (int16_t)((k[i] - low) / RESIZE_LOW_RANGE);
        at[4]        = (int16_t)low;
    }
    *taps = (struct resize_taps){.first = first, .n = n, .k = k, .split = split};
}

/* Coefficients of output pixels from..from+n of an axis resized from in_size to
 * out_size. */
static int axis_init(struct axis *axis, int in_size, int out_size, int from, int n,
                     enum resample resample, struct err *err)
{
    bool   cubic   = resample == RESAMPLE_BICUBIC;
    double scale   = (double)(float)in_size / out_size; /* float: Pillow's box */
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = (cubic ? 2.0 : 1.0) * stretch;
    if (support > MAX_SUPPORT)
        return err_set(err, ERR_LIMIT, "cannot resize %d pixels to %d", in_size, out_size);

    int     ksize   = (int)ceil(support) * 2 + 1;
    int     capped  = ksize < in_size + 1 ? ksize : in_size + 1;
    size_t  stride  = ((size_t)capped + RESIZE_GROUP - 1) / RESIZE_GROUP * RESIZE_GROUP;
    double *weights = mem_array(stride, sizeof *weights);
    size_t  total;
    int     rc = 0;
    *axis      = (struct axis){.n = n};
    if (size_mul(stride, (size_t)n, &total)) {
        axis->taps  = mem_array((size_t)n, sizeof *axis->taps);
        axis->k     = mem_array(total, sizeof *axis->k);
        axis->split = mem_zeroed(total, 2 * sizeof *axis->split);
    }
    if (!weights || !axis->taps || !axis->k || !axis->split) {
        rc = err_set(err, ERR_NOMEM, "out of memory resizing %d pixels to %d", in_size, out_size);
        goto out;
    }
    for (int i = 0; i < n; i++) {
        double center = (from + i + 0.5) * scale;
        taps_fill(&axis->taps[i], center, support, 1.0 / stretch, in_size,
                  cubic ? kernel_bicubic : kernel_bilinear, weights, axis->k + (size_t)i * stride,
                  axis->split + 2 * (size_t)i * stride);
        if (axis->taps[i].n > axis->most)
            axis->most = axis->taps[i].n;
    }
out:
    free(weights);
    return rc;
}

/* The passes' state: input rows come out of row_at filtered across. */
struct passes {
    const struct image         *in;
    const struct resize_window *window;
    const struct axis          *across; /* NULL: widths are equal, nothing to do */
    resize_across_fn           *run_across;
    uint8_t                    *ring; /* (ring_rows, window->width * 3) */
    int                         ring_rows;
    int                         next; /* the first row not filtered yet */
};

static void filter_across(const struct passes *passes, int y, uint8_t *out)
{
    const struct image *in     = passes->in;
    size_t              stride = (size_t)in->width * 3;
    size_t              left   = (size_t)(in->height - y) * stride;
    passes->run_across(in->data + (size_t)y * stride, left, passes->across->taps,
                       passes->window->width, out);
}

/* Row y after the horizontal pass. Rows are asked for in order; only the last
 * ring_rows of them stay. */
static const uint8_t *row_at(struct passes *passes, int y)
{
    size_t bytes = (size_t)passes->window->width * 3;
    if (!passes->across)
        return passes->in->data +
               ((size_t)y * (size_t)passes->in->width + (size_t)passes->window->x) * 3;
    if (passes->next < y - passes->ring_rows + 1)
        passes->next = y - passes->ring_rows + 1;
    for (; passes->next <= y; passes->next++)
        filter_across(passes, passes->next,
                      passes->ring + (size_t)(passes->next % passes->ring_rows) * bytes);
    return passes->ring + (size_t)(y % passes->ring_rows) * bytes;
}

/* Whether the vertical pass comes first. */
static bool begins_down(const struct image *in, int width, int height)
{
    int64_t less_height = (int64_t)in->height - height;
    int64_t less_width  = (int64_t)in->width - width;
    return less_height > 0 && less_height > 2 * less_width;
}

static void resize_across_first(struct passes *passes, const struct axis *down,
                                resize_down_fn *run_down, const uint8_t **rows, uint8_t *out,
                                size_t stride)
{
    size_t bytes = (size_t)passes->window->width * 3;
    for (int y = 0; y < passes->window->height; y++, out += stride) {
        if (!down) {
            memcpy(out, row_at(passes, passes->window->y + y), bytes);
            continue;
        }
        const struct resize_taps *taps = &down->taps[y];
        for (int j = 0; j < taps->n; j++)
            rows[j] = row_at(passes, taps->first + j);
        rows[taps->n] = rows[taps->n - 1];
        run_down(rows, taps, bytes, out);
    }
}

/* The ring is one row of the input's width; only the columns that the window
 * needs are filled. */
static void resize_down_first(const struct passes *passes, const struct axis *down,
                              resize_down_fn *run_down, const uint8_t **rows, uint8_t *out,
                              size_t stride)
{
    const struct image       *in     = passes->in;
    const struct resize_taps *last   = &passes->across->taps[passes->across->n - 1];
    size_t                    from   = 3 * (size_t)passes->across->taps[0].first;
    size_t                    end    = 3 * (size_t)(last->first + last->n);
    size_t                    across = (size_t)in->width * 3;
    for (int y = 0; y < passes->window->height; y++, out += stride) {
        const struct resize_taps *taps = &down->taps[y];
        for (int j = 0; j < taps->n; j++)
            rows[j] = in->data + (size_t)(taps->first + j) * across + from;
        rows[taps->n] = rows[taps->n - 1];
        run_down(rows, taps, end - from, passes->ring + from);
        passes->run_across(passes->ring, end, passes->across->taps, passes->window->width, out);
    }
}

static int resize_convolved(const struct image *in, int width, int height, enum resample resample,
                            const struct resize_window *window, uint8_t *out, size_t stride,
                            struct err *err)
{
    struct axis     across = {0}, down = {0};
    bool            has_across = width != in->width, has_down = height != in->height;
    const uint8_t **rows     = NULL;
    resize_down_fn *run_down = resize_down_portable;
    struct passes   passes   = {.in         = in,
                                .window     = window,
                                .across     = has_across ? &across : NULL,
                                .run_across = resize_across_portable,
                                .ring_rows  = 1};
#if defined(__x86_64__)
    if (cpu_detect().level >= CPU_AVX2) {
        passes.run_across = resize_across_avx2;
        run_down          = resize_down_avx2;
    }
#endif
    int rc = 0;
    if (has_across)
        rc = axis_init(&across, in->width, width, window->x, window->width, resample, err);
    if (!rc && has_down)
        rc = axis_init(&down, in->height, height, window->y, window->height, resample, err);
    if (rc)
        goto out;
    bool   down_first = has_across && has_down && begins_down(in, width, height);
    size_t ring_width = (size_t)(down_first ? in->width : window->width);
    if (has_down && !down_first)
        passes.ring_rows = down.most;
    rows = mem_array((size_t)down.most + 1, sizeof *rows);
    if (has_across)
        passes.ring = mem_array((size_t)passes.ring_rows, ring_width * 3);
    if (!rows || (has_across && !passes.ring)) {
        rc = err_set(err, ERR_NOMEM, "out of memory resizing a picture to %d x %d", width, height);
        goto out;
    }
    if (has_down)
        passes.next = down.taps[0].first;
    if (down_first)
        resize_down_first(&passes, &down, run_down, rows, out, stride);
    else
        resize_across_first(&passes, has_down ? &down : NULL, run_down, rows, out, stride);
out:
    free(passes.ring);
    free(rows);
    axis_release(&across);
    axis_release(&down);
    return rc;
}

/* Input positions of output pixels from..from+n; -1 beyond the input. */
static void nearest_positions(int in_size, int out_size, int from, int n, int *positions)
{
    double step = (double)(float)in_size / out_size;
    double at   = step * 0.5;
    for (int i = 0; i < from + n; i++, at += step) {
        if (i >= from)
            positions[i - from] = at < in_size ? (int)at : -1;
    }
}

static int resize_nearest(const struct image *in, int width, int height,
                          const struct resize_window *window, uint8_t *out, size_t stride,
                          struct err *err)
{
    int *xs = mem_array((size_t)window->width, sizeof *xs);
    int *ys = mem_array((size_t)window->height, sizeof *ys);
    int  rc = 0;
    if (!xs || !ys) {
        rc = err_set(err, ERR_NOMEM, "out of memory resizing a picture to %d x %d", width, height);
        goto out;
    }
    nearest_positions(in->width, width, window->x, window->width, xs);
    nearest_positions(in->height, height, window->y, window->height, ys);
    for (int y = 0; y < window->height; y++, out += stride) {
        memset(out, 0, (size_t)window->width * 3);
        if (ys[y] < 0)
            continue;
        const uint8_t *row = in->data + (size_t)ys[y] * (size_t)in->width * 3;
        for (int x = 0; x < window->width; x++) {
            if (xs[x] >= 0)
                memcpy(out + 3 * (size_t)x, row + 3 * (size_t)xs[x], 3);
        }
    }
out:
    free(xs);
    free(ys);
    return rc;
}

int image_resize_window(const struct image *in, int width, int height, enum resample resample,
                        const struct resize_window *window, uint8_t *out, size_t stride,
                        struct err *err)
{
    if (in->width < 1 || in->height < 1 || width < 1 || height < 1)
        return err_set(err, ERR_USAGE, "cannot resize %d x %d pixels to %d x %d", in->width,
                       in->height, width, height);
    if (window->x < 0 || window->y < 0 || window->width < 1 || window->height < 1 ||
        window->width > width - window->x || window->height > height - window->y)
        return err_set(err, ERR_USAGE, "the window %d,%d %d x %d is not inside %d x %d", window->x,
                       window->y, window->width, window->height, width, height);
    switch (resample) {
    case RESAMPLE_NEAREST:
        return resize_nearest(in, width, height, window, out, stride, err);
    case RESAMPLE_BILINEAR:
    case RESAMPLE_BICUBIC:
        return resize_convolved(in, width, height, resample, window, out, stride, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, "resampling %d is not known", (int)resample);
    }
}

int image_resize(const struct image *in, int width, int height, enum resample resample,
                 struct image *out, struct err *err)
{
    const struct resize_window all    = {.width = width, .height = height};
    size_t                     pixels = 0;
    *out                              = (struct image){0};
    if (width > 0 && height > 0 && size_mul((size_t)width, (size_t)height, &pixels))
        out->data = mem_array(pixels, 3);
    if (pixels && !out->data)
        return err_set(err, ERR_NOMEM, "out of memory for %d x %d pixels", width, height);
    int rc =
        image_resize_window(in, width, height, resample, &all, out->data, (size_t)width * 3, err);
    if (rc) {
        image_free(out);
        return rc;
    }
    out->width  = width;
    out->height = height;
    return 0;
}
