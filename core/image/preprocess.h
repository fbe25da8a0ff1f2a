/* From a decoded picture to the square of pixels that an image tower takes.
 *
 * Follows the Pillow-based image processors of transformers
 * (preprocessor_config.json): resize, centre crop; rescaling and normalisation
 * (pixel * rescale - mean) / std are left to the tower, which does them with a
 * table, so that pictures travel through the pipeline as bytes.
 */
#ifndef OSPREY_IMAGE_PREPROCESS_H
#define OSPREY_IMAGE_PREPROCESS_H

#include "base/json.h"
#include "image/image.h"
#include "image/resize.h"

struct preprocess {
    int           shortest_edge;      /* pixels; > 0: resize so that the shorter side is this */
    int           resize_w, resize_h; /* otherwise, > 0: resize to exactly this */
    enum resample resample;
    int           crop_w, crop_h;  /* > 0: centre crop, padded with black when smaller */
    int           out_w, out_h;    /* what comes out, pixels */
    float         rescale;         /* 1/255 unless told otherwise */
    float         mean[3], std[3]; /* per RGB channel, after rescaling */
};

/* Reads a preprocessor_config.json (size as int, {"shortest_edge"}, or
 * {"height", "width"}; crop_size likewise; resample; do_* switches). */
int preprocess_parse(const struct jnode *config, struct preprocess *out, struct err *err);

/* The shorter side, in pixels, that decoding must deliver (image_decode's min_side). */
int preprocess_min_side(const struct preprocess *p);

/* out: (out_h, out_w, 3) bytes, the caller's. */
int preprocess_image(const struct preprocess *p, const struct image *in, uint8_t *out,
                     struct err *err);

#endif
