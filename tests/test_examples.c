/* Unit tests of core/learn/examples and picture_files: captions, classes and
 * plain pictures as what heads are fitted on, and data that is wrong. */
#include "learn/examples.h"

#include "base/file.h"
#include "learn/picture_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-examples-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* A file below the folder, its folders made. */
static char *put(const char *name, const char *text)
{
    static char path[512];
    struct err  err = ERR_INIT;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash      = '\0';
    assert_int_equal(file_mkdirs(path, &err), 0);
    *slash = '/';
    if (file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.msg);
    return path;
}

static const char *text_of(const struct examples *e, size_t image, int k)
{
    assert_true(e->first_text[image] + k < e->first_text[image + 1]);
    return e->texts[e->text_of[e->first_text[image] + k]];
}

static int texts_of(const struct examples *e, size_t image)
{
    return e->first_text[image + 1] - e->first_text[image];
}

static void test_captions_need_not_stand_together(void **state)
{
    (void)state;
    struct err      err = ERR_INIT;
    struct captions c;
    struct examples e = EXAMPLES_INIT;
    char *tsv = put("c.tsv", "b.jpg\tone\na.jpg\ttwo\nb.jpg\tthree\na.jpg\tfour\nc.jpg\tfive\n");
    assert_int_equal(captions_read(tsv, NULL, &c, &err), 0);
    assert_int_equal(examples_add_captions(&e, "/pictures", &c, &err), 0);
    assert_int_equal(e.n_images, 3);
    assert_int_equal(e.n_texts, 5);
    assert_int_equal(e.n_groups, 3);
    assert_string_equal(e.paths[0], "/pictures/b.jpg");
    assert_int_equal(texts_of(&e, 0), 2);
    assert_string_equal(text_of(&e, 0, 1), "three");
    assert_string_equal(text_of(&e, 1, 0), "two");
    assert_string_equal(text_of(&e, 1, 1), "four");
    assert_string_equal(text_of(&e, 2, 0), "five");
    assert_int_not_equal(e.group[0], e.group[1]);
    captions_release(&c);
    examples_release(&e);
}

static void test_classes_from_folders(void **state)
{
    (void)state;
    struct err      err = ERR_INIT;
    struct examples e   = EXAMPLES_INIT;
    char            dir[128];
    put("classes/red_fox/1.jpg", "x");
    put("classes/red_fox/sub/2.PNG", "x");
    put("classes/red_fox/.hidden.jpg", "x");
    put("classes/red_fox/notes.txt", "x");
    put("classes/n01440764_tench.JPEG", "x");
    put("classes/n01530575_brambling/3.jpg", "x");
    put("classes/owl/4.jpg", "x");
    (void)snprintf(dir, sizeof dir, "%s/classes", folder);
    assert_int_equal(examples_add_classes(&e, dir, NULL, &err), 0);
    assert_int_equal(e.n_images, 5);
    assert_int_equal(e.n_texts, 4 * EXAMPLES_PHRASINGS);
    assert_int_equal(e.n_groups, 4);
    int foxes = 0;
    for (size_t i = 0; i < e.n_images; i++) {
        const char *path = e.paths[i], *text = text_of(&e, i, 0);
        assert_int_equal(texts_of(&e, i), EXAMPLES_PHRASINGS);
        assert_string_equal(text, strstr(path, "red_fox")     ? "a photo of a red fox"
                                  : strstr(path, "tench")     ? "a photo of a tench"
                                  : strstr(path, "brambling") ? "a photo of a brambling"
                                                              : "a photo of an owl");
        if (strstr(path, "red_fox")) {
            foxes++;
            assert_int_equal(e.group[i],
                             e.group[e.n_images - 2]); /* sorted by name: the last two */
        }
    }
    assert_int_equal(foxes, 2);
    examples_release(&e);
}

static void test_sources_add_up(void **state)
{
    (void)state;
    struct err      err = ERR_INIT;
    struct captions c;
    struct examples e = EXAMPLES_INIT;
    assert_int_equal(captions_read(put("one.tsv", "a.jpg\tone\n"), NULL, &c, &err), 0);
    assert_int_equal(examples_add_captions(&e, "/p", &c, &err), 0);
    char *tsv = put("labels/l.tsv", "x/1.jpg\tcat\nx/2.jpg\tdog\nx/3.jpg\tcat\n");
    assert_int_equal(examples_add_classes(&e, tsv, NULL, &err), 0);
    assert_int_equal(examples_add_classes(&e, tsv, "/other", &err), 0);
    assert_int_equal(e.n_images, 7);
    assert_int_equal(e.n_groups, 5);
    assert_int_equal(e.n_texts, 1 + 4 * EXAMPLES_PHRASINGS);
    assert_string_equal(text_of(&e, 2, 1), "cat");
    assert_string_equal(text_of(&e, 2, 3), "there is a cat in the picture");
    char expected[128];
    (void)snprintf(expected, sizeof expected, "%s/labels/x/1.jpg", folder);
    assert_string_equal(e.paths[1], expected);
    assert_string_equal(e.paths[4], "/other/x/1.jpg");
    assert_string_equal(text_of(&e, 2, 0), "a photo of a cat");
    assert_int_equal(e.group[1], e.group[2]);
    assert_int_not_equal(e.group[1], e.group[4]);
    captions_release(&c);
    examples_release(&e);
}

static void test_plain_pictures(void **state)
{
    (void)state;
    struct err           err   = ERR_INIT;
    struct examples      e     = EXAMPLES_INIT;
    struct picture_files files = {0};
    char                 dir[128];
    put("plain/b.jpg", "x");
    put("plain/a/z.png", "x");
    put("plain/a.jpg", "x");
    (void)snprintf(dir, sizeof dir, "%s/plain", folder);
    assert_int_equal(picture_files_list(dir, &files, &err), 0);
    assert_int_equal(files.n, 3);
    assert_string_equal(files.paths[0], "a.jpg"); /* '.' before '/' */
    assert_string_equal(files.paths[1], "a/z.png");
    assert_string_equal(files.paths[2], "b.jpg");
    picture_files_release(&files);
    assert_int_equal(examples_add_pictures(&e, dir, &err), 0);
    assert_int_equal(e.n_images, 3);
    assert_int_equal(e.n_texts, 0);
    assert_int_equal(texts_of(&e, 2), 0);
    put("plain/new.jpg", "x");
    assert_int_equal(examples_add_pictures(&e, dir, &err), 0); /* what is there stays once */
    assert_int_equal(e.n_images, 4);
    examples_release(&e);
}

static void refuse_classes(const char *source, enum err_code code, const char *part)
{
    struct err      err = ERR_INIT;
    struct examples e   = EXAMPLES_INIT;
    int             rc  = examples_add_classes(&e, source, NULL, &err);
    if (rc != (int)code || !strstr(err.msg, part))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, part);
    examples_release(&e);
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    char dir[128];
    refuse_classes(put("two.tsv", "a.jpg\tcat\na.jpg\tdog\n"), ERR_FORMAT, "several classes");
    refuse_classes(put("bad.tsv", "a.jpg cat\n"), ERR_FORMAT, "line 1");
    refuse_classes("/nowhere/at/all", ERR_NOTFOUND, "/nowhere/at/all");
    (void)snprintf(dir, sizeof dir, "%s/empty", folder);
    assert_int_equal(file_mkdirs(dir, NULL), 0);
    refuse_classes(dir, ERR_FORMAT, "no pictures");
    put("mixed/loose.jpg", "x");
    (void)snprintf(dir, sizeof dir, "%s/mixed", folder);
    refuse_classes(dir, ERR_FORMAT, "loose.jpg has no class");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captions_need_not_stand_together),
        cmocka_unit_test(test_classes_from_folders),
        cmocka_unit_test(test_sources_add_up),
        cmocka_unit_test(test_plain_pictures),
        cmocka_unit_test(test_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
