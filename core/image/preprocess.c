/* preprocessor_config.json, and the way from a picture to a tower's square.
 *
 * Follows the Pillow backend of transformers 5 (image_processing_backends.py,
 * image_transforms.py): the longer side of a shortest-edge resize is truncated,
 * not rounded; the crop's offset is rounded down; what the crop lacks is black.
 * Departure: only the pixels inside the crop are resampled, which gives the same
 * bytes and bounds the work for a picture of 1 x 60,000.
 *
 * Keys that are missing mean what they mean to CLIP's processor, but only in a
 * configuration that is CLIP's or does not say whose it is.
 */
#include "image/preprocess.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define MAX_OUT 4096 /* pixels a side; towers take 224 to 1024 */

/* Whose defaults a configuration goes by. */
enum family { FAMILY_CLIP, FAMILY_SQUARE, FAMILY_OTHER };

static enum family family_of(const struct jnode *config, const char **name)
{
    static const char *const squares[] = {"ViT", "DeiT", "Siglip", "SigLIP"};
    *name                              = "";
    if (!jnode_to_str(jnode_get(config, "image_processor_type"), name) &&
        !jnode_to_str(jnode_get(config, "feature_extractor_type"), name))
        return FAMILY_CLIP;
    if (!strncmp(*name, "CLIP", 4) || !strncmp(*name, "ChineseCLIP", 11))
        return FAMILY_CLIP;
    for (size_t i = 0; i < sizeof squares / sizeof squares[0]; i++) {
        if (!strncmp(*name, squares[i], strlen(squares[i])))
            return FAMILY_SQUARE;
    }
    return FAMILY_OTHER;
}

/* The value of key, NULL when it is absent or null. */
static const struct jnode *present(const struct jnode *object, const char *key)
{
    const struct jnode *node = jnode_get(object, key);
    return jnode_is_null(node) ? NULL : node;
}

static int read_switch(const struct jnode *config, const char *key, bool fallback, bool *out,
                       struct err *err)
{
    const struct jnode *node = present(config, key);
    *out                     = fallback;
    if (node && !jnode_to_bool(node, out))
        return err_set(err, ERR_FORMAT, "%s is neither true nor false", key);
    return 0;
}

/* A side in pixels; path names it in messages. */
static int read_side(const struct jnode *node, const char *path, int *out, struct err *err)
{
    int64_t value;
    if (!node)
        return err_set(err, ERR_FORMAT, "%s is missing", path);
    if (!jnode_to_int(node, &value))
        return err_set(err, ERR_FORMAT, "%s is not a whole number", path);
    if (value < 1 || value > MAX_OUT)
        return err_set(err, ERR_FORMAT, "%s is %lld, not between 1 and %d", path, (long long)value,
                       MAX_OUT);
    *out = (int)value;
    return 0;
}

static int read_height_width(const struct jnode *object, const char *height_path,
                             const char *width_path, int *height, int *width, struct err *err)
{
    int rc = read_side(present(object, "height"), height_path, height, err);
    return rc ? rc : read_side(present(object, "width"), width_path, width, err);
}

static int read_size(const struct jnode *config, enum family family, const char *name,
                     struct preprocess *out, struct err *err)
{
    const struct jnode *size   = present(config, "size");
    bool                square = family == FAMILY_SQUARE;
    if (!size && family == FAMILY_CLIP) {
        out->shortest_edge = 224;
        return 0;
    }
    if (jnode_is_object(size)) {
        if (present(size, "longest_edge") || present(size, "max_height") ||
            present(size, "max_width"))
            return err_set(err, ERR_UNSUPPORTED,
                           "size has longest_edge, max_height or max_width, which are not "
                           "supported");
        if (present(size, "shortest_edge"))
            return read_side(present(size, "shortest_edge"), "size.shortest_edge",
                             &out->shortest_edge, err);
        return read_height_width(size, "size.height", "size.width", &out->resize_h, &out->resize_w,
                                 err);
    }
    int side;
    int rc = read_side(size, "size", &side, err);
    if (rc)
        return rc;
    if (family == FAMILY_OTHER && !present(config, "default_to_square"))
        return err_set(err, ERR_UNSUPPORTED,
                       "size is one number, which may mean the shorter side or a square: not "
                       "known for %s",
                       name);
    rc = read_switch(config, "default_to_square", square, &square, err);
    if (square)
        out->resize_w = out->resize_h = side;
    else
        out->shortest_edge = side;
    return rc;
}

static int read_crop(const struct jnode *config, enum family family, struct preprocess *out,
                     struct err *err)
{
    const struct jnode *crop = present(config, "crop_size");
    if (!crop && family == FAMILY_CLIP) {
        out->crop_w = out->crop_h = 224;
        return 0;
    }
    if (jnode_is_object(crop))
        return read_height_width(crop, "crop_size.height", "crop_size.width", &out->crop_h,
                                 &out->crop_w, err);
    int rc      = read_side(crop, "crop_size", &out->crop_h, err);
    out->crop_w = out->crop_h;
    return rc;
}

static int read_resample(const struct jnode *config, enum family family, struct preprocess *out,
                         struct err *err)
{
    const struct jnode *node  = present(config, "resample");
    int64_t             value = RESAMPLE_BICUBIC;
    if (!node && family != FAMILY_CLIP)
        return err_set(err, ERR_FORMAT, "resample is missing");
    if (node && !jnode_to_int(node, &value))
        return err_set(err, ERR_FORMAT, "resample is not a whole number");
    if (value != RESAMPLE_NEAREST && value != RESAMPLE_BILINEAR && value != RESAMPLE_BICUBIC)
        return err_set(err, ERR_UNSUPPORTED,
                       "resample is %lld; supported are 0 (nearest), 2 (bilinear), 3 (bicubic)",
                       (long long)value);
    out->resample = (enum resample)value;
    return 0;
}

/* Three numbers, or one for all channels, each between low and high. */
static int read_channels(const struct jnode *config, const char *key, const float *fallback,
                         double low, double high, float out[3], struct err *err)
{
    const struct jnode *node = present(config, key);
    if (!node && fallback) {
        memcpy(out, fallback, 3 * sizeof *out);
        return 0;
    }
    if (!node)
        return err_set(err, ERR_FORMAT, "%s is missing", key);
    if (jnode_is_array(node) && jnode_len(node) != 3)
        return err_set(err, ERR_FORMAT, "%s has %zu elements, not 3", key, jnode_len(node));
    for (size_t c = 0; c < 3; c++) {
        double value;
        if (!jnode_to_double(jnode_is_array(node) ? jnode_at(node, c) : node, &value))
            return err_set(err, ERR_FORMAT, "%s is not made of numbers", key);
        if (!(value >= low && value <= high))
            return err_set(err, ERR_FORMAT, "%s has %g, not between %g and %g", key, value, low,
                           high);
        out[c] = (float)value;
    }
    return 0;
}

static int read_numbers(const struct jnode *config, enum family family, struct preprocess *out,
                        struct err *err)
{
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float std[3]  = {0.26862954f, 0.26130258f, 0.27577711f};
    bool               clip    = family == FAMILY_CLIP, rescale, normalize;
    out->rescale               = 1.0f;
    for (int c = 0; c < 3; c++) {
        out->mean[c] = 0.0f;
        out->std[c]  = 1.0f;
    }
    int rc = read_switch(config, "do_rescale", true, &rescale, err);
    if (!rc)
        rc = read_switch(config, "do_normalize", true, &normalize, err);
    if (rc)
        return rc;
    if (rescale) {
        const struct jnode *node  = present(config, "rescale_factor");
        double              value = 1.0 / 255.0;
        if (node && !jnode_to_double(node, &value))
            return err_set(err, ERR_FORMAT, "rescale_factor is not a number");
        if (!(value > 0.0 && value <= 1.0))
            return err_set(err, ERR_FORMAT, "rescale_factor is %g, not between 0 and 1", value);
        out->rescale = (float)value;
    }
    if (!normalize)
        return 0;
    rc = read_channels(config, "image_mean", clip ? mean : NULL, -255.0, 255.0, out->mean, err);
    return rc ? rc
              : read_channels(config, "image_std", clip ? std : NULL, 1e-6, 255.0, out->std, err);
}

int preprocess_parse(const struct jnode *config, struct preprocess *out, struct err *err)
{
    struct preprocess p = {.resample = RESAMPLE_BICUBIC};
    bool              resize, crop, pad;
    const char       *name;
    if (!jnode_is_object(config))
        return err_set(err, ERR_FORMAT, "a preprocessor configuration is a JSON object");
    enum family family = family_of(config, &name);
    int         rc     = read_switch(config, "do_resize", true, &resize, err);
    if (!rc)
        rc = read_switch(config, "do_center_crop", family == FAMILY_CLIP, &crop, err);
    if (!rc)
        rc = read_switch(config, "do_pad", false, &pad, err);
    if (!rc && pad)
        rc = err_set(err, ERR_UNSUPPORTED, "do_pad is true, which is not supported");
    if (!rc && resize)
        rc = read_size(config, family, name, &p, err);
    if (!rc && resize)
        rc = read_resample(config, family, &p, err);
    if (!rc && crop)
        rc = read_crop(config, family, &p, err);
    if (!rc)
        rc = read_numbers(config, family, &p, err);
    if (rc)
        return rc;
    if (!crop && !p.resize_w)
        return err_set(err, ERR_UNSUPPORTED,
                       "without do_center_crop, and with size not a height and a width, pictures "
                       "would come out in different sizes");
    p.out_w = crop ? p.crop_w : p.resize_w;
    p.out_h = crop ? p.crop_h : p.resize_h;
    *out    = p;
    return 0;
}

int preprocess_min_side(const struct preprocess *p)
{
    if (p->shortest_edge > 0)
        return p->shortest_edge;
    return p->resize_w > p->resize_h ? p->resize_w : p->resize_h;
}

/* The size of the resized picture, of which the crop is a part. */
static int resized_size(const struct preprocess *p, const struct image *in, int *width, int *height,
                        struct err *err)
{
    *width  = in->width;
    *height = in->height;
    if (p->shortest_edge > 0) {
        bool   tall    = in->width <= in->height;
        int    shorter = tall ? in->width : in->height;
        double longer  = (double)((int64_t)p->shortest_edge * (tall ? in->height : in->width));
        longer /= shorter;
        if (longer > INT_MAX)
            return err_set(err, ERR_LIMIT, "cannot resize %d x %d pixels to a shorter side of %d",
                           in->width, in->height, p->shortest_edge);
        *width  = tall ? p->shortest_edge : (int)longer;
        *height = tall ? (int)longer : p->shortest_edge;
    } else if (p->resize_w > 0) {
        *width  = p->resize_w;
        *height = p->resize_h;
    }
    return 0;
}

/* Along one axis: where a crop of crop pixels lies in have pixels. */
struct span {
    int from, n; /* pixels that exist, in the resized picture */
    int to;      /* where they go in the output */
};

static struct span crop_span(int have, int crop)
{
    int64_t gap = (int64_t)have - crop;
    if (gap >= 0)
        return (struct span){.from = (int)(gap / 2), .n = crop, .to = 0};
    return (struct span){.from = 0, .n = have, .to = (int)((1 - gap) / 2)};
}

int preprocess_image(const struct preprocess *p, const struct image *in, uint8_t *out,
                     struct err *err)
{
    int width, height;
    if (!in->data || in->width < 1 || in->height < 1)
        return err_set(err, ERR_USAGE, "cannot preprocess a picture without pixels");
    int rc = resized_size(p, in, &width, &height, err);
    if (rc)
        return rc;
    bool        crop   = p->crop_w > 0;
    struct span x      = crop_span(width, crop ? p->crop_w : width);
    struct span y      = crop_span(height, crop ? p->crop_h : height);
    size_t      stride = (size_t)p->out_w * 3;
    if (x.n < p->out_w || y.n < p->out_h)
        memset(out, 0, stride * (size_t)p->out_h);

    const struct resize_window window = {.x = x.from, .y = y.from, .width = x.n, .height = y.n};
    return image_resize_window(in, width, height, p->resample, &window,
                               out + (size_t)y.to * stride + (size_t)x.to * 3, stride, err);
}
