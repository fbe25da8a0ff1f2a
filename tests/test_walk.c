/* Unit tests of indexer/walk and indexer/source: order, links, odd names,
 * depth, many files. */
#include "indexer/source.h"
#include "indexer/walk.h"

#include <errno.h>
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

static char tmp[] = "/tmp/osprey-walk-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(tmp, sizeof tmp, "/tmp/osprey-walk-XXXXXX");
    return mkdtemp(tmp) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", tmp, tmp);
    return system(command);
}

static const char *at(const char *name)
{
    static char path[8192];
    (void)snprintf(path, sizeof path, "%s/%s", tmp, name);
    return path;
}

static void put(const char *name)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs("x", f);
    fclose(f);
}

static void make(const char *name)
{
    assert_int_equal(mkdir(at(name), 0755), 0);
}

/* Walks tmp and checks what comes: "kind path", kinds as letters. */
static void expect(const struct walk_options *options, const char *const *lines)
{
    static const char letters[] = {[WALK_FILE]       = 'f',
                                   [WALK_BAD]        = 'b',
                                   [WALK_EMPTY]      = 'e',
                                   [WALK_UNREADABLE] = 'u',
                                   [WALK_VANISHED]   = 'v'};
    struct err        err       = ERR_INIT;
    struct walk      *w         = NULL;
    struct walk_entry entry;
    assert_int_equal(walk_open(tmp, "", options, &w, &err), 0);
    for (size_t i = 0;; i++) {
        assert_int_equal(walk_next(w, &entry, &err), 0);
        if (entry.kind == WALK_END) {
            assert_null(lines[i]);
            break;
        }
        char line[600];
        (void)snprintf(line, sizeof line, "%c %s", letters[entry.kind], entry.path);
        assert_non_null(lines[i]);
        assert_string_equal(line, lines[i]);
        if (!lines[i + 1]) {
            assert_int_equal(walk_next(w, &entry, &err), 0);
            assert_int_equal(entry.kind, WALK_END);
            break;
        }
    }
    assert_int_equal(walk_next(w, &entry, &err), 0);
    assert_int_equal(entry.kind, WALK_END);
    walk_close(w);
}

static void paths_come_in_bytewise_order(void **state)
{
    (void)state;
    make("a");
    make("a/b");
    make("a-b");
    make("Z");
    put("a/b/1.jpg");
    put("a/b.jpg");
    put("a/z.PNG");
    put("a-b/1.jpeg");
    put("a.jpg");
    put("a0.jpg");
    put("Z/1.JPE");
    put("notes.txt");
    put("\xff.jpg");
    put("\xc3\xa4.jfif");
    put("jpg"); /* no extension */
    const char *lines[] = {
        "f Z/1.JPE", "f a-b/1.jpeg", "f a.jpg",         "f a/b.jpg",  "f a/b/1.jpg",
        "f a/z.PNG", "f a0.jpg",     "f \xc3\xa4.jfif", "f \xff.jpg", NULL};
    expect(&(struct walk_options){0}, lines);
}

static void hidden_names_are_passed_over(void **state)
{
    (void)state;
    make(".h");
    put(".h/1.jpg");
    put(".2.jpg");
    put("3.jpg");
    make("only-hidden");
    put("only-hidden/.x");
    const char *some[] = {"f 3.jpg", NULL};
    const char *all[]  = {"f .2.jpg", "f .h/1.jpg", "f 3.jpg", NULL};
    expect(&(struct walk_options){0}, some);
    expect(&(struct walk_options){.hidden = true}, all);
}

static void links_and_special_files(void **state)
{
    (void)state;
    make("d");
    put("d/1.jpg");
    make("d.jpg");
    put("d.jpg/inside.png");
    put("d.jpg!.png"); /* sorts between the folder's name and its contents */
    make("empty.png");
    assert_int_equal(mkfifo(at("fifo.jpg"), 0600), 0);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(symlink("d/1.jpg", at("link.jpg")), 0);
    assert_int_equal(symlink("nowhere", at("dangling.jpg")), 0);
    assert_int_equal(symlink("self.jpg", at("self.jpg")), 0);
    assert_int_equal(symlink("d", at("linked-folder")), 0);
    assert_int_equal(symlink("..", at("d/up")), 0);
    assert_int_equal(symlink("d", at("folder.jpg")), 0);
    const char *lines[] = {"b d.jpg",        "f d.jpg!.png", "f d.jpg/inside.png", "f d/1.jpg",
                           "b dangling.jpg", "b empty.png",  "e empty.png/",       "b fifo.jpg",
                           "b folder.jpg",   "f link.jpg",   "b self.jpg",         NULL};
    expect(&(struct walk_options){0}, lines);
}

static void a_folder_can_be_left_out(void **state)
{
    (void)state;
    struct stat st;
    make("library");
    put("library/1.jpg");
    put("2.jpg");
    assert_int_equal(stat(at("library"), &st), 0);
    struct walk_options options = {.has_skip = true, .skip_dev = st.st_dev, .skip_ino = st.st_ino};
    const char         *lines[] = {"f 2.jpg", NULL};
    expect(&options, lines);
}

static void unreadable_folders_are_told(void **state)
{
    (void)state;
    make("a");
    put("a/1.jpg");
    put("b.jpg");
    assert_int_equal(chmod(at("a"), 0), 0);
    if (geteuid() == 0) /* nothing is unreadable to root: walk as somebody else */
        assert_int_equal(chmod(tmp, 0755), 0);
    bool        dropped = geteuid() == 0 && seteuid(65534) == 0;
    const char *lines[] = {"u a/", "f b.jpg", NULL};
    if (geteuid() != 0)
        expect(&(struct walk_options){0}, lines);
    if (dropped)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(at("a"), 0755), 0);
}

static void an_empty_root_is_known_as_such(void **state)
{
    (void)state;
    struct walk *w = NULL;
    assert_int_equal(walk_open(tmp, "", &(struct walk_options){0}, &w, NULL), 0);
    assert_true(walk_is_empty(w));
    walk_close(w);
    put(".hidden");
    assert_int_equal(walk_open(tmp, "", &(struct walk_options){0}, &w, NULL), 0);
    assert_false(walk_is_empty(w));
    walk_close(w);
    struct err err = ERR_INIT;
    assert_int_equal(walk_open(at("none"), "", &(struct walk_options){0}, &w, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "none"));
}

/* 300 folders of 40 letters: 12,000 bytes of path, and more levels than stay open. */
static void deep_trees_are_walked_and_read(void **state)
{
    (void)state;
    enum { DEPTH = 300 };
    const char *name = "a-folder-with-a-name-of-some-forty-bytes";
    int         fd   = open(tmp, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
        int file = openat(next, i == DEPTH - 1 ? "deepest.jpg" : "z.jpg", O_WRONLY | O_CREAT, 0644);
        assert_int_equal(write(file, "hello", 5), 5);
        close(file);
        close(fd);
        fd = next;
    }
    close(fd);
    struct err        err = ERR_INIT;
    struct walk      *w   = NULL;
    struct walk_entry entry;
    int               files = 0;
    assert_int_equal(walk_open(tmp, "", &(struct walk_options){0}, &w, &err), 0);
    int root = open(tmp, O_PATH | O_DIRECTORY);
    for (;;) {
        assert_int_equal(walk_next(w, &entry, &err), 0);
        if (entry.kind == WALK_END)
            break;
        assert_int_equal(entry.kind, WALK_FILE);
        struct source src;
        uint8_t       bytes[5];
        assert_int_equal(source_open(root, entry.path, &src, &err), 0);
        assert_int_equal(src.size, 5);
        assert_int_equal(source_read(&src, bytes, &err), 0);
        assert_memory_equal(bytes, "hello", 5);
        source_close(&src);
        if (files == 0)
            assert_int_equal(strlen(entry.path), DEPTH * (strlen(name) + 1) + 11);
        files++;
    }
    assert_int_equal(files, DEPTH);
    close(root);
    walk_close(w);
}

static void a_hundred_thousand_files_in_one_folder(void **state)
{
    (void)state;
    enum { FILES = 100000 };
    int fd = open(tmp, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%d.jpg", i * 7919 % FILES);
        int file = openat(fd, name, O_WRONLY | O_CREAT, 0644);
        assert_true(file >= 0);
        close(file);
    }
    close(fd);
    struct walk      *w = NULL;
    struct walk_entry entry;
    char              last[64] = "";
    int               files    = 0;
    assert_int_equal(walk_open(tmp, "p/", &(struct walk_options){0}, &w, NULL), 0);
    for (;;) {
        assert_int_equal(walk_next(w, &entry, NULL), 0);
        if (entry.kind == WALK_END)
            break;
        assert_true(strcmp(last, entry.path) < 0);
        assert_int_equal(strncmp(entry.path, "p/", 2), 0);
        (void)snprintf(last, sizeof last, "%s", entry.path);
        files++;
    }
    assert_int_equal(files, FILES);
    walk_close(w);
}

static void sources_that_are_no_files(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct source src;
    int           root = open(tmp, O_PATH | O_DIRECTORY);
    assert_int_equal(source_open(root, "none.jpg", &src, &err), ERR_NOTFOUND);
    source_close(&src);
    assert_int_equal(mkfifo(at("fifo.jpg"), 0600), 0);
    assert_int_equal(source_open(root, "fifo.jpg", &src, &err), ERR_FORMAT); /* and does not wait */
    source_close(&src);
    put("big.jpg");
    assert_int_equal(truncate(at("big.jpg"), ((off_t)1 << 30) + 1), 0);
    assert_int_equal(source_open(root, "big.jpg", &src, &err), ERR_LIMIT);
    assert_int_equal(src.size, (1LL << 30) + 1);
    source_close(&src);
    /* One that changes while it is read. */
    put("change.jpg");
    assert_int_equal(source_open(root, "change.jpg", &src, &err), 0);
    assert_int_equal(truncate(at("change.jpg"), 100), 0);
    uint8_t bytes[1];
    assert_int_equal(source_read(&src, bytes, &err), ERR_CANCELLED);
    source_close(&src);
    close(root);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(paths_come_in_bytewise_order),   TEST(hidden_names_are_passed_over),
        TEST(links_and_special_files),        TEST(a_folder_can_be_left_out),
        TEST(unreadable_folders_are_told),    TEST(an_empty_root_is_known_as_such),
        TEST(deep_trees_are_walked_and_read), TEST(a_hundred_thousand_files_in_one_folder),
        TEST(sources_that_are_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
