/* Any bytes as a text: UTF-8, normal forms, both tokenizers. */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "text/bpe.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IDS 77

static const char VOCABULARY[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\nab\n##ab\n"
                                 "cafe\n!\n\xE4\xB8\xAD\ndog\n##s\n,\n.\nthe\n##er\n";

static struct bpe       *bpe;
static struct wordpiece *wordpiece;

static void load(void)
{
    struct err err = ERR_INIT;
    fuzz_write("vocab.txt", VOCABULARY, sizeof VOCABULARY - 1);
    char *path = fuzz_path("vocab.txt");
    fuzz_check(!wordpiece_load(path, &wordpiece, &err));
    fuzz_check(!bpe_load(TEST_DATA "/bpe", &bpe, &err));
    free(path);
}

static void tokenize(const char *text, size_t len)
{
    struct err err = ERR_INIT;
    int32_t   *ids = mem_array(MAX_IDS, sizeof *ids);
    fuzz_check(ids);
    for (int max = 2; max <= MAX_IDS; max += 25) {
        int n = bpe_encode(bpe, text, len, ids, max, &err);
        fuzz_check(n >= 2 && n <= max && ids[n - 1] == bpe_end(bpe));
        for (int i = 0; i < n; i++)
            fuzz_check(ids[i] >= 0 && ids[i] < bpe_vocabulary(bpe));
        n = wordpiece_encode(wordpiece, text, len, ids, max, &err);
        fuzz_check(n >= 2 && n <= max && ids[0] == 2 && ids[n - 1] == 3);
        for (int i = 0; i < n; i++)
            fuzz_check(ids[i] >= 0 && ids[i] < wordpiece_size(wordpiece));
    }
    free(ids);
}

/* The lower case of the normal form is the same of its own normal form. */
static void normalize(const char *text, size_t len)
{
    struct code_points in = {0}, work = {0}, out = {0};
    struct err         err = ERR_INIT;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        size_t   used = utf8_decode(text + at, len - at, &cp);
        fuzz_check(used >= 1 && used <= 4 && used <= len - at);
        fuzz_check(cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF));
        fuzz_check(!code_points_add(&in, (int32_t)cp, &err));
        at += used;
    }
    fuzz_check(!unicode_nfc_lower(in.data, in.len, &work, &out, &err));
    for (size_t i = 0; i < out.len; i++)
        fuzz_check(out.data[i] >= 0 && out.data[i] <= 0x10FFFF);
    code_points_release(&in);
    code_points_release(&work);
    code_points_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t      len, again_len;
    if (!bpe)
        load();
    char *replaced = utf8_replace_invalid(text, size, &len);
    fuzz_check(replaced && utf8_valid(replaced, len) && replaced[len] == '\0');
    fuzz_check(utf8_valid(text, size) == (len == size && !(size && memcmp(text, replaced, size))));
    char *again = utf8_replace_invalid(replaced, len, &again_len);
    fuzz_check(again && again_len == len && memcmp(again, replaced, len) == 0);
    normalize(text, size);
    tokenize(text, size);
    free(again);
    free(replaced);
    return 0;
}
