/* The forward pass of EfficientNet-Lite: see efficientnet.h.
 *
 * Each block is one fused loop. For a chunk of its expanded channels, rows are
 * expanded into a ring as high as the depthwise window, convolved as soon as the
 * window is full, and what comes out is projected once all channels of a strip
 * are there; the expanded activation, six times as large as the block's input,
 * exists only as that ring. Block 0's expansion is the stem.
 *
 * A team of threads works on one picture, by rows while the picture is large and
 * by channels once it is small (then each thread reads only its share of the
 * weights). With at least as many pictures as threads each thread is a team of
 * its own, and nobody waits.
 */
#include "model/efficientnet_net.h"
#include "nn/team.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define LINE       16           /* floats of a cache line */
#define STRIP      (144 * 1024) /* floats of a strip between depthwise and projection */
#define LEAST_ROWS 14           /* of a share: fewer expand too many rows twice */
#define HEAD_CHUNK (4 * GEMM_PANEL)
#define PIXEL_ROWS 3 /* of the stem's window, normalised */

/* Where a thread's scratch lies, in floats. */
struct layout {
    size_t act;   /* one block's output */
    size_t cells; /* depthwise outputs */
    size_t ring;
    size_t pixels; /* PIXEL_ROWS rows and one of zeros */
    size_t low;    /* an input in reduced precision, and cells */
    size_t total;
};

/* One thread of a team. */
struct worker {
    const struct effnet       *net;
    struct team_member         team;
    const uint8_t             *picture; /* (image_size, image_size, 3) */
    float                     *act[2];  /* the team's */
    float                     *shared;  /* the team's cells */
    float                     *cells;   /* its own */
    float                     *ring;
    float                     *pixels;
    char                      *low_in; /* the team's: its input in reduced precision */
    void                      *low;    /* its own cells in reduced precision */
    int                        pixel_row[PIXEL_ROWS]; /* which row each slot holds, or -1 */
    const struct effnet_block *ring_block;            /* whose padding is zero in the ring, */
    int                        ring_n;                /* with that many channels */
    const struct effnet_tap   *tap;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t whole_lines(size_t n)
{
    return (n + LINE - 1) / LINE * LINE;
}

static int strip_rows(const struct effnet_block *b)
{
    int rows = STRIP / (b->out_size * b->mid_c);
    return rows < 1 ? 1 : rows > b->out_size ? b->out_size : rows;
}

static size_t pixel_row_size(const struct effnet *net)
{
    return whole_lines(((size_t)net->image_size + STEM_K - 1) * 3);
}

static size_t low_floats(const struct linear_kernel *kernel, int side, int channels)
{
    return linear_scratch(kernel, side * side, channels) / sizeof(float);
}

static struct layout layout_of(const struct effnet *net)
{
    struct layout l = {0};
    for (int i = 0; i < EFFNET_BLOCKS; i++) {
        const struct effnet_block *b = &net->block[i];
        int    rows = b->out_size <= EFFNET_SMALL_SIDE ? b->out_size : strip_rows(b);
        size_t side = (size_t)b->out_size;
        l.act       = larger(l.act, side * side * (size_t)b->out_c);
        l.cells     = larger(l.cells, (size_t)rows * side * (size_t)b->mid_c);
        /* One row more than the window: of zeros. */
        l.ring      = larger(l.ring, (size_t)(b->k + 1) * (size_t)b->row_w * (size_t)b->chunk);
        l.low       = larger(l.low, low_floats(&b->kernel, b->in_size, b->in_c));
        l.low       = larger(l.low, low_floats(&b->kernel, b->out_size, b->mid_c));
    }
    size_t stem = (size_t)net->stem_size * (size_t)net->stem_size * (size_t)net->stem_c;
    l.act       = whole_lines(larger(l.act, (stem + 1) / 2)); /* both together hold the stem's */
    l.cells     = whole_lines(larger(l.cells, (size_t)(net->grid * net->grid) * HEAD_CHUNK));
    l.ring      = whole_lines(l.ring);
    l.pixels    = (PIXEL_ROWS + 1) * pixel_row_size(net);
    l.low       = larger(l.low, low_floats(&net->linear, net->grid, net->head_in));
    l.low       = larger(l.low, low_floats(&net->linear, 1, net->features));
    l.total     = 2 * l.act + l.cells + l.ring + l.pixels + 2 * l.low;
    return l;
}

size_t effnet_scratch_size(const struct effnet *net, int batch, int threads)
{
    /* Pictures pass through one after the other, then features through fc. */
    size_t towers = layout_of(net).total * sizeof(float) * (size_t)(threads > 1 ? threads : 1);
    return larger(towers, linear_scratch(&net->linear, batch, net->features));
}

/* Row y of the padded, normalised picture. */
static const float *pixel_row(struct worker *w, int y)
{
    const struct effnet *net  = w->net;
    size_t               size = pixel_row_size(net);
    if (y >= net->image_size)
        return w->pixels + PIXEL_ROWS * size;
    int    slot = y % PIXEL_ROWS, n = net->image_size * 3;
    float *row = w->pixels + (size_t)slot * size;
    if (w->pixel_row[slot] != y) {
        net->conv.pixels(w->picture + (ptrdiff_t)y * n, net->scale, net->shift, n, row);
        w->pixel_row[slot] = y;
    }
    return row;
}

/* Row y of the stem's output. */
static void stem_row(struct worker *w, int y, float *out)
{
    const struct effnet *net = w->net;
    struct stem          s   = {
                   .channels = net->stem_c, .out_w = net->stem_size, .bias = net->stem_b, .out = out};
    for (int i = 0; i < STEM_K; i++) {
        s.rows[i] = pixel_row(w, 2 * y + i);
        s.w[i]    = net->stem_w[i];
    }
    net->conv.stem(&s);
}

/* Some channels (chunk) of row y of the block's expanded input. */
static void expand_row(struct worker *w, const struct effnet_block *b, const struct linear *chunk,
                       const float *in, int y, float *out)
{
    if (!b->expand.weight) {
        stem_row(w, y, out);
        return;
    }
    if (!b->kernel.convert) { /* thousands of small products: a detour shows */
        struct gemm g = {.m    = b->in_size,
                         .n    = chunk->n,
                         .k    = b->in_c,
                         .a    = in + (ptrdiff_t)y * b->in_size * b->in_c,
                         .lda  = b->in_c,
                         .w    = chunk->weight,
                         .bias = chunk->bias,
                         .c    = out,
                         .ldc  = chunk->n,
                         .act  = ACT_RELU6};
        b->kernel.gemm(&g);
        return;
    }
    struct linear_call call = {.rows = b->in_size,
                               .a    = in + (ptrdiff_t)y * b->in_size * b->in_c,
                               .lda  = b->in_c,
                               .c    = out,
                               .ldc  = chunk->n,
                               .act  = ACT_RELU6,
                               .scratch =
                                   w->low_in + linear_scratch(&b->kernel, y * b->in_size, b->in_c)};
    linear_converted(&b->kernel, chunk, &call);
}

/* Expands and convolves channels [c, c + n) for output rows [from, to); out is
 * at row from, channel c, of (rows, out_size, mid_c). */
static void fill_chunk(struct worker *w, const struct effnet_block *b, const float *in, int from,
                       int to, int c, int n, float *out)
{
    ptrdiff_t        row   = (ptrdiff_t)b->row_w * n;
    const float     *zero  = w->ring + b->k * row;
    struct depthwise d     = {.k        = b->k,
                              .stride   = b->stride,
                              .channels = n,
                              .out_w    = b->out_size,
                              .w        = b->dw_w + (ptrdiff_t)c * b->k * b->k,
                              .bias     = b->dw_b + c,
                              .ldo      = b->mid_c};
    struct linear    chunk = {.n = n};
    int              next  = from * b->stride - b->pad; /* input row to expand next */
    if (next < 0)
        next = 0;
    if (b->expand.weight)
        chunk = linear_outputs(b->kernel.precision, &b->expand, c, n);
    for (int r = from; r < to; r++, out += (ptrdiff_t)b->out_size * b->mid_c) {
        int first = r * b->stride - b->pad;
        for (; next < first + b->k && next < b->in_size; next++)
            expand_row(w, b, &chunk, in, next, w->ring + next % b->k * row + (ptrdiff_t)b->pad * n);
        for (int i = 0; i < b->k; i++) {
            int y     = first + i;
            d.rows[i] = y < 0 || y >= b->in_size ? zero : w->ring + y % b->k * row;
        }
        d.out = out;
        w->net->conv.depthwise(&d);
    }
}

/* The ring's padding, and the row after it, are zeros; rows leave them alone. */
static void lay_out_ring(struct worker *w, const struct effnet_block *b, int n)
{
    if (w->ring_block == b && w->ring_n == n)
        return;
    memset(w->ring, 0, (size_t)(b->k + 1) * (size_t)b->row_w * (size_t)n * sizeof(float));
    w->ring_block = b;
    w->ring_n     = n;
}

/* Chunk i of the block's channels for output rows [from, to). */
static void fill_cells(struct worker *w, const struct effnet_block *b, const float *in, int from,
                       int to, int i, float *cells)
{
    int c = i * b->chunk, n = b->mid_c - c < b->chunk ? b->mid_c - c : b->chunk;
    lay_out_ring(w, b, n);
    fill_chunk(w, b, in, from, to, c, n, cells + c);
}

/* Output pixels [p0, p1), channels [n0, n1); cells and in begin at pixel p0. */
static void project(const struct worker *w, const struct effnet_block *b, const float *cells,
                    const float *in, float *out, int p0, int p1, int n0, int n1)
{
    struct linear      part = linear_outputs(b->kernel.precision, &b->project, n0, n1 - n0);
    struct linear_call call = {.rows     = p1 - p0,
                               .a        = cells,
                               .lda      = b->mid_c,
                               .residual = b->residual ? in + (ptrdiff_t)p0 * b->in_c + n0 : NULL,
                               .ldr      = b->in_c,
                               .c        = out + (ptrdiff_t)p0 * b->out_c + n0,
                               .ldc      = b->out_c,
                               .act      = ACT_NONE,
                               .scratch  = w->low};
    if (call.rows > 0 && part.n > 0)
        linear_one(&b->kernel, &part, &call);
}

static int chunks_of(const struct effnet_block *b)
{
    return (b->mid_c + b->chunk - 1) / b->chunk;
}

/* Rows [from, end), in strips whose cells fit the scratch. */
static void block_rows(struct worker *w, const struct effnet_block *b, const float *in, float *out,
                       int from, int end)
{
    int side = b->out_size, step = strip_rows(b), strips = (end - from + step - 1) / step;
    for (int s = 0, r = from; s < strips; s++) {
        int to = from + team_share(end - from, s + 1, strips);
        for (int i = 0; i < chunks_of(b); i++)
            fill_cells(w, b, in, r, to, i, w->cells);
        project(w, b, w->cells, in, out, r * side, to * side, 0, b->out_c);
        r = to;
    }
}

static void block_by_rows(struct worker *w, const struct effnet_block *b, const float *in,
                          float *out)
{
    int parts = w->team.n;
    if (parts > 1 && b->out_size >= 2 * parts * LEAST_ROWS)
        parts *= 2; /* so that something is left to take */
    if (parts > TEAM_ITEMS)
        parts = TEAM_ITEMS;
    for (int i = team_start(&w->team, parts); i >= 0; i = team_next(&w->team))
        block_rows(w, b, in, out, team_share(b->out_size, i, parts),
                   team_share(b->out_size, i + 1, parts));
}

/* The team's input in reduced precision; a phase, where there is one. */
static void convert_input(struct worker *w, const struct linear_kernel *kernel, const float *in,
                          int rows, int k)
{
    int parts = 2 * w->team.n < TEAM_ITEMS ? 2 * w->team.n : TEAM_ITEMS;
    if (!kernel->convert)
        return;
    for (int i = team_start(&w->team, parts); i >= 0; i = team_next(&w->team)) {
        int                from = team_share(rows, i, parts);
        struct linear_call call = {.rows    = team_share(rows, i + 1, parts) - from,
                                   .a       = in + (ptrdiff_t)from * k,
                                   .lda     = k,
                                   .scratch = w->low_in + linear_scratch(kernel, from, k)};
        linear_convert(kernel, k, &call);
    }
}

static void block_by_channels(struct worker *w, const struct effnet_block *b, const float *in,
                              float *out)
{
    int side = b->out_size, pixels = side * side;
    int panels = (b->out_c + GEMM_PANEL - 1) / GEMM_PANEL;
    if (b->expand.weight)
        convert_input(w, &b->kernel, in, b->in_size * b->in_size, b->in_c);
    for (int i = team_start(&w->team, chunks_of(b)); i >= 0; i = team_next(&w->team))
        fill_cells(w, b, in, 0, side, i, w->shared);
    int by_rows = pixels >= LEAST_ROWS * LEAST_ROWS * w->team.n / 2;
    int parts   = w->team.n == 1 ? 1 : by_rows ? w->team.n : panels / 2;
    for (int i = team_start(&w->team, parts); i >= 0; i = team_next(&w->team)) {
        if (by_rows) {
            int p0 = team_share(side, i, parts) * side, p1 = team_share(side, i + 1, parts) * side;
            project(w, b, w->shared + (ptrdiff_t)p0 * b->mid_c, in, out, p0, p1, 0, b->out_c);
        } else {
            int n0 = team_share(panels, i, parts) * GEMM_PANEL;
            int n1 = team_share(panels, i + 1, parts) * GEMM_PANEL;
            project(w, b, w->shared, in, out, 0, pixels, n0, n1 < b->out_c ? n1 : b->out_c);
        }
    }
}

/* The head convolution and the mean over its pixels. grid: (pixels, features) or
 * NULL. */
static void head(struct worker *w, const float *in, float *pooled, float *grid)
{
    const struct effnet *net    = w->net;
    int                  pixels = net->grid * net->grid;
    int                  chunks = (net->features + HEAD_CHUNK - 1) / HEAD_CHUNK;
    convert_input(w, &net->linear, in, pixels, net->head_in);
    for (int i = team_start(&w->team, chunks); i >= 0; i = team_next(&w->team)) {
        int                n0   = i * HEAD_CHUNK;
        int                n    = net->features - n0 < HEAD_CHUNK ? net->features - n0 : HEAD_CHUNK;
        struct linear      part = linear_outputs(net->linear.precision, &net->head, n0, n);
        struct linear_call call = {.rows    = pixels,
                                   .a       = in,
                                   .lda     = net->head_in,
                                   .c       = grid ? grid + n0 : w->cells,
                                   .ldc     = grid ? net->features : HEAD_CHUNK,
                                   .act     = ACT_RELU6,
                                   .scratch = w->low_in};
        linear_converted(&net->linear, &part, &call);
        for (int c = 0; c < n; c++)
            pooled[n0 + c] = 0;
        for (int p = 0; p < pixels; p++) {
            const float *x = call.c + (ptrdiff_t)p * call.ldc;
            for (int c = 0; c < n; c++)
                pooled[n0 + c] += x[c];
        }
        for (int c = 0; c < n; c++)
            pooled[n0 + c] /= (float)pixels;
    }
}

/* The logits of one picture, from its pooled features. */
static void classify(struct worker *w, const float *pooled, float *logits)
{
    const struct effnet *net    = w->net;
    int                  chunks = (net->classes + HEAD_CHUNK - 1) / HEAD_CHUNK;
    int                  parts  = chunks < TEAM_ITEMS ? chunks : TEAM_ITEMS;
    for (int i = team_start(&w->team, parts); i >= 0; i = team_next(&w->team)) {
        int                n0   = team_share(chunks, i, parts) * HEAD_CHUNK;
        int                n1   = team_share(chunks, i + 1, parts) * HEAD_CHUNK;
        struct linear      part = linear_outputs(net->linear.precision, &net->fc, n0,
                                                 (n1 < net->classes ? n1 : net->classes) - n0);
        struct linear_call call = {.rows    = 1,
                                   .a       = pooled,
                                   .lda     = net->features,
                                   .c       = logits + n0,
                                   .ldc     = net->classes,
                                   .act     = ACT_NONE,
                                   .scratch = w->low};
        linear_one(&net->linear, &part, &call);
    }
}

/* A phase of its own: nobody goes on while the test looks. */
static void see(struct worker *w, const char *stage, const float *data, int size, int c)
{
    if (!w->tap)
        return;
    for (int i = team_start(&w->team, 1); i >= 0; i = team_next(&w->team))
        w->tap->see(w->tap->ctx, stage, data, size, size, c);
}

/* What the fused pass never has in one piece. */
static void see_stem(struct worker *w)
{
    const struct effnet *net = w->net;
    if (!w->tap)
        return;
    for (int i = team_start(&w->team, 1); i >= 0; i = team_next(&w->team)) {
        for (int y = 0; y < net->stem_size; y++)
            stem_row(w, y, w->act[0] + (ptrdiff_t)y * net->stem_size * net->stem_c);
    }
    see(w, "stem", w->act[0], net->stem_size, net->stem_c);
}

/* The blocks whose channels are summed up for effnet_seen.stages. */
static bool ends_stage(int block)
{
    return block == 0 || block == 2 || block == 4 || block == 10 || block == 15;
}

int effnet_stages(const struct effnet *net)
{
    int n = 0;
    for (int i = 0; i < EFFNET_BLOCKS; i++)
        n += ends_stage(i) ? 2 * net->block[i].out_c : 0;
    return n;
}

/* Means of c channels over n pixels, then standard deviations (with n - 1, as
 * torch.std). One phase of a team. */
static void sum_up_stage(struct worker *w, const float *x, int n, int c, float *out)
{
    for (int one = team_start(&w->team, 1); one >= 0; one = team_next(&w->team)) {
        float *mean = out, *std = out + c;
        memset(out, 0, 2 * (size_t)c * sizeof *out);
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < c; k++)
                mean[k] += x[(ptrdiff_t)i * c + k];
        }
        for (int k = 0; k < c; k++)
            mean[k] /= (float)n;
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < c; k++) {
                float d = x[(ptrdiff_t)i * c + k] - mean[k];
                std[k] += d * d;
            }
        }
        for (int k = 0; k < c; k++)
            std[k] = sqrtf(std[k] / (float)(n - 1));
    }
}

static void run_picture(struct worker *w, const uint8_t *picture, float *pooled, float *grid,
                        float *stages)
{
    static const char names[EFFNET_BLOCKS][8] = {
        "block0", "block1", "block2",  "block3",  "block4",  "block5",  "block6",  "block7",
        "block8", "block9", "block10", "block11", "block12", "block13", "block14", "block15"};
    const struct effnet *net = w->net;
    const float         *in  = NULL;
    w->picture               = picture;
    for (int i = 0; i < PIXEL_ROWS; i++)
        w->pixel_row[i] = -1;
    see_stem(w);
    for (int i = 0; i < EFFNET_BLOCKS; i++) {
        const struct effnet_block *b   = &net->block[i];
        float                     *out = w->act[i % 2];
        if (b->out_size > EFFNET_SMALL_SIDE)
            block_by_rows(w, b, in, out);
        else
            block_by_channels(w, b, in, out);
        see(w, names[i], out, b->out_size, b->out_c);
        if (stages && ends_stage(i)) {
            sum_up_stage(w, out, b->out_size * b->out_size, b->out_c, stages);
            stages += 2 * b->out_c;
        }
        in = out;
    }
    head(w, in, pooled, grid);
    if (grid)
        see(w, "head", grid, net->grid, net->features);
}

/* Thread id of n, in scratch from thread first's on. */
static struct worker worker_of(const struct effnet *net, float *scratch, int first,
                               struct team_member team)
{
    struct layout l    = layout_of(net);
    float        *lead = scratch + (size_t)first * l.total;
    float        *own  = lead + (size_t)team.id * l.total + 2 * l.act;
    struct worker w    = {.net    = net,
                          .team   = team,
                          .act    = {lead, lead + l.act},
                          .shared = lead + 2 * l.act,
                          .cells  = own,
                          .ring   = own + l.cells,
                          .pixels = own + l.cells + l.ring,
                          .low_in = (char *)(lead + 2 * l.act + l.cells + l.ring + l.pixels),
                          .low    = own + l.cells + l.ring + l.pixels + l.low};
    memset(w.pixels, 0, l.pixels * sizeof(float)); /* the padding is 0 after normalisation */
    return w;
}

struct call {
    const struct effnet     *net;
    const uint8_t           *pixels;
    float                   *scratch;
    struct effnet_seen       out;
    const struct effnet_tap *tap;
};

static void call_picture(const struct call *c, struct worker *w, int i)
{
    const struct effnet *net  = c->net;
    size_t               side = (size_t)net->image_size, cells = (size_t)(net->grid * net->grid);
    size_t               at = (size_t)i, f = (size_t)net->features;
    float               *grid = c->out.grid ? c->out.grid + at * cells * f : NULL;
    float *stages = c->out.stages ? c->out.stages + at * (size_t)effnet_stages(net) : NULL;
    w->tap        = i == 0 ? c->tap : NULL;
    run_picture(w, c->pixels + at * side * side * 3, c->out.pooled + at * f, grid, stages);
}

/* The first n pictures, each by one thread. */
static void call_alone(const struct call *c, int n, int threads)
{
    if (n > 0 && threads == 1) { /* without entering OpenMP: callers may be threads themselves */
        struct worker w = worker_of(c->net, c->scratch, 0, team_join(NULL, 0, 1));
        for (int i = 0; i < n; i++)
            call_picture(c, &w, i);
    } else if (n > 0) {
#pragma omp parallel num_threads(threads)
        {
            struct worker w =
                worker_of(c->net, c->scratch, omp_get_thread_num(), team_join(NULL, 0, 1));
#pragma omp for schedule(dynamic, 1)
            for (int i = 0; i < n; i++)
                call_picture(c, &w, i);
        }
    }
    if (c->out.logits && n > 0) {
        const struct effnet *net  = c->net;
        struct linear_call   call = {.rows    = n,
                                     .a       = c->out.pooled,
                                     .lda     = net->features,
                                     .c       = c->out.logits,
                                     .ldc     = net->classes,
                                     .act     = ACT_NONE,
                                     .scratch = c->scratch};
        linear_run(&net->linear, &net->fc, &call, threads);
    }
}

/* Pictures [from, to), each by all threads. */
static void call_together(const struct call *c, int from, int to, int threads)
{
    const struct effnet *net = c->net;
    struct team          team;
    if (from >= to)
        return;
    team_init(&team);
#pragma omp parallel num_threads(threads)
    {
        struct worker w = worker_of(net, c->scratch, 0,
                                    team_join(&team, omp_get_thread_num(), omp_get_num_threads()));
        for (int i = from; i < to; i++) {
            call_picture(c, &w, i);
            if (c->out.logits)
                classify(&w, c->out.pooled + (ptrdiff_t)i * net->features,
                         c->out.logits + (ptrdiff_t)i * net->classes);
        }
    }
}

void effnet_forward(const struct effnet *net, const uint8_t *pixels, int n, int threads,
                    void *scratch, const struct effnet_seen *out, const struct effnet_tap *tap)
{
    struct call c = {net, pixels, scratch, *out, tap};
    if (threads < 1)
        threads = 1;
    int alone = n - n % threads; /* pictures that keep every thread busy by itself */
    call_alone(&c, alone, threads);
    call_together(&c, alone, n, threads);
    if (tap) {
        tap->see(tap->ctx, "pooled", out->pooled, 1, 1, net->features);
        if (out->logits)
            tap->see(tap->ctx, "logits", out->logits, 1, 1, net->classes);
    }
}
