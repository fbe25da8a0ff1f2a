/* Running CLIP's two towers: see clip.h; loading is in clip_load.c, the blocks
 * in clip_tower.c.
 *
 * Formulas: transformers' CLIPModel. Departures, none of which changes what is
 * computed beyond rounding: normalising a byte is one multiply-add; texts have
 * their true length, and end at the pooled token, since the mask is causal.
 */
#include "model/clip.h"

#include "model/clip_model.h"
#include "nn/ops.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_TOKENS 1600 /* of a part of a long call: weights are read once a part, */
#define TEXT_TOKENS  1024 /* and activations should not leave the caches */

void clip_free(struct clip *clip)
{
    if (!clip)
        return;
    free(clip->vision.layer);
    free(clip->text.layer);
    free(clip->patch_scale);
    free(clip->patch_shift);
    free(clip);
}

const struct clip_config *clip_config_of(const struct clip *clip)
{
    return &clip->config;
}

int64_t clip_parameters(const struct clip *clip)
{
    return clip->parameters;
}

float clip_scale(const struct clip *clip)
{
    return clip->scale;
}

static int image_tokens(const struct clip *c)
{
    return c->grid * c->grid + 1;
}

/* Pictures of a part. */
int clip_image_batch(const struct clip *c)
{
    int n = IMAGE_TOKENS / image_tokens(c);
    return n < 1 ? 1 : n;
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t starts_bytes(int n)
{
    return whole_lines(((size_t)n + 1) * sizeof(int));
}

/* Patches as rows, and what they become. */
static struct clip_work image_work(const struct clip *c, int n, int threads, float *base)
{
    size_t patches = (size_t)n * (size_t)(c->grid * c->grid);
    return clip_work_lay_out(
        &c->vision, n * image_tokens(c), image_tokens(c), patches * (size_t)c->patches.k,
        linear_scratch(&c->patching, (int)patches, c->patches.k), threads, base);
}

size_t clip_images_scratch(const struct clip *c, int n, int threads)
{
    int part = clip_image_batch(c);
    part     = n < part ? n : part;
    return starts_bytes(part) + image_work(c, part, threads, NULL).floats * sizeof(float);
}

/* One row of patches of one picture, to rows of (patch, patch, 3) floats. */
static void gather_patches(const struct clip *c, const uint8_t *picture, int row, float *to)
{
    int side = c->config.image_size, patch = c->config.patch, run = patch * 3;
    for (int x = 0; x < c->grid; x++) {
        for (int y = 0; y < patch; y++, to += run) {
            const uint8_t *from = picture + ((ptrdiff_t)(row * patch + y) * side + x * patch) * 3;
            for (int i = 0; i < run; i++)
                to[i] = (float)from[i] * c->patch_scale[i] + c->patch_shift[i];
        }
    }
}

/* Some tokens of all pictures: class token or patch, with its position, normalised. */
static void place_tokens(const struct clip *c, const float *patches, int from, int to, float *x)
{
    int width = c->vision.config.width, tokens = image_tokens(c);
    for (int row = from; row < to; row++) {
        int          picture = row / tokens, t = row % tokens;
        const float *at    = c->placement + (ptrdiff_t)t * width;
        /* each picture's patches lie one row further back than its tokens */
        const float *patch = patches + (ptrdiff_t)(row - picture - 1) * width;
        float       *token = x + (ptrdiff_t)row * width;
        if (t == 0) {
            memcpy(token, at, (size_t)width * sizeof *token);
            continue;
        }
        for (int i = 0; i < width; i++)
            token[i] = patch[i] + at[i];
    }
    ops_layernorm(x + (ptrdiff_t)from * width, to - from, width, c->before_blocks.weight,
                  c->before_blocks.bias, c->vision.config.eps, x + (ptrdiff_t)from * width);
}

/* A part of a call: what its threads share. */
struct part {
    const struct clip *c;
    struct clip_work   w;
    const uint8_t     *pixels; /* (n, image_size, image_size, 3) */
    const int         *starts;
    int                n;
    struct clip_seen   out;
};

static void run_images(const struct part *p, struct team_member *m)
{
    const struct clip *c    = p->c;
    int                side = c->config.image_size, rows = p->n * c->grid;
    int                items = rows < TEAM_ITEMS ? rows : TEAM_ITEMS;
    for (int i = team_start(m, items); i >= 0; i = team_next(m)) {
        for (int row = team_share(rows, i, items); row < team_share(rows, i + 1, items); row++)
            gather_patches(c, p->pixels + (ptrdiff_t)(row / c->grid) * side * side * 3,
                           row % c->grid, p->w.wide + (ptrdiff_t)row * c->grid * c->patches.k);
    }
    clip_linear_run(&c->patching, &c->patches, rows * c->grid, p->w.wide, NULL, p->w.y, ACT_NONE,
                    p->w.low, m);
    rows  = p->starts[p->n];
    items = rows / 8 + 1 < TEAM_ITEMS ? rows / 8 + 1 : TEAM_ITEMS;
    for (int i = team_start(m, items); i >= 0; i = team_next(m))
        place_tokens(c, p->w.y, team_share(rows, i, items), team_share(rows, i + 1, items), p->w.x);
    clip_tower_run(&c->vision, &p->w, p->starts, p->n, m, &p->out);
}

static void run_texts(const struct part *p, struct team_member *m)
{
    clip_tower_run(&p->c->text, &p->w, p->starts, p->n, m, &p->out);
}

static void run_team(void (*run)(const struct part *, struct team_member *), const struct part *p,
                     int threads)
{
    struct team team;
    if (threads <= 1) {
        struct team_member alone = team_join(NULL, 0, 1);
        run(p, &alone);
        return;
    }
    team_init(&team);
#pragma omp parallel num_threads(threads)
    {
        struct team_member m = team_join(&team, omp_get_thread_num(), omp_get_num_threads());
        run(p, &m);
    }
}

static void image_part(const struct clip *c, const uint8_t *pixels, int n, int threads,
                       void *scratch, struct clip_seen out)
{
    int        *starts = scratch;
    float      *memory = (float *)(void *)((char *)scratch + starts_bytes(n));
    struct part p      = {.c      = c,
                          .w      = image_work(c, n, threads, memory),
                          .pixels = pixels,
                          .starts = starts,
                          .n      = n,
                          .out    = out};
    for (int i = 0; i <= n; i++)
        starts[i] = i * image_tokens(c);
    run_team(run_images, &p, threads);
}

/* The part from picture or text i on, whose states begin at a row. */
static struct clip_seen seen_from(const struct clip_seen *all, ptrdiff_t i, ptrdiff_t row, int dim,
                                  int width)
{
    return (struct clip_seen){.embedding = all->embedding ? all->embedding + i * dim : NULL,
                              .pooled    = all->pooled ? all->pooled + i * width : NULL,
                              .states    = all->states ? all->states + row * width : NULL,
                              .starts    = all->starts ? all->starts + i : NULL};
}

static void see_images(const struct clip *c, const uint8_t *pixels, int n, int threads,
                       void *scratch, const struct clip_seen *out)
{
    ptrdiff_t picture = (ptrdiff_t)c->config.image_size * c->config.image_size * 3;
    for (int i = 0, part; i < n; i += part) {
        part = n - i < clip_image_batch(c) ? n - i : clip_image_batch(c);
        image_part(c, pixels + i * picture, part, threads, scratch,
                   seen_from(out, i, (ptrdiff_t)i * c->grid * c->grid, c->config.dim,
                             c->vision.config.width));
    }
}

void clip_images(const struct clip *c, const uint8_t *pixels, int n, int threads, void *scratch,
                 float *out)
{
    see_images(c, pixels, n, threads, scratch, &(struct clip_seen){.embedding = out});
}

void clip_image_features(const struct clip *c, const uint8_t *pixels, int n, int threads,
                         void *scratch, const struct clip_seen *out)
{
    see_images(c, pixels, n, threads, scratch, out);
}

static struct clip_work text_work(const struct clip *c, int tokens, int threads, float *base)
{
    int longest = tokens < c->config.positions ? tokens : c->config.positions;
    return clip_work_lay_out(&c->text, tokens, longest, 0, 0, threads, base);
}

/* A part ends before the text that would pass TEXT_TOKENS. */
static int most_text_tokens(const struct clip *c, int total)
{
    int most = TEXT_TOKENS > c->config.positions ? TEXT_TOKENS : c->config.positions;
    return total < most ? total : most;
}

size_t clip_texts_scratch(const struct clip *c, int n, int total_tokens, int threads)
{
    int tokens = most_text_tokens(c, total_tokens);
    n          = n < tokens ? n : tokens;
    return starts_bytes(n) + text_work(c, tokens, threads, NULL).floats * sizeof(float);
}

/* How many of a text's ids matter: up to the one that is pooled. */
static int useful_length(const struct clip *c, const int32_t *ids, int n)
{
    int at = 0;
    for (int i = 0; i < n; i++) {
        if (c->config.eos == CLIP_EOS_LARGEST) {
            at = ids[i] > ids[at] ? i : at;
        } else if (ids[i] == c->config.eos) {
            return i + 1;
        }
    }
    return at + 1;
}

static void embed(const struct clip *c, const int32_t *ids, int n, float *x)
{
    size_t        row_bytes = c->words.bytes / (size_t)c->config.vocabulary;
    struct tensor row       = c->words;
    int           width     = c->text.config.width;
    row.elements            = width;
    row.bytes               = row_bytes;
    for (int t = 0; t < n; t++, x += width) {
        const float *at = c->positions + (ptrdiff_t)t * width;
        row.data        = (const char *)c->words.data + row_bytes * (size_t)ids[t];
        (void)tensor_to_f32(&row, x, NULL); /* its dtype was checked at loading */
        for (int d = 0; d < width; d++)
            x[d] += at[d];
    }
}

static void text_part(const struct clip *c, const int32_t *ids, const int *from, int n, int threads,
                      void *scratch, struct clip_seen out)
{
    int        *starts = scratch;
    float      *memory = (float *)(void *)((char *)scratch + starts_bytes(n));
    struct part p      = {.c      = c,
                          .w      = text_work(c, from[n] - from[0], threads, memory),
                          .starts = starts,
                          .n      = n,
                          .out    = out};
    starts[0]          = 0;
    for (int i = 0; i < n; i++) {
        const int32_t *text   = ids + from[i];
        int            length = useful_length(c, text, from[i + 1] - from[i]);
        embed(c, text, length, p.w.x + (ptrdiff_t)starts[i] * c->text.config.width);
        starts[i + 1] = starts[i] + length;
    }
    for (int i = 1; out.states && i <= n; i++)
        out.starts[i] = out.starts[0] + starts[i];
    run_team(run_texts, &p, threads);
}

static void see_texts(const struct clip *c, const int32_t *ids, const int *starts, int n,
                      int threads, void *scratch, const struct clip_seen *out)
{
    int most = n > 0 ? most_text_tokens(c, starts[n]) : 0;
    for (int i = 0, part; i < n; i += part) {
        part = 1;
        while (i + part < n && starts[i + part + 1] - starts[i] <= most)
            part++;
        text_part(c, ids, starts + i, part, threads, scratch,
                  seen_from(out, i, out->states ? out->starts[i] : 0, c->config.dim,
                            c->text.config.width));
    }
}

void clip_texts(const struct clip *c, const int32_t *ids, const int *starts, int n, int threads,
                void *scratch, float *out)
{
    see_texts(c, ids, starts, n, threads, scratch, &(struct clip_seen){.embedding = out});
}

void clip_text_features(const struct clip *c, const int32_t *ids, const int *starts, int n,
                        int threads, void *scratch, const struct clip_seen *out)
{
    see_texts(c, ids, starts, n, threads, scratch, out);
}
