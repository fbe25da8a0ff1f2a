/* What stands behind encoder.h: one family of models a file. Only the families
 * and encoder.c include this.
 */
#ifndef OSPREY_MODEL_ENCODER_FAMILY_H
#define OSPREY_MODEL_ENCODER_FAMILY_H

#include "base/json.h"
#include "model/encoder.h"
#include "model/encoder_features.h"

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
     * family knows: hash (owned by the model), dim, distance, image_size, max_tokens,
     * vocabulary, image_batch, parameters, precision, cpu, languages. info->preprocess is filled before,
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

    /* As encoder_as_names; NULL where that changes nothing. */
    void (*as_names)(const void *model, float *texts, int n);

    /* As in encoder_features.h. What image_features or text_features cannot yield
     * is ERR_UNSUPPORTED. */
    void (*feature_sizes)(const void *model, struct encoder_feature_sizes *out);
    /* NULL where named is always 0. */
    int (*named_classes)(const void *model, float *logits, int n, int threads, float *out,
                         struct err *err);
    int (*image_features)(const void *model, struct encoder_scratch *scratch, const uint8_t *pixels,
                          int n, const struct image_features *out, struct err *err);
    int (*text_features)(const void *model, struct encoder_scratch *scratch,
                         const char *const *texts, int n, const struct text_features *out,
                         struct err *err);

    /* As in encoder.h; NULL where towers and head are one. */
    int (*parts)(const void *model, struct encoder_part **parts, size_t *n, struct err *err);
};

extern const struct encoder_family dual_encoder_family;
extern const struct encoder_family clip_family;

/* OpenCLIP's layout: its configuration stands in for config.json, and says how
 * pictures are preprocessed as well. */
bool clip_folder_is_open_clip(const char *dir);

#endif
