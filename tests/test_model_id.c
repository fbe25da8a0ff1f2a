/* Unit tests of core/model/model_id and models_default: which names are names,
 * which folders they stand for, what is kept of a choice. */
#include "model/model_id.h"
#include "model/models.h"

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

static void names_lead_to_folders_and_back(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"openai/clip-vit-base-patch32", "openai--clip-vit-base-patch32"},
        {"laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "laion--CLIP-ViT-B-32-laion2B-s34B-b79K"},
        {"a/b@refs/pr/12", "a--b@refs--pr--12"},
        {"a/b.c_d@v1.0", "a--b.c_d@v1.0"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct model_id id;
        char            text[MODEL_ID_MAX];
        assert_int_equal(model_id_parse(pairs[i][0], &id, NULL), 0);
        model_id_folder(&id, text);
        assert_string_equal(text, pairs[i][1]);
        assert_true(model_id_of_folder(pairs[i][1], text));
        assert_string_equal(text, pairs[i][0]);
    }
    struct model_id id;
    assert_int_equal(model_id_parse("a/b@refs/pr/12", &id, NULL), 0);
    assert_string_equal(id.name, "a/b");
    assert_string_equal(id.revision, "refs/pr/12");
}

static void what_could_lead_elsewhere_is_no_name(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "a",      "/",        "a/",         "/b",         "a/b/c",   "../b",  "a/..",
        ".a/b",   "a/.b",   "-a/b",     "a/-b",       "a--b/c",     "a/b--c",  "a/b@",  "a/b@/x",
        "a/b@x/", "a/b@..", "a/b@x//y", "a/b@../x",   "a/b@x/../y", "a/b@-x",  "a b/c", "a/b\n",
        "a/b@\t", "a\\b/c", "a/b@x@y",  "a/\xc3\xa4", "a/b%2e",     "a/b?c=d", "a/b#c", "a-/b",
    };
    struct model_id id;
    struct err      err = ERR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (model_id_parse(bad[i], &id, &err) != ERR_USAGE)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    assert_non_null(strstr(err.msg, "ORG/NAME"));
    char name[600], out[MODEL_ID_MAX];
    memset(name, 'x', sizeof name);
    name[1]               = '/';
    name[sizeof name - 1] = '\0';
    assert_int_equal(model_id_parse(name, &id, NULL), ERR_USAGE);
    memcpy(name, "a/b@", 4);
    assert_int_equal(model_id_parse(name, &id, NULL), ERR_USAGE);
    memcpy(name, "a--b", 4);
    assert_false(model_id_of_folder(name, out));
    name[200] = '\0'; /* the longest that fits: 199 bytes of a name */
    assert_true(model_id_of_folder(name, out));
    static const char *const folders[] = {"osprey-small", "a--b--c", "--a",
                                          "a--",          "..--b",   "a--b@"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_false(model_id_of_folder(folders[i], out));
}

static char home[] = "/tmp/osprey-model-id-XXXXXX";

static int make_home(void **state)
{
    (void)state;
    return mkdtemp(home) ? 0 : -1;
}

static int remove_home(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", home);
    return system(command);
}

static void expect_default(const char *want)
{
    char *name = NULL;
    assert_int_equal(models_default(&name, NULL), 0);
    assert_string_equal(name, want);
    free(name);
}

static void the_default_is_kept(void **state)
{
    (void)state;
    char       path[128];
    struct err err = ERR_INIT;
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    expect_default(MODELS_DEFAULT);
    assert_int_equal(models_set_default(MODELS_DEFAULT, &err), 0); /* nothing there to remove */
    assert_int_equal(models_set_default("/a b/\xff\n", &err), 0);
    expect_default("/a b/\xff\n");
    (void)snprintf(path, sizeof path, "%s/.config/osprey/default-model", home);
    assert_true(file_exists(path));
    setenv("XDG_CONFIG_HOME", "relative", 1); /* is to be ignored */
    expect_default("/a b/\xff\n");
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    expect_default(MODELS_DEFAULT);
    if (geteuid() != 0) /* root may make it */
        assert_int_equal(models_set_default("x", &err), ERR_IO);
    unsetenv("XDG_CONFIG_HOME");
    assert_int_equal(models_set_default(MODELS_DEFAULT, &err), 0);
    assert_false(file_exists(path));
    unsetenv("HOME");
    expect_default(MODELS_DEFAULT);
    assert_int_equal(models_set_default("x", &err), ERR_USAGE);
    setenv("HOME", home, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_folders_and_back),
        cmocka_unit_test(what_could_lead_elsewhere_is_no_name),
        cmocka_unit_test(the_default_is_kept),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
