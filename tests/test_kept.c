/* Unit tests of storage/library_kept: what is kept of a model comes back whole, from
 * the disk or from the catalogue; damage is told and repaired; nothing outside the
 * library is written whatever a catalogue says. */
#include "library_fixture.h"

#include "base/file.h"
#include "storage/catalog_db.h"
#include "storage/library_impl.h"

static const struct library_file FILES[] = {{"config.json", "{}", 2}, {"heads", "12345678", 8}};

struct room {
    char                *dir, *folder; /* of the library, of the kept files */
    struct library      *lib;
    struct library_model model;
};

static struct room room_open(void)
{
    struct err  err = ERR_INIT;
    struct room r   = {.dir = temporary_dir()};
    char        name[64];
    assert_ok(library_open(r.dir, LIBRARY_CREATE, &r.lib, &err), &err);
    fill_model(r.lib, "0123abcd", true);
    assert_ok(library_model_active(r.lib, &r.model, &err), &err);
    (void)snprintf(name, sizeof name, "models/%s", r.model.hash);
    r.folder = path_join(r.dir, name);
    return r;
}

static void room_close(struct room *r)
{
    library_close(r->lib);
    free(r->folder);
    remove_dir(r->dir);
}

static void holds(const struct room *r, const char *name, const char *want)
{
    struct err err  = ERR_INIT;
    char      *path = path_join(r->folder, name);
    uint8_t   *data = NULL;
    size_t     len  = 0;
    assert_ok(file_read(path, 1000, &data, &len, &err), &err);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(data, want, len);
    free(data);
    free(path);
}

static void spoil(const struct room *r, const char *name)
{
    char *path = path_join(r->folder, name);
    assert_int_equal(file_replace(path, "spoilt", 6, NULL), 0);
    free(path);
}

static void count(void *ctx, const char *finding)
{
    assert_non_null(strstr(finding, "kept") || strstr(finding, "keeps") ? finding : NULL);
    ++*(int *)ctx;
}

static void files_come_back_whole(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open();
    char       *dir = NULL;
    assert_int_equal(library_model_kept(r.lib, &r.model, &dir, &err), ERR_NOTFOUND);
    assert_null(dir);
    assert_ok(library_model_keep(r.lib, &r.model, FILES, 2, &err), &err);
    holds(&r, "heads", "12345678");
    assert_sound(r.lib);
    /* Without its folder it is made anew; a second keeping changes nothing. */
    char command[600];
    (void)snprintf(command, sizeof command, "rm -r '%s'", r.folder);
    assert_int_equal(system(command), 0);
    assert_sound(r.lib);
    assert_ok(library_model_kept(r.lib, &r.model, &dir, &err), &err);
    assert_string_equal(dir, r.folder);
    free(dir);
    holds(&r, "config.json", "{}");
    assert_ok(library_model_keep(r.lib, &r.model, FILES, 2, &err), &err);
    /* Other files take the place of those kept. */
    const struct library_file other = {"heads", "abc", 3};
    assert_ok(library_model_keep(r.lib, &r.model, &other, 1, &err), &err);
    holds(&r, "heads", "abc");
    room_close(&r);
}

static void damage_is_told_and_repaired(void **state)
{
    (void)state;
    struct err  err      = ERR_INIT;
    struct room r        = room_open();
    int         findings = 0;
    int64_t     damage   = -1;
    assert_ok(library_model_keep(r.lib, &r.model, FILES, 2, &err), &err);
    spoil(&r, "heads");
    assert_ok(library_verify(r.lib, false, count, &findings, &damage, &err), &err);
    assert_int_equal(damage, 1);
    assert_int_equal(findings, 1);
    assert_ok(library_verify(r.lib, true, count, &findings, &damage, &err), &err);
    assert_int_equal(damage, 0);
    holds(&r, "heads", "12345678");
    assert_sound(r.lib);
    room_close(&r);
}

static void a_retired_model_lets_go(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open();
    struct library_file *files;
    size_t               n = 9;
    assert_ok(library_model_keep(r.lib, &r.model, FILES, 2, &err), &err);
    char *rest = path_join(r.dir, "models/.0123abcd.77"); /* what a crash left */
    assert_ok(file_mkdirs(rest, &err), &err);
    fill_model(r.lib, "newer", true);
    assert_false(file_exists(r.folder));
    assert_false(file_exists(rest));
    assert_ok(catalog_model_files(r.lib->cat, r.model.id, &files, &n, &err), &err);
    assert_int_equal(n, 0);
    free(files);
    free(rest);
    room_close(&r);
}

static void names_lead_nowhere_else(void **state)
{
    static const char *const names[] = {"../out", "a/b", ".hidden", ""};
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open();
    char       *out = path_join(r.dir, "models/out"), *dir = NULL;
    for (int i = 0; i < 4; i++) {
        const struct library_file bad = {names[i], "x", 1};
        assert_int_equal(library_model_keep(r.lib, &r.model, &bad, 1, &err), ERR_USAGE);
    }
    assert_ok(library_model_keep(r.lib, &r.model, FILES, 2, &err), &err);
    assert_ok(catalog_exec(r.lib->cat,
                           "UPDATE model_files SET name = '../out' WHERE name = 'heads'", &err),
              &err);
    char command[600];
    (void)snprintf(command, sizeof command, "rm -r '%s'", r.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(library_model_kept(r.lib, &r.model, &dir, &err), ERR_DAMAGED);
    assert_null(dir);
    assert_false(file_exists(out));
    free(out);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_back_whole),
        cmocka_unit_test(damage_is_told_and_repaired),
        cmocka_unit_test(a_retired_model_lets_go),
        cmocka_unit_test(names_lead_nowhere_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
