/* Unit tests of storage/catalog: folders, images, errors, moves,
 * the lock. Through the library's interface where that is the same. */
#include "catalog_fixture.h"

#include "storage/library_impl.h"

#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Opening ---- */

static void what_is_no_library_is_refused(void **state)
{
    (void)state;
    struct err      err  = ERR_INIT;
    char           *dir  = temporary_dir();
    char           *file = path_join(dir, "catalog.db");
    struct library *lib  = NULL;
    assert_int_equal(library_open(dir, LIBRARY_EXISTING, &lib, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, dir));
    assert_false(file_exists(file));

    char junk[4096];
    memset(junk, 'x', sizeof(junk));
    assert_ok(file_replace(file, junk, sizeof(junk), &err), &err);
    assert_int_equal(library_open(dir, LIBRARY_EXISTING, &lib, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, file));
    assert_int_equal(library_open(dir, LIBRARY_CREATE, &lib, &err), ERR_FORMAT);

    unlink(file);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE recipes (id)", 0, 0, 0), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(library_open(dir, LIBRARY_CREATE, &lib, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "another program"));
    free(file);
    remove_dir(dir);
}

/* ---- Folders ---- */

static void folders_do_not_nest(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_image image;
    int64_t              id;
    char                *below;
    int64_t              inner = add_folder(r.lib, "/a/b/c");
    int64_t              near  = add_folder(r.lib, "/a/bc");
    int64_t pic = add_one(r.lib, r.model, inner, "d/caf\xe9 \xff.jpg", 1); /* no UTF-8 */
    struct library_item broken = {.folder_id = inner, .path = "bad.jpg", .error = "cut short"};
    assert_ok(library_add(r.lib, r.model, &broken, 1, &err), &err);

    assert_ok(library_folder_add(r.lib, "/a/b/c/d/e", &id, &below, &err), &err);
    assert_int_equal(id, inner);
    assert_string_equal(below, "d/e");
    free(below);
    assert_ok(library_folder_add(r.lib, "/a/b/c", &id, &below, &err), &err);
    assert_int_equal(id, inner);
    assert_string_equal(below, "");
    free(below);
    assert_int_equal(library_folder_add(r.lib, "a/b", &id, &below, &err), ERR_USAGE);

    int64_t outer = add_folder(r.lib, "/a/b");
    assert_int_not_equal(outer, inner);
    assert_ok(library_image_at(r.lib, "/a/b/c/d/caf\xe9 \xff.jpg", &image, &err), &err);
    assert_int_equal(image.id, pic);
    assert_int_equal(image.folder_id, outer);
    assert_string_equal(image.path, "c/d/caf\xe9 \xff.jpg");
    assert_string_equal(image.folder, "/a/b");
    library_image_release(&image);

    struct library_folder *folders;
    size_t                 n;
    assert_ok(library_folders(r.lib, &folders, &n, &err), &err);
    assert_int_equal(n, 2);
    assert_int_equal(folders[0].id, outer);
    assert_int_equal(folders[0].images, 1);
    assert_int_equal(folders[0].errors, 1);
    assert_true(folders[0].online);
    assert_int_equal(folders[0].scanned_at, 0);
    assert_int_equal(folders[1].id, near);
    library_folders_free(folders, n);

    assert_ok(library_folder_scanned(r.lib, outer, true, &err), &err);
    assert_ok(library_folder_scanned(r.lib, near, false, &err), &err);
    int64_t all = add_folder(r.lib, "/");
    assert_ok(library_image_at(r.lib, "/a/b/c/d/caf\xe9 \xff.jpg", &image, &err), &err);
    assert_int_equal(image.folder_id, all);
    assert_string_equal(image.path, "a/b/c/d/caf\xe9 \xff.jpg");
    library_image_release(&image);
    room_close(&r);
}

static void folders_move_and_go(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open(NULL);
    int64_t     n, removed;
    int64_t     one = add_folder(r.lib, "/old/x"), two = add_folder(r.lib, "/old/y");
    add_folder(r.lib, "/other");
    add_one(r.lib, r.model, one, "sub/1.jpg", 1);
    add_one(r.lib, r.model, one, "sub-2.jpg", 2);
    int64_t in_two = add_one(r.lib, r.model, two, "3.jpg", 3);

    assert_int_equal(library_relocate(r.lib, "/old", "/other/in", &n, &err), ERR_USAGE);
    assert_int_equal(library_relocate(r.lib, "/nowhere", "/new", &n, &err), ERR_NOTFOUND);
    assert_ok(library_relocate(r.lib, "/old", "/old/x", &n, &err), &err); /* onto itself */
    assert_int_equal(n, 2);
    assert_ok(library_relocate(r.lib, "/old/x", "/new", &n, &err), &err);
    struct library_image image;
    assert_ok(library_image_at(r.lib, "/new/y/3.jpg", &image, &err), &err);
    assert_int_equal(image.id, in_two);
    library_image_release(&image);

    assert_int_equal(library_forget(r.lib, "/nowhere", &removed, &err), ERR_NOTFOUND);
    assert_ok(library_forget(r.lib, "/new/x/sub", &removed, &err), &err);
    assert_int_equal(removed, 1); /* not sub-2.jpg */
    assert_ok(library_forget(r.lib, "/new", &removed, &err), &err);
    assert_int_equal(removed, 2);
    struct library_stats stats;
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.images, 0);
    assert_int_equal(stats.folders, 1);
    room_close(&r);
}

/* ---- Images and errors ---- */

static void an_image_keeps_what_was_given(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_image image;
    float                embedding[DIM], back[DIM];
    int64_t              folder = add_folder(r.lib, "/pics");
    struct library_item  item   = picture(folder, "x/y.png", 42, embedding);
    item.kind                   = "PNG";
    item.orientation            = 6;
    item.taken_at               = 1234567890;
    item.camera                 = "Pentax K1000";
    assert_ok(library_add(r.lib, r.model, &item, 1, &err), &err);
    assert_ok(library_image_get(r.lib, item.id, &image, &err), &err);
    assert_string_equal(image.path, "x/y.png");
    assert_string_equal(image.kind, "PNG");
    assert_string_equal(image.camera, "Pentax K1000");
    assert_int_equal(image.orientation, 6);
    assert_int_equal(image.taken_at, 1234567890);
    assert_int_equal(image.width, 640);
    assert_int_equal(image.height, 480);
    assert_int_equal(image.size, 1042);
    assert_memory_equal(image.hash, item.hash, LIBRARY_HASH_BYTES);
    library_image_release(&image);
    assert_ok(library_embedding_get(r.lib, item.id, back, &err), &err);
    for (int i = 0; i < DIM; i++)
        assert_float_equal(back[i], embedding[i], 5e-4);
    assert_int_equal(library_image_get(r.lib, 999, &image, &err), ERR_NOTFOUND);
    assert_int_equal(library_embedding_get(r.lib, 999, back, &err), ERR_NOTFOUND);
    assert_int_equal(library_image_at(r.lib, "/pics/x", &image, &err), ERR_NOTFOUND);
    room_close(&r);
}

static void bad_items_change_nothing(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_stats stats;
    float                a[DIM], b[DIM];
    int64_t              folder = add_folder(r.lib, "/pics");
    for (int what = 0; what < 8; what++) {
        struct library_item  items[2] = {picture(folder, "good.jpg", 1, a),
                                         picture(folder, "bad.jpg", 2, b)};
        struct library_item *bad      = &items[1];
        int64_t              model    = r.model;
        int                  want     = ERR_USAGE;
        switch (what) {
        case 0:
            b[3] = __builtin_nanf("");
            break;
        case 1:
            b[3] = __builtin_inff();
            break;
        case 2:
            b[3] += 0.5f;
            break;
        case 3:
            bad->embedding = NULL;
            break;
        case 4:
            bad->path = "/absolute";
            break;
        case 5:
            bad->copy_of = 12345, bad->embedding = NULL, want = ERR_NOTFOUND;
            break;
        case 6:
            model = 77, want = ERR_NOTFOUND;
            break;
        case 7:
            bad->folder_id = 99, want = ERR_NOTFOUND;
            break;
        }
        assert_int_equal(library_add(r.lib, model, items, 2, &err), want);
        assert_ok(library_stats(r.lib, &stats, &err), &err);
        assert_int_equal(stats.images, 0);
    }
    room_close(&r);
}

static void a_path_is_an_image_or_an_error(void **state)
{
    (void)state;
    struct err            err = ERR_INIT;
    struct room           r   = room_open(NULL);
    struct library_stats  stats;
    struct library_error *errors;
    size_t                n;
    int64_t               folder = add_folder(r.lib, "/pics");
    int64_t               id     = add_one(r.lib, r.model, folder, "a.jpg", 1);
    assert_int_equal(add_one(r.lib, r.model, folder, "a.jpg", 2), id); /* replaced */

    struct library_item broken = {.folder_id = folder, .path = "a.jpg", .error = "cut short"};
    for (int i = 0; i < 2; i++)
        assert_ok(library_add(r.lib, r.model, &broken, 1, &err), &err);
    assert_int_equal(broken.id, 0);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.images, 0);
    assert_int_equal(stats.errors, 1);
    assert_ok(library_errors(r.lib, &errors, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_string_equal(errors[0].path, "/pics/a.jpg");
    assert_string_equal(errors[0].reason, "cut short");
    assert_true(errors[0].when > 1600000000);
    library_errors_free(errors, n);

    int64_t again = add_one(r.lib, r.model, folder, "a.jpg", 3);
    assert_true(again > id); /* ids are not used twice */
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.images, 1);
    assert_int_equal(stats.errors, 0);

    broken.path = "b.jpg";
    assert_ok(library_add(r.lib, r.model, &broken, 1, &err), &err);
    const char *gone[] = {"a.jpg", "b.jpg", "never.jpg"};
    assert_ok(library_remove(r.lib, folder, gone, 3, &err), &err);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.images + stats.errors, 0);
    room_close(&r);
}

static void known_files_come_in_bytewise_order(void **state)
{
    (void)state;
    struct err   err     = ERR_INIT;
    struct room  r       = room_open(NULL);
    const char  *paths[] = {"B.jpg",      "a",      "a-x.jpg", "a/1.jpg",     "a/b/2.jpg",
                            "a/\xff.jpg", "a0.jpg", "b.jpg",   "\xc3\xa9.jpg"};
    const size_t count   = sizeof(paths) / sizeof(paths[0]);
    int64_t      folder  = add_folder(r.lib, "/pics");
    int64_t      second  = fill_model(r.lib, "hash-b", false);
    for (size_t i = 0; i < count; i++) {
        struct library_item broken = {.folder_id = folder, .path = paths[i], .error = "broken"};
        if (i % 3 == 0)
            assert_ok(library_add(r.lib, r.model, &broken, 1, &err), &err);
        else
            add_one(r.lib, r.model, folder, paths[i], i);
    }
    for (size_t limit = 1; limit < 12; limit++) { /* whole, in pages of any size */
        char   after[64] = "";
        size_t seen      = 0, n;
        do {
            struct library_known *known;
            assert_ok(
                library_known_after(r.lib, folder, r.model, "", after, limit, &known, &n, &err),
                &err);
            for (size_t i = 0; i < n; i++, seen++) {
                assert_string_equal(known[i].path, paths[seen]);
                assert_int_equal(known[i].id == 0, seen % 3 == 0);
                assert_int_equal(known[i].embedded, seen % 3 != 0);
            }
            if (n)
                snprintf(after, sizeof(after), "%s", known[n - 1].path);
            library_known_free(known, n);
        } while (n == limit);
        assert_int_equal(seen, count);
    }
    struct {
        const char *below, *after;
        size_t      first, n;
    } cases[] = {{"a", "", 1, 4},        {"a", "a", 3, 3}, {"a/", "", 3, 3},  {"a/b", "", 4, 1},
                 {"a", "a/1.jpg", 4, 2}, {"a", "b", 0, 0}, {"zzz", "", 0, 0}, {"b.jpg", "", 7, 1}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct library_known *known;
        size_t                n, at = cases[c].first;
        assert_ok(library_known_after(r.lib, folder, second, cases[c].below, cases[c].after, 10,
                                      &known, &n, &err),
                  &err);
        assert_int_equal(n, cases[c].n);
        for (size_t i = 0; i < n; i++) {
            if (at == 2) /* a-x.jpg sorts between a and a/, and is not inside a */
                at++;
            assert_string_equal(known[i].path, paths[at++]);
            assert_false(known[i].embedded);
        }
        library_known_free(known, n);
    }
    room_close(&r);
}

static void note_id(void *ctx, int64_t id, const uint16_t *vector)
{
    int64_t *seen = ctx;
    assert_true(id >= 1 && id <= 6);
    assert_int_equal(vector[0], id); /* as it was stored */
    seen[++seen[0]] = id;
}

static void many_embeddings_are_read_past_what_is_none(void **state)
{
    (void)state;
    struct err  err      = ERR_INIT;
    struct room r        = room_open(NULL);
    int64_t     ids[]    = {3, 77, 1, 4, 5, 2, 6, 3};
    int64_t     want[]   = {5, 3, 1, 2, 6, 3};
    int64_t     seen[10] = {0};
    assert_ok(catalog_begin_write(r.lib->cat, &err), &err);
    for (uint16_t i = 1; i <= 6; i++) {
        uint16_t vector[DIM] = {i};
        if (i != 5)
            assert_ok(
                catalog_embedding_put(r.lib->cat, r.model, i, vector, i == 4 ? DIM - 1 : DIM, &err),
                &err);
    }
    assert_ok(catalog_embeddings_read(r.lib->cat, r.model, ids, 8, DIM, note_id, seen, &err), &err);
    assert_memory_equal(seen, want, sizeof(want));
    assert_ok(catalog_embeddings_read(r.lib->cat, r.model, ids, 0, DIM, note_id, seen, &err), &err);
    assert_int_equal(seen[0], 5);
    catalog_rollback(r.lib->cat);
    room_close(&r);
}

static void copies_and_moves_keep_embeddings(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_image image;
    float                embedding[DIM], back[DIM];
    int64_t              found, folder = add_folder(r.lib, "/pics");
    int64_t              a    = add_one(r.lib, r.model, folder, "a.jpg", 7);
    int64_t              late = add_one(r.lib, r.model, folder, "other.jpg", 8);
    struct library_item  copy = picture(folder, "b.jpg", 7, embedding);
    assert_ok(library_find_content(r.lib, r.model, copy.hash, copy.size, &found, &err), &err);
    assert_int_equal(found, a);
    assert_int_equal(library_find_content(r.lib, r.model, copy.hash, 5, &found, &err),
                     ERR_NOTFOUND);
    copy.embedding = NULL;
    copy.copy_of   = a;
    assert_ok(library_add(r.lib, r.model, &copy, 1, &err), &err);
    assert_ok(library_embedding_get(r.lib, copy.id, back, &err), &err);
    assert_float_equal(back[5], embedding[5], 5e-4);

    assert_int_equal(library_move(r.lib, a, late, &err), ERR_USAGE); /* other content */
    assert_int_equal(library_move(r.lib, a, a, &err), ERR_USAGE);
    assert_int_equal(library_move(r.lib, a, 999, &err), ERR_NOTFOUND);
    assert_ok(library_move(r.lib, a, copy.id, &err), &err);
    assert_ok(library_image_at(r.lib, "/pics/b.jpg", &image, &err), &err);
    assert_int_equal(image.id, a);
    library_image_release(&image);
    assert_int_equal(library_image_at(r.lib, "/pics/a.jpg", &image, &err), ERR_NOTFOUND);
    assert_int_equal(library_image_get(r.lib, copy.id, &image, &err), ERR_NOTFOUND);
    /* Touched: same content, another time. */
    struct library_item touched = picture(folder, "b.jpg", 7, embedding);
    touched.embedding = NULL, touched.copy_of = a, touched.mtime_ns = 99;
    assert_ok(library_add(r.lib, r.model, &touched, 1, &err), &err);
    assert_int_equal(touched.id, a);
    room_close(&r);
}

static void models_take_turns(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct room          r   = room_open(NULL);
    struct library_model model;
    float                back[DIM], embedding[DIM];
    int64_t              folder = add_folder(r.lib, "/pics");
    int64_t              a      = add_one(r.lib, r.model, folder, "a.jpg", 1);
    assert_int_equal(library_model_filling(r.lib, &model, &err), ERR_NOTFOUND);
    int64_t second = fill_model(r.lib, "hash-b", false);
    assert_int_equal(fill_model(r.lib, "hash-b", false), second);
    assert_ok(library_model_filling(r.lib, &model, &err), &err);
    assert_int_equal(model.id, second);
    assert_ok(library_model_active(r.lib, &model, &err), &err);
    assert_int_equal(model.id, r.model);
    assert_string_equal(model.hash, "hash-a");

    /* The same content again for the second model: the first one's stays. */
    struct library_item item = picture(folder, "a.jpg", 1, embedding);
    unit_vector(embedding, DIM, 555);
    assert_ok(library_add(r.lib, second, &item, 1, &err), &err);
    assert_int_equal(item.id, a);
    assert_ok(library_embedding_get(r.lib, a, back, &err), &err);
    assert_true(fabsf(back[0] - embedding[0]) > 1e-3f);
    assert_sound(r.lib);
    assert_ok(library_model_activate(r.lib, second, &err), &err);
    assert_ok(library_embedding_get(r.lib, a, back, &err), &err);
    assert_float_equal(back[0], embedding[0], 5e-4);
    assert_int_equal(library_model_filling(r.lib, &model, &err), ERR_NOTFOUND);
    assert_int_equal(ask_catalog(r.dir, "SELECT count(*) FROM embeddings"), 1);
    model.dim = DIM + 1;
    assert_int_equal(library_model_register(r.lib, &model, &err), ERR_USAGE);
    room_close(&r);
}

static void a_forgotten_folder_takes_nothing_more(void **state)
{
    (void)state;
    struct err          err = ERR_INIT;
    struct room         r   = room_open(NULL);
    float               embedding[DIM];
    int64_t             removed = 0, folder = add_folder(r.lib, "/pics");
    struct library_item item = picture(folder, "2.jpg", 2, embedding);
    add_one(r.lib, r.model, folder, "1.jpg", 1);
    assert_ok(library_forget(r.lib, "/pics", &removed, &err), &err);
    assert_int_equal(library_add(r.lib, r.model, &item, 1, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "2.jpg"));
    assert_non_null(strstr(err.msg, "taken out of the library"));
    item.error = "broken";
    assert_int_equal(library_add(r.lib, r.model, &item, 1, &err), ERR_NOTFOUND);
    room_close(&r);
}

static void the_lock_names_its_holder(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open(NULL);
    int         go[2], done[2];
    char        byte, pid[32];
    assert_int_equal(pipe(go) | pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        struct library *lib = NULL;
        if (library_open(r.dir, LIBRARY_EXISTING, &lib, &err) || library_lock(lib, &err) ||
            library_lock(lib, &err) || write(done[1], "x", 1) != 1)
            _exit(1);
        while (read(go[0], &byte, 1) < 0)
            ;
        _exit(0); /* without unlocking */
    }
    assert_int_equal(read(done[0], &byte, 1), 1);
    assert_int_equal(library_lock(r.lib, &err), ERR_BUSY);
    snprintf(pid, sizeof(pid), "process %ld ", (long)child);
    assert_non_null(strstr(err.msg, pid));
    add_one(r.lib, r.model, add_folder(r.lib, "/pics"), "a.jpg", 1); /* guards scans alone */
    assert_int_equal(write(go[1], "x", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(library_lock(r.lib, &err), &err);
    library_unlock(r.lib);
    library_unlock(r.lib);
    for (int i = 0; i < 2; i++)
        close(go[i]), close(done[i]);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_library_is_refused),
        cmocka_unit_test(folders_do_not_nest),
        cmocka_unit_test(folders_move_and_go),
        cmocka_unit_test(an_image_keeps_what_was_given),
        cmocka_unit_test(bad_items_change_nothing),
        cmocka_unit_test(a_path_is_an_image_or_an_error),
        cmocka_unit_test(known_files_come_in_bytewise_order),
        cmocka_unit_test(many_embeddings_are_read_past_what_is_none),
        cmocka_unit_test(copies_and_moves_keep_embeddings),
        cmocka_unit_test(models_take_turns),
        cmocka_unit_test(a_forgotten_folder_takes_nothing_more),
        cmocka_unit_test(the_lock_names_its_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
