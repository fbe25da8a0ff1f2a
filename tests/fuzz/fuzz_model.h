/* What the fuzz targets that open whole models do with one. */
#ifndef OSPREY_TESTS_FUZZ_MODEL_H
#define OSPREY_TESTS_FUZZ_MODEL_H

#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "model/encoder.h"

#include <stdlib.h>

/* Weights that are no numbers yield none, which is said. */
static inline int fuzz_encoded(int rc)
{
    return !rc || rc == ERR_DAMAGED;
}

/* Encodes a black picture and, unless the model is opened without a tokenizer, an
 * ordinary text, an empty one and the one given. tokens: encodes ids, too, those
 * that the model has and those that it hasn't. */
static inline void fuzz_encode(const struct encoder *enc, const char *text, int tokens)
{
    const char *const          texts[] = {"ab a", "", text};
    const struct encoder_info *info    = encoder_info(enc);
    struct encoder_scratch    *scratch = NULL;
    struct err                 err     = ERR_INIT;
    size_t                     side    = (size_t)info->image_size;
    uint8_t                   *pixels  = mem_zeroed(side * side, 3);
    float                     *out     = mem_array(3 * (size_t)info->dim, sizeof *out);
    fuzz_check(pixels && out && !encoder_scratch_new(enc, 1, &scratch, &err));
    fuzz_check(fuzz_encoded(encoder_images(enc, scratch, pixels, 1, out, &err)));
    if (!info->missing)
        fuzz_check(fuzz_encoded(encoder_texts(enc, scratch, texts, 3, out, &err)));
    if (tokens) {
        const int32_t ids[]    = {0, info->vocabulary - 1, info->vocabulary, -1};
        const int32_t starts[] = {0, 1, 2, 4};
        int           rc       = encoder_tokens(enc, scratch, ids, starts, 2, out, &err);
        fuzz_check(fuzz_encoded(rc) || rc == ERR_FORMAT);
        fuzz_check(encoder_tokens(enc, scratch, ids, starts, 3, out, NULL) == ERR_FORMAT);
    }
    encoder_scratch_free(scratch);
    free(pixels);
    free(out);
}

#endif
