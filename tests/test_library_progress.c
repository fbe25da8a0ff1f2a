/* How far the indexer is, as it leaves it and as others read it. */
#include "storage/library_progress.h"

#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void what_was_written_is_read(void **state)
{
    (void)state;
    static const struct library_progress cases[] = {
        {.done = 3, .total = 10, .counting = true, .errors = 1, .per_s = 2.5, .seconds_left = -1},
        {.done = 10, .total = 10, .per_s = 0, .seconds_left = 0},
        {.done = 1, .total = INT64_C(9000000000), .per_s = 1e3, .seconds_left = 9e6},
    };
    struct err              err = ERR_INIT;
    struct library_progress out;
    char                    dir[] = "/tmp/osprey-progress-XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(library_progress_read(dir, &out, &err), ERR_NOTFOUND);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct library_progress *in = &cases[i];
        assert_int_equal(library_progress_write(dir, in, &err), 0);
        assert_int_equal(library_progress_read(dir, &out, &err), 0);
        assert_int_equal(out.done, in->done);
        assert_int_equal(out.total, in->total);
        assert_int_equal(out.errors, in->errors);
        assert_int_equal(out.counting, in->counting);
        assert_float_equal(out.per_s, in->per_s, 1e-9);
        assert_float_equal(out.seconds_left, in->seconds_left, 1e-9);
    }
    library_progress_remove(dir);
    library_progress_remove(dir);
    assert_int_equal(library_progress_read(dir, &out, &err), ERR_NOTFOUND);
    assert_int_equal(rmdir(dir), 0); /* nothing was left aside */
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[1]",
        "{\"done\":1,\"total\":2,\"counting\":false,\"errors\":0}",
        "{\"done\":-1,\"total\":2,\"counting\":false,\"errors\":0,\"per_s\":1}",
        "{\"done\":1,\"total\":2,\"counting\":0,\"errors\":0,\"per_s\":1}"};
    struct err              err = ERR_INIT;
    struct library_progress out;
    char                    dir[] = "/tmp/osprey-progress-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = path_join(dir, "indexer.progress");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(file_replace(path, texts[i], strlen(texts[i]), NULL), 0);
        assert_true(library_progress_read(dir, &out, &err) < 0);
    }
    library_progress_remove(dir);
    assert_int_not_equal(
        library_progress_write("/proc/nowhere", &(struct library_progress){0}, &err), 0);
    rmdir(dir);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_written_is_read),
                                       cmocka_unit_test(nonsense_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
