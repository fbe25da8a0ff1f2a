/* What a convolutional image tower needs beside the matrix product: depthwise
 * convolutions and the way from bytes to floats. NHWC throughout.
 *
 * A depthwise kernel makes one row of outputs from k rows of inputs that
 * already carry their padding on the left and right, so that it has no edges;
 * a row above or below the picture is a row of zeros. That is what fusing needs:
 * rows come from a small ring that never leaves the nearest cache. Channels
 * come in whole panels of CONV_PANEL.
 */
#ifndef OSPREY_NN_CONV_H
#define OSPREY_NN_CONV_H

#include "base/cpu.h"

#include <stddef.h>
#include <stdint.h>

#define CONV_PANEL 16
#define CONV_MAX_K 5

struct depthwise {
    int          k;                /* 3 or 5 */
    int          stride;           /* 1 or 2 */
    int          channels;         /* a multiple of CONV_PANEL */
    int          out_w;            /* pixels */
    const float *rows[CONV_MAX_K]; /* k rows of ((out_w - 1) * stride + k, channels), dense */
    const float *w;                /* packed: (channels / 16, k, k, 16) */
    const float *bias;             /* (channels) */
    float       *out;              /* (out_w, channels), pixels ldo floats apart */
    ptrdiff_t    ldo;
};

/* out = relu6(bias + sum over the window), one row, on one thread. */
typedef void (*depthwise_kernel)(const struct depthwise *d);
/* out[i] = pixels[i] * scale[i] + shift[i] */
typedef void (*pixels_kernel)(const uint8_t *pixels, const float *scale, const float *shift, int n,
                              float *out);

/* A stem: 3 x 3 pixels of three channels, every second pixel, one row of outputs.
 * A window's pixels in one row are STEM_RUN neighbours. */
#define STEM_K    3
#define STEM_RUN  (STEM_K * 3)
#define STEM_STEP 6 /* floats from one window to the next */

struct stem {
    int          channels;     /* a multiple of CONV_PANEL */
    int          out_w;        /* pixels */
    const float *rows[STEM_K]; /* ((out_w - 1) * STEM_STEP + STEM_RUN) */
    const float
        *w[STEM_K];    /* for each row: (channels / 16, STEM_RUN, 16), as gemm_pack leaves it */
    const float *bias; /* (channels) */
    float       *out;  /* (out_w, channels), dense */
};

/* out = relu6(bias + sum over the window), one row, on one thread. */
typedef void (*stem_kernel)(const struct stem *s);

struct conv_kernels {
    depthwise_kernel depthwise;
    stem_kernel      stem;
    pixels_kernel    pixels;
};

struct conv_kernels conv_kernels_for(struct cpu cpu);

/* Floats that packed depthwise weights take. */
size_t depthwise_packed_size(int channels, int k);
/* w: (channels, k, k) as PyTorch's depthwise Conv2d stores it; channels a
 * multiple of CONV_PANEL. */
void   depthwise_pack(const float *w, int channels, int k, float *packed);

/* Padding of one side as TensorFlow's SAME does it: what is over goes right and
 * below. Returns the output's size. */
int conv_same(int size, int k, int stride, int *before, int *after);

#endif
