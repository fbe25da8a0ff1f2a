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
    return clip_work_lay_out(&c->vision, n * image_tokens(c), image_tokens(c),
                             patches * (size_t)c->patches.k, threads, base);
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

/* One picture's tokens: class token and patches, with positions, normalised. */
static void place_tokens(const struct clip *c, const float *patches, float *x)
{
    int width = c->vision.config.width, tokens = image_tokens(c);
    memcpy(x, c->placement, (size_t)width * sizeof *x);
    for (ptrdiff_t i = width; i < (ptrdiff_t)tokens * width; i++)
        x[i] = patches[i - width] + c->placement[i];
    ops_layernorm(x, tokens, width, c->before_blocks.weight, c->before_blocks.bias,
                  c->vision.config.eps, x);
}

static void image_part(const struct clip *c, const uint8_t *pixels, int n, int threads,
                       void *scratch, float *out)
{
    int             *starts = scratch;
    struct clip_work w = image_work(c, n, threads, (float *)((char *)scratch + starts_bytes(n)));
    int              patches = c->grid * c->grid, side = c->config.image_size;
    ptrdiff_t        width = c->vision.config.width;
    for (int i = 0; i <= n; i++)
        starts[i] = i * image_tokens(c);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int row = 0; row < n * c->grid; row++)
        gather_patches(c, pixels + (ptrdiff_t)(row / c->grid) * side * side * 3, row % c->grid,
                       w.wide + (ptrdiff_t)row * c->grid * c->patches.k);
    clip_linear_run(c->vision.gemm, &c->patches, n * patches, w.wide, NULL, w.y, ACT_NONE, threads);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && n > 1)
    for (int i = 0; i < n; i++)
        place_tokens(c, w.y + i * patches * width, w.x + starts[i] * width);
    clip_tower_run(&c->vision, &w, starts, n, threads, out);
}

void clip_images(const struct clip *c, const uint8_t *pixels, int n, int threads, void *scratch,
                 float *out)
{
    ptrdiff_t picture = (ptrdiff_t)c->config.image_size * c->config.image_size * 3;
    for (int i = 0, part; i < n; i += part) {
        part = n - i < clip_image_batch(c) ? n - i : clip_image_batch(c);
        image_part(c, pixels + i * picture, part, threads, scratch,
                   out + (ptrdiff_t)i * c->config.dim);
    }
}

static struct clip_work text_work(const struct clip *c, int tokens, int threads, float *base)
{
    int longest = tokens < c->config.positions ? tokens : c->config.positions;
    return clip_work_lay_out(&c->text, tokens, longest, 0, threads, base);
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
                      void *scratch, float *out)
{
    int             *starts = scratch;
    int              tokens = from[n] - from[0];
    struct clip_work w =
        text_work(c, tokens, threads, (float *)((char *)scratch + starts_bytes(n)));
    starts[0] = 0;
    for (int i = 0; i < n; i++) {
        const int32_t *text   = ids + from[i];
        int            length = useful_length(c, text, from[i + 1] - from[i]);
        embed(c, text, length, w.x + (ptrdiff_t)starts[i] * c->text.config.width);
        starts[i + 1] = starts[i] + length;
    }
    clip_tower_run(&c->text, &w, starts, n, threads, out);
}

void clip_texts(const struct clip *c, const int32_t *ids, const int *starts, int n, int threads,
                void *scratch, float *out)
{
    int most = n > 0 ? most_text_tokens(c, starts[n]) : 0;
    for (int i = 0, part; i < n; i += part) {
        part = 1;
        while (i + part < n && starts[i + part + 1] - starts[i] <= most)
            part++;
        text_part(c, ids, starts + i, part, threads, scratch, out + (ptrdiff_t)i * c->config.dim);
    }
}
