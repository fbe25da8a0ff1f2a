/* Unit tests of indexer/watch and its table: which paths come out for what happens in a
 * folder, and when.
 */
#include "indexer/watch.h"
#include "indexer/watch_table.h"
#include "scratch_folder.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LONG_MS 20000

/* ---- The table ---- */

static void note_wd(void *ctx, int wd)
{
    *(int *)ctx += wd;
}

static void the_table_finds_and_drops(void **state)
{
    (void)state;
    struct watch_table t       = {0};
    static const char *paths[] = {"", "a", "a/b", "ab", "a/b/c", "z"};
    static const int   wds[]   = {1, 2, 7, 3, 9, 4};
    struct err         err     = ERR_INIT;
    int                told    = 0;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(table_put(&t, wds[i], i == 5, strdup(paths[i]), &err), 0);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(table_find(&t, wds[i])->path, paths[i]);
    assert_null(table_find(&t, 5));
    assert_int_equal(table_put(&t, 7, 0, strdup("a/x"), &err), 0);
    assert_int_equal(t.n, 6);
    assert_string_equal(table_find(&t, 7)->path, "a/x");
    table_drop_below(&t, 0, "a", note_wd, &told);
    assert_int_equal(told, 2 + 7 + 9);
    assert_null(table_find(&t, 9));
    assert_string_equal(table_find(&t, 3)->path, "ab");
    table_drop(&t, 3);
    table_drop(&t, 3);
    assert_int_equal(t.n, 2);
    table_drop_below(&t, 1, "", note_wd, &told);
    assert_int_equal(t.n, 1);
    assert_int_equal(table_put(&t, 8, 0, NULL, &err), ERR_NOMEM);
    table_release(&t);
    assert_true(path_lies_in("a/b", "a") && path_lies_in("a", "a") && path_lies_in("a", ""));
    assert_false(path_lies_in("ab", "a") || path_lies_in("a", "a/b"));
}

/* ---- Folders ---- */

static void at(char *out, const char *name)
{
    (void)snprintf(out, 200, "%s/%s", folder, name);
}

static void make(const char *name)
{
    char path[200];
    at(path, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void move(const char *from, const char *to)
{
    char x[200], y[200];
    at(x, from);
    at(y, to);
    assert_int_equal(rename(x, y), 0);
}

static void drop(const char *name)
{
    char path[200];
    at(path, name);
    assert_int_equal(unlink(path), 0);
}

static void clear(void)
{
    char command[200];
    (void)snprintf(command, sizeof command, "rm -rf %s/*", folder);
    assert_int_equal(system(command), 0);
}

static struct watch *begin(const char *below, size_t most, bool hidden)
{
    static struct watch_root  root;
    struct err                err     = ERR_INIT;
    struct watch             *w       = NULL;
    const struct walk_options options = {.hidden = hidden};
    root                              = (struct watch_root){folder, below};
    if (watch_open(&options, &root, 1, most, &w, &err))
        fail_msg("%s", err.msg);
    return w;
}

/* Waits until all of these ("a;b/c;") were named, and nothing but them and what lies in
 * them was: on a busy machine they come in several batches. */
static void expect(struct watch *w, const char *paths)
{
    char  *list[16], copy[500], *rest = copy;
    bool   seen[16] = {false};
    size_t n        = 0, left;
    (void)snprintf(copy, sizeof copy, "%s", paths);
    for (char *path; (path = strsep(&rest, ";")) && *path;)
        list[n++] = path;
    for (left = n; left > 0;) {
        struct err        err = ERR_INIT;
        struct watch_news got;
        assert_int_equal(watch_wait(w, LONG_MS, &got, &err), 1);
        assert_false(got.lost);
        for (size_t i = 0; i < got.n; i++) {
            size_t at_list = 0;
            while (at_list < n && !path_lies_in(got.changes[i].path, list[at_list]))
                at_list++;
            if (at_list == n)
                fail_msg("%s was not expected, but %s", got.changes[i].path, paths);
            left -= !seen[at_list];
            seen[at_list] = true;
        }
        watch_news_release(&got);
    }
}

static void assert_quiet(struct watch *w)
{
    struct err        err = ERR_INIT;
    struct watch_news got;
    assert_int_equal(watch_wait(w, 400, &got, &err), 0);
    watch_news_release(&got);
}

static void files_that_matter_are_named(void **state)
{
    (void)state;
    make("d");
    struct watch *w = begin("", 0, false);
    assert_quiet(w);
    put_text("a.jpg", "x");
    put_text("d/b.PNG", "x");
    put_text("d/note.txt", "x");
    put_text(".hidden.jpg", "x");
    expect(w, "a.jpg;d/b.PNG;");
    assert_quiet(w);
    move("a.jpg", "d/c.jpg");
    expect(w, "a.jpg;d/c.jpg;");
    drop("d/c.jpg");
    expect(w, "d/c.jpg;");
    watch_close(w);
    w = begin("", 0, true);
    put_text(".hidden.jpg", "y");
    expect(w, ".hidden.jpg;");
    watch_close(w);
    clear();
}

static void a_file_that_is_written_is_waited_for(void **state)
{
    (void)state;
    char          path[200], link_path[200];
    struct watch *w = begin("", 0, false);
    at(path, "slow.jpg");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("half", f);
    (void)fflush(f);
    assert_quiet(w);
    fputs("whole", f);
    (void)fclose(f);
    expect(w, "slow.jpg;");
    /* a link is whole as it comes */
    at(link_path, "link.jpg");
    assert_int_equal(link(path, link_path), 0);
    expect(w, "link.jpg;");
    watch_close(w);
    clear();
}

static void folders_come_and_go_as_a_whole(void **state)
{
    (void)state;
    make("old");
    make("old/in");
    put_text("old/in/a.jpg", "x");
    struct watch *w = begin("", 0, false);
    make("new");
    make("new/deep");
    put_text("new/deep/b.jpg", "x");
    put_text("new.jpg", "x");
    expect(w, "new;new.jpg;");       /* one holds the others */
    put_text("new/deep/c.jpg", "x"); /* and is watched to its depth */
    expect(w, "new/deep/c.jpg;");
    move("old", "moved");
    expect(w, "moved;old;");
    put_text("moved/in/d.jpg", "x"); /* by its new name */
    expect(w, "moved/in/d.jpg;");
    assert_int_equal(watch_state(w).watched, 5);
    drop("new/deep/b.jpg");
    drop("new/deep/c.jpg");
    char path[200];
    at(path, "new/deep");
    assert_int_equal(rmdir(path), 0);
    expect(w, "new/deep;");
    assert_false(watch_is_outdated(w));
    watch_close(w);
    clear();
}

static void a_part_of_a_folder_is_watched(void **state)
{
    (void)state;
    make("in");
    make("out");
    struct watch *w = begin("in", 0, false);
    put_text("out/a.jpg", "x");
    put_text("in/a.jpg", "x");
    expect(w, "in/a.jpg;");
    move("in", "away");
    expect(w, "in;"); /* all of it */
    assert_true(watch_is_outdated(w));
    watch_close(w);
    w = begin("in", 0, false); /* not there: no error, and known when it comes */
    assert_int_equal(watch_state(w).watched, 0);
    assert_false(watch_is_outdated(w));
    move("away", "in");
    assert_true(watch_is_outdated(w));
    watch_close(w);
    clear();
}

static void too_few_watches_are_counted(void **state)
{
    (void)state;
    make("a");
    make("a/b");
    make("a/b/c");
    make("d");
    struct watch *w = begin("", 2, false);
    assert_int_equal(watch_state(w).watched, 2);
    assert_int_equal(watch_state(w).unwatched, 3);
    watch_close(w);
    clear();
}

static void too_much_is_looked_through(void **state)
{
    (void)state;
    struct err        err = ERR_INIT;
    struct watch     *w   = begin("", 0, false);
    struct watch_news got;
    bool              lost = false;
    char              name[32];
    for (int i = 0; i < WATCH_CHANGES + 200; i++) {
        (void)snprintf(name, sizeof name, "%d.jpg", i);
        char path[200];
        at(path, name);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        (void)fclose(f);
    }
    /* All in one batch, or in a few that the clock cut; none is left out. */
    size_t n = 0;
    while (!lost && n < WATCH_CHANGES + 200) {
        assert_int_equal(watch_wait(w, LONG_MS, &got, &err), 1);
        n += got.n;
        lost = got.lost;
        watch_news_release(&got);
    }
    assert_true(lost || n >= WATCH_CHANGES + 200);
    watch_close(w);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_finds_and_drops),
        cmocka_unit_test(files_that_matter_are_named),
        cmocka_unit_test(a_file_that_is_written_is_waited_for),
        cmocka_unit_test(folders_come_and_go_as_a_whole),
        cmocka_unit_test(a_part_of_a_folder_is_watched),
        cmocka_unit_test(too_few_watches_are_counted),
        cmocka_unit_test(too_much_is_looked_through),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
