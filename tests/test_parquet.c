/* Tests of cli/parquet.h and cli/thrift.h over what pyarrow wrote (tools/goldens/parquet.py), whole
 * and damaged. */
#include "cli/parquet.h"
#include "cli/parquet_parts.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 60

static char *fixture(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s.parquet", name);
    char *path = path_join(TEST_DATA "/parquet", file);
    assert_non_null(path);
    return path;
}

/* What row() of the script makes; the caption is NULL where it is null. */
static void wanted_row(int i, char *path, size_t room, const char **caption)
{
    static const char *const captions[] = {"a dog", "a cat on a mat", "two owls"};
    snprintf(path, room, "photos/%d/picture %d \xC3\xA9.jpg", i % 4, i * i / 2);
    if (i == 17) {
        memcpy(path, "wide/", 5);
        memset(path + 5, 'x', 900);
        path[905] = '\0';
    }
    *caption = i % 7 == 3 ? NULL : i % 11 == 5 ? "" : captions[i % 3];
}

/* Whether this build has libsnappy; if not, what needs it says so. */
static bool snappy_is_here(void)
{
    struct err             err  = ERR_INIT;
    char                  *file = fixture("plain-snappy");
    struct parquet        *p;
    struct parquet_column *c  = NULL;
    bool                   is = parquet_codec_check(PARQUET_SNAPPY, NULL) == 0;
    assert_int_equal(parquet_open(file, &p, &err), 0);
    assert_int_equal(parquet_column_open(p, "caption", &c, &err), is ? 0 : ERR_UNSUPPORTED);
    assert_true(is || strstr(err.msg, "plain-snappy.parquet: column caption"));
    assert_true(is || strstr(err.msg, "built without libsnappy"));
    parquet_column_close(c);
    parquet_close(p);
    free(file);
    return is;
}

static void assert_value(const char *value, size_t n, const char *wanted)
{
    if (!wanted) {
        assert_null(value);
        assert_int_equal(n, 0);
        return;
    }
    assert_non_null(value);
    assert_int_equal(n, strlen(wanted));
    assert_memory_equal(value, wanted, n);
}

static void every_file_has_its_rows(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "plain-gzip", "plain-2", "dictionary", "required",
                                        "required-2-gzip",
                                        /* With Snappy: */
                                        "plain-snappy", "plain-2-snappy", "dictionary-old",
                                        "dictionary-2-snappy", "groups", "fall-back", "statistics"};
    size_t                   n_names = snappy_is_here() ? sizeof names / sizeof *names : 6;
    for (size_t f = 0; f < n_names; f++) {
        struct err             err  = ERR_INIT;
        char                  *file = fixture(names[f]), path[1024];
        struct parquet        *p;
        struct parquet_column *paths, *captions;
        const char            *caption, *value;
        size_t                 n;
        print_message("%s\n", names[f]);
        assert_int_equal(parquet_open(file, &p, &err), 0);
        assert_int_equal(parquet_rows(p), ROWS);
        assert_true(parquet_has(p, "image_path") && parquet_has(p, "tags"));
        assert_false(parquet_has(p, "image_pat") || parquet_has(p, "element"));
        assert_int_equal(parquet_column_open(p, "image_path", &paths, &err), 0);
        assert_int_equal(parquet_column_open(p, "caption", &captions, &err), 0);
        for (int i = 0; i < ROWS; i++) {
            wanted_row(i, path, sizeof path, &caption);
            assert_int_equal(parquet_column_next(paths, &value, &n, &err), 1);
            assert_value(value, n, path);
            assert_int_equal(parquet_column_next(captions, &value, &n, &err), 1);
            assert_value(value, n, caption);
        }
        for (int again = 0; again < 2; again++) {
            assert_int_equal(parquet_column_next(paths, &value, &n, &err), 0);
            assert_int_equal(parquet_column_next(captions, &value, &n, &err), 0);
        }
        parquet_column_close(paths);
        parquet_column_close(captions);
        parquet_close(p);
        free(file);
    }
}

/* The fixtures are what they are meant to be: of several groups, pages, and both encodings. */
static void groups_are_several(void **state)
{
    (void)state;
    struct err      err  = ERR_INIT;
    char           *file = fixture("groups");
    struct parquet *p;
    assert_int_equal(parquet_open(file, &p, &err), 0);
    assert_int_equal(p->n_groups, 3);
    assert_int_equal(p->n_columns, 4);
    assert_int_equal(p->n_leaves, 4);
    assert_true(p->columns[1].nested);
    assert_false(p->columns[2].nested);
    parquet_close(p);
    free(file);
}

static void what_pandas_writes(void **state)
{
    (void)state;
    if (!snappy_is_here())
        skip();
    static const char *const wanted[]   = {"one.png", "below/two \xC3\xA9.png", "gone.png"};
    static const char *const captions[] = {"a disc", NULL, "waves"};
    struct err               err        = ERR_INIT;
    char                    *file       = fixture("pandas");
    struct parquet          *p;
    struct parquet_column   *c, *d;
    const char              *value;
    size_t                   n;
    assert_int_equal(parquet_open(file, &p, &err), 0);
    assert_int_equal(parquet_column_open(p, "image_path", &c, &err), 0);
    assert_int_equal(parquet_column_open(p, "caption", &d, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(parquet_column_next(c, &value, &n, &err), 1);
        assert_value(value, n, wanted[i]);
        assert_int_equal(parquet_column_next(d, &value, &n, &err), 1);
        assert_value(value, n, captions[i]);
    }
    assert_int_equal(parquet_column_next(c, &value, &n, &err), 0);
    parquet_column_close(c);
    parquet_column_close(d);
    for (int i = 0; i < 2; i++) { /* numbers; lists */
        assert_int_equal(parquet_column_open(p, i ? "tags" : "width", &c, &err), ERR_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "pandas.parquet"));
        assert_non_null(strstr(err.msg, i ? "tags" : "width"));
    }
    assert_int_equal(parquet_column_open(p, "nothing", &c, &err), ERR_NOTFOUND);
    parquet_close(p);
    free(file);
}

static void no_rows(void **state)
{
    (void)state;
    struct err             err  = ERR_INIT;
    char                  *file = fixture("empty");
    struct parquet        *p;
    struct parquet_column *c;
    const char            *value;
    size_t                 n;
    assert_int_equal(parquet_open(file, &p, &err), 0);
    assert_int_equal(parquet_rows(p), 0);
    assert_int_equal(parquet_column_open(p, "image_path", &c, &err), 0);
    assert_int_equal(parquet_column_next(c, &value, &n, &err), 0);
    parquet_column_close(c);
    parquet_close(p);
    free(file);
}

/* Reads image_path to its end: 0, or the first error. */
static int read_all(const char *file, size_t *rows, struct err *err)
{
    struct parquet        *p = NULL;
    struct parquet_column *c = NULL;
    const char            *value;
    size_t                 n;
    *rows  = 0;
    int rc = parquet_open(file, &p, err);
    if (!rc)
        rc = parquet_column_open(p, "image_path", &c, err);
    while (!rc) {
        int more = parquet_column_next(c, &value, &n, err);
        rc       = more < 0 ? more : 0;
        if (more <= 0)
            break;
        ++*rows;
    }
    parquet_column_close(c);
    parquet_close(p);
    return rc;
}

static void what_is_refused_says_why(void **state)
{
    (void)state;
    struct err err  = ERR_INIT;
    char      *file = fixture("zstd");
    size_t     rows;
    assert_int_equal(read_all(file, &rows, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "zstd.parquet: column image_path: row group 0: "));
    assert_non_null(strstr(err.msg, "(codec 6: zstd)"));
    assert_non_null(strstr(err.msg, "to_parquet(FILE, compression='snappy')"));
    free(file);
    file = fixture("delta");
    assert_int_equal(read_all(file, &rows, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "encoding (7)"));
    assert_non_null(strstr(err.msg, "column image_path, row group 0, page at byte "));
    free(file);
    assert_int_equal(read_all(TEST_DATA "/resize.txt", &rows, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "resize.txt: it is not a Parquet file"));
    assert_int_equal(read_all(TEST_DATA "/none.parquet", &rows, &err), ERR_NOTFOUND);
}

/* ---- Damage ---- */

/* In memory: thousands of files that a disk would have to take are slow. */
static int  scratch_fd;
static char scratch[64];

static void put(const void *bytes, size_t n)
{
    assert_int_equal(ftruncate(scratch_fd, 0), 0);
    assert_int_equal(pwrite(scratch_fd, bytes, n, 0), n);
}

static uint8_t *take(const char *name, size_t *n)
{
    char    *file = fixture(name);
    uint8_t *bytes;
    assert_int_equal(file_read(file, 1 << 20, &bytes, n, NULL), 0);
    free(file);
    return bytes;
}

/* A file that ends early is refused, wherever it ends; one with a byte changed is read or refused,
 * and no rows are made up. */
static void damage_is_found_or_harmless(void **state)
{
    (void)state;
    static const char *const names[] = {"dictionary", "required-2-gzip", "plain-2", "groups"};
    size_t                   n_names = snappy_is_here() ? 4 : 3;
    for (size_t f = 0; f < n_names; f++) {
        struct err err;
        size_t     n, rows, refused = 0, tried = 0;
        uint8_t   *bytes = take(names[f], &n);
        for (size_t cut = 0; cut < n; cut += 1 + n / 97) {
            err = (struct err)ERR_INIT;
            put(bytes, cut);
            assert_int_equal(read_all(scratch, &rows, &err), ERR_FORMAT);
            assert_non_null(strstr(err.msg, scratch));
        }
        for (size_t at = 0; at < n; at += 1 + n / 499) {
            uint8_t was = bytes[at];
            bytes[at] ^= (uint8_t)(1 << at % 8);
            err = (struct err)ERR_INIT;
            put(bytes, n);
            int rc = read_all(scratch, &rows, &err);
            assert_int_equal(rc, err.code);
            if (rc == 0)
                assert_int_equal(rows, ROWS);
            else
                assert_true(err.msg[0] && rows <= ROWS);
            refused += rc != 0;
            tried++;
            bytes[at] = was;
        }
        assert_true(refused > tried / 20 && refused < tried);
        free(bytes);
    }
}

/* The pages of dictionary.parquet have checksums: a change of any byte in the dictionary, which
 * takes most of the column, is found. */
static void checksums_find_every_change(void **state)
{
    (void)state;
    struct err            err  = ERR_INIT;
    char                 *file = fixture("dictionary");
    struct parquet       *p;
    struct parquet_chunk *chunks;
    size_t                n, rows;
    uint8_t              *bytes = take("dictionary", &n);
    assert_int_equal(parquet_open(file, &p, &err), 0);
    assert_int_equal(parquet_chunks(p, parquet_leaf(p, "image_path"), &chunks, &err), 0);
    size_t begin = (size_t)(chunks[0].begin - p->map.data),
           end   = (size_t)(chunks[0].end - p->map.data);
    for (size_t at = begin + 40; at < begin + (end - begin) / 2; at += 37) {
        bytes[at] ^= 0x10;
        put(bytes, n);
        assert_int_equal(read_all(scratch, &rows, &err), ERR_FORMAT);
        assert_non_null(strstr(err.msg, "its checksum is another one"));
        bytes[at] ^= 0x10;
    }
    free(chunks);
    parquet_close(p);
    free(file);
    free(bytes);
}

static void a_locked_file_is_told_apart(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    size_t     rows;
    put("PAR1\0\0\0\0\0\0\0\0PARE", 16);
    assert_int_equal(read_all(scratch, &rows, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "encrypted"));
    put("PAR1\xFF\xFF\xFF\x7FPAR1", 12);
    assert_int_equal(read_all(scratch, &rows, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "longer than the file"));
}

/* ---- Numbers ---- */

static void runs_of_numbers(void **state)
{
    (void)state;
    /* The example of Encodings.md: 0 to 7 in 3 bits; then five times 4. */
    const uint8_t       bytes[] = {0x03, 0x88, 0xC6, 0xFA, 0x0A, 0x04};
    struct parquet_runs r;
    uint32_t            value;
    parquet_runs_init(&r, bytes, bytes + sizeof bytes, 3);
    for (uint32_t i = 0; i < 13; i++) {
        assert_true(parquet_runs_next(&r, &value));
        assert_int_equal(value, i < 8 ? i : 4);
    }
    assert_false(parquet_runs_next(&r, &value));
    /* Cut off; 32 bits; no bits at all. */
    parquet_runs_init(&r, bytes, bytes + 3, 3);
    assert_false(parquet_runs_next(&r, &value));
    const uint8_t wide[] = {0x02, 0xEF, 0xBE, 0xAD, 0xDE, 0x03, 1, 0, 0, 0x80};
    parquet_runs_init(&r, wide, wide + 5, 32);
    assert_true(parquet_runs_next(&r, &value));
    assert_int_equal(value, 0xDEADBEEF);
    assert_false(parquet_runs_next(&r, &value));
    parquet_runs_init(&r, wide + 5, wide + sizeof wide, 32); /* eight of them are not there */
    assert_false(parquet_runs_next(&r, &value));
    const uint8_t none[] = {0x06, 0x03};
    parquet_runs_init(&r, none, none + 2, 0);
    for (int i = 0; i < 11; i++) {
        assert_true(parquet_runs_next(&r, &value));
        assert_int_equal(value, 0);
    }
    assert_false(parquet_runs_next(&r, &value));
}

static void thrift_fields(void **state)
{
    (void)state;
    /* 1: i32 -3, 2: true, 20: "ab", 21: list of two structs, each {1: i64 150}, stop */
    const uint8_t       bytes[] = {0x15, 0x05, 0x11, 0x08, 0x28, 0x02, 'a',  'b',  0x19, 0x2C,
                                   0x16, 0xAC, 0x02, 0x00, 0x16, 0xAC, 0x02, 0x00, 0x00};
    struct thrift       t       = {.at = bytes, .end = bytes + sizeof bytes};
    struct thrift_field f       = {0}, inner;
    const char         *s;
    size_t              n;
    assert_true(thrift_next(&t, &f) && f.id == 1);
    assert_int_equal(thrift_int(&t, &f), -3);
    assert_true(thrift_next(&t, &f) && f.id == 2);
    assert_true(thrift_bool(&t, &f));
    assert_true(thrift_next(&t, &f) && f.id == 20);
    thrift_bytes(&t, &f, &s, &n);
    assert_value(s, n, "ab");
    assert_true(thrift_next(&t, &f) && f.id == 21);
    struct thrift before = t;
    assert_int_equal(thrift_list(&t, &f, THRIFT_STRUCT), 2);
    for (int i = 0; i < 2; i++) {
        inner = (struct thrift_field){0};
        assert_true(thrift_next(&t, &inner));
        assert_int_equal(thrift_int(&t, &inner), 150);
        assert_false(thrift_next(&t, &inner));
    }
    assert_false(thrift_next(&t, &f));
    assert_null(t.why);
    thrift_skip(&before, &f);
    assert_ptr_equal(before.at, t.at - 1);

    t = (struct thrift){.at = bytes, .end = bytes + 1}; /* cut off */
    f = (struct thrift_field){0};
    assert_true(thrift_next(&t, &f));
    assert_int_equal(thrift_int(&t, &f), 0);
    assert_non_null(t.why);
    assert_false(thrift_next(&t, &f));
    t = (struct thrift){.at = bytes, .end = bytes + sizeof bytes}; /* not of that type */
    f = (struct thrift_field){0};
    assert_true(thrift_next(&t, &f));
    thrift_bytes(&t, &f, &s, &n);
    assert_non_null(strstr(t.why, "another type"));
    uint8_t deep[256]; /* structs within structs without end */
    memset(deep, 0x1C, sizeof deep);
    t = (struct thrift){.at = deep, .end = deep + sizeof deep};
    f = (struct thrift_field){0};
    assert_true(thrift_next(&t, &f));
    thrift_skip(&t, &f);
    assert_non_null(strstr(t.why, "too deeply"));
    const uint8_t many[] = {0x19, 0xFC, 0xFF, 0xFF,
                            0xFF, 0xFF, 0x0F}; /* more than there are bytes */
    t                    = (struct thrift){.at = many, .end = many + sizeof many};
    f                    = (struct thrift_field){0};
    assert_true(thrift_next(&t, &f));
    assert_int_equal(thrift_list(&t, &f, THRIFT_STRUCT), 0);
    assert_non_null(strstr(t.why, "longer than what holds it"));
    const uint8_t endless[] = {0x15, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F};
    t                       = (struct thrift){.at = endless, .end = endless + sizeof endless};
    f                       = (struct thrift_field){0};
    assert_true(thrift_next(&t, &f));
    assert_int_equal(thrift_int(&t, &f), 0);
    assert_non_null(strstr(t.why, "too long"));
}

static int make_scratch(void **state)
{
    (void)state;
    scratch_fd = memfd_create("osprey-test", MFD_CLOEXEC);
    snprintf(scratch, sizeof scratch, "/proc/self/fd/%d", scratch_fd);
    return scratch_fd < 0 ? -1 : 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    return close(scratch_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_has_its_rows),
        cmocka_unit_test(groups_are_several),
        cmocka_unit_test(what_pandas_writes),
        cmocka_unit_test(no_rows),
        cmocka_unit_test(what_is_refused_says_why),
        cmocka_unit_test(damage_is_found_or_harmless),
        cmocka_unit_test(checksums_find_every_change),
        cmocka_unit_test(a_locked_file_is_told_apart),
        cmocka_unit_test(runs_of_numbers),
        cmocka_unit_test(thrift_fields),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
