/* Tests of cli/npy.h, cli/exchange.h, cli/exchange_line.h and cli/caption_bank.h: files that come
 * from outside. */
#include "cli/caption_bank.h"
#include "cli/exchange.h"
#include "cli/exchange_line.h"
#include "cli/npy.h"

#include "base/half.h"
#include "base/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 5
#define DIM  3

static char *place(const char *name)
{
    char *path = path_join("/tmp", name);
    assert_non_null(path);
    return path;
}

static void put(const char *path, const void *bytes, size_t n)
{
    struct err err = ERR_INIT;
    assert_int_equal(file_replace(path, bytes, n, &err), 0);
}

static void rows_come_back(void **state)
{
    (void)state;
    struct err         err  = ERR_INIT;
    char              *path = place("osprey-test-rows.npy");
    struct npy_writer *w;
    struct npy         npy;
    float              row[DIM];
    assert_int_equal(npy_writer_open(path, DIM, &w, &err), 0);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < DIM; j++)
            row[j] = (float)(10 * i + j) / 7;
        assert_int_equal(npy_writer_row(w, row, &err), 0);
    }
    assert_int_equal(npy_writer_finish(w, &err), 0);
    npy_writer_close(w);
    assert_int_equal(npy_open(path, &npy, &err), 0);
    assert_int_equal(npy.rows, ROWS);
    assert_int_equal(npy.dim, DIM);
    assert_false(npy.half);
    for (size_t i = 0; i < ROWS; i++) {
        npy_row(&npy, i, row);
        for (size_t j = 0; j < DIM; j++)
            assert_true(row[j] == (float)(10 * i + j) / 7);
    }
    npy_close(&npy);
    remove(path);
    free(path);
}

static void what_is_not_finished_leaves_nothing(void **state)
{
    (void)state;
    struct err         err  = ERR_INIT;
    char              *path = place("osprey-test-none.npy");
    struct npy_writer *w;
    assert_int_equal(npy_writer_open(path, DIM, &w, &err), 0);
    npy_writer_close(w);
    assert_false(file_exists(path));
    free(path);
    npy_writer_close(NULL);
}

/* An array file with this header and so many bytes behind it. */
static int open_with(const char *header, size_t bytes, struct npy *npy, struct err *err)
{
    static uint8_t file[4096];
    char          *path = place("osprey-test-bad.npy");
    size_t         n    = strlen(header);
    memset(file, 0, sizeof file);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (uint8_t)n;
    memcpy(file + 10, header, n);
    put(path, file, 10 + n + bytes);
    *err   = (struct err)ERR_INIT;
    int rc = npy_open(path, npy, err);
    remove(path);
    free(path);
    return rc;
}

static void headers_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct err err;
    struct npy npy;
    assert_int_equal(
        open_with("{'descr':'<f2','shape': (2,3),'fortran_order': False}", 12, &npy, &err), 0);
    assert_true(npy.half && npy.rows == 2 && npy.dim == 3);
    npy_close(&npy);
    assert_int_equal(
        open_with("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", 0, &npy, &err), 0);
    assert_int_equal(npy.rows, 0);
    npy_close(&npy);

    const struct {
        const char *header;
        size_t      bytes;
        int         code;
    } bad[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", 8, ERR_UNSUPPORTED},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1), }", 4, ERR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", 4, ERR_UNSUPPORTED},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 12, ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }", 4, ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1), }", 4, ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 16,
         ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }", 16,
         ERR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False", 4, ERR_FORMAT},
        {"", 4, ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_with(bad[i].header, bad[i].bytes, &npy, &err), bad[i].code);
        assert_non_null(strstr(err.msg, "osprey-test-bad.npy"));
    }
}

static void halves_become_floats(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct npy  npy;
    char       *path      = place("osprey-test-half.npy");
    uint8_t     file[200] = "\x93NUMPY\x01\x00";
    const char *header    = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 3), }";
    const float values[3] = {1, -0.5f, 0.25f};
    uint16_t    halves[3];
    float       row[3];
    file[8] = (uint8_t)strlen(header);
    memcpy(file + 10, header, strlen(header));
    half_from_float(halves, values, 3);
    memcpy(file + 10 + strlen(header), halves, sizeof halves);
    put(path, file, 10 + strlen(header) + sizeof halves);
    assert_int_equal(npy_open(path, &npy, &err), 0);
    npy_row(&npy, 0, row);
    assert_memory_equal(row, values, sizeof row);
    npy_close(&npy);
    remove(path);
    free(path);
}

/* ---- Tables ---- */

/* All that an open table has, which is closed. captions NULL: none. */
static void assert_three_rows(struct exchange_table *t, const char *const wanted[3],
                              const char *const *captions)
{
    struct err err = ERR_INIT;
    char      *value, *caption;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(exchange_table_row(t, &value, &caption, &err), 1);
        assert_string_equal(value, wanted[i]);
        if (captions && captions[i])
            assert_string_equal(caption, captions[i]);
        else
            assert_null(caption);
        free(value);
        free(caption);
    }
    assert_int_equal(exchange_table_row(t, &value, &caption, &err), 0);
    exchange_table_close(t);
}

static void paths_of_a_csv(void **state)
{
    (void)state;
    struct err            err = ERR_INIT;
    struct exchange_table t;
    char                 *path   = place("osprey-test.csv"), *value, *caption;
    const char            text[] = "caption,image_path,n\r\n"
                                   "\"a \"\"b\"\",\nc\",\"x, y.jpg\",1\r\n"
                                   "plain,z.jpg,2\n"
                                   ",last.jpg,";
    put(path, text, sizeof text - 1);
    assert_int_equal(exchange_table_open(&t, path, &err), 0);
    const char *wanted[]   = {"x, y.jpg", "z.jpg", "last.jpg"};
    const char *captions[] = {"a \"b\", c", "plain", NULL};
    assert_three_rows(&t, wanted, captions);

    const char *bad[] = {"a,b\nx,y\n", "", "image_path\n\"open", "image_path,b\nonly\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct err)ERR_INIT;
        put(path, bad[i], strlen(bad[i]));
        int rc = exchange_table_open(&t, path, &err);
        if (rc == 0) {
            rc = exchange_table_row(&t, &value, &caption, &err);
            exchange_table_close(&t);
        }
        assert_int_equal(rc, ERR_FORMAT);
        assert_non_null(strstr(err.msg, "osprey-test.csv"));
    }
    remove(path);
    free(path);
}

static void paths_of_parquet(void **state)
{
    (void)state;
    struct err               err = ERR_INIT;
    struct exchange_table    t;
    static const char *const wanted[] = {"one.png", "below/two \xC3\xA9.png", "gone.png"};
    char                    *value, *caption;
    assert_int_equal(exchange_table_open(&t, TEST_DATA "/parquet/paths.parquet", &err), 0);
    assert_three_rows(&t, wanted, NULL);
    static const char *const of_pandas[] = {"a disc", NULL, "waves"};
    assert_int_equal(exchange_table_open(&t, TEST_DATA "/parquet/pandas.parquet", &err), 0);
    assert_three_rows(&t, wanted, of_pandas);
    /* A row whose path is null, and one that is empty; then no such column. */
    static const char *const bad[] = {"null", "blank", "other"};
    static const char *const why[] = {"null.parquet, row 2: it has no path",
                                      "blank.parquet, row 2: it has no path",
                                      "other.parquet has no column image_path or path"};
    for (int i = 0; i < 3; i++) {
        char file[256];
        snprintf(file, sizeof file, TEST_DATA "/parquet/%s.parquet", bad[i]);
        err    = (struct err)ERR_INIT;
        int rc = exchange_table_open(&t, file, &err);
        if (i < 2) {
            assert_int_equal(rc, 0);
            assert_int_equal(exchange_table_row(&t, &value, &caption, &err), 1);
            assert_string_equal(value, "a.png");
            free(value);
            rc = exchange_table_row(&t, &value, &caption, &err);
            assert_null(value);
            exchange_table_close(&t);
        }
        assert_int_equal(rc, ERR_FORMAT);
        assert_non_null(strstr(err.msg, why[i]));
    }
}

static void paths_of_json_lines(void **state)
{
    (void)state;
    struct err            err = ERR_INIT;
    struct exchange_table t;
    char                 *path   = place("osprey-test.jsonl"), *value, *caption;
    const char            text[] = "{\"image_path\": \"a.jpg\", \"path\": \"no\", \"caption\": "
                                   "\" two\\n dogs\\u0007 \"}\n\n"
                                   "{\"path\": \"b\\ufffd\", \"path_bytes\": \"Yv8=\", "
                                   "\"caption\": 7}\r\n"
                                   "{\"other\": 1}";
    put(path, text, sizeof text - 1);
    assert_int_equal(exchange_table_open(&t, path, &err), 0);
    assert_int_equal(exchange_table_row(&t, &value, &caption, &err), 1);
    assert_string_equal(value, "a.jpg");
    assert_string_equal(caption, "two dogs");
    free(value);
    free(caption);
    assert_int_equal(exchange_table_row(&t, &value, &caption, &err), 1);
    assert_string_equal(value, "b\xff");
    assert_null(caption);
    free(value);
    assert_int_equal(exchange_table_row(&t, &value, &caption, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "row 3"));
    assert_null(value);
    exchange_table_close(&t);
    remove(path);
    free(path);
}

/* ---- Lines of an export ---- */

/* A scan of n pages, or film of n frames, made into lines and read back; page i. */
static struct exchange_line line_of(size_t n, bool film, size_t i)
{
    int                  pages[] = {1, 3, 4};
    int32_t              times[] = {0, 1500, 99000};
    struct err           err     = ERR_INIT;
    struct exchange_line line;
    struct library_whole whole = {.image = {.folder      = (char *)"/pictures",
                                            .path        = (char *)"a/b",
                                            .kind        = "TIFF",
                                            .size        = 9,
                                            .mtime_ns    = 10,
                                            .width       = 5,
                                            .height      = 6,
                                            .hash        = {0xab, 1},
                                            .orientation = 1},
                                  .dim   = DIM,
                                  .n     = n,
                                  .pages = pages,
                                  .times = film ? times : NULL};
    struct jnode        *o     = exchange_line_make(&whole, NULL, i, 7);
    char                *text  = jnode_write(o);
    assert_non_null(text);
    assert_int_equal(exchange_line_read(text, strlen(text), 7, &line, &err), 0);
    assert_string_equal(line.path, "a/b");
    assert_int_equal(line.item.hash[0], 0xab);
    assert_int_equal(line.parts, n);
    assert_int_equal(line.page, pages[i]);
    assert_int_equal(line.time_ms, film ? times[i] : -1);
    exchange_line_release(&line);
    assert_int_equal(exchange_line_read(text, strlen(text), 8, &line, &err), ERR_FORMAT);
    err = (struct err)ERR_INIT;
    assert_int_equal(exchange_line_read(text, strlen(text), 7, &line, &err), 0);
    jnode_free(o);
    free(text);
    return line;
}

/* One line with these captions, read: what came of it. */
static int captions_of(const char *list, struct exchange_line *line, struct err *err)
{
    char      *text;
    const char form[] = "{\"row\":0,\"folder\":\"/p\",\"path\":\"a\",\"hash\":"
                        "\"00000000000000000000000000000000\",\"size\":1,\"mtime_ns\":1,"
                        "\"width\":1,\"height\":1,\"kind\":\"PNG\",\"captions\":%s}";
    *err              = (struct err)ERR_INIT;
    assert_true(asprintf(&text, form, list) > 0);
    int rc = exchange_line_read(text, strlen(text), 0, line, err);
    free(text);
    return rc;
}

static void captions_come_back(void **state)
{
    (void)state;
    struct err           err;
    struct exchange_line line;
    assert_int_equal(captions_of("[\"a\\tb\", \" \", \"caf\\u00e9 \\\"x\\\"\"]", &line, &err), 0);
    assert_int_equal(line.captions.n, 2);
    assert_string_equal(line.captions.list[0], "a b");
    assert_string_equal(line.captions.list[1], "caf\xC3\xA9 \"x\"");
    /* Written again they stand at the first page alone. */
    int                  pages[] = {1, 2};
    struct library_whole whole   = {.image = {.folder      = (char *)"/p",
                                              .path        = (char *)"a",
                                              .kind        = "TIFF",
                                              .width       = 1,
                                              .height      = 1,
                                              .orientation = 1},
                                    .n     = 2,
                                    .pages = pages};
    for (size_t i = 0; i < 2; i++) {
        struct exchange_line back;
        struct jnode        *o    = exchange_line_make(&whole, &line.captions, i, 3);
        char                *text = jnode_write(o);
        assert_non_null(text);
        assert_int_equal(exchange_line_read(text, strlen(text), 3, &back, &err), 0);
        assert_int_equal(back.captions.n, i ? 0 : 2);
        assert_true(i || strings_equal(&back.captions, &line.captions));
        assert_true((strstr(text, "captions") == NULL) == (i == 1));
        exchange_line_release(&back);
        jnode_free(o);
        free(text);
    }
    exchange_line_release(&line);
    assert_int_equal(captions_of("[]", &line, &err), 0);
    assert_int_equal(line.captions.n, 0);
    exchange_line_release(&line);
    static const char *const bad[] = {"\"a\"", "{}", "[1]", "[\"a\", null]", "7"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(captions_of(bad[i], &line, &err), ERR_FORMAT);
        assert_non_null(strstr(err.msg, "caption"));
        assert_null(line.captions.list);
    }
}

/* Takes pages in this order: what comes of the last, or of the end. */
static int take_in_order(const struct exchange_line *lines, const char *order, struct err *err)
{
    struct exchange_order state = {.seen = 0};
    int                   rc    = 0;
    *err                        = (struct err)ERR_INIT;
    for (const char *c = order; *c && !rc; c++) {
        rc = exchange_order_take(&state, &lines[*c - '0'], err);
        assert_true(rc == 0 || c[1] == '\0');
    }
    if (!rc)
        rc = exchange_order_end(&state, err);
    exchange_order_release(&state);
    return rc;
}

static void pages_come_back_in_order(void **state)
{
    (void)state;
    struct err err;
    for (int film = 0; film < 2; film++) {
        struct exchange_line lines[4];
        for (size_t i = 0; i < 3; i++)
            lines[i] = line_of(3, film, i);
        lines[3] = line_of(1, film, 0);
        free(lines[3].path);
        lines[3].path = strdup("other");
        assert_int_equal(take_in_order(lines, "", &err), 0);
        assert_int_equal(take_in_order(lines, "012", &err), 0);
        assert_int_equal(take_in_order(lines, "30123012", &err), 0);
        const char *const bad[] = {"0", "01", "1", "31", "02", "00", "011", "021", "013", "0122"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            assert_int_equal(take_in_order(lines, bad[i], &err), ERR_FORMAT);
        lines[1].item.hash[5] ^= 1; /* the file of another moment */
        assert_int_equal(take_in_order(lines, "01", &err), ERR_FORMAT);
        for (size_t i = 0; i < 4; i++)
            exchange_line_release(&lines[i]);
    }
}

/* ---- Banks ---- */

static int parse(const char *text, size_t len, struct caption_bank *bank, struct err *err)
{
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = '\0';
    *err      = (struct err)ERR_INIT;
    return caption_bank_parse(copy, len, "bank.txt", bank, err);
}

static void a_bank_keeps_each_sentence_once(void **state)
{
    (void)state;
    struct err          err;
    struct caption_bank bank;
    const char          text[] = "\xef\xbb\xbf# a bank\n  two cats \r\n\na dog\ntwo cats\n\tz";
    assert_int_equal(parse(text, sizeof text - 1, &bank, &err), 0);
    assert_int_equal(bank.n, 3);
    assert_string_equal(bank.sentences[0], "two cats");
    assert_string_equal(bank.sentences[1], "a dog");
    assert_string_equal(bank.sentences[2], "z");
    caption_bank_release(&bank);
}

static void bad_banks_are_refused(void **state)
{
    (void)state;
    struct err          err;
    struct caption_bank bank;
    char                longer[2400];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(parse("", 0, &bank, &err), ERR_FORMAT);
    assert_int_equal(parse("# none\n", 7, &bank, &err), ERR_FORMAT);
    assert_int_equal(parse("a\0b", 3, &bank, &err), ERR_FORMAT);
    assert_int_equal(parse("\xff\xfe", 2, &bank, &err), ERR_FORMAT);
    assert_int_equal(parse(longer, sizeof longer, &bank, &err), ERR_LIMIT);
    assert_non_null(strstr(err.msg, "bank.txt, line 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(what_is_not_finished_leaves_nothing),
        cmocka_unit_test(headers_are_read_as_they_are_written),
        cmocka_unit_test(halves_become_floats),
        cmocka_unit_test(paths_of_a_csv),
        cmocka_unit_test(paths_of_parquet),
        cmocka_unit_test(paths_of_json_lines),
        cmocka_unit_test(pages_come_back_in_order),
        cmocka_unit_test(captions_come_back),
        cmocka_unit_test(a_bank_keeps_each_sentence_once),
        cmocka_unit_test(bad_banks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
