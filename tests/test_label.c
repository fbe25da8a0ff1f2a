/* Unit tests of core/text/label and fold: one label for what looks alike, none for what says
 * nothing. */
#include "text/fold.h"
#include "text/label.h"
#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void gives(const char *text, const char *label)
{
    struct err err = ERR_INIT;
    char      *got = NULL;
    if (label_tidy(text, 200, &got, &err))
        fail_msg("%s: %s", text, err.msg);
    assert_string_equal(got, label);
    free(got);
}

static void refused(const char *text, const char *why)
{
    struct err err = ERR_INIT;
    char      *got = NULL;
    assert_int_equal(label_tidy(text, 200, &got, &err), ERR_FORMAT);
    assert_null(got);
    if (!strstr(err.msg, why))
        fail_msg("%s: %s", text, err.msg);
}

static void what_looks_alike_is_one_label(void **state)
{
    (void)state;
    gives("dog", "dog");
    gives("animal|dog", "animal|dog");
    gives("Ka\xcc\x88se", "K\xc3\xa4se");
    gives("K\xc3\xa4se", "K\xc3\xa4se");
    gives("Ka\xcc\x88se|Mu\xcc\x88ller", "K\xc3\xa4se|M\xc3\xbcller");
    gives(" animal | big dog ", "animal|big dog");
    gives("\xc2\xa0"
          "a\xe3\x80\x80|\xe2\x80\x83"
          "b c\xc2\xa0",
          "a|b c"); /* wide and hard spaces */
    gives("AC/DC", "AC/DC");
}

static void what_says_nothing_is_none(void **state)
{
    (void)state;
    refused("", "no name");
    refused("  ", "no name");
    refused("\xc2\xa0", "no name");
    refused("a||b", "a level without a name");
    refused("|a", "a level without a name");
    refused("a|", "a level without a name");
    refused("a|\xc2\xa0|b", "a level without a name");
    refused("|", "a level without a name");
    refused("caf\xe9", "UTF-8");
    refused("a\nb", "control");
    refused("a\x7f", "control");
    char wide[300];
    memset(wide, 'x', 201);
    wide[201] = '\0';
    refused(wide, "201 bytes");
    wide[200] = '\0';
    gives(wide, wide);
}

static void texts_are_compared_composed(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char      *out = NULL;
    assert_true(text_same("a", "a"));
    assert_false(text_same("a", "A"));
    assert_true(text_same("Ka\xcc\x88se", "K\xc3\xa4se"));
    assert_false(text_same("Kase", "K\xc3\xa4se"));
    assert_true(text_same("\xe2\x84\xaa", "K")); /* the sign for Kelvin is one */
    assert_true(text_same("\xff", "\xff"));
    assert_false(text_same("\xff", "\xfe"));
    /* e with a dot below and a circumflex, half composed and in both orders */
    assert_true(text_same("\xe1\xbb\x87", "\xe1\xba\xb9\xcc\x82"));
    assert_true(text_same("\xe1\xbb\x87", "e\xcc\x82\xcc\xa3"));
    assert_int_equal(text_nfc("\xc3\xa4\xff", &out, &err), 0);
    assert_string_equal(out, "\xc3\xa4\xff"); /* no text: as it is */
    free(out);
}

static void faults_have_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t      line;
    } cases[] = {
        {"", 0},
        {"a\nb\r\n\tc", 0},
        {"\xc3\xa4\n", 0},
        {"caf\xe9", 1},
        {"a\ncaf\xe9\n", 2},
        {"a\n\nb\x01", 3},
        {"a\xc3\n\xa4", 1},
        {"a\n\x7f", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_faulty_line(cases[i].text, strlen(cases[i].text)), cases[i].line);
    assert_int_equal(utf8_faulty_line("a\n\0b", 4), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_looks_alike_is_one_label),
        cmocka_unit_test(what_says_nothing_is_none),
        cmocka_unit_test(texts_are_compared_composed),
        cmocka_unit_test(faults_have_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
