/* Unit tests of what searchd reads from outside: settings, fields, forms, ranges,
 * base64. */
#include "base/base64.h"
#include "searchd/config.h"
#include "searchd/fields.h"
#include "searchd/multipart.h"
#include "searchd/range.h"
#include "searchd/vectors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- base64 ---- */

static void base64_comes_back(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 89 + (i >> 3));
    for (size_t n = 0; n < sizeof bytes; n++) {
        uint8_t *back = NULL;
        size_t   len  = 0;
        char    *text = base64_encode(bytes, n);
        assert_non_null(text);
        assert_int_equal(strlen(text), (n + 2) / 3 * 4);
        assert_int_equal(base64_decode(text, strlen(text), &back, &len, NULL), 0);
        assert_int_equal(len, n);
        assert_memory_equal(back, bytes, n);
        free(back);
        size_t bare = strcspn(text, "="); /* without its padding */
        assert_int_equal(base64_decode(text, bare, &back, &len, NULL), 0);
        assert_int_equal(len, n);
        free(back);
        free(text);
    }
}

static void base64_of_the_specification(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = base64_encode(cases[i][0], strlen(cases[i][0]));
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void what_is_no_base64(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "A", "=", "====", "AA=A", "A A=", "AAAA=", "Zm9v\n", "Zm-v", "Zg=", "AAAAA", "=AAA"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *out = NULL;
        size_t   n   = 0;
        assert_int_equal(base64_decode(cases[i], strlen(cases[i]), &out, &n, NULL), ERR_FORMAT);
    }
}

/* ---- Ranges ---- */

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char     *header;
        uint64_t        size;
        enum range_kind kind;
        uint64_t        first, last;
    } cases[] = {
        {NULL, 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-0", 10, RANGE_PART, 0, 0},
        {"bytes=0-", 10, RANGE_PART, 0, 9},
        {"Bytes=3-5", 10, RANGE_PART, 3, 5},
        {"bytes=9-99", 10, RANGE_PART, 9, 9},
        {"bytes=-3", 10, RANGE_PART, 7, 9},
        {"bytes=-30", 10, RANGE_PART, 0, 9},
        {"bytes=10-", 10, RANGE_BEYOND, 0, 0},
        {"bytes=-0", 10, RANGE_BEYOND, 0, 0},
        {"bytes=-1", 0, RANGE_BEYOND, 0, 0},
        {"bytes=0-", 0, RANGE_BEYOND, 0, 0},
        {"bytes=5-3", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1-2,4-5", 10, RANGE_WHOLE, 0, 0},
        {"bytes= 1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
        {"lines=1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=99999999999999999999999-", 10, RANGE_BEYOND, 0, 0},
        {"bytes=1-99999999999999999999999", 10, RANGE_PART, 1, 9},
        {"bytes=18446744073709551615-", UINT64_MAX, RANGE_BEYOND, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = 77, last = 77;
        if (range_parse(cases[i].header, cases[i].size, &first, &last) != cases[i].kind)
            fail_msg("%s", cases[i].header);
        if (cases[i].kind == RANGE_PART) {
            assert_int_equal(first, cases[i].first);
            assert_int_equal(last, cases[i].last);
        }
    }
}

/* ---- Forms ---- */

#define TYPE "multipart/form-data; boundary=XX"

static int parse(const char *body, struct multipart *form)
{
    /* Exactly as long, so that a sanitizer sees a byte too many. */
    size_t n    = strlen(body);
    char  *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, body, n);
    int rc = multipart_parse(TYPE, (const uint8_t *)copy, n, form, NULL);
    free(copy);
    return rc;
}

static void forms_are_taken_apart(void **state)
{
    (void)state;
    static const char body[] =
        "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
        "--XX  \r\nX-Other: y\r\ncontent-disposition:form-data;filename=\"p;.jpg\"; name=b\r\n"
        "Content-Type: image/jpeg\r\n\r\n\r\n--X\r\n--XXfalse\r\n"
        "--XX\r\nContent-Disposition: form-data; name=\"q\\\"uote\"\r\n\r\n\r\n--XX--trailing";
    struct multipart form;
    /* "\r\n--XXfalse" is a delimiter followed by what may not follow it. */
    assert_int_equal(multipart_parse(TYPE, (const uint8_t *)body, sizeof body - 1, &form, NULL),
                     ERR_FORMAT);
    static const char right[] =
        "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n"
        "--XX  \r\nX-Other: y\r\ncontent-disposition:form-data;filename=\"p;.jpg\"; name=b\r\n"
        "Content-Type: image/jpeg\r\n\r\n\r\n--X\r\n-XX\r\n"
        "--XX\r\nContent-Disposition: form-data; name=\"q\\\"uote\"\r\n\r\n\r\n--XX--trailing";
    assert_int_equal(multipart_parse(TYPE, (const uint8_t *)right, sizeof right - 1, &form, NULL),
                     0);
    assert_int_equal(form.n, 3);
    assert_string_equal(form.parts[0].name, "a");
    assert_int_equal(form.parts[0].len, 3);
    assert_memory_equal(form.parts[0].data, "one", 3);
    assert_false(form.parts[0].has_file_name);
    assert_string_equal(form.parts[1].name, "b");
    assert_true(form.parts[1].has_file_name);
    assert_int_equal(form.parts[1].len, 10);
    assert_memory_equal(form.parts[1].data, "\r\n--X\r\n-XX", 10);
    assert_string_equal(form.parts[2].name, "q\"uote");
    assert_int_equal(form.parts[2].len, 0);
    assert_ptr_equal(multipart_find(&form, "b"), &form.parts[1]);
    assert_null(multipart_find(&form, "c"));
}

static void broken_forms(void **state)
{
    (void)state;
    static const char good[] =
        "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--XX--";
    struct multipart form;
    char             copy[sizeof good];
    assert_int_equal(parse(good, &form), 0);
    for (size_t n = 0; n < sizeof good - 1; n++) {
        memcpy(copy, good, n);
        copy[n] = '\0';
        assert_int_equal(parse(copy, &form), ERR_FORMAT);
    }
    assert_int_equal(parse("--XX--", &form), 0);
    assert_int_equal(form.n, 0);
    assert_int_equal(parse("preamble\r\n--XX--", &form), ERR_FORMAT);
    assert_int_equal(
        parse("--XX\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--XX--", &form),
        ERR_FORMAT);
    assert_int_equal(
        parse("--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--XX--", &form),
        ERR_FORMAT);
    assert_int_equal(parse("--XX\r\nX: y\r\n\r\n\r\n--XX--", &form), ERR_FORMAT);
    static const char *const types[] = {"multipart/form-data",
                                        "multipart/form-data; boundary=",
                                        "multipart/form-data; boundary=\"XX",
                                        "multipart/mixed; boundary=XX",
                                        "multipart/form-datax; boundary=XX",
                                        "",
                                        NULL};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        assert_int_equal(
            multipart_parse(types[i], (const uint8_t *)good, sizeof good - 1, &form, NULL),
            ERR_FORMAT);
    assert_int_equal(multipart_parse("Multipart/Form-Data;x=y; Boundary=\"XX\"",
                                     (const uint8_t *)good, sizeof good - 1, &form, NULL),
                     0);
}

static void a_form_has_so_many_parts(void **state)
{
    (void)state;
    static const char part[] = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
    for (size_t n = MULTIPART_MAX_PARTS; n <= MULTIPART_MAX_PARTS + 1; n++) {
        struct multipart form;
        size_t           len  = n * (sizeof part - 1) + 6;
        char            *body = malloc(len + 1);
        assert_non_null(body);
        for (size_t i = 0; i < n; i++)
            memcpy(body + i * (sizeof part - 1), part, sizeof part - 1);
        memcpy(body + n * (sizeof part - 1), "--XX--", 7);
        assert_int_equal(multipart_parse(TYPE, (const uint8_t *)body, len, &form, NULL),
                         n > MULTIPART_MAX_PARTS ? ERR_LIMIT : 0);
        free(body);
    }
}

/* ---- Fields ---- */

struct input {
    const char         *text;
    int64_t             number, since, until;
    double              real;
    const struct jnode *node;
};

static const struct field table[] = {
    {"text", FIELD_TEXT, 0, 0, offsetof(struct input, text)},
    {"number", FIELD_INT, -5, 5, offsetof(struct input, number)},
    {"real", FIELD_REAL, -1, 1, offsetof(struct input, real)},
    {"since", FIELD_SINCE, 0, 0, offsetof(struct input, since)},
    {"until", FIELD_UNTIL, 0, 0, offsetof(struct input, until)},
    {"node", FIELD_NODE, 0, 0, offsetof(struct input, node)},
};

static struct fields fields_for(struct input *input)
{
    *input = (struct input){.number = 99};
    return (struct fields){.table = table, .n = sizeof table / sizeof *table, .into = input};
}

static void fields_from_text(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool        right;
    } cases[] = {
        {"text", "", true},           {"text", "a", true},
        {"number", "5", true},        {"number", "-5", true},
        {"number", "6", false},       {"number", "", false},
        {"number", "1.0", false},     {"number", " 1", false},
        {"number", "1 ", false},      {"number", "+1", false},
        {"number", "0x1", false},     {"number", "-", false},
        {"real", "0.5", true},        {"real", "-1", true},
        {"real", "1.1", false},       {"real", "nan", false},
        {"real", "inf", false},       {"real", " 0", false},
        {"real", "", false},          {"real", "0x", false},
        {"since", "0", true},         {"since", "2024-05-01", true},
        {"since", "2024-5-1", false}, {"node", "{}", false},
        {"other", "1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct input  input;
        struct err    err    = ERR_INIT;
        struct fields fields = fields_for(&input);
        int           rc     = fields_take_text(&fields, cases[i].name, cases[i].value, &err);
        if (rc != (cases[i].right ? 0 : ERR_USAGE))
            fail_msg("%s=%s: %d %s", cases[i].name, cases[i].value, rc, err.msg);
        if (rc)
            assert_non_null(strstr(err.msg, cases[i].name));
        else
            assert_int_equal(fields_take_text(&fields, cases[i].name, cases[i].value, NULL),
                             ERR_USAGE);
        assert_int_equal(fields_has(&fields, cases[i].name), strcmp(cases[i].name, "other") != 0);
        assert_false(fields_has(&fields, i == 0 ? "number" : "unknown"));
    }
}

static void dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool        until, right;
        int64_t     seconds;
    } cases[] = {
        {"1970-01-01", false, true, 0},
        {"1970-01-01", true, true, 86399},
        {"2024-02-29", false, true, 1709164800},
        {"2023-02-29", false, false, 0},
        {"2024-04-31", false, false, 0},
        {"2024-05-01T12:30:05Z", true, true, 1714566605},
        {"1969-12-31T23:59:59Z", false, true, -1},
        {"1969-12-31", true, true, -1},
        {"2024-05-01T24:00:00Z", false, false, 0},
        {"2024-05-01T12:30:05", false, false, 0},
        {"2024-05-01 12:30:05Z", false, false, 0},
        {"2024-13-01", false, false, 0},
        {"2024-00-01", false, false, 0},
        {"0000-01-01", false, false, 0},
        {"9999-12-31", true, true, 253402300799},
        {"-3", false, true, -3},
        {"253402300800", false, false, 0},
        {"", false, false, 0},
        {"2024-05-0x", false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t seconds = 0;
        if (fields_parse_time(cases[i].text, cases[i].until, &seconds) != cases[i].right)
            fail_msg("%s", cases[i].text);
        if (cases[i].right)
            assert_int_equal(seconds, cases[i].seconds);
    }
}

static int take(const char *json, bool lenient, struct input *input)
{
    struct jnode *node = NULL;
    assert_int_equal(jnode_parse(json, strlen(json), "it", &node, NULL), 0);
    struct fields fields = fields_for(input);
    fields.lenient       = lenient;
    int rc               = fields_take_json(&fields, node, NULL);
    if (input->node)
        assert_int_equal(jnode_len(input->node), 2);
    jnode_free(node);
    return rc;
}

static void fields_from_json(void **state)
{
    (void)state;
    struct input input;
    assert_int_equal(take("{\"number\": 3, \"real\": 0.25, \"since\": \"1970-01-02\", \"until\": 7,"
                          " \"node\": [1, 2]}",
                          false, &input),
                     0);
    assert_int_equal(input.number, 3);
    assert_int_equal(input.since, 86400);
    assert_int_equal(input.until, 7);
    assert_float_equal(input.real, 0.25, 0);
    static const char *const wrong[] = {"[]",
                                        "1",
                                        "{\"number\": \"3\"}",
                                        "{\"number\": 3.5}",
                                        "{\"number\": 9}",
                                        "{\"number\": null}",
                                        "{\"real\": \"0\"}",
                                        "{\"text\": 1}",
                                        "{\"since\": 1e30}",
                                        "{\"since\": true}",
                                        "{\"since\": \"x\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (take(wrong[i], false, &input) != ERR_USAGE)
            fail_msg("%s", wrong[i]);
    assert_int_equal(take("{\"other\": 1}", false, &input), ERR_USAGE);
    assert_int_equal(take("{\"other\": 1, \"number\": null}", true, &input), 0);
    assert_int_equal(input.number, 99);
    assert_int_equal(take("{\"number\": \"3\"}", true, &input), ERR_USAGE);
}

/* ---- Vectors ---- */

static void vectors_come_back(void **state)
{
    (void)state;
    const float   v[] = {0.6F, -0.8F, 1e-8F};
    float         back[3];
    size_t        dim  = 0;
    char         *text = vector_to_text(v, 3);
    struct jnode *node = NULL;
    assert_non_null(text);
    assert_int_equal(jnode_parse(text, strlen(text), "it", &node, NULL), 0);
    assert_int_equal(vector_from_array(node, 3, back, &dim, NULL), 0);
    assert_int_equal(dim, 3);
    for (size_t i = 0; i < 3; i++)
        assert_float_equal(back[i], v[i], 1e-7);
    assert_int_equal(vector_from_array(node, 2, back, &dim, NULL), ERR_USAGE);
    jnode_free(node);
    free(text);
    static const char *const wrong[] = {"[]", "[0, 0]", "[1, \"2\"]", "{}", "[1e300]", "[null]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(jnode_parse(wrong[i], strlen(wrong[i]), "it", &node, NULL), 0);
        assert_int_equal(vector_from_array(node, 3, back, &dim, NULL), ERR_USAGE);
        jnode_free(node);
    }
}

/* ---- Settings ---- */

static int read_config(struct config *config, char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return config_read(config, argc, argv, NULL);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static void settings_from_three_places(void **state)
{
    (void)state;
    char          path[] = "/tmp/osprey-config-XXXXXX";
    struct config config;
    int           fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_file(
        path,
        "# a comment\r\n\n k = 2\ncache=7\nhost = a\nhost = b\nmodel = two words \nqueue = 9");
    unsetenv("OSPREY_LIBRARY");
    char *plain[] = {"x", NULL};
    assert_int_equal(read_config(&config, plain), 0);
    assert_int_equal(config.port, 7373);
    assert_string_equal(config.address, "127.0.0.1");
    assert_int_equal(config.libraries.n, 0);
    config_release(&config);

    char *flags[] = {"x", "--config", path, "-k", "3", "--host", "c", "--library=/a,b", NULL};
    setenv("OSPREY_CACHE", "8", 1);
    setenv("OSPREY_TRUST", "10.0.0.0/8,::1", 1);
    assert_int_equal(read_config(&config, flags), 0);
    assert_int_equal(config.k, 3);
    assert_int_equal(config.cache, 8);
    assert_int_equal(config.queue, 9);
    assert_string_equal(config.model, "two words");
    assert_int_equal(config.hosts.n, 1);
    assert_string_equal(config.hosts.items[0], "c");
    assert_int_equal(config.trusted.n, 2);
    assert_string_equal(config.trusted.items[1], "::1");
    assert_string_equal(config.libraries.items[0], "/a,b");
    config_release(&config);
    unsetenv("OSPREY_CACHE");
    unsetenv("OSPREY_TRUST");

    setenv("OSPREY_LIBRARY", "/with,comma", 1);
    assert_int_equal(read_config(&config, plain), 0);
    assert_int_equal(config.libraries.n, 1);
    config_release(&config);
    setenv("OSPREY_LIBRARY", "a=/x,b=/y", 1);
    assert_int_equal(read_config(&config, plain), 0);
    assert_int_equal(config.libraries.n, 2);
    config_release(&config);
    unsetenv("OSPREY_LIBRARY");
    unlink(path);
}

static void settings_that_are_wrong(void **state)
{
    (void)state;
    char *cases[][4] = {{"x", "--port", "65536", NULL}, {"x", "--port", "-1", NULL},
                        {"x", "--port", NULL, NULL},    {"x", "-k", "0", NULL},
                        {"x", "--log", "xml", NULL},    {"x", "--nonsense", NULL, NULL},
                        {"x", "more", NULL, NULL},      {"x", "--model", "", NULL},
                        {"x", "--timeout", "1s", NULL}, {"x", "--precision", "f8", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        assert_int_equal(read_config(&config, cases[i]), ERR_USAGE);
        config_release(&config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_comes_back),
        cmocka_unit_test(base64_of_the_specification),
        cmocka_unit_test(what_is_no_base64),
        cmocka_unit_test(ranges),
        cmocka_unit_test(forms_are_taken_apart),
        cmocka_unit_test(broken_forms),
        cmocka_unit_test(a_form_has_so_many_parts),
        cmocka_unit_test(fields_from_text),
        cmocka_unit_test(dates),
        cmocka_unit_test(fields_from_json),
        cmocka_unit_test(vectors_come_back),
        cmocka_unit_test(settings_from_three_places),
        cmocka_unit_test(settings_that_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
