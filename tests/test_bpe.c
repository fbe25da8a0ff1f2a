/* Unit tests of core/text/bpe: by hand, against the reference's ids on 20,000
 * strings (tools/goldens/bpe.py), and damaged files. With $OSPREY_BPE_DIR the
 * same for a full-size tokenizer. */
#include "text/bpe.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL    TEST_DATA "/bpe"
#define MAX_IDS  (1 << 20)
#define MAX_TEXT (1 << 20)
#define STRINGS  20000
#define FULL     77
#define SEED     0x05B9E5

static struct bpe *open_bpe(const char *dir)
{
    struct err  err = ERR_INIT;
    struct bpe *bpe = NULL;
    if (bpe_load(dir, &bpe, &err))
        fail_msg("%s", err.msg);
    return bpe;
}

/* xorshift64, as in the script. */
static uint64_t state;

static uint64_t below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 33) % n;
}

struct pieces {
    uint8_t *bytes;
    size_t  *start; /* (n + 1) */
    size_t   n;
};

static int hex(uint8_t c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static struct pieces read_pieces(const char *path)
{
    uint8_t      *data;
    size_t        len;
    struct pieces p   = {0};
    struct err    err = ERR_INIT;
    if (file_read(path, 1 << 24, &data, &len, &err))
        fail_msg("%s", err.msg);
    p.bytes   = mem_array(len + 1, 1);
    p.start   = mem_array(len + 2, sizeof *p.start);
    size_t at = 0;
    for (size_t i = 0; i < len;) {
        p.start[p.n++] = at;
        for (; data[i] != '\n'; i += 2)
            p.bytes[at++] = (uint8_t)(hex(data[i]) << 4 | hex(data[i + 1]));
        i++;
    }
    p.start[p.n] = at;
    free(data);
    return p;
}

/* One string of the generator; returns its length. */
static size_t make_text(const struct pieces *p, char *text)
{
    size_t   len   = 0;
    uint64_t parts = 1 + below(24);
    for (uint64_t i = 0; i < parts; i++) {
        uint64_t piece = below(p->n);
        uint64_t times = 1;
        if (below(400) == 0)
            times = 90 + below(300);
        size_t n = p->start[piece + 1] - p->start[piece];
        for (uint64_t t = 0; t < times; t++) {
            assert_true(len + n + 1 < MAX_TEXT);
            memcpy(text + len, p->bytes + p->start[piece], n);
            len += n;
        }
        if (below(3) == 0)
            text[len++] = ' ';
    }
    return len;
}

static uint32_t fnv1a(const int32_t *ids, int n)
{
    uint32_t h = 0x811C9DC5;
    for (int i = 0; i < n; i++) {
        for (int b = 0; b < 4; b++)
            h = (h ^ ((uint32_t)ids[i] >> (8 * b) & 0xFF)) * 0x01000193;
    }
    return h;
}

/* tokenizer: the folder whose tokenizer is under test; golden: that of the
 * expected hashes. */
static void compare_with_golden(const char *tokenizer, const char *golden)
{
    struct bpe   *bpe = open_bpe(tokenizer);
    struct err    err = ERR_INIT;
    char          path[2][512];
    uint8_t      *hashes;
    size_t        len;
    int           wrong = 0;
    char         *text  = mem_array(MAX_TEXT, 1);
    int32_t      *ids   = mem_array(MAX_IDS, sizeof *ids);
    struct pieces p;
    (void)snprintf(path[0], sizeof path[0], "%s/golden_pieces.txt", golden);
    (void)snprintf(path[1], sizeof path[1], "%s/golden_hashes.bin", golden);
    p = read_pieces(path[0]);
    if (file_read(path[1], 1 << 24, &hashes, &len, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(len, 4 * STRINGS);
    state = SEED;
    for (size_t i = 0; i < STRINGS; i++) {
        size_t   n    = make_text(&p, text);
        int      got  = bpe_encode(bpe, text, n, ids, i % 4 == 0 ? MAX_IDS : FULL, &err);
        uint32_t want = (uint32_t)hashes[4 * i] | (uint32_t)hashes[4 * i + 1] << 8 |
                        (uint32_t)hashes[4 * i + 2] << 16 | (uint32_t)hashes[4 * i + 3] << 24;
        if (got < 0 || fnv1a(ids, got) != want) {
            if (wrong++ < 5)
                print_error("string %zu differs: %.*s\n", i, (int)(n < 300 ? n : 300), text);
        }
    }
    assert_int_equal(wrong, 0);
    free(hashes);
    free(ids);
    free(text);
    free(p.bytes);
    free(p.start);
    bpe_free(bpe);
}

static void ids_equal_the_reference(void **s)
{
    (void)s;
    compare_with_golden(SMALL, SMALL);
}

static void one_file_gives_the_same_ids(void **s)
{
    (void)s;
    compare_with_golden(SMALL "/whole", SMALL);
}

static void full_size_ids_equal_the_reference(void **s)
{
    (void)s;
    const char *dir = getenv("OSPREY_BPE_DIR");
    if (!dir)
        skip();
    struct bpe   *bpe    = open_bpe(dir);
    const int32_t want[] = {49406, 320, 1125, 539, 320, 2368, 49407};
    int32_t       ids[FULL];
    assert_int_equal(bpe_vocabulary(bpe), 49408);
    assert_int_equal(bpe_encode(bpe, "a photo of a cat", 16, ids, FULL, NULL), 7);
    assert_memory_equal(ids, want, sizeof want);
    bpe_free(bpe);
    compare_with_golden(dir, dir);
}

/* Encodes with the tokenizer below: a = 0, b = 1, ab = 2, abab</w> ... */
static void expect(const struct bpe *bpe, const char *text, int max, int n, const int32_t *want)
{
    int32_t    ids[64];
    struct err err = ERR_INIT;
    assert_int_equal(bpe_encode(bpe, text, strlen(text), ids, max, &err), n);
    assert_memory_equal(ids, want, (size_t)n * sizeof *ids);
}

static char folder[64];

static void write_file(const char *name, const char *text)
{
    struct err err  = ERR_INIT;
    char      *path = path_join(folder, name);
    assert_int_equal(file_replace(path, text, strlen(text), &err), 0);
    free(path);
}

static int make_folder(void **s)
{
    (void)s;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-bpe-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **s)
{
    (void)s;
    for (const char *const *name =
             (const char *const[]){"tokenizer.json", "vocab.json", "merges.txt", NULL};
         *name; name++) {
        char *path = path_join(folder, *name);
        (void)unlink(path);
        free(path);
    }
    return rmdir(folder);
}

#define VOCAB                                                                                      \
    "{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,\"abab</w>\":6,"               \
    "\"<|startoftext|>\":7,\"<|endoftext|>\":8}"
#define ADDED(more)                                                                                \
    "\"added_tokens\":[{\"id\":7,\"content\":\"<|startoftext|>\",\"normalized\":true},"            \
    "{\"id\":8,\"content\":\"<|endoftext|>\",\"normalized\":false}" more "]"
#define MODEL(merges)                                                                              \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":\"</w>\"," \
    "\"vocab\":" VOCAB ",\"merges\":" merges "}"

static void pairs_merge_by_rank(void **s)
{
    (void)s;
    write_file("vocab.json", VOCAB);
    write_file("merges.txt", "#version: 0.2\na b\r\na b</w>\nab ab</w>\n");
    struct bpe *bpe = open_bpe(folder);
    expect(bpe, "", 9, 2, (int32_t[]){7, 8});
    expect(bpe, "AB", 9, 3, (int32_t[]){7, 5, 8});
    expect(bpe, "abab", 9, 3, (int32_t[]){7, 6, 8});
    expect(bpe, "aba b", 9, 5, (int32_t[]){7, 2, 3, 4, 8});
    expect(bpe, "ab1", 9, 4, (int32_t[]){7, 5, 8, 8}); /* no token for 1: the unknown one */
    expect(bpe, "a b a b a b", 4, 4, (int32_t[]){7, 3, 4, 8});
    expect(bpe, "a b", 2, 2, (int32_t[]){7, 8});
    assert_int_equal(bpe_encode(bpe, "a", 1, (int32_t[1]){0}, 1, NULL), ERR_USAGE);
    bpe_free(bpe);
}

static void added_tokens_obey_their_switch(void **s)
{
    (void)s;
    write_file("tokenizer.json", "{" ADDED(",{\"id\":9,\"content\":\"!\"}") "," MODEL(
                                     "[\"a b\",[\"a\",\"b</w>\"]]") "}");
    struct bpe *bpe = open_bpe(folder);
    assert_int_equal(bpe_vocabulary(bpe), 10);
    expect(bpe, "a<|STARTOFTEXT|>b", 9, 5, (int32_t[]){7, 3, 7, 4, 8});
    expect(bpe, "a<|endoftext|>b", 9, 5, (int32_t[]){7, 3, 8, 4, 8});
    expect(bpe, "ab!!a", 9, 6, (int32_t[]){7, 5, 9, 9, 3, 8});
    bpe_free(bpe);
}

static void long_pieces_take_little_time(void **s)
{
    (void)s;
    struct bpe *bpe  = open_bpe(folder);
    size_t      n    = BPE_MAX_TEXT;
    char       *text = mem_array(n, 1);
    int32_t     ids[8];
    memset(text, 'a', n);
    text[n - 1] = 'b';
    assert_int_equal(bpe_encode(bpe, text, n, ids, 8, NULL), 8);
    for (size_t i = 0; i + 3 < n; i += 4) /* marks of two classes, out of order */
        memcpy(text + i, i / 4 % 2 ? "\xF0\x96\xBF\xB0" : "\xF0\x9D\x85\xA5", 4);
    assert_int_equal(bpe_encode(bpe, text, n, ids, 8, NULL), 8);
    assert_int_equal(bpe_encode(bpe, text, (size_t)BPE_MAX_TEXT + 1, ids, 8, NULL), ERR_LIMIT);
    free(text);
    bpe_free(bpe);
}

static void expect_error(enum err_code code, const char *part)
{
    struct err  err = ERR_INIT;
    struct bpe *bpe = NULL;
    assert_int_equal(bpe_load(folder, &bpe, &err), code);
    assert_null(bpe);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
}

static void what_is_stored_comes_back(void **s)
{
    (void)s;
    struct bpe *bpe = open_bpe(folder), *again, *none = NULL;
    size_t      n     = bpe_words(bpe);
    int32_t    *words = mem_array(n, sizeof *words);
    bpe_store(bpe, words);
    assert_int_equal(bpe_restore(words, n, &again, NULL), 0);
    assert_int_equal(bpe_vocabulary(again), bpe_vocabulary(bpe));
    expect(again, "a<|STARTOFTEXT|>b", 9, 5, (int32_t[]){7, 3, 7, 4, 8});
    expect(again, "ab!!a", 9, 6, (int32_t[]){7, 5, 9, 9, 3, 8});
    bpe_free(again);
    for (size_t len = 0; len < n; len++)
        assert_int_equal(bpe_restore(words, len, &none, NULL), ERR_DAMAGED);
    for (size_t i = 0; i < n; i++) { /* whatever is changed, no id leaves the vocabulary */
        int32_t was = words[i], ids[16];
        for (int32_t value = -1; value < 1 << 20; value = value < 0 ? 9 : value * 37) {
            words[i] = value;
            if (bpe_restore(words, n, &again, NULL))
                continue;
            int got = bpe_encode(again, "ab!!a b<|endoftext|>1", 21, ids, 16, NULL);
            for (int k = 0; k < got; k++)
                assert_true(ids[k] >= 0 && ids[k] < bpe_vocabulary(again));
            bpe_free(again);
        }
        words[i] = was;
    }
    free(words);
    bpe_free(bpe);
}

static void damaged_files_are_refused(void **s)
{
    (void)s;
    write_file("tokenizer.json", "{" ADDED("") "," MODEL("[\"a b\",[\"a\"]]") "}");
    expect_error(ERR_FORMAT, "merge");
    write_file("tokenizer.json", "{" ADDED("") "," MODEL("[\"a b \"]") "}");
    expect_error(ERR_FORMAT, "merge");
    write_file("tokenizer.json", "{" ADDED("") "," MODEL("[\"b a\"]") "}");
    expect_error(ERR_FORMAT, "b a");
    write_file("tokenizer.json", "{" ADDED(",{\"id\":1.5,\"content\":\"x\"}") "," MODEL("[]") "}");
    expect_error(ERR_FORMAT, "added token");
    write_file("tokenizer.json",
               "{" ADDED(",{\"id\":9,\"content\":\"x\",\"lstrip\":true}") "," MODEL("[]") "}");
    expect_error(ERR_UNSUPPORTED, "lstrip");
    write_file("tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}");
    expect_error(ERR_FORMAT, "WordPiece");
    write_file("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\","
                                 "\"vocab\":{\"a\":-1}}}");
    expect_error(ERR_FORMAT, "\"a\"");
    write_file("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\","
                                 "\"vocab\":{\"a\":1}}}");
    expect_error(ERR_FORMAT, "<|startoftext|>");
    write_file("tokenizer.json", "[");
    expect_error(ERR_FORMAT, "tokenizer.json");
    assert_int_equal(remove_folder(NULL), 0);
    expect_error(ERR_NOTFOUND, "has no tokenizer");
    assert_int_equal(make_folder(NULL), 0);
    expect_error(ERR_NOTFOUND, "vocab.json and merges.txt");
}

static void lower_case_keeps_the_dot(void **s)
{
    (void)s;
    struct code_points work = {0}, out = {0};
    int32_t            in[] = {0x130, 0x41, 0x30A, 0x3A3};
    assert_int_equal(unicode_nfc_lower(in, 4, &work, &out, NULL), 0);
    assert_int_equal(out.len, 4);
    assert_memory_equal(out.data, ((int32_t[]){'i', 0x307, 0xE5, 0x3C3}), 16);
    code_points_release(&work);
    code_points_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_the_reference),
        cmocka_unit_test(one_file_gives_the_same_ids),
        cmocka_unit_test(full_size_ids_equal_the_reference),
        cmocka_unit_test(pairs_merge_by_rank),
        cmocka_unit_test(added_tokens_obey_their_switch),
        cmocka_unit_test(what_is_stored_comes_back),
        cmocka_unit_test(long_pieces_take_little_time),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(lower_case_keeps_the_dot),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
