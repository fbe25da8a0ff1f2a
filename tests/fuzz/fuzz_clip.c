/* A whole CLIP folder of which one file is the input: opened, then one picture
 * and some texts encoded.
 *
 * Input: a byte for the part that is replaced, one for the fixture and the
 * kernels, then the part. A header of a safetensors file is replaced with its
 * length made right, so that what it says is reached; the weights are changed in
 * places (fuzz_edit). An index that a fixture does not have is read only where
 * its weights are not in one file.
 */
#include "tests/fuzz/fuzz_model.h"

#include "base/mem.h"
#include "model/encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char PREPROCESSOR[] =
    "{\"crop_size\":%d,\"do_center_crop\":true,\"do_normalize\":true,\"do_resize\":true,"
    "\"image_mean\":[0.48,0.46,0.41],\"image_std\":[0.27,0.26,0.28],\"resample\":3,\"size\":%d}";
static const char TOKENIZER[] =
    "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":\"</w>\","
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,"
    "\"<|startoftext|>\":126,\"<|endoftext|>\":127},\"merges\":[\"a b\",\"a b</w>\"]}}";

enum part { CONFIG, PREPROCESS, TOKENS, INDEX, HEADER, WEIGHTS, CONFIG_AND_HEADER, N_PARTS };

static const struct fixture {
    const char *name, *config, *weights;
    int         size; /* of pictures, pixels a side */
} FIXTURES[] = {
    {"gelu_p8_f32", "config.json", "model.safetensors", 32},
    {"open_custom_p8_f32", "open_clip_config.json", "open_clip_model.safetensors", 32},
    {"sharded_p16_f16", "config.json", "model-00001-of-00004.safetensors", 32},
    {"new_p14_bf16", "config.json", "model.safetensors", 28},
};
#define N_FIXTURES (sizeof FIXTURES / sizeof FIXTURES[0])

static void copy(const struct fixture *f, const char *name)
{
    char from[128];
    (void)snprintf(from, sizeof from, "clip/%s/%s", f->name, name);
    fuzz_copy(from, from);
}

static void put(const struct fixture *f, const char *name, const void *data, size_t n)
{
    char to[128];
    (void)snprintf(to, sizeof to, "clip/%s/%s", f->name, name);
    fuzz_write(to, data, n);
}

static void put_preprocessor(const struct fixture *f)
{
    char text[sizeof PREPROCESSOR + 32];
    int  n = snprintf(text, sizeof text, PREPROCESSOR, f->size, f->size);
    put(f, "preprocessor_config.json", text, (size_t)n);
}

/* The index of a fixture in shards, none of others. */
static void put_index(const struct fixture *f)
{
    char name[128];
    (void)snprintf(name, sizeof name, "clip/%s/model.safetensors.index.json", f->name);
    char *path = fuzz_path(name);
    (void)unlink(path);
    free(path);
    if (strstr(f->weights, "-of-"))
        copy(f, "model.safetensors.index.json");
}

static void make_folders(void)
{
    for (size_t i = 0; i < N_FIXTURES; i++) {
        const struct fixture *f = &FIXTURES[i];
        copy(f, f->config);
        copy(f, f->weights);
        put_index(f);
        if (strstr(f->weights, "-of-")) {
            copy(f, "model-00002-of-00004.safetensors");
            copy(f, "model-00003-of-00004.safetensors");
            copy(f, "model-00004-of-00004.safetensors");
        }
        put_preprocessor(f);
        put(f, "tokenizer.json", TOKENIZER, sizeof TOKENIZER - 1);
    }
    char *cache = fuzz_path("cache");
    fuzz_check(!setenv("XDG_CACHE_HOME", cache, 1));
    free(cache);
}

/* The weights' file with another header, or with changed bytes. */
static void put_weights(const struct fixture *f, enum part part, const uint8_t *data, size_t size)
{
    char   from[128];
    size_t n, header = 0;
    (void)snprintf(from, sizeof from, "clip/%s/%s", f->name, f->weights);
    uint8_t *file = fuzz_read(from, &n);
    if (part == WEIGHTS) {
        fuzz_edit(file, n, data, size);
        put(f, f->weights, file, n);
    } else {
        for (int i = 7; i >= 0; i--)
            header = header << 8 | file[i];
        size_t   tail = n - 8 - header;
        uint8_t *made = mem_array(8 + size + tail, 1);
        fuzz_check(made);
        for (int i = 0; i < 8; i++)
            made[i] = (uint8_t)((uint64_t)size >> (8 * i));
        if (size)
            memcpy(made + 8, data, size);
        memcpy(made + 8 + size, file + 8 + header, tail);
        put(f, f->weights, made, 8 + size + tail);
        free(made);
    }
    free(file);
}

/* A configuration, a NUL, and the header of weights that may suit it. */
static void put_both(const struct fixture *f, const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
    size_t         len = cut ? (size_t)(cut - data) : size;
    put(f, f->config, data, len);
    if (cut)
        put_weights(f, HEADER, cut + 1, size - len - 1);
}

static void replace(const struct fixture *f, enum part part, const uint8_t *data, size_t size)
{
    switch (part) {
    case CONFIG:
        put(f, f->config, data, size);
        break;
    case PREPROCESS:
        put(f, "preprocessor_config.json", data, size);
        break;
    case TOKENS:
        put(f, "tokenizer.json", data, size);
        break;
    case INDEX:
        put(f, "model.safetensors.index.json", data, size);
        break;
    case CONFIG_AND_HEADER:
        put_both(f, data, size);
        break;
    case HEADER:
    case WEIGHTS:
    case N_PARTS:
        put_weights(f, part, data, size);
        break;
    }
}

static void restore(const struct fixture *f, enum part part)
{
    if (part == CONFIG || part == CONFIG_AND_HEADER)
        copy(f, f->config);
    if (part == PREPROCESS)
        put_preprocessor(f);
    else if (part == TOKENS)
        put(f, "tokenizer.json", TOKENIZER, sizeof TOKENIZER - 1);
    else if (part == INDEX)
        put_index(f);
    else if (part == HEADER || part == WEIGHTS || part == CONFIG_AND_HEADER)
        copy(f, f->weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const    levels[]     = {"portable", "avx2", "avx512"};
    static const enum precision precisions[] = {PRECISION_F32, PRECISION_BF16, PRECISION_INT8};
    static int                  made;
    struct encoder             *enc = NULL;
    struct err                  err = ERR_INIT;
    if (size < 2)
        return 0;
    if (!made++)
        make_folders();
    enum part             part = (enum part)(data[0] % N_PARTS);
    const struct fixture *f    = &FIXTURES[data[1] % N_FIXTURES];
    fuzz_check(!setenv("OSPREY_CPU", levels[data[1] / N_FIXTURES % 3], 1));
    replace(f, part, data + 2, size - 2);
    /* never automatic, which depends on what is fast */
    const struct encoder_options options = {.precision   = precisions[data[1] / N_FIXTURES / 3 % 3],
                                            .towers_only = data[1] / N_FIXTURES / 9 % 2};
    char                         name[128];
    (void)snprintf(name, sizeof name, "clip/%s", f->name);
    char *dir = fuzz_path(name);
    int   rc  = encoder_open_with(dir, &options, &enc, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        fuzz_encode(enc, "b <|endoftext|> 7 \xFF\xC3\xA9 aaaa", 1);
    encoder_close(enc);
    free(dir);
    fuzz_empty("cache/osprey/prepared");
    restore(f, part);
    return 0;
}
