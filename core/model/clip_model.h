/* What clip.c and clip_load.c share, and nobody else. */
#ifndef OSPREY_MODEL_CLIP_MODEL_H
#define OSPREY_MODEL_CLIP_MODEL_H

#include "model/clip.h"
#include "model/clip_tower.h"

struct clip {
    struct clip_config config;
    int64_t            parameters;
    float              scale; /* exp(logit_scale) */

    struct clip_tower    vision;
    int                  grid;        /* patches along a side */
    float               *patch_scale; /* (patch * 3): a row of a patch, byte * scale + shift */
    float               *patch_shift; /* (patch * 3) */
    struct linear        patches;     /* (width, patch * patch * 3), inputs ordered y, x, channel */
    struct linear_kernel patching;    /* the patches' */
    const float         *placement; /* (grid * grid + 1, width): positions, the class token added */
    struct clip_norm     before_blocks;

    struct clip_tower text;
    struct tensor     words;     /* (vocabulary, width), in the checkpoint's mapping */
    const float      *positions; /* (positions, width) */
};

#endif
