/* A trained MMCA re-ranker as tensors of a file (mmca_config.h). */
#ifndef OSPREY_RERANK_MMCA_WRITE_H
#define OSPREY_RERANK_MMCA_WRITE_H

#include "base/err.h"
#include "model/safetensors.h"
#include "rerank/mmca_fit.h"

#define MMCA_FILE_TENSORS (MMCA_FIT_PARAMS + 4)

/* Tensors that are to be written, and the memory of those that are made here. */
struct mmca_file {
    struct tensor tensors[MMCA_FILE_TENSORS];
    void         *owned[MMCA_FILE_TENSORS];
    size_t        n;
};

/* Matrices in half precision. Names stay the network's. */
int  mmca_file_fill(struct mmca_file *f, struct mmca_fit_f32 *net, struct err *err);
void mmca_file_release(struct mmca_file *f);

#endif
