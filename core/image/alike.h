/* Whether two fingerprints are of one and the same picture.
 *
 * The same: resized, compressed anew, brighter or darker, grey, turned by quarters, and
 * cut by up to about a tenth. Another picture of the same scene is not: its parts differ,
 * or its frame lies beside the other's, while the frame of a cut lies within its
 * original's.
 *
 * The frame of one within the other is found by least squares over position, size, gain
 * and offset, from coarse to fine (Lucas and Kanade 1981; gain and offset as in Baker and
 * Matthews, "Lucas-Kanade 20 years on", 2004). Departures: two scales and no shear, as
 * cuts have none; five to ten steps suffice from where the fingerprints lie already.
 */
#ifndef OSPREY_IMAGE_ALIKE_H
#define OSPREY_IMAGE_ALIKE_H

#include "image/fingerprint.h"

#include <stdbool.h>

struct alike {
    float score;      /* the correlation where both have pixels, 0 to 1; 0: too little to see */
    float worst;      /* where they differ most: the root mean square difference in a square of
                         4 x 4, in standard deviations of the picture */
    bool  within;     /* one frame lies in the other */
    int   turns;      /* clockwise quarter turns that bring b to a */
    float x, y, w, h; /* the turned b's frame in a's, which is 0 0 1 1 */
    float gain;       /* b's contrast over a's */
};

/* least: below it the score need not be exact, which saves nine tenths of the time. */
void alike_compare(const uint8_t a[FINGERPRINT_BYTES], const uint8_t b[FINGERPRINT_BYTES],
                   float least, struct alike *out);

#endif
