/* The files of a byte-pair encoder, which then encodes some texts, is kept as
 * words and restored.
 *
 * Input: one byte, then for 'j' a tokenizer.json; for 'p' a vocab.json, a NUL
 * and a merges.txt; for 'w' changes to the words of a good one (fuzz_edit).
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_IDS 77

static void encode(const struct bpe *bpe)
{
    static const char *const texts[] = {
        "",
        "a photo of a cat",
        "IT'S 3 d\xC3\xB6gs'LL \xE2\x80\x9C!?\xE2\x80\x9D <|endoftext|> <|startoftext|>x",
        "\xFF\xC3 \xF0\x9F\x98\x80\xCC\x81\xE1\x84\x80\xE1\x85\xA1 ab abab aabb",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aab",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int32_t   *ids = mem_array(MAX_IDS, sizeof *ids);
        struct err err = ERR_INIT;
        fuzz_check(ids);
        for (int max = MAX_IDS; max >= 2; max = max > 5 ? 5 : max - 1) {
            int n = bpe_encode(bpe, texts[i], strlen(texts[i]), ids, max, &err);
            fuzz_check(n >= 2 && n <= max && ids[n - 1] == bpe_end(bpe));
            for (int k = 0; k < n; k++)
                fuzz_check(ids[k] >= 0 && ids[k] < bpe_vocabulary(bpe));
        }
        free(ids);
    }
}

/* Encodes, keeps, restores, changes, restores again. */
static void use(const struct bpe *bpe, const uint8_t *edits, size_t n_edits)
{
    size_t      n     = bpe_words(bpe);
    int32_t    *words = mem_array(n, sizeof *words);
    struct bpe *again = NULL;
    struct err  err   = ERR_INIT;
    encode(bpe);
    fuzz_check(words);
    bpe_store(bpe, words);
    fuzz_check(!bpe_restore(words, n, &again, &err));
    encode(again);
    bpe_free(again);
    again = NULL;
    fuzz_edit((uint8_t *)words, n * sizeof *words, edits, n_edits);
    int rc = bpe_restore(words, n, &again, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        encode(again);
    bpe_free(again);
    free(words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char vocab[]  = "{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,"
                                 "\"<|startoftext|>\":6,\"<|endoftext|>\":7}";
    static const char merges[] = "a b\na b</w>\n";
    struct bpe       *bpe      = NULL;
    struct err        err      = ERR_INIT;
    char              kind     = size ? (char)data[0] : 'j';
    const uint8_t    *rest     = size ? data + 1 : data;
    size_t            n        = size ? size - 1 : 0;
    char             *dir      = fuzz_path("tokenizer/");
    char             *whole    = fuzz_path("tokenizer/tokenizer.json");
    (void)unlink(whole);
    if (kind == 'j') {
        fuzz_write("tokenizer/tokenizer.json", rest, n);
    } else if (kind == 'p') {
        const uint8_t *cut = n ? memchr(rest, 0, n) : NULL;
        size_t         len = cut ? (size_t)(cut - rest) : n;
        fuzz_write("tokenizer/vocab.json", rest, len);
        fuzz_write("tokenizer/merges.txt", cut ? cut + 1 : rest, cut ? n - len - 1 : 0);
    } else {
        fuzz_write("tokenizer/vocab.json", vocab, sizeof vocab - 1);
        fuzz_write("tokenizer/merges.txt", merges, sizeof merges - 1);
    }
    int rc = bpe_load(dir, &bpe, &err);
    fuzz_check_err(rc, &err);
    if (!rc)
        use(bpe, kind == 'w' ? rest : NULL, kind == 'w' ? n : 0);
    bpe_free(bpe);
    free(whole);
    free(dir);
    return 0;
}
