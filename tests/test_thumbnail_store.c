/* The store of thumbnails keeps to its limit, and what is newest. */
#include "searchd/thumbnail_store.h"

#include "base/file.h"
#include "scratch_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 1000 /* bytes of each */

static void name_of(int i, char out[THUMBNAIL_NAME])
{
    uint8_t hash[LIBRARY_HASH_BYTES] = {(uint8_t)(i * 37), (uint8_t)i};
    thumbnail_name(hash, NULL, 320, out);
}

static struct thumbnail_store *open_store(const char *dir, int64_t limit)
{
    struct thumbnail_store *store = NULL;
    struct err              err   = ERR_INIT;
    assert_int_equal(thumbnail_store_new(dir, limit, &store, &err), 0);
    return store;
}

/* Puts number i, made i seconds after a beginning. */
static void keep(struct thumbnail_store *store, const char *dir, int i)
{
    uint8_t bytes[SIZE];
    char    name[THUMBNAIL_NAME], path[256];
    memset(bytes, i, sizeof bytes);
    name_of(i, name);
    thumbnail_store_put(store, name, bytes, sizeof bytes);
    struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
    snprintf(path, sizeof path, "%s/thumbnails/%.2s/%s.jpg", dir, name, name);
    (void)utimensat(AT_FDCWD, path, times, 0);
}

static bool has(const struct thumbnail_store *store, int i)
{
    uint8_t *jpeg = NULL;
    size_t   len  = 0;
    char     name[THUMBNAIL_NAME];
    name_of(i, name);
    if (thumbnail_store_get(store, name, &jpeg, &len))
        return false;
    assert_int_equal(len, SIZE);
    for (size_t k = 0; k < len; k++)
        assert_int_equal(jpeg[k], i);
    free(jpeg);
    return true;
}

static void the_oldest_go(void **state)
{
    (void)state;
    const char             *dir   = folder;
    struct thumbnail_store *store = open_store(dir, 10 * SIZE);
    for (int i = 0; i < 10; i++)
        keep(store, dir, i);
    thumbnail_store_trim(store);
    for (int i = 0; i < 10; i++)
        assert_true(has(store, i)); /* as many as it may have */
    keep(store, dir, 10);
    thumbnail_store_trim(store);
    for (int i = 0; i <= 10; i++)
        assert_int_equal(has(store, i), i >= 2); /* a tenth less than the limit */
    keep(store, dir, 11);
    thumbnail_store_trim(store);
    assert_true(has(store, 2));
    keep(store, dir, 0); /* what went may come again */
    assert_true(has(store, 0));
    thumbnail_store_free(store);
}

/* Another daemon's limit, smaller: it looks once something came. */
static void a_smaller_limit_holds_later(void **state)
{
    (void)state;
    const char             *dir   = folder;
    struct thumbnail_store *first = open_store(dir, 100 * SIZE);
    for (int i = 0; i < 20; i++)
        keep(first, dir, i);
    thumbnail_store_trim(first);
    thumbnail_store_free(first);
    struct thumbnail_store *store = open_store(dir, 5 * SIZE);
    thumbnail_store_trim(store);
    assert_true(has(store, 0)); /* nothing came: nothing was looked at */
    keep(store, dir, 20);
    thumbnail_store_trim(store);
    for (int i = 0; i <= 20; i++)
        assert_int_equal(has(store, i), i >= 17);
    thumbnail_store_free(store);
}

static void what_is_not_ours_stays(void **state)
{
    (void)state;
    const char             *dir   = folder;
    struct thumbnail_store *store = open_store(dir, SIZE);
    char                    path[256], name[THUMBNAIL_NAME];
    keep(store, dir, 1);
    name_of(1, name);
    const char *const foreign[] = {"%s/thumbnails/%.2s/readme.txt", "%s/thumbnails/%.2s/zz.jpg",
                                   "%s/thumbnails/%.2s.jpg"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, foreign[i], dir, name);
        assert_int_equal(file_replace(path, path, sizeof path, NULL), 0);
    }
    keep(store, dir, 2);
    thumbnail_store_trim(store);
    assert_false(has(store, 1) || has(store, 2)); /* nine tenths of one have room for none */
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, foreign[i], dir, name);
        assert_true(file_exists(path));
    }
    thumbnail_store_free(store);
}

static void none_are_kept_at_0(void **state)
{
    (void)state;
    const char             *dir   = folder;
    struct thumbnail_store *store = open_store(dir, 0);
    keep(store, dir, 1);
    assert_false(has(store, 1));
    thumbnail_store_trim(store);
    thumbnail_store_free(store);
    store = open_store("/proc/nowhere", SIZE * 10); /* cannot be written: does without */
    keep(store, "/proc/nowhere", 1);
    assert_false(has(store, 1));
    thumbnail_store_trim(store);
    thumbnail_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_go, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_smaller_limit_holds_later, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_not_ours_stays, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(none_are_kept_at_0, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
