/* Unit tests of core/base: errors, buffers, files, JSON, UTF-8. */
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void err_prefix_keeps_the_reason(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(err_set(&err, ERR_IO, "no such file"), ERR_IO);
    assert_int_equal(err_prefix(&err, "cannot open %s", "x"), ERR_IO);
    assert_string_equal(err.msg, "cannot open x: no such file");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "unseen"), ERR_LIMIT);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    size_t n = 7;
    assert_false(size_mul(SIZE_MAX, 2, &n));
    assert_false(size_add(SIZE_MAX, 1, &n));
    assert_int_equal(n, 7);
    assert_null(mem_array(SIZE_MAX / 2, 4));
    assert_null(mem_aligned(SIZE_MAX / 2, 4));
}

static void buf_stops_at_its_ceiling(void **state)
{
    (void)state;
    struct buf buf;
    struct err err = ERR_INIT;
    buf_init(&buf, 10);
    assert_int_equal(buf_append_str(&buf, "12345", &err), 0);
    assert_int_equal(buf_appendf(&buf, &err, "%d", 67890), 0);
    assert_int_equal(buf_append_str(&buf, "x", &err), ERR_LIMIT);
    assert_string_equal(buf_str(&buf), "1234567890");
    buf_release(&buf);
}

static void file_replace_leaves_nothing_aside(void **state)
{
    (void)state;
    char       dir[] = "/tmp/osprey-base-XXXXXX";
    struct err err   = ERR_INIT;
    uint8_t   *data  = NULL;
    size_t     len   = 0;
    assert_non_null(mkdtemp(dir));
    char *path = path_join(dir, "f");
    assert_int_equal(file_replace(path, "one", 3, &err), 0);
    assert_int_equal(file_replace(path, "second", 6, &err), 0);
    assert_int_equal(file_read(path, 100, &data, &len, &err), 0);
    assert_int_equal(len, 6);
    assert_memory_equal(data, "second", 7);
    free(data);
    assert_int_equal(file_read(path, 5, &data, &len, &err), ERR_LIMIT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(file_read(path, 5, &data, &len, &err), ERR_NOTFOUND);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, 5, &data, &len, &err), ERR_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); /* empty: nothing was left beside it */
    free(path);
}

static void paths_need_not_exist(void **state)
{
    (void)state;
    struct err err   = ERR_INIT;
    char       dir[] = "/tmp/osprey-test-XXXXXX", *out = NULL;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(symlink("/usr", "link"), 0);
    static const char *const cases[][3] = {/* given, written, absolute */
                                           {"link/no-such/../x//y/.", "/link/x/y", "=/usr/x/y"},
                                           {"none/./a", "/none/a", "/none/a"},
                                           {"/../..//", "=/", "=/"},
                                           {"/usr/", "=/usr", "=/usr"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int how = 1; how <= 2; how++) {
            const char *want = cases[i][how];
            char       *all  = *want == '=' ? mem_strdup(want + 1) : path_join(dir, want + 1);
            assert_int_equal((how == 1 ? path_written : path_absolute)(cases[i][0], &out, &err), 0);
            assert_string_equal(out, all);
            free(out);
            free(all);
        }
    }
    assert_int_equal(path_written("", &out, &err), ERR_USAGE);
    assert_int_equal(path_absolute("", &out, &err), ERR_USAGE);
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void json_survives_a_round_trip(void **state)
{
    (void)state;
    struct err    err  = ERR_INIT;
    struct jnode *node = jnode_object();
    float         x    = 0.1f;
    assert_int_equal(jnode_set_strn(node, "path",
                                    "a\xFF"
                                    "b",
                                    3),
                     0);
    assert_int_equal(jnode_set_real(node, "x", (double)x), 0);
    assert_int_equal(jnode_set_real(node, "nan", 0.0 / 0.0), 0);
    char *text = jnode_write(node);
    jnode_free(node);
    assert_int_equal(jnode_parse(text, strlen(text), "test", &node, &err), 0);
    const char *path = NULL;
    double      back = 0;
    assert_true(jnode_to_str(jnode_get(node, "path"), &path));
    assert_string_equal(path, "a\xEF\xBF\xBD"
                              "b");
    assert_true(jnode_to_double(jnode_get(node, "x"), &back));
    assert_true((float)back == x);
    assert_true(jnode_is_null(jnode_get(node, "nan")));
    assert_false(jnode_to_str(jnode_get(jnode_get(node, "no"), "such"), &path));
    jnode_free(node);
    free(text);
    assert_int_equal(jnode_parse("{\"a\":", 5, "cut.json", &node, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "cut.json"));
}

static void json_paths_keep_their_bytes(void **state)
{
    (void)state;
    struct jnode *node  = jnode_object();
    const char   *bytes = NULL;
    assert_int_equal(jnode_set_path(node, "path", "/a/\xC3\xA4"), 0);
    assert_null(jnode_get(node, "path_bytes"));
    assert_int_equal(jnode_set_path(node, "old", "/a\xFF"), 0);
    assert_true(jnode_to_str(jnode_get(node, "old_bytes"), &bytes));
    assert_string_equal(bytes, "L2H/");
    assert_int_equal(jnode_set_path(node, "new", "/\xFF"), 0);
    assert_true(jnode_to_str(jnode_get(node, "new_bytes"), &bytes));
    assert_string_equal(bytes, "L/8=");
    assert_int_equal(jnode_set_path(node, "one", "\xFE"), 0);
    assert_true(jnode_to_str(jnode_get(node, "one_bytes"), &bytes));
    assert_string_equal(bytes, "/g==");
    jnode_free(node);
}

static void utf8_replaces_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"caf\xC3\xA9", "caf\xC3\xA9"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE2\x82", "\xEF\xBF\xBD"},                             /* cut short: one */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* a surrogate: three */
        {"\xF0\x9F\x98x", "\xEF\xBF\xBDx"},
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len;
        char  *out = utf8_replace_invalid(cases[i].in, strlen(cases[i].in), &len);
        assert_string_equal(out, cases[i].out);
        assert_true(utf8_valid(out, len));
        assert_int_equal(utf8_valid(cases[i].in, strlen(cases[i].in)), i == 0);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_prefix_keeps_the_reason),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(buf_stops_at_its_ceiling),
        cmocka_unit_test(file_replace_leaves_nothing_aside),
        cmocka_unit_test(paths_need_not_exist),
        cmocka_unit_test(json_survives_a_round_trip),
        cmocka_unit_test(json_paths_keep_their_bytes),
        cmocka_unit_test(utf8_replaces_maximal_subparts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
