/* The loaded EfficientNet: shared by its loading and its forward pass only. */
#ifndef OSPREY_MODEL_EFFICIENTNET_NET_H
#define OSPREY_MODEL_EFFICIENTNET_NET_H

#include "model/efficientnet.h"
#include "nn/conv.h"
#include "nn/linear.h"

#include <stdbool.h>

#define EFFNET_BLOCKS     16
#define EFFNET_SMALL_SIDE 14 /* pixels: pictures up to this are shared by channels */

/* One inverted bottleneck: expand (1x1), depthwise (k x k), project (1x1). Block
 * 0 expands nothing: the stem takes the place of its expansion. */
struct effnet_block {
    int  in_c, mid_c, out_c;
    int  in_size, out_size; /* pixels, square */
    int  k, stride;
    int  pad;      /* rows and columns before the first */
    int  row_w;    /* pixels of a padded input row: (out_size - 1) * stride + k */
    int  chunk;    /* channels of mid_c that are expanded and convolved together */
    bool residual; /* adds its input to its output */

    struct linear_kernel kernel;      /* of expand and project */
    struct linear        expand;      /* (mid_c, in_c); block 0 has none */
    struct linear        project;     /* (out_c, mid_c) */
    const float         *dw_w, *dw_b; /* packed (mid_c, k, k); (mid_c) */
};

struct effnet {
    struct linear_kernel linear; /* of head and fc, and of the small blocks */
    struct conv_kernels  conv;
    int                  image_size; /* pixels */
    int                  stem_c, stem_size;
    int                  features, classes;
    int                  grid; /* the last block's out_size */
    int                  head_in;
    int64_t              parameters;

    float        *scale, *shift;  /* (image_size, 3): normalisation of a row of pixels */
    const float  *stem_w[STEM_K]; /* for each row of the window: packed (stem_c, 3 * 3) */
    const float  *stem_b;         /* (stem_c) */
    struct linear head;           /* (features, head_in) */
    struct linear fc;             /* (classes, features) */

    struct effnet_block block[EFFNET_BLOCKS];
};

#endif
