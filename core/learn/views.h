/* Random views of a picture: what self-supervision learns from and is judged by.
 *
 * A view is a crop of part of the area with a changed aspect ratio, perhaps
 * mirrored (the random resized crop of Szegedy et al., "Going deeper with
 * convolutions", 2015, as in SimCLR, Chen et al. 2020, appendix A). Departure:
 * no changes of colour. It keeps the picture's pixels: preprocessing scales it.
 */
#ifndef OSPREY_LEARN_VIEWS_H
#define OSPREY_LEARN_VIEWS_H

#include "image/image.h"

#include <stdint.h>

#define VIEWS_WIDEST_RATIO (4.0 / 3.0) /* of a view's sides, either way */

struct view {
    double area_low, area_high; /* of the picture's area, above 0, at most 1 */
    double mirrored;            /* how probable, 0 to 1 */
};

/* out: a new picture, freed with image_free. state: moves on (base/splitmix.h); the
 * same state gives the same view. */
int view_make(const struct image *in, const struct view *view, uint64_t *state, struct image *out,
              struct err *err);

#endif
