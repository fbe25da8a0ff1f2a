/* What dual_load.c and dual_encoder.c share, and nobody else. */
#ifndef OSPREY_MODEL_DUAL_MODEL_H
#define OSPREY_MODEL_DUAL_MODEL_H

#include "model/bert.h"
#include "model/dual_files.h"
#include "model/efficientnet.h"
#include "model/encoder_family.h"
#include "model/head.h"
#include "text/wordpiece.h"

#define DUAL_IMAGE_BATCH 16

struct dual {
    struct dual_files   files;
    enum precision      precision;
    struct safetensors *model, *heads;
    struct prepared    *towers_kept, *head_kept; /* what the kernels read */
    struct effnet      *vision;
    struct bert        *text;
    struct head        *head;
    struct wordpiece   *wordpiece;
    int                 max_tokens;
};

/* The family's (encoder_family.h). */
int  dual_open(const char *dir, const struct jnode *config, const struct encoder_options *options,
               struct encoder_info *info, void **out, struct err *err);
void dual_close(void *model);

#endif
