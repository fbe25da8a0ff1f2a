/* What languages a model's card tells of. */
#include "model/model_card.h"

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

static void cards(void **state)
{
    (void)state;
    static const struct {
        const char *card, *languages;
    } cases[] = {
        {"---\nlanguage: en\n---\n# A model\n", "en"},
        {"---\nlicense: mit\nlanguage:\n- en\n- de\ntags:\n- clip\n---\n", "en,de"},
        {"---\nlanguage: [en, \"zh-Hans\"]  # two\n---\n", "en,zh-Hans"},
        {"---\r\nlanguage: en\r\n---\r\n", "en"},
        {"---\nlanguage:\n  - multilingual\n\ntags: [x]\n---", "multilingual"},
        {"---\nlanguage: en", "en"},
        {"---\ntags:\n- language: en\n---\n", ""},
        {"---\nlicense: mit\n---\nlanguage: en\n", ""},
        {"# A model\n---\nlanguage: en\n---\n", ""},
        {"language: en\n", ""},
        {"---", ""},
        {"", ""},
        {"\n\n---\nlanguage: en\n", ""},
    };
    char dir[] = "/tmp/osprey-card-XXXXXX";
    char out[MODEL_CARD_LANGUAGES];
    assert_non_null(mkdtemp(dir));
    char *path = path_join(dir, "README.md");
    model_card_languages(dir, out);
    assert_string_equal(out, "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(file_replace(path, cases[i].card, strlen(cases[i].card), NULL), 0);
        model_card_languages(dir, out);
        assert_string_equal(out, cases[i].languages);
    }
    /* more than there is room for, and what is no text at all */
    char   card[4096] = "---\nlanguage:\n";
    size_t n          = strlen(card);
    while (n + 8 < sizeof card)
        n += (size_t)snprintf(card + n, sizeof card - n, "- l%03zu\n", n % 1000);
    assert_int_equal(file_replace(path, card, n, NULL), 0);
    model_card_languages(dir, out);
    assert_in_range(strlen(out), MODEL_CARD_LANGUAGES - 6, MODEL_CARD_LANGUAGES - 1);
    assert_int_equal(file_replace(path, "---\nlanguage: \0\xff\n---", 20, NULL), 0);
    model_card_languages(dir, out);
    assert_string_equal(out, "");
    unlink(path);
    rmdir(dir);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
