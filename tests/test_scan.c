/* Unit tests of indexer/scan and indexer/plan: the merge of disk and catalogue,
 * over several pages, and which folders a run is to scan. */
#include "base/file.h"
#include "indexer/item.h"
#include "indexer/plan.h"
#include "indexer/scan.h"

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

struct room {
    char               dir[64], folder[128];
    struct scan_reader reader;
    struct library    *lib;
    int64_t            model_id, folder_id;
};

static int set_up(void **state)
{
    struct room *room = calloc(1, sizeof *room);
    char         lib[128];
    char        *below = NULL;
    (void)snprintf(room->dir, sizeof room->dir, "/tmp/osprey-scan-XXXXXX");
    if (!mkdtemp(room->dir))
        return -1;
    (void)snprintf(room->folder, sizeof room->folder, "%s/pictures", room->dir);
    (void)snprintf(lib, sizeof lib, "%s/library", room->dir);
    struct library_model model = {
        .name = "m", .dir = "/m", .hash = "h", .precision = "f32", .dim = 4};
    if (mkdir(room->folder, 0755) || library_open(lib, LIBRARY_CREATE, &room->lib, NULL) ||
        library_model_register(room->lib, &model, NULL) ||
        library_model_activate(room->lib, model.id, NULL) ||
        library_folder_add(room->lib, room->folder, &room->folder_id, &below, NULL))
        return -1;
    free(below);
    room->model_id   = model.id;
    room->reader.lib = room->lib;
    *state           = room;
    return pthread_mutex_init(&room->reader.lock, NULL);
}

static int tear_down(void **state)
{
    struct room *room = *state;
    char         command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", room->dir);
    library_close(room->lib);
    pthread_mutex_destroy(&room->reader.lock);
    free(room);
    return system(command);
}

static void put(const struct room *room, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", room->folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("x", f);
    fclose(f);
}

static void make(const struct room *room, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", room->folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

/* Tells the catalogue of a file as it lies on the disk, or (stale) as it was. */
static void know(const struct room *room, const char *name, bool broken, bool stale)
{
    char        path[512];
    float       embedding[4] = {1, 0, 0, 0};
    struct stat st           = {.st_size = 5};
    (void)snprintf(path, sizeof path, "%s/%s", room->folder, name);
    (void)stat(path, &st);
    struct metadata     nothing = {0};
    struct library_item item    = {.said      = &nothing,
                                   .folder_id = room->folder_id,
                                   .path      = name,
                                   .size      = (int64_t)st.st_size,
                                   .mtime_ns  = walk_mtime_ns(&st) + stale,
                                   .error     = broken ? "broken" : NULL,
                                   .width     = 1,
                                   .height    = 1,
                                   .kind      = "JPEG",
                                   .embedding = embedding};
    assert_int_equal(library_add(room->lib, room->model_id, &item, 1, NULL), 0);
}

static struct scan *begin_as(struct room *room, const char *below, bool changed)
{
    struct err         err    = ERR_INIT;
    struct scan       *scan   = NULL;
    struct scan_target target = {.folder_id = room->folder_id,
                                 .root      = room->folder,
                                 .below     = below,
                                 .model_id  = room->model_id,
                                 .changed   = changed};
    int rc = scan_open(&room->reader, &target, &(struct walk_options){0}, &scan, &err);
    assert_int_equal(rc, 0);
    return scan;
}

static struct scan *begin(struct room *room, const char *below)
{
    return begin_as(room, below, false);
}

static void expect_of(struct scan *scan, const char *const *lines)
{
    static const char *const names[] = {"end",        "file", "error", "same",
                                        "same-error", "gone", "kept",  "emptied"};
    struct scan_event        event;
    for (;; lines++) {
        assert_int_equal(scan_next(scan, &event, NULL), 0);
        if (event.kind == SCAN_END)
            break;
        char line[600];
        (void)snprintf(line, sizeof line, "%s %s", names[event.kind], event.path);
        assert_non_null(*lines);
        assert_string_equal(line, *lines);
    }
    assert_null(*lines);
    assert_true(scan_is_there(scan));
    scan_close(scan);
}

static void expect(struct room *room, const char *below, const char *const *lines)
{
    expect_of(begin(room, below), lines);
}

/* A path that the kernel named: a file, a folder, or nothing any more. */
static void a_path_that_changed(void **state)
{
    struct room *room = *state;
    char         path[512];
    put(room, "new.jpg");
    put(room, "same.jpg");
    know(room, "same.jpg", false, false);
    put(room, "stale.jpg");
    know(room, "stale.jpg", false, true);
    know(room, "gone.jpg", false, false);
    know(room, "gone.jpg2", false, false);
    know(room, "d/a.jpg", false, false);
    know(room, "d/e/b.jpg", true, false);
    know(room, "da.jpg", false, false);
    put(room, "note.txt");
    make(room, "full");
    put(room, "full/x.jpg");
    know(room, "full", false, false); /* a file once, as it seems */
    make(room, "emptied");
    know(room, "emptied/y.jpg", false, false);
    (void)snprintf(path, sizeof path, "%s/link", room->folder);
    assert_int_equal(symlink("full", path), 0);
    static const struct {
        const char *path, *lines[4];
    } all[] = {
        {"new.jpg", {"file new.jpg"}},
        {"same.jpg", {"same same.jpg"}},
        {"stale.jpg", {"file stale.jpg"}},
        {"gone.jpg", {"gone gone.jpg"}},
        {"never.jpg", {NULL}},
        {"note.txt", {NULL}},
        {"d", {"gone d/a.jpg", "gone d/e/b.jpg"}},
        {"full", {"gone full", "file full/x.jpg"}},
        {"emptied", {"gone emptied/y.jpg"}},
        {"link", {NULL}},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        expect_of(begin_as(room, all[i].path, true), all[i].lines);
    /* Much known below an empty folder: a drive that is not mounted, perhaps. */
    for (int i = 0; i <= SCAN_EMPTY_KEEPS; i++) {
        (void)snprintf(path, sizeof path, "emptied/%d.jpg", i);
        know(room, path, false, false);
    }
    struct scan *scan = begin_as(room, "emptied", true);
    assert_true(scan_is_empty(scan));
    scan_close(scan);
    /* Without its root nothing can be told. */
    struct err         err    = ERR_INIT;
    struct scan_target target = {.folder_id = room->folder_id,
                                 .root      = "/tmp/osprey-no-such-folder",
                                 .below     = "gone.jpg",
                                 .model_id  = room->model_id,
                                 .changed   = true};
    assert_int_equal(scan_open(&room->reader, &target, &(struct walk_options){0}, &scan, &err),
                     ERR_NOTFOUND);
}

static void each_file_gets_one_verdict(void **state)
{
    struct room *room = *state;
    make(room, "d");
    put(room, "same.jpg");
    put(room, "changed.jpg");
    put(room, "new.jpg");
    put(room, "broken.jpg");
    put(room, "mended.jpg");
    put(room, "d/new.png");
    know(room, "same.jpg", false, false);
    know(room, "changed.jpg", false, true);
    know(room, "broken.jpg", true, false);
    know(room, "mended.jpg", true, true);
    know(room, "gone.jpg", false, false);
    know(room, "d/gone.jpg", true, false);
    know(room, "~last.jpg", false, false);
    const char *all[]  = {"same-error broken.jpg", "file changed.jpg",
                          "gone d/gone.jpg",       "file d/new.png",
                          "gone gone.jpg",         "file mended.jpg",
                          "file new.jpg",          "same same.jpg",
                          "gone ~last.jpg",        NULL};
    const char *part[] = {"gone d/gone.jpg", "file d/new.png", NULL};
    expect(room, "", all);
    expect(room, "d", part);
    /* For a model that has no embeddings yet everything is to be read. */
    room->model_id++;
    struct scan      *scan = begin(room, "");
    struct scan_event event;
    int               files = 0;
    do {
        assert_int_equal(scan_next(scan, &event, NULL), 0);
        files += event.kind == SCAN_FILE;
        assert_int_not_equal(event.kind, SCAN_SAME);
    } while (event.kind != SCAN_END);
    assert_int_equal(files, 5);
    scan_close(scan);
}

/* What lies beside a picture is no file of its own; one that is news has the picture read. */
static void sidecars_are_seen(void **state)
{
    struct room *room = *state;
    make(room, "c.jpg.xmp"); /* a folder is none */
    put(room, "a.jpg");
    put(room, "a.jpg-b.jpg"); /* between the two in the order */
    put(room, "c.jpg");
    put(room, ".h.jpg");
    know(room, "a.jpg", false, false);
    know(room, "a.jpg-b.jpg", false, false);
    know(room, "c.jpg", false, false);
    know(room, ".h.jpg", false, false);
    const char *none[] = {"same .h.jpg", "same a.jpg", "same a.jpg-b.jpg", "same c.jpg", NULL};
    expect(room, "", none);
    put(room, "a.jpg.xmp");
    put(room, "other.xmp");
    put(room, ".h.jpg.xmp");
    const char *some[] = {"file .h.jpg", "file a.jpg", "same a.jpg-b.jpg", "same c.jpg", NULL};
    expect(room, "", some);
}

static void pages_are_merged_without_a_seam(void **state)
{
    enum { FILES = 2300 };
    struct room *room            = *state;
    char(*names)[32]             = calloc(FILES, sizeof *names);
    struct metadata      nothing = {0};
    struct library_item *items   = calloc(FILES, sizeof *items);
    float                unit[4] = {1, 0, 0, 0};
    size_t               known   = 0;
    int                  same = 0, gone = 0, fresh = 0;
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(names[i], sizeof names[i], "%06d.jpg", i);
        struct stat st = {.st_size = 1};
        char        path[512];
        (void)snprintf(path, sizeof path, "%s/%s", room->folder, names[i]);
        if (i % 5 != 1) { /* on the disk */
            put(room, names[i]);
            assert_int_equal(stat(path, &st), 0);
        }
        if (i % 3 == 0) /* not known */
            continue;
        items[known++] = (struct library_item){.said      = &nothing,
                                               .folder_id = room->folder_id,
                                               .path      = names[i],
                                               .size      = 1,
                                               .mtime_ns  = walk_mtime_ns(&st),
                                               .width     = 1,
                                               .height    = 1,
                                               .kind      = "JPEG",
                                               .embedding = unit};
    }
    assert_true(known > 1000); /* more than one page */
    assert_int_equal(library_add(room->lib, room->model_id, items, known, NULL), 0);
    struct scan      *scan = begin(room, "");
    struct scan_event event;
    for (int i = 0; i < FILES; i++) {
        bool there = i % 5 != 1, old = i % 3 != 0;
        if (!there && !old)
            continue;
        assert_int_equal(scan_next(scan, &event, NULL), 0);
        assert_string_equal(event.path, names[i]);
        assert_int_equal(event.kind, !there ? SCAN_GONE : old ? SCAN_SAME : SCAN_FILE);
        same += event.kind == SCAN_SAME;
        gone += event.kind == SCAN_GONE;
        fresh += event.kind == SCAN_FILE;
    }
    assert_int_equal(scan_next(scan, &event, NULL), 0);
    assert_int_equal(event.kind, SCAN_END);
    assert_true(same > 1000 && gone > 100 && fresh > 100);
    scan_close(scan);
    free(names);
    free(items);
}

static void a_folder_replaced_meanwhile_is_noticed(void **state)
{
    struct room *room = *state;
    char         away[160];
    put(room, "a.jpg");
    struct scan *scan = begin(room, "");
    assert_false(scan_is_empty(scan));
    assert_true(scan_is_there(scan));
    (void)snprintf(away, sizeof away, "%s/away", room->dir);
    assert_int_equal(rename(room->folder, away), 0);
    assert_false(scan_is_there(scan));
    assert_int_equal(mkdir(room->folder, 0755), 0);
    assert_false(scan_is_there(scan));
    scan_close(scan);
    scan = begin(room, "");
    assert_true(scan_is_empty(scan));
    scan_close(scan);
}

static void plans_hold_no_folder_twice(void **state)
{
    struct room *room = *state;
    struct plan  plan;
    struct err   err = ERR_INIT;
    char         a[256], ab[256], file[256], none[256];
    make(room, "a");
    make(room, "a/b");
    put(room, "file.jpg");
    (void)snprintf(a, sizeof a, "%s/a", room->folder);
    (void)snprintf(ab, sizeof ab, "%s/a/./b/", room->folder);
    (void)snprintf(file, sizeof file, "%s/file.jpg", room->folder);
    (void)snprintf(none, sizeof none, "%s/none", room->folder);
    char *two[] = {ab, a};
    assert_int_equal(plan_make(room->lib, two, 2, false, &plan, &err), 0);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.targets[0].root, room->folder);
    assert_string_equal(plan.targets[0].below, "a");
    plan_release(&plan);
    assert_int_equal(plan_make(room->lib, two, 2, true, &plan, &err), 0);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.targets[0].below, "");
    plan_release(&plan);
    char *wrong[] = {file};
    assert_int_equal(plan_make(room->lib, wrong, 1, false, &plan, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "not a folder"));
    wrong[0] = none;
    assert_int_equal(plan_make(room->lib, wrong, 1, false, &plan, &err), ERR_USAGE);
    /* One that is known and not there is planned all the same. */
    char away[160];
    (void)snprintf(away, sizeof away, "%s/away", room->dir);
    assert_int_equal(rename(room->folder, away), 0);
    char *known[] = {room->folder};
    assert_int_equal(plan_make(room->lib, known, 1, false, &plan, &err), 0);
    assert_string_equal(plan.targets[0].root, room->folder);
    plan_release(&plan);
}

static void contents_in_flight_are_taken_once(void **state)
{
    (void)state;
    struct flight *f = flight_new();
    assert_non_null(f);
    uint8_t hash[LIBRARY_HASH_BYTES] = {0};
    for (int i = 0; i < 1000; i++) {
        memcpy(hash, &i, sizeof i);
        assert_true(flight_add(f, hash));
        assert_false(flight_add(f, hash));
    }
    for (int i = 0; i < 1000; i += 2) {
        memcpy(hash, &i, sizeof i);
        flight_remove(f, hash);
    }
    for (int i = 0; i < 1000; i++) {
        memcpy(hash, &i, sizeof i);
        assert_int_equal(flight_has(f, hash), i % 2);
    }
    flight_free(f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_path_that_changed),
        TEST(each_file_gets_one_verdict),
        TEST(sidecars_are_seen),
        TEST(pages_are_merged_without_a_seam),
        TEST(a_folder_replaced_meanwhile_is_noticed),
        TEST(plans_hold_no_folder_twice),
        cmocka_unit_test(contents_in_flight_are_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
