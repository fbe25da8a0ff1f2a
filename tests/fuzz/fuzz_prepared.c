/* Prepared weights as they lie in the cache, damaged: a model still opens, from
 * them or anew, and encodes.
 *
 * Input: one byte, then for an even one changes to the cached file (fuzz_edit),
 * for an odd one another header, with its length made right.
 */
#include "tests/fuzz/fuzz_model.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/encoder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "clip/open_custom_p8_f32/"
#define CACHE "cache/osprey/prepared/"

static const char TOKENIZER[] =
    "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":\"</w>\","
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,"
    "\"<|startoftext|>\":126,\"<|endoftext|>\":127},\"merges\":[\"a b\",\"a b</w>\"]}}";

static char    *dir;
static char     name[512]; /* of the cached file */
static uint8_t *good;
static size_t   good_n;

static void open_and_encode(void)
{
    const struct encoder_options options = {.precision = PRECISION_INT8};
    struct encoder              *enc     = NULL;
    struct err                   err     = ERR_INIT;
    if (encoder_open_with(dir, &options, &enc, &err))
        fuzz_stop(__FILE__, __LINE__, err.msg);
    fuzz_encode(enc, "b <|endoftext|> 7 \xFF\xC3\xA9 aaaa", 0);
    encoder_close(enc);
}

/* A folder, opened once: what that leaves in the cache is read. */
static void make_cache(void)
{
    fuzz_copy(MODEL "open_clip_config.json", MODEL "open_clip_config.json");
    fuzz_copy(MODEL "open_clip_model.safetensors", MODEL "open_clip_model.safetensors");
    fuzz_write(MODEL "tokenizer.json", TOKENIZER, sizeof TOKENIZER - 1);
    char *cache = fuzz_path("cache");
    fuzz_check(!setenv("XDG_CACHE_HOME", cache, 1));
    free(cache);
    dir = fuzz_path(MODEL);
    open_and_encode();

    char *folder = fuzz_path(CACHE);
    DIR  *d      = opendir(folder);
    fuzz_check(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (strstr(e->d_name, ".safetensors"))
            (void)snprintf(name, sizeof name, CACHE "%s", e->d_name);
    }
    closedir(d);
    free(folder);
    char *path = fuzz_path(name);
    fuzz_check(name[0] && !file_read(path, 1 << 24, &good, &good_n, NULL));
    free(path);
}

static void put_changed(const uint8_t *edits, size_t n)
{
    uint8_t *file = fuzz_exact(good, good_n);
    fuzz_edit(file, good_n, edits, n);
    fuzz_write(name, file, good_n);
    free(file);
}

static void put_header(const uint8_t *header, size_t n)
{
    size_t old = 0;
    for (int i = 7; i >= 0; i--)
        old = old << 8 | good[i];
    size_t   tail = good_n - 8 - old;
    uint8_t *file = mem_array(8 + n + tail, 1);
    fuzz_check(file);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> (8 * i));
    if (n)
        memcpy(file + 8, header, n);
    memcpy(file + 8 + n, good + 8 + old, tail);
    fuzz_write(name, file, 8 + n + tail);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (!good)
        make_cache();
    if (data[0] % 2 == 0)
        put_changed(data + 1, size - 1);
    else
        put_header(data + 1, size - 1);
    open_and_encode();
    return 0;
}
