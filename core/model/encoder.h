/* The one door to all models: pictures and texts to vectors of one space.
 *
 * A model is a folder in the Hugging Face layout (docs/design.md, section 4).
 * It is read-only after opening and shared by all threads; scratch memory
 * belongs to the caller, one struct encoder_scratch for each thread that
 * encodes. Embeddings are L2-normalised.
 */
#ifndef OSPREY_MODEL_ENCODER_H
#define OSPREY_MODEL_ENCODER_H

#include "base/err.h"
#include "image/preprocess.h"
#include "model/distance.h"
#include "nn/precision.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct encoder;
struct encoder_scratch;
struct decoder; /* image/decoder.h */

struct encoder_info {
    const char       *name;       /* "osprey-small": the folder's name, as models_find takes it */
    const char       *dir;        /* absolute */
    const char       *family;     /* config.json's model_type */
    const char       *hash;       /* 32 hex digits over the weights: what a library remembers */
    int               dim;        /* of the joint space */
    enum distance     distance;   /* that its embeddings are compared by */
    int               image_size; /* pixels, square */
    int               max_tokens;
    int               vocabulary;  /* token ids are below it */
    int               image_batch; /* pictures that one call likes to get together */
    int64_t           parameters;
    int64_t           image_flops; /* multiplications and additions for one picture; 0: unknown */
    const char       *missing;     /* files that texts or pictures need, or NULL */
    const char       *languages;   /* of texts that it understands: "en", "en,de"; "" where neither
                                      its card nor its tokenizer tells */
    const char       *precision;   /* "f32", "bf16", "int8" */
    const char       *cpu;         /* kernels in use: "portable", "avx2", "avx512" */
    struct preprocess preprocess;
};

struct encoder_options {
    enum precision precision; /* of the towers' layers. Auto is single precision unless the
                                 family can do with less; info.precision says what came of it */
    bool        towers_only;  /* tokenizer and preprocessor files may be missing (info.missing names
                                 them): encoder_images and encoder_tokens still work */
    const char *name;         /* what info.name says; NULL: the folder's name */
    const char *towers_beside; /* a folder beside which the towers of a folder with heads alone may
                                  lie, or NULL (dual_files.h) */
};

/* Opens the model in a folder. options may be NULL. */
int  encoder_open_with(const char *dir, const struct encoder_options *options, struct encoder **out,
                       struct err *err);
int  encoder_open(const char *dir, struct encoder **out, struct err *err);
void encoder_close(struct encoder *enc); /* NULL-safe */

const struct encoder_info *encoder_info(const struct encoder *enc);

/* One of the files by which a model can be had again, given its towers. */
struct encoder_part {
    char    *name; /* within its folder */
    uint8_t *data; /* (len) */
    size_t   len;  /* bytes */
};
/* What of a model is not its towers, a few megabytes: a folder that holds these
 * files opens as this very model (the same info.hash), as long as its towers are
 * found. *n is 0 where the model has no such parts: it is its towers. */
int  encoder_parts(const struct encoder *enc, struct encoder_part **parts, size_t *n,
                   struct err *err);
void encoder_parts_free(struct encoder_part *parts, size_t n);

/* Scratch for calls with up to threads OpenMP threads; it grows as needed. */
int  encoder_scratch_new(const struct encoder *enc, int threads, struct encoder_scratch **out,
                         struct err *err);
void encoder_scratch_free(struct encoder_scratch *scratch); /* NULL-safe */
/* The decoder that goes with a scratch, for callers that encode pictures from outside
 * step by step; it stays the scratch's. */
int encoder_scratch_decoder(struct encoder_scratch *scratch, struct decoder **out, struct err *err);
int encoder_scratch_threads(const struct encoder_scratch *scratch);

/* pixels: (n, image_size, image_size, 3) bytes as preprocess_image leaves
 * them. out: (n, dim). */
int encoder_images(const struct encoder *enc, struct encoder_scratch *scratch,
                   const uint8_t *pixels, int n, float *out, struct err *err);

/* n strings of any bytes. out: (n, dim). */
int encoder_texts(const struct encoder *enc, struct encoder_scratch *scratch,
                  const char *const *texts, int n, float *out, struct err *err);

/* Makes embeddings of texts (n, dim) that name kinds of things ("a photo of a dog") better
 * at telling those apart, worse at all else: where a head keeps a part that knows classes
 * beside one that was trained on captions (head.h), the former weighs more. */
void encoder_as_names(const struct encoder *enc, float *texts, int n);

/* n texts as the model's own token ids, start and end tokens included, laid end
 * to end: text i is ids[starts[i] .. starts[i + 1]); starts has n + 1 entries and
 * begins with 0. For comparing towers apart from tokenizers. ids and lengths that
 * the model does not have are ERR_FORMAT. out: (n, dim). */
int encoder_tokens(const struct encoder *enc, struct encoder_scratch *scratch, const int32_t *ids,
                   const int32_t *starts, int n, float *out, struct err *err);

/* Decodes, preprocesses and encodes one picture: what a query needs. bytes: the
 * file. out: (dim). Decoding happens in a worker process that the scratch keeps
 * from its first picture on (image/decoder.h). */
int encoder_image_bytes(const struct encoder *enc, struct encoder_scratch *scratch,
                        const uint8_t *bytes, size_t len, float *out, struct err *err);

#endif
