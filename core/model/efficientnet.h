/* EfficientNet-Lite image towers (Tan and Le 2019; the Lite variants drop
 * squeeze-and-excitation and use ReLU6). NHWC throughout; batch norms folded
 * into the convolutions while preparing.
 */
#ifndef OSPREY_MODEL_EFFICIENTNET_H
#define OSPREY_MODEL_EFFICIENTNET_H

#include "base/cpu.h"
#include "base/err.h"
#include "model/prepared.h"
#include "model/safetensors.h"
#include "nn/precision.h"

#include <stddef.h>
#include <stdint.h>

struct effnet; /* read-only after loading, shared by threads */

/* Reads the tensors named prefix... of st, prepares what the kernels need. st
 * and p must outlive the model. precision: of the matrices where they are large,
 * and what p was opened for; not auto. mean, std: of the preprocessing, per channel. */
int  effnet_load(const struct safetensors *st, const char *prefix, struct prepared *p,
                 struct cpu cpu, enum precision precision, const float mean[3], const float std[3],
                 struct effnet **out, struct err *err);
void effnet_free(struct effnet *net); /* NULL-safe */

int     effnet_image_size(const struct effnet *net); /* 224 */
int     effnet_features(const struct effnet *net);   /* 1280 */
int     effnet_classes(const struct effnet *net);    /* 1000 */
int     effnet_grid(const struct effnet *net);       /* 7 */
int     effnet_stages(const struct effnet *net);     /* 1024: numbers of effnet_seen.stages */
int64_t effnet_parameters(const struct effnet *net);
/* Multiplications and additions for one picture, logits included. */
int64_t effnet_flops(const struct effnet *net);

/* Bytes of scratch that effnet_forward needs for calls with that many threads
 * and up to batch pictures; 64-byte aligned memory from the caller. */
size_t effnet_scratch_size(const struct effnet *net, int batch, int threads);

/* A stage's output as it is computed, for tests ("stem", "block0" ... "head",
 * "pooled", "logits"): data is (h, w, c) of picture 0. */
struct effnet_tap {
    void (*see)(void *ctx, const char *stage, const float *data, int h, int w, int c);
    void *ctx;
};

/* What a call wants; all but pooled may be NULL. */
struct effnet_seen {
    float *pooled; /* (n, 1280) */
    float *logits; /* (n, 1000) */
    float *grid;   /* (n, 7, 7, 1280) after the head convolution */
    float *stages; /* (n, 1024) what earlier stages saw, of fine texture to parts: for each of
                      blocks 0, 2, 4, 10 and 15 its channels' means over the picture, then
                      their standard deviations */
};

/* pixels: (n, 224, 224, 3) bytes RGB. tap: NULL outside tests. */
void effnet_forward(const struct effnet *net, const uint8_t *pixels, int n, int threads,
                    void *scratch, const struct effnet_seen *out, const struct effnet_tap *tap);

#endif
