/* Unit tests of core/learn/vocabulary: what lines mean, what is refused, and that the
 * vocabularies which come with Osprey are what they should be. */
#include "learn/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The labels as "name=word+word;" in order. */
static char *parse(const char *text)
{
    struct vocabulary v;
    struct err        err  = ERR_INIT;
    size_t            room = 4 * strlen(text) + 100, at = 0;
    char             *copy = strdup(text), *out = calloc(room, 1);
    assert_non_null(copy);
    assert_non_null(out);
    int rc = vocabulary_parse(copy, strlen(text), "test.txt", &v, &err);
    free(copy);
    if (rc) {
        snprintf(out, room, "%d %s", rc, err.msg);
        return out;
    }
    for (size_t i = 0; i < v.n; i++) {
        at += (size_t)snprintf(out + at, room - at, "%s=", v.labels[i].name);
        for (size_t w = 0; w < v.labels[i].n_words; w++)
            at += (size_t)snprintf(out + at, room - at, w ? "+%s" : "%s", v.labels[i].words[w]);
        at += (size_t)snprintf(out + at, room - at, ";");
        assert_int_equal(vocabulary_find(&v, v.labels[i].name), i);
    }
    assert_int_equal(vocabulary_find(&v, "no such label"), -1);
    vocabulary_release(&v);
    return out;
}

static void check(const char *text, const char *expected)
{
    char *got = parse(text);
    assert_string_equal(got, expected);
    free(got);
}

static void lines_are_labels(void **state)
{
    (void)state;
    check("dog\n", "dog=dog;");
    check("dog", "dog=dog;");
    check("# comment\n\n  dog \r\n\t\n cat\tkitten,  tom cat ,,\n",
          "cat=cat+kitten+tom cat;dog=dog;");
    check("\xef\xbb\xbfM\xc3\xb6we\n", "M\xc3\xb6we=M\xc3\xb6we;"); /* an editor's mark */
    check("old man\t\n", "old man=old man;");
}

static void bars_make_a_hierarchy(void **state)
{
    (void)state;
    check("animal|dog\tpuppy\n", "animal=;animal|dog=dog+puppy;");
    check("animal|dog|terrier\nanimal\tbeast\n",
          "animal=animal+beast;animal|dog=;animal|dog|terrier=terrier;");
    check(" animal | dog \n", "animal=;animal|dog=dog;");
    check("animal|Ka\xcc\x88"
          "fer\n",
          "animal=;animal|K\xc3\xa4"
          "fer=K\xc3\xa4"
          "fer;");
    /* a label that begins like another one is not below it */
    check("cat\ncat fish\ncat|old\n", "cat=cat;cat fish=cat fish;cat|old=old;");
}

static void refused(const char *text, const char *why)
{
    char *got = parse(text);
    if (got[0] != '-' || !strstr(got, why) || !strstr(got, "test.txt"))
        fail_msg("%s", got);
    free(got);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refused("", "no labels");
    refused("# nothing\n\n", "no labels");
    refused("dog\ncat\ndog\n", "dog stands there twice, in lines 1 and 3");
    refused("cat\nK\xc3\xa4se\n# more\nKa\xcc\x88se\n", "in lines 2 and 4");
    refused("dog\n\xc2\xa0\n", "line 2");
    refused("dog\n|cat\n", "line 2");
    refused("dog\nanimal||cat\n", "line 2");
    refused("dog|\n", "line 1");
    refused("dog\ncaf\xe9\n", "line 2 is not text in UTF-8");
    refused("dog\x01\n", "UTF-8");
    char *many = calloc(1, 70 * 3 + 10);
    memcpy(many, "dog\t", 4);
    for (int i = 0; i < 70; i++)
        memcpy(many + 4 + 2 * (ptrdiff_t)i, "a,", 2);
    refused(many, "words");
    free(many);
    char *wide = malloc(1200);
    memset(wide, 'x', 1199);
    wide[1199] = '\0';
    refused(wide, "bytes");
    free(wide);
}

static void labels_can_be_added(void **state)
{
    (void)state;
    struct vocabulary v;
    struct err        err    = ERR_INIT;
    char              text[] = "animal|dog\nbird\n";
    assert_int_equal(vocabulary_parse(text, strlen(text), "t", &v, &err), 0);
    assert_int_equal(vocabulary_add(&v, "bird", &err), 0);
    assert_int_equal(vocabulary_add(&v, "my|own|cat", &err), 0);
    assert_int_equal(vocabulary_settle(&v, &err), 0);
    assert_int_equal(v.n, 6);
    assert_int_equal(v.labels[vocabulary_find(&v, "bird")].n_words, 1); /* keeps its words */
    assert_int_equal(v.labels[vocabulary_find(&v, "my|own|cat")].n_words, 0);
    assert_true(vocabulary_find(&v, "my|own") > vocabulary_find(&v, "my"));
    vocabulary_release(&v);
}

static void ours_are_sound(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t      least, most;
    } ours[] = {{"everyday", 400, 600}, {"imagenet", 1000, 1000}, {"moderation", 20, 60}};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        struct vocabulary v;
        struct err        err = ERR_INIT;
        char              path[4096];
        snprintf(path, sizeof path, "%s/vocab/%s.txt", TEST_MODELS, ours[i].name);
        if (vocabulary_read(path, &v, &err))
            fail_msg("%s", err.msg);
        assert_in_range(v.n, ours[i].least, ours[i].most);
        for (size_t k = 0; k < v.n; k++)
            assert_true(v.labels[k].n_words > 0); /* also those above others */
        vocabulary_release(&v);
    }
    struct vocabulary v;
    struct err        err = ERR_INIT;
    assert_int_equal(vocabulary_read("no-such-vocabulary", &v, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "no-such-vocabulary"));
    assert_int_equal(vocabulary_read("/no/such/file", &v, &err), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_labels),   cmocka_unit_test(bars_make_a_hierarchy),
        cmocka_unit_test(mistakes_are_named), cmocka_unit_test(labels_can_be_added),
        cmocka_unit_test(ours_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
