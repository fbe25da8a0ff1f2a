/* Views of a picture for training: see augment.h. */
#include "learn/augment.h"

#include "base/hash.h"
#include "base/splitmix.h"
#include "learn/views.h"

#include <limits.h>
#include <math.h>
#include <string.h>

const struct augment augment_part = {.min_area = 0.1, .max_area = 0.3, .jitter = 0.4};

uint64_t augment_seed(const char *name, const struct image *in, uint64_t seed, int view)
{
    uint8_t  hash[HASH_BYTES];
    uint64_t state;
    hash_bytes(name, strlen(name), hash);
    memcpy(&state, hash, sizeof state);
    state ^= seed * 0x9E3779B97F4A7C15u;
    state += (uint64_t)view << 32 ^ (uint64_t)in->width << 16 ^ (uint64_t)in->height;
    return splitmix_next(&state);
}

int augment_min_side(const struct augment *augment, const struct preprocess *p)
{
    double share = augment->min_area / VIEWS_WIDEST_RATIO; /* of the shorter side, squared */
    double side  = share > 0 ? ceil(preprocess_min_side(p) / sqrt(share)) : 0;
    return side < INT_MAX ? (int)side : 0;
}

static void flip(uint8_t *pixels, int width, int height)
{
    for (int y = 0; y < height; y++) {
        uint8_t *left = pixels + (ptrdiff_t)y * width * 3, *right = left + (ptrdiff_t)width * 3 - 3;
        for (; left < right; left += 3, right -= 3) {
            for (int c = 0; c < 3; c++) {
                uint8_t kept = left[c];
                left[c]      = right[c];
                right[c]     = kept;
            }
        }
    }
}

/* Rec. 601, as Pillow turns colours to grey. */
static double luma(const uint8_t *p)
{
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

static uint8_t to_byte(double value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5);
}

/* Each pixel becomes (1 - factor) * base + factor * pixel: base is black for
 * brightness, the mean grey for contrast, its own grey for saturation. */
static void move_colours(uint8_t *pixels, size_t n, const double factor[3])
{
    double mean = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = to_byte(factor[0] * pixels[3 * i + c]);
        mean += luma(pixels + 3 * i) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = to_byte((1 - factor[1]) * mean + factor[1] * pixels[3 * i + c]);
        double grey = luma(pixels + 3 * i);
        for (size_t c = 0; c < 3; c++)
            pixels[3 * i + c] = to_byte((1 - factor[2]) * grey + factor[2] * pixels[3 * i + c]);
    }
}

static int crop(const struct augment *augment, const struct preprocess *p, const struct image *in,
                uint64_t random, uint8_t *out, struct err *err)
{
    struct view  view = {.area_low  = augment->min_area,
                         .area_high = augment->max_area > 0 ? augment->max_area : 1,
                         .mirrored  = 0.5};
    struct image cut = {0}, resized = {0};
    size_t       pixels = (size_t)p->out_w * (size_t)p->out_h;
    int          rc     = view_make(in, &view, &random, &cut, err);
    if (!rc)
        rc = image_resize(&cut, p->out_w, p->out_h, p->resample, &resized, err);
    if (!rc) {
        double factor[3];
        for (int i = 0; i < 3; i++)
            factor[i] = 1 + augment->jitter * (2 * splitmix_unit(&random) - 1);
        memcpy(out, resized.data, pixels * 3);
        if (augment->jitter > 0)
            move_colours(out, pixels, factor);
    }
    image_free(&resized);
    image_free(&cut);
    return rc;
}

int augment_image(enum augment_kind kind, const struct augment *augment, const struct preprocess *p,
                  const struct image *in, uint64_t seed, uint8_t *out, struct err *err)
{
    if (kind == AUGMENT_CROP)
        return crop(augment, p, in, seed, out, err);
    int rc = preprocess_image(p, in, out, err);
    if (!rc && kind == AUGMENT_FLIP)
        flip(out, p->out_w, p->out_h);
    return rc;
}
