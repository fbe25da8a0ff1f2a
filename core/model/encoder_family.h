/* What stands behind encoder.h: one family of models a file. Only the families
 * and encoder.c include this.
 */
#ifndef OSPREY_MODEL_ENCODER_FAMILY_H
#define OSPREY_MODEL_ENCODER_FAMILY_H

#include "base/json.h"
#include "model/encoder.h"

#include <stdbool.h>

/* Memory that calls with one scratch use again and again. */
struct encoder_scratch {
    int    threads;
    void  *memory; /* 64-byte aligned */
    size_t bytes;

    struct decoder *decoder; /* of encoder_image_bytes; NULL before its first call */
};

/* At least bytes of scratch->memory; what was in it is lost. */
int encoder_scratch_reserve(struct encoder_scratch *scratch, size_t bytes, struct err *err);

struct encoder_family {
    const char *model_type; /* config.json's */

    /* Opens the model in dir; config is its config.json. Fills what of info the
     * family knows: hash (owned by the model), dim, image_size, max_tokens,
     * vocabulary, image_batch, parameters, precision, cpu. info->preprocess is filled before,
     * except where its file may be missing (options) and is: then out_w is 0. */
    int (*open)(const char *dir, const struct jnode *config, const struct encoder_options *options,
                struct encoder_info *info, void **out, struct err *err);
    void (*close)(void *model); /* NULL-safe */

    /* As in encoder.h, for any n >= 0. */
    int (*images)(const void *model, struct encoder_scratch *scratch, const uint8_t *pixels, int n,
                  float *out, struct err *err);
    int (*texts)(const void *model, struct encoder_scratch *scratch, const char *const *texts,
                 int n, float *out, struct err *err);
    /* What encoder_tokens has checked. */
    int (*tokens)(const void *model, struct encoder_scratch *scratch, const int32_t *ids,
                  const int32_t *starts, int n, float *out, struct err *err);
};

extern const struct encoder_family dual_encoder_family;
extern const struct encoder_family clip_family;

/* OpenCLIP's layout: its configuration stands in for config.json, and says how
 * pictures are preprocessed as well. */
bool clip_folder_is_open_clip(const char *dir);

#endif
