/* Unit tests of cli/hub*: which names are safe, what is needed of a repository,
 * hashes. The network's part is in e2e_hub*.py. */
#include "cli/hub.h"
#include "cli/hub_plan.h"

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

static char folder[] = "/tmp/osprey-hub-unit-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void put(const char *name, const char *text)
{
    struct err err  = ERR_INIT;
    char      *path = path_join(folder, name);
    if (file_replace(path, text, strlen(text), &err))
        fail_msg("%s", err.msg);
    free(path);
}

static void add(struct hub_repo *repo, const char *const *names)
{
    for (; *names; names++)
        assert_int_equal(hub_repo_add(repo, *names, 100, HASH_SHA256, NULL, NULL), 0);
}

/* The plan's names in one string. */
static const char *names_of(const struct hub_plan *plan, char out[1000])
{
    out[0]   = '\0';
    size_t n = 0;
    for (size_t i = 0; i < plan->n; i++)
        n += (size_t)snprintf(out + n, 1000 - n, "%s ", plan->files[i]->name);
    return out;
}

static void names_that_lead_elsewhere_are_left_out(void **state)
{
    (void)state;
    static const char *const good[] = {"config.json", "model-00001-of-00002.safetensors", "a",
                                       "a..b"};
    static const char *const bad[]  = {"",    ".",    "..",  "../a", "/a",    "a/b",  ".a",
                                       "-rf", "a\\b", "a b", "a\nb", "a\xff", "a\tb", "~a"};
    struct hub_repo          repo   = {0};
    char                     longest[202];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(hub_name_safe(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(hub_name_safe(bad[i]));
        assert_int_equal(hub_repo_add(&repo, bad[i], 1, HASH_SHA256, NULL, NULL), 0);
    }
    memset(longest, 'a', sizeof longest);
    longest[201] = '\0';
    assert_false(hub_name_safe(longest));
    longest[200] = '\0';
    assert_true(hub_name_safe(longest));
    assert_int_equal(repo.n, 0);
    /* The first of a name counts. */
    assert_int_equal(hub_repo_add(&repo, "a", 1, HASH_SHA256, "x", NULL), 0);
    assert_int_equal(hub_repo_add(&repo, "a", 2, HASH_GIT_BLOB, "y", NULL), 0);
    assert_int_equal(repo.n, 1);
    assert_int_equal(hub_repo_find(&repo, "a")->size, 1);
    assert_null(hub_repo_find(&repo, "b"));
    hub_repo_release(&repo);
}

static void plans_follow_the_layout(void **state)
{
    (void)state;
    char            names[1000];
    struct err      err  = ERR_INIT;
    struct hub_plan plan = {0};
    struct hub_repo repo = {0};
    /* Both layouts: transformers' is the one that is loaded. */
    add(&repo, (const char *const[]){"README.md", "config.json", "open_clip_config.json",
                                     "merges.txt", "model.safetensors",
                                     "open_clip_model.safetensors", "preprocessor_config.json",
                                     "pytorch_model.bin", "tf_model.h5", "vocab.json", NULL});
    put("config.json", "{\"model_type\": \"clip\"}");
    assert_int_equal(hub_plan_small(&repo, "a/b", &plan, &err), 0);
    assert_string_equal(names_of(&plan, names), "config.json open_clip_config.json "
                                                "preprocessor_config.json vocab.json merges.txt "
                                                "README.md ");
    assert_int_equal(hub_plan_weights(&repo, "a/b", folder, &plan, &err), 0);
    assert_int_equal(plan.n, 7);
    assert_string_equal(plan.files[6]->name, "model.safetensors");
    assert_int_equal(hub_plan_bytes(&plan), 700);
    hub_plan_release(&plan);
    hub_repo_release(&repo);

    add(&repo, (const char *const[]){"open_clip_config.json", "open_clip_model.safetensors",
                                     "tokenizer.json", "open_clip_pytorch_model.bin", NULL});
    assert_int_equal(hub_plan_small(&repo, "a/b", &plan, &err), 0);
    assert_int_equal(hub_plan_weights(&repo, "a/b", folder, &plan, &err), 0);
    assert_string_equal(names_of(&plan, names),
                        "open_clip_config.json tokenizer.json open_clip_model.safetensors ");
    hub_plan_release(&plan);
    hub_repo_release(&repo);

    add(&repo, (const char *const[]){"config.json", "model.safetensors.index.json",
                                     "tokenizer.json", "preprocessor_config.json", "a.safetensors",
                                     "b.safetensors", "c.safetensors", NULL});
    put("model.safetensors.index.json",
        "{\"weight_map\": {\"x\": \"b.safetensors\", \"y\": \"a.safetensors\", "
        "\"z\": \"b.safetensors\"}}");
    assert_int_equal(hub_plan_small(&repo, "a/b", &plan, &err), 0);
    assert_int_equal(hub_plan_weights(&repo, "a/b", folder, &plan, &err), 0);
    assert_string_equal(names_of(&plan, names),
                        "config.json preprocessor_config.json tokenizer.json "
                        "model.safetensors.index.json b.safetensors a.safetensors ");
    for (int i = 0; i < 4; i++) {
        static const char *const indexes[] = {"{}", "{\"weight_map\": []}", "{\"weight_map\": {}}",
                                              "{\"weight_map\": {\"x\": \"gone.safetensors\"}}"};
        put("model.safetensors.index.json", indexes[i]);
        assert_int_equal(hub_plan_weights(&repo, "a/b", folder, &plan, &err), ERR_FORMAT);
    }
    assert_non_null(strstr(err.msg, "gone.safetensors, which is missing"));
    hub_plan_release(&plan);
    hub_repo_release(&repo);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *files[6];
        const char *says;
    } cases[] = {
        {{NULL}, "no config.json"},
        {{"config.json", "pytorch_model.bin"}, "pytorch_model.bin"},
        {{"config.json", "flax_model.msgpack"}, "flax_model.msgpack"},
        {{"model.safetensors", "tokenizer.json"}, "no config.json"},
        {{"config.json", "model.safetensors", "tokenizer.json"}, "preprocessor_config.json"},
        {{"config.json", "model.safetensors", "preprocessor_config.json"}, "no tokenizer"},
        {{"config.json", "model.safetensors", "preprocessor_config.json", "vocab.json"},
         "no tokenizer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hub_repo repo = {0};
        struct hub_plan plan = {0};
        struct err      err  = ERR_INIT;
        add(&repo, cases[i].files);
        assert_int_equal(hub_plan_small(&repo, "org/name", &plan, &err), ERR_UNSUPPORTED);
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_non_null(strstr(err.msg, "org/name"));
        hub_plan_release(&plan);
        hub_repo_release(&repo);
    }
}

static void hashes_are_those_of_the_standards(void **state)
{
    (void)state;
    char       hash[HASH_HEX_MAX], path[64];
    struct err err = ERR_INIT;
    (void)snprintf(path, sizeof path, "%s/abc", folder);
    put("abc", "abc"); /* FIPS 180-4's example */
    assert_int_equal(hash_file(path, HASH_SHA256, NULL, hash, &err), 0);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    put("abc", "hello\n"); /* git hash-object */
    assert_int_equal(hash_file(path, HASH_GIT_BLOB, NULL, hash, &err), 0);
    assert_string_equal(hash, "ce013625030ba8dba906f756967f9e9ca394464a");
    volatile sig_atomic_t stop = 1;
    assert_int_equal(hash_file(path, HASH_SHA256, &stop, hash, &err), ERR_CANCELLED);
    assert_int_equal(hash_file("/nonexistent", HASH_SHA256, NULL, hash, &err), ERR_IO);
}

static void sizes_are_written_for_people(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(bytes_text(0, out), "0.0 kB");
    assert_string_equal(bytes_text(605109252, out), "605.1 MB");
    assert_string_equal(bytes_text(39444377640, out), "39.4 GB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_lead_elsewhere_are_left_out),
        cmocka_unit_test(plans_follow_the_layout),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(hashes_are_those_of_the_standards),
        cmocka_unit_test(sizes_are_written_for_people),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
