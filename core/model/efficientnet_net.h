/* The loaded EfficientNet: shared by its loading and its forward pass only. */
#ifndef OSPREY_MODEL_EFFICIENTNET_NET_H
#define OSPREY_MODEL_EFFICIENTNET_NET_H

#include "model/efficientnet.h"
#include "nn/conv.h"
#include "nn/gemm.h"

#include <stdbool.h>

#define EFFNET_BLOCKS 16

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

    const float *expand_w, *expand_b;   /* packed (mid_c, in_c); (mid_c) */
    const float *dw_w, *dw_b;           /* packed (mid_c, k, k); (mid_c) */
    const float *project_w, *project_b; /* packed (out_c, mid_c); (out_c) */
};

struct effnet {
    gemm_kernel         gemm;
    struct conv_kernels conv;
    int                 image_size; /* pixels */
    int                 stem_c, stem_size;
    int                 features, classes;
    int                 grid; /* the last block's out_size */
    int                 head_in;
    int64_t             parameters;

    float       *scale, *shift;   /* (image_size, 3): normalisation of a row of pixels */
    const float *stem_w[STEM_K];  /* for each row of the window: packed (stem_c, 3 * 3) */
    const float *stem_b;          /* (stem_c) */
    const float *head_w, *head_b; /* packed (features, head_in); (features) */
    const float *fc_w, *fc_b;     /* packed (classes, features); (classes) */

    struct effnet_block block[EFFNET_BLOCKS];
};

#endif
