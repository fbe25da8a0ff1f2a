/* Unit tests of storage/catalog_check: damage is found, and put right where it can be; a
 * backup stands alone. Through the library's interface. */
#include "catalog_fixture.h"

static void collect(void *ctx, const char *finding)
{
    char *all = ctx;
    snprintf(all + strlen(all), 8000 - strlen(all), "%s\n", finding);
}

/* Damages the catalogue behind the library's back. */
static void verify_finds_and_repairs(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *said;
    } cases[] = {
        {"UPDATE embeddings SET vector = x'0000' WHERE key & 255 = 2", "wrong length"},
        {"UPDATE embeddings SET vector = zeroblob(64) WHERE key & 255 = 2", "not normalised"},
        {"UPDATE embeddings SET vector = CAST(x'007e' || substr(vector, 3) AS BLOB)"
         " WHERE key & 255 = 2",
         "not finite"},
        {"DELETE FROM embeddings WHERE key & 255 = 3", "has no embedding"},
        {"INSERT INTO embeddings SELECT key + 100, vector FROM embeddings WHERE key & 255 = 3",
         "does not exist"},
        {"UPDATE folders SET images = 77", "count"},
        {"INSERT INTO errors SELECT folder_id, path, 1, 1, 'x', 1 FROM images WHERE id = 1",
         "both as an image and as broken"},
        {"PRAGMA foreign_keys = OFF; INSERT INTO tags VALUES (99, 'cat', 'user', 1)", "tags"},
        {"PRAGMA foreign_keys = OFF; UPDATE images SET folder_id = 50 WHERE id = 4", "folder"},
        {"PRAGMA foreign_keys = OFF; INSERT INTO parts (image_id, page) VALUES (99, 2)", "pages"},
        {"INSERT INTO parts (image_id, page) VALUES (3, 2)", "page 2 of image 3"},
        {"INSERT INTO fingerprints (hash, kept) VALUES (x'77', x'00')", "fingerprints"},
        {"PRAGMA foreign_keys = OFF; INSERT INTO taggers VALUES (9, 1, 1, x'00')", "labels"},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct err  err    = ERR_INIT;
        struct room r      = room_open(NULL);
        int64_t     damage = -1, folder  = add_folder(r.lib, "/pics");
        char        path[32], said[8000] = "";
        for (int i = 1; i <= 6; i++) {
            snprintf(path, sizeof(path), "%d.jpg", i);
            add_one(r.lib, r.model, folder, path, (uint64_t)i);
        }
        change_catalog(r.dir, cases[c].sql);
        assert_ok(library_verify(r.lib, false, collect, said, &damage, &err), &err);
        assert_true(damage > 0);
        assert_non_null(strstr(said, cases[c].said));
        assert_ok(library_verify(r.lib, false, NULL, NULL, &damage, &err), &err);
        assert_true(damage > 0); /* looking changes nothing */
        assert_ok(library_verify(r.lib, true, NULL, NULL, &damage, &err), &err);
        assert_int_equal(damage, 0);
        room_close(&r); /* sound */
    }
}

static void a_damaged_page_is_told_not_repaired(void **state)
{
    (void)state;
    struct err  err  = ERR_INIT;
    struct room r    = room_open(NULL);
    char       *file = path_join(r.dir, "catalog.db"), said[8000] = "", path[32];
    int64_t     damage = 0, folder = add_folder(r.lib, "/pics");
    for (int i = 1; i <= 300; i++) {
        snprintf(path, sizeof(path), "%d.jpg", i);
        add_one(r.lib, r.model, folder, path, (uint64_t)i);
    }
    int64_t root =
        ask_catalog(r.dir, "SELECT rootpage FROM sqlite_schema WHERE name = 'embeddings'");
    library_close(r.lib);
    FILE *f = fopen(file, "r+b");
    assert_int_equal(fseek(f, (long)(root - 1) * 8192 + 8, SEEK_SET), 0);
    for (int i = 0; i < 64; i++)
        fputc(0x5a, f);
    fclose(f);
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    assert_ok(library_verify(r.lib, true, collect, said, &damage, &err), &err);
    assert_true(damage > 0);
    assert_non_null(strstr(said, "restore a backup"));
    library_close(r.lib);
    free(file);
    remove_dir(r.dir);
}

/* Looking promises no more than the repair can hold, and says what else helps. */
static void damage_without_repair_says_what_to_do(void **state)
{
    (void)state;
    static const char *const wrecks[] = {
        "DROP TABLE errors",
        "UPDATE models SET state = 'retired'",
    };
    static const char *const advice[] = {"restore a backup", "osprey index"};
    for (size_t i = 0; i < 2; i++) {
        struct err  err        = ERR_INIT;
        struct room r          = room_open(NULL);
        char        said[8000] = "";
        int64_t     damage = 0, folder = add_folder(r.lib, "/pics");
        add_one(r.lib, r.model, folder, "1.jpg", 1);
        library_close(r.lib);
        change_catalog(r.dir, wrecks[i]);
        assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
        assert_ok(library_verify(r.lib, false, collect, said, &damage, &err), &err);
        assert_true(damage > 0);
        assert_non_null(strstr(said, advice[i]));
        assert_null(strstr(said, "beyond repair")); /* nothing was tried yet */
        assert_ok(library_verify(r.lib, true, collect, said, &damage, &err), &err);
        assert_true(damage > 0);
        library_close(r.lib);
        remove_dir(r.dir);
    }
}

static void a_backup_stands_alone(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_stats stats;
    char                *other = temporary_dir(), *file = path_join(other, "catalog.db");
    char                *own    = path_join(r.dir, "catalog.db");
    int64_t              folder = add_folder(r.lib, "/pics");
    add_one(r.lib, r.model, folder, "a.jpg", 1);
    assert_ok(library_backup(r.lib, file, &err), &err);
    add_one(r.lib, r.model, folder, "b.jpg", 2);
    assert_ok(library_backup(r.lib, file, &err), &err); /* a newer one takes its place */
    add_one(r.lib, r.model, folder, "c.jpg", 3);
    assert_int_equal(library_backup(r.lib, own, &err), ERR_USAGE);
    assert_int_equal(library_backup(r.lib, other, &err), ERR_USAGE);
    assert_int_equal(library_backup(r.lib, "/nowhere/at/all", &err), ERR_IO);

    struct library *copy;
    assert_ok(library_open(other, LIBRARY_EXISTING, &copy, &err), &err);
    assert_ok(library_stats(copy, &stats, &err), &err);
    assert_int_equal(stats.images, 2);
    assert_sound(copy);
    library_close(copy);
    free(file);
    free(own);
    remove_dir(other);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_finds_and_repairs),
        cmocka_unit_test(a_damaged_page_is_told_not_repaired),
        cmocka_unit_test(damage_without_repair_says_what_to_do),
        cmocka_unit_test(a_backup_stands_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
