/* Where a film's scenes change, by small thumbnails of its frames: for the decoder of
 * videos, and of no library.
 *
 * A scene is new when the luma differs from that of the frame at which the last one began
 * by SCENE_CHANGE on average. Black frames begin none.
 */
#ifndef OSPREY_IMAGE_SCENES_H
#define OSPREY_IMAGE_SCENES_H

#include <stdint.h>

#define SCENES_SIDE   32 /* pixels of a thumbnail */
#define SCENES_PIXELS (SCENES_SIDE * SCENES_SIDE)
#define SCENES_MAX    4096 /* what comes after is not looked at */

struct scenes {
    int32_t ms[SCENES_MAX]; /* rising */
    int     n;
    uint8_t last[SCENES_PIXELS]; /* the beginning of the last one */
};

/* Counts a frame in where it begins a scene. luma: 16 (black) to 235, or 0 to 255. */
void scenes_take(struct scenes *s, int32_t ms, const uint8_t luma[SCENES_PIXELS]);

/* Leaves at most so many (1 or more), spread over the film: the first, then always the one
 * farthest in time from all chosen. */
void scenes_spread(struct scenes *s, int most);

#endif
