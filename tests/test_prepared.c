/* Unit tests of core/model/prepared: built once, mapped after, rebuilt when the
 * model or the cache changes. */
#include "model/prepared.h"

#include "base/file.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char  dir[] = "/tmp/osprey-prepared-XXXXXX";
static char *model, *vocab, *cache;

/* Opens, asks for two blocks and fills them when told to. */
static struct prepared *load(float value, bool *built)
{
    struct err       err     = ERR_INIT;
    const char      *files[] = {model, vocab};
    struct prepared *p       = NULL;
    float           *a, *b;
    assert_int_equal(prepared_open(files, 2, &p, &err), 0);
    *built = prepared_building(p);
    assert_int_equal(prepared_floats(p, "a", 100, &a, &err), 0);
    assert_int_equal(prepared_floats(p, "b", 3, &b, &err), 0);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal((uintptr_t)b % 64, 0);
    if (*built) {
        assert_string_equal(prepared_hash(p), "");
        assert_true(a[99] == 0.0f && b[2] == 0.0f);
        a[99] = value;
        b[2]  = 2 * value;
    }
    assert_int_equal(prepared_finish(p, &err), 0);
    assert_true(b[2] == 2 * a[99]);
    assert_true(a[98] == 0.0f);
    assert_int_equal(strlen(prepared_hash(p)), 32);
    return p;
}

/* The one file in the cache; freed by the caller. */
static char *cached_file(void)
{
    char *folder = path_join(cache, "osprey/prepared");
    char *found  = NULL;
    DIR  *d      = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        assert_null(found);
        found = path_join(folder, e->d_name);
    }
    closedir(d);
    free(folder);
    assert_non_null(found);
    return found;
}

static int fresh(void **state)
{
    (void)state;
    char command[200];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", cache);
    setenv("XDG_CACHE_HOME", cache, 1);
    return system(command) || file_replace(model, "model one, long enough", 22, NULL) ||
           file_replace(vocab, "vocabulary", 10, NULL);
}

static void built_once_then_mapped(void **state)
{
    (void)state;
    bool             built;
    char             hash[33];
    struct prepared *p = load(1.0f, &built);
    assert_true(built);
    (void)snprintf(hash, sizeof hash, "%s", prepared_hash(p));
    prepared_close(p);
    p = load(5.0f, &built);
    assert_false(built);
    assert_string_equal(prepared_hash(p), hash);
    struct err err = ERR_INIT;
    float     *f;
    assert_int_equal(prepared_floats(p, "a", 99, &f, &err), ERR_DAMAGED);
    assert_int_equal(prepared_floats(p, "c", 99, &f, &err), ERR_DAMAGED);
    assert_non_null(strstr(err.msg, "c"));
    prepared_discard(p);
    assert_true(prepared_building(p));
    assert_int_equal(prepared_floats(p, "c", 99, &f, &err), 0);
    f[0] = 3.0f;
    prepared_close(p); /* without finishing: nothing is kept */
    prepared_close(load(1.0f, &built));
    assert_true(built);
}

static void another_model_is_built_anew(void **state)
{
    (void)state;
    bool             built;
    char             hash[33];
    struct prepared *p = load(1.0f, &built);
    (void)snprintf(hash, sizeof hash, "%s", prepared_hash(p));
    prepared_close(p);
    /* same size and time, other contents */
    struct stat st;
    assert_int_equal(stat(model, &st), 0);
    assert_int_equal(file_replace(model, "model two, long enough", 22, NULL), 0);
    struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, model, times, 0), 0);
    p = load(2.0f, &built);
    assert_true(built);
    assert_string_not_equal(prepared_hash(p), hash);
    prepared_close(p);
    /* same contents, other time: built anew, but the same model */
    assert_int_equal(file_replace(model, "model one, long enough", 22, NULL), 0);
    p = load(1.0f, &built);
    assert_string_equal(prepared_hash(p), hash);
    prepared_close(p);
}

static void a_damaged_cache_is_built_anew(void **state)
{
    (void)state;
    bool built;
    prepared_close(load(1.0f, &built));
    char    *file  = cached_file();
    uint8_t *bytes = NULL;
    size_t   len;
    assert_int_equal(file_read(file, 100000, &bytes, &len, NULL), 0);
    for (size_t keep = 0; keep < len; keep += 37) {
        assert_int_equal(file_replace(file, bytes, keep, NULL), 0);
        prepared_close(load(1.0f, &built));
        assert_true(built);
        prepared_close(load(1.0f, &built));
        assert_false(built);
    }
    free(bytes);
    free(file);
}

static void files_unused_for_long_are_removed(void **state)
{
    (void)state;
    bool built;
    prepared_close(load(1.0f, &built));
    char           *old    = cached_file();
    struct timespec past[] = {{.tv_sec = 1500000000}, {.tv_sec = 1500000000}};
    assert_int_equal(utimensat(AT_FDCWD, old, past, 0), 0);
    prepared_close(load(1.0f, &built)); /* used now: its time says so */
    assert_false(built);
    assert_int_equal(file_replace(model, "another model altogether", 24, NULL), 0);
    prepared_close(load(1.0f, &built));
    assert_true(built);
    assert_true(file_exists(old));
    assert_int_equal(utimensat(AT_FDCWD, old, past, 0), 0);
    assert_int_equal(file_replace(model, "and yet another one here", 24, NULL), 0);
    prepared_close(load(1.0f, &built));
    assert_false(file_exists(old));
    free(old);
}

static void no_cache_costs_only_time(void **state)
{
    (void)state;
    bool built;
    assert_int_equal(file_replace(cache, "a file in the way", 17, NULL), 0);
    for (int i = 0; i < 2; i++) {
        prepared_close(load(1.0f, &built));
        assert_true(built);
    }
    unsetenv("XDG_CACHE_HOME");
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    unsetenv("HOME");
    prepared_close(load(1.0f, &built));
    assert_true(built);
    if (home)
        setenv("HOME", home, 1);
    free(home);
    assert_int_equal(unlink(cache), 0);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    struct err       err     = ERR_INIT;
    struct prepared *p       = NULL;
    const char      *files[] = {model, "/nonexistent/weights"};
    assert_int_equal(prepared_open(files, 2, &p, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/weights"));
    assert_int_equal(prepared_open(files, 0, &p, &err), ERR_USAGE);
    assert_null(p);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    model                           = path_join(dir, "model.safetensors");
    vocab                           = path_join(dir, "vocab.txt");
    cache                           = path_join(dir, "cache");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(built_once_then_mapped, fresh),
        cmocka_unit_test_setup(another_model_is_built_anew, fresh),
        cmocka_unit_test_setup(a_damaged_cache_is_built_anew, fresh),
        cmocka_unit_test_setup(files_unused_for_long_are_removed, fresh),
        cmocka_unit_test_setup(no_cache_costs_only_time, fresh),
        cmocka_unit_test_setup(missing_files_are_named, fresh),
    };
    int  failed = cmocka_run_group_tests_name("prepared", tests, NULL, NULL);
    char command[200];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    failed |= system(command) != 0;
    free(model);
    free(vocab);
    free(cache);
    return failed;
}
