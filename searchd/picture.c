/* Pictures decoded for searchd: see picture.h. */
#include "searchd/picture.h"

#include "base/mem.h"
#include "image/encode_jpeg.h"
#include "image/resize.h"

#include <stdlib.h>

/* The door: whatever stands behind it, every picture goes through here. */
static int decode(const uint8_t *bytes, size_t n, int min_side, const struct image_limits *limits,
                  struct image *out, struct image_info *info, struct err *err)
{
    return image_decode(bytes, n, min_side, limits, out, info, err);
}

int picture_to_pixels(const struct encoder *enc, const uint8_t *bytes, size_t n,
                      uint64_t max_pixels, uint8_t **pixels, struct image_info *info,
                      struct err *err)
{
    const struct preprocess *pre    = &encoder_info(enc)->preprocess;
    struct image_limits      limits = image_limits_default();
    struct image             image  = {0};
    uint8_t                 *out    = mem_array((size_t)pre->out_w * (size_t)pre->out_h, 3);
    limits.max_pixels               = max_pixels;
    int rc = out ? 0 : err_set(err, ERR_NOMEM, "cannot decode the picture: out of memory");
    if (!rc && (rc = decode(bytes, n, preprocess_min_side(pre), &limits, &image, info, err)))
        err_prefix(err, "cannot decode the picture");
    if (!rc)
        rc = preprocess_image(pre, &image, out, err);
    image_free(&image);
    if (rc)
        free(out);
    else
        *pixels = out;
    return rc;
}

int picture_to_thumbnail(const uint8_t *bytes, size_t n, int side, uint8_t **out, size_t *len,
                         struct err *err)
{
    struct image_limits limits = image_limits_default();
    struct image        image = {0}, small = {0};
    struct image_info   info;
    int                 rc = image_probe(bytes, n, &info, err);
    if (rc)
        return rc;
    int longer   = info.width > info.height ? info.width : info.height;
    int shorter  = info.width > info.height ? info.height : info.width;
    /* What the shorter side will have, so that a JPEG is decoded no larger than
     * needed; a very long picture has at least one pixel there. */
    int min_side = longer > side ? (int)((int64_t)shorter * side / longer) : 0;
    rc           = decode(bytes, n, min_side, &limits, &image, &info, err);
    if (!rc && longer > side) {
        int w = (int)((int64_t)info.width * side / longer);
        int h = (int)((int64_t)info.height * side / longer);
        rc    = image_resize(&image, w > 0 ? w : 1, h > 0 ? h : 1, RESAMPLE_BICUBIC, &small, err);
    }
    if (!rc)
        rc = image_encode_jpeg(small.data ? &small : &image, THUMBNAIL_QUALITY, out, len, err);
    image_free(&image);
    image_free(&small);
    return rc;
}
