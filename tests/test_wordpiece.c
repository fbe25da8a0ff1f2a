/* Unit tests of core/text/wordpiece: by hand, and against the reference's ids on
 * 10,000 strings (tools/goldens/wordpiece.py). */
#include "text/wordpiece.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define VOCAB    TEST_MODELS "/osprey-small/vocab.txt"
#define PIECES   TEST_DATA "/wordpiece_pieces.txt"
#define HASHES   TEST_DATA "/wordpiece_hashes.bin"
#define MAX_IDS  512
#define MAX_TEXT (1 << 20)

static struct wordpiece *wp;

static void expect(const char *text, int n, const int32_t *want)
{
    int32_t    ids[MAX_IDS];
    struct err err = ERR_INIT;
    int        got = wordpiece_encode(wp, text, strlen(text), ids, MAX_IDS, &err);
    assert_int_equal(got, n);
    assert_memory_equal(ids, want, (size_t)n * sizeof *ids);
}

static void known_texts_give_known_ids(void **state)
{
    (void)state;
    expect("", 2, (int32_t[]){101, 102});
    expect("a dog on a beach", 7, (int32_t[]){101, 1037, 3899, 2006, 1037, 3509, 102});
    expect("  A\tDOG\n", 4, (int32_t[]){101, 1037, 3899, 102});
    expect("caf\xC3\xA9", 3, (int32_t[]){101, 7668, 102});           /* precomposed */
    expect("cafe\xCC\x81", 3, (int32_t[]){101, 7668, 102});          /* combining */
    expect("a[MASK]dog", 5, (int32_t[]){101, 1037, 103, 3899, 102}); /* as raw text */
    expect("d\xFFog", 3, (int32_t[]){101, 3899, 102});               /* U+FFFD is dropped */
    expect("\xF0\x9F\x98\x80", 3, (int32_t[]){101, 100, 102});
}

static void truncation_keeps_the_end_token(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    int32_t    ids[5];
    char      *text = mem_array(3000001, 1);
    for (size_t i = 0; i < 3000000; i++)
        text[i] = i % 2 ? ' ' : 'a';
    assert_int_equal(wordpiece_encode(wp, text, 3000000, ids, 5, &err), 5);
    assert_memory_equal(ids, ((int32_t[]){101, 1037, 1037, 1037, 102}), sizeof ids);
    assert_int_equal(wordpiece_encode(wp, text, 3000000, ids, 2, &err), 2);
    assert_memory_equal(ids, ((int32_t[]){101, 102}), 8);
    assert_int_equal(wordpiece_encode(wp, text, 3, ids, 1, &err), ERR_USAGE);
    /* a word that is cut and that ends in something unknown is [UNK] all the same */
    const char *unknown = "dogdogdogdogdog\xE0\xA4\x95\xF0\x9F\x98\x80";
    assert_int_equal(wordpiece_encode(wp, unknown, strlen(unknown), ids, 4, &err), 3);
    assert_int_equal(ids[1], 100);
    free(text);
}

static void long_marks_are_ordered_quickly(void **state)
{
    (void)state;
    int32_t    ids[8];
    struct err err  = ERR_INIT;
    size_t     n    = 200000;
    char      *text = mem_array(n, 4);
    for (size_t i = 0; i < n; i++) /* two spacing marks of different classes */
        memcpy(text + 4 * i, i % 2 ? "\xF0\x96\xBF\xB0" : "\xF0\x9D\x85\xA5", 4);
    assert_int_equal(wordpiece_encode(wp, text, 4 * n, ids, 8, &err), 3);
    free(text);
}

static uint64_t generator;

static uint32_t below(uint32_t n)
{
    generator ^= generator << 13;
    generator ^= generator >> 7;
    generator ^= generator << 17;
    return (uint32_t)(generator >> 33) % n;
}

struct piece {
    uint8_t bytes[512];
    size_t  len;
};

static size_t read_pieces(struct piece **out)
{
    uint8_t *text;
    size_t   len, n = 0;
    assert_int_equal(file_read(PIECES, 1 << 20, &text, &len, NULL), 0);
    *out = mem_zeroed(10000, sizeof **out);
    for (size_t at = 0; at < len; at++, n++) {
        assert_true(n < 10000);
        for (; text[at] != '\n'; at += 2) {
            char hex[]                       = {(char)text[at], (char)text[at + 1], 0};
            (*out)[n].bytes[(*out)[n].len++] = (uint8_t)strtoul(hex, NULL, 16);
        }
    }
    free(text);
    return n;
}

/* The same string as strings() of the golden's script makes. */
static size_t make_string(const struct piece *pieces, size_t n_pieces, char *out)
{
    size_t   len   = 0;
    uint32_t count = 1 + below(24);
    for (uint32_t i = 0; i < count; i++) {
        const struct piece *piece = &pieces[below((uint32_t)n_pieces)];
        uint32_t            times = below(200) == 0 ? 90 + below(30) : 1;
        for (uint32_t k = 0; k < times; k++) {
            memcpy(out + len, piece->bytes, piece->len);
            len += piece->len;
        }
        if (below(3) == 0)
            out[len++] = ' ';
        assert_true(len < MAX_TEXT - 100000);
    }
    return len;
}

static uint32_t fnv1a(const int32_t *ids, int n)
{
    uint32_t h = 0x811C9DC5u;
    for (int i = 0; i < n; i++) {
        for (int b = 0; b < 4; b++)
            h = (h ^ ((uint32_t)ids[i] >> (8 * b) & 0xFF)) * 0x01000193u;
    }
    return h;
}

static void ids_equal_the_reference_on_many_strings(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct piece *pieces;
    size_t        n_pieces = read_pieces(&pieces);
    uint8_t      *hashes;
    size_t        len;
    assert_int_equal(file_read(HASHES, 1 << 24, &hashes, &len, &err), 0);
    assert_true(len >= 40000);
    char *text   = mem_array(MAX_TEXT, 1);
    generator    = 0x05B9E5;
    size_t wrong = 0;
    for (size_t i = 0; i < len / 4; i++) {
        int32_t  ids[MAX_IDS];
        size_t   n   = make_string(pieces, n_pieces, text);
        int      got = wordpiece_encode(wp, text, n, ids, MAX_IDS, &err);
        uint32_t want;
        memcpy(&want, hashes + 4 * i, 4);
        assert_true(got >= 2);
        if (fnv1a(ids, got) != want && wrong++ < 5)
            print_message("string %zu differs: %.*s\n", i, (int)n, text);
    }
    assert_int_equal(wrong, 0);
    free(text);
    free(hashes);
    free(pieces);
}

static void bad_vocabularies_are_refused(void **state)
{
    (void)state;
    struct err        err    = ERR_INIT;
    struct wordpiece *other  = NULL;
    char              path[] = "/tmp/osprey-vocab-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(file_replace(path, "a\nb\n[CLS]\n", 10, &err), 0);
    assert_int_equal(wordpiece_load(path, &other, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "[SEP]"));
    assert_int_equal(file_replace(path, "", 0, &err), 0);
    assert_int_equal(wordpiece_load(path, &other, &err), ERR_FORMAT);
    assert_int_equal(wordpiece_load("/nonexistent", &other, &err), ERR_NOTFOUND);
    assert_null(other);
    /* Windows line ends, no final newline, an empty line */
    const char *vocab = "[UNK]\r\n[CLS]\r\n\r\n[SEP]\r\ndog";
    int32_t     ids[4];
    assert_int_equal(file_replace(path, vocab, strlen(vocab), &err), 0);
    assert_int_equal(wordpiece_load(path, &other, &err), 0);
    assert_int_equal(wordpiece_encode(other, "dog x", 5, ids, 4, &err), 4);
    assert_memory_equal(ids, ((int32_t[]){1, 4, 0, 3}), sizeof ids);
    wordpiece_free(other);
    unlink(path);
}

int main(void)
{
    struct err err = ERR_INIT;
    if (wordpiece_load(VOCAB, &wp, &err)) {
        print_error("%s\nrun `make build`, which assembles the model\n", err.msg);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_give_known_ids),
        cmocka_unit_test(truncation_keeps_the_end_token),
        cmocka_unit_test(long_marks_are_ordered_quickly),
        cmocka_unit_test(ids_equal_the_reference_on_many_strings),
        cmocka_unit_test(bad_vocabularies_are_refused),
    };
    int failed = cmocka_run_group_tests_name("wordpiece", tests, NULL, NULL);
    wordpiece_free(wp);
    return failed;
}
