/* Unit tests of core/learn/captions: the three kinds of file, and what is wrong
 * with them. */
#include "learn/captions.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int read_split(const char *text, const char *split, struct captions *out, struct err *err)
{
    char path[] = "/tmp/osprey-captions-XXXXXX";
    int  fd     = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    *err = (struct err)ERR_INIT;
    assert_int_equal(file_replace(path, text, strlen(text), err), 0);
    int rc = captions_read(path, split, out, err);
    if (rc) /* every message names the file */
        assert_non_null(strstr(err->msg, path));
    unlink(path);
    return rc;
}

static int read_text(const char *text, struct captions *out, struct err *err)
{
    return read_split(text, NULL, out, err);
}

static void assert_fails(const char *text, const char *split, int code, const char *says)
{
    struct captions c;
    struct err      err;
    assert_int_equal(read_split(text, split, &c, &err), code);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void a_table_joins_by_file_name(void **state)
{
    (void)state;
    struct captions c;
    struct err      err;
    assert_int_equal(read_text("b.jpg\tone\n\na.jpg\ttwo\r\nb.jpg\tthree\tmore\n", &c, &err), 0);
    assert_int_equal(c.n_images, 2);
    assert_int_equal(c.n_captions, 3);
    assert_string_equal(c.files[0], "b.jpg");
    assert_string_equal(c.files[1], "a.jpg");
    assert_string_equal(c.texts[1], "two");
    assert_string_equal(c.texts[2], "three\tmore");
    assert_int_equal(c.image_of[0], 0);
    assert_int_equal(c.image_of[1], 1);
    assert_int_equal(c.image_of[2], 0);
    captions_release(&c);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    assert_fails("a.jpg\tfine\nb.jpg no tab\n", NULL, ERR_FORMAT, "line 2");
    assert_fails("a.jpg\t\n", NULL, ERR_FORMAT, "line 1");
    assert_fails("a.jpg\tone\n\na.jpg\t \t\n", NULL, ERR_FORMAT, "line 3");
    assert_fails("\n\n", NULL, ERR_FORMAT, "no captions");
    assert_fails("", NULL, ERR_FORMAT, "no captions");
    assert_fails("a.jpg\tone\n", "test", ERR_USAGE, "no splits");
}

#define KARPATHY                                                                                   \
    "{\"images\": ["                                                                               \
    "{\"sentids\": [0, 1], \"imgid\": 0, \"sentences\": [{\"tokens\": [\"a\"], \"raw\": \"A.\"}, " \
    "{\"raw\": \"B \\u00e9\"}], \"split\": \"train\", \"filename\": \"1.jpg\"},"                   \
    "{\"sentences\": [{\"raw\": \"C\"}], \"split\": \"test\", \"filename\": \"2.jpg\", "           \
    "\"filepath\": \"val2014\"},"                                                                  \
    "{\"sentences\": [{\"raw\": \"D\"}], \"split\": \"test\", \"filename\": \"2.jpg\", "           \
    "\"filepath\": \"train2014\"}], \"dataset\": \"flickr8k\"}"

static void karpathys_splits_are_chosen(void **state)
{
    (void)state;
    struct captions c;
    struct err      err;
    assert_int_equal(read_split(KARPATHY, "train", &c, &err), 0);
    assert_int_equal(c.n_images, 1);
    assert_int_equal(c.n_captions, 2);
    assert_string_equal(c.files[0], "1.jpg");
    assert_string_equal(c.texts[1], "B \xc3\xa9");
    assert_int_equal(c.image_of[1], 0);
    captions_release(&c);
    /* Two folders, the same name. */
    assert_int_equal(read_split(KARPATHY, "test", &c, &err), 0);
    assert_int_equal(c.n_images, 2);
    assert_string_equal(c.files[0], "val2014/2.jpg");
    assert_string_equal(c.files[1], "train2014/2.jpg");
    captions_release(&c);
    assert_int_equal(read_split(KARPATHY, "all", &c, &err), 0);
    assert_int_equal(c.n_images, 3);
    assert_int_equal(c.n_captions, 4);
    captions_release(&c);
    assert_fails(KARPATHY, NULL, ERR_USAGE, "train (1), test (2)");
    assert_fails(KARPATHY, "val", ERR_USAGE, "has no split val, but train (1), test (2)");
    /* Where there is one split, or none is said, none must be chosen. */
    const char *single = "{\"images\": [{\"filename\": \"a\", \"sentences\": [{\"raw\": \"x\"}]}]}";
    assert_int_equal(read_text(single, &c, &err), 0);
    captions_release(&c);
    assert_fails(single, "test", ERR_USAGE, "none at all");
}

static void bad_entries_of_karpathys_are_named(void **state)
{
    (void)state;
    assert_fails("{\"images\": [{\"sentences\": [{\"raw\": \"x\"}]}]}", NULL, ERR_FORMAT,
                 "images[0] has no filename");
    assert_fails("{\"images\": [{\"filename\": \"a\", \"sentences\": [{\"raw\": \"x\"}]},"
                 "{\"filename\": \"b\", \"sentences\": []}]}",
                 NULL, ERR_FORMAT, "images[1] has no sentences");
    assert_fails("{\"images\": [{\"filename\": \"a\", \"sentences\": [{\"raw\": \" \\n\"}]}]}",
                 NULL, ERR_FORMAT, "images[0] has a sentence without text");
    assert_fails("{\"images\": [{\"filename\": \"a\", \"sentences\": [7]}]}", NULL, ERR_FORMAT,
                 "images[0]");
    assert_fails("{\"images\": [{\"filename\": 3, \"sentences\": [{\"raw\": \"x\"}]}]}", NULL,
                 ERR_FORMAT, "images[0]");
}

#define COCO_IMAGES                                                                                \
    "{\"images\": [{\"id\": 9, \"file_name\": \"nine.jpg\"}, {\"id\": 4, \"file_name\": "          \
    "\"four.jpg\"}, {\"id\": 5, \"file_name\": \"none.jpg\"}]"

static void cocos_captions_join_by_id(void **state)
{
    (void)state;
    struct captions c;
    struct err      err;
    const char     *text = COCO_IMAGES ", \"annotations\": [{\"image_id\": 4, \"id\": 1, "
                                       "\"caption\": \"four\"}, {\"image_id\": 9, \"caption\": "
                                       "\"nine\"}, {\"image_id\": 4, \"caption\": \"four again\"}]}";
    assert_int_equal(read_text(text, &c, &err), 0);
    assert_int_equal(c.n_images, 2);
    assert_int_equal(c.n_captions, 3);
    assert_string_equal(c.files[0], "four.jpg");
    assert_string_equal(c.files[1], "nine.jpg");
    assert_string_equal(c.texts[2], "four again");
    assert_int_equal(c.image_of[1], 1);
    assert_int_equal(c.image_of[2], 0);
    captions_release(&c);
    assert_fails(text, "val", ERR_USAGE, "no splits");
}

static void bad_entries_of_cocos_are_named(void **state)
{
    (void)state;
    assert_fails(COCO_IMAGES ", \"annotations\": [{\"image_id\": 4, \"category_id\": 1}]}", NULL,
                 ERR_FORMAT, "annotations[0] has no caption");
    assert_fails(COCO_IMAGES ", \"annotations\": [{\"image_id\": 4, \"caption\": \"x\"}, "
                             "{\"image_id\": 6, \"caption\": \"x\"}]}",
                 NULL, ERR_FORMAT, "annotations[1] is of an image_id that no image has");
    assert_fails(COCO_IMAGES ", \"annotations\": [{\"caption\": \"x\"}]}", NULL, ERR_FORMAT,
                 "annotations[0] has no image_id");
    assert_fails(COCO_IMAGES ", \"annotations\": []}", NULL, ERR_FORMAT, "no captions");
    assert_fails("{\"images\": [{\"id\": 1}], \"annotations\": []}", NULL, ERR_FORMAT,
                 "images[0] has no file_name");
    assert_fails("{\"images\": [{\"file_name\": \"a\"}], \"annotations\": []}", NULL, ERR_FORMAT,
                 "images[0] has no id");
    assert_fails("{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": "
                 "\"b\"}], \"annotations\": []}",
                 NULL, ERR_FORMAT, "two images have the id 1");
}

static void other_json_is_refused(void **state)
{
    (void)state;
    assert_fails("{}", NULL, ERR_FORMAT, "neither");
    assert_fails(" \n{\"images\": []}", NULL, ERR_FORMAT, "neither");
    assert_fails("{\"images\": 3, \"annotations\": []}", NULL, ERR_FORMAT, "neither");
    assert_fails("{\"images\": [", NULL, ERR_FORMAT, "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_joins_by_file_name),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(karpathys_splits_are_chosen),
        cmocka_unit_test(bad_entries_of_karpathys_are_named),
        cmocka_unit_test(cocos_captions_join_by_id),
        cmocka_unit_test(bad_entries_of_cocos_are_named),
        cmocka_unit_test(other_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
