/* Views of a picture for training: what it may look like and still be the same.
 *
 * A view is the square of pixels that an image tower takes, as preprocess_image
 * makes it, from the picture as it is, mirrored, or from a random part of it with
 * its colours moved a little (views.h, and the colour jitter of SimCLR, Chen et
 * al. 2020, appendix A). The same seed gives the same bytes everywhere, and the
 * seed of a view follows from its picture's name: whoever learns from views or judges
 * by them means the same ones.
 *
 * Departures: colours are moved in a fixed order (brightness, contrast,
 * saturation); hue and blur are left alone; a part is scaled to the square whatever
 * its shape.
 */
#ifndef OSPREY_LEARN_AUGMENT_H
#define OSPREY_LEARN_AUGMENT_H

#include "base/err.h"
#include "image/preprocess.h"

#include <stdint.h>

enum augment_kind {
    AUGMENT_NONE, /* the picture as searches see it */
    AUGMENT_FLIP, /* its mirror image */
    AUGMENT_CROP  /* a random part, perhaps mirrored, colours moved */
};

/* Of AUGMENT_CROP. */
struct augment {
    double min_area; /* of the part, 0 to 1 of the picture; drawn evenly from there */
    double max_area; /* to here; 0: to the whole of it */
    double jitter;   /* factors of brightness, contrast and saturation are drawn from
                        1 - jitter to 1 + jitter; 0: colours stay */
};

/* A part so small that the picture is not found by its colours alone: what
 * self-supervision learns from beside wider views, and what it is judged by, in training
 * and after it. */
extern const struct augment augment_part;

/* Of a view's number of a picture of that file name (not path) and size. */
uint64_t augment_seed(const char *name, const struct image *in, uint64_t seed, int view);

/* The shorter side, in pixels, with which a picture must be decoded at least for parts
 * of it: so many that the smallest still fills the square. 0: all there are. */
int augment_min_side(const struct augment *augment, const struct preprocess *p);

/* seed: of this view of this picture; only AUGMENT_CROP draws. in: decoded with
 * at least preprocess_min_side(p) to its shorter side. out: (out_h, out_w, 3)
 * bytes. */
int augment_image(enum augment_kind kind, const struct augment *augment, const struct preprocess *p,
                  const struct image *in, uint64_t seed, uint8_t *out, struct err *err);

#endif
