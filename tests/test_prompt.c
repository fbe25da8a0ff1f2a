/* Unit tests of core/text/prompt: a label is put wherever a prompt has a hole, and what
 * would grow without end is refused. */
#include "text/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_hole_is_filled(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {PROMPT_DEFAULT, "dog", "a photo of a dog"},
        {"{}", "dog", "dog"},
        {"{} and {}: two {}s", "dog", "dog and dog: two dogs"},
        {"{}{}", "{}", "{}{}"}, /* what is put in is not looked at again */
        {"a } and a {", "dog", "a } and a {"},
        {"a {}", "", "a "},
        {"{{}}", "\xc3\xb6", "{\xc3\xb6}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err  = ERR_INIT;
        char      *made = prompt_fill(cases[i][0], cases[i][1], &err);
        assert_non_null(made);
        assert_string_equal(made, cases[i][2]);
        assert_int_equal(err.code, 0);
        free(made);
    }
}

static void too_long_a_text_is_refused(void **state)
{
    (void)state;
    struct err err    = ERR_INIT;
    char      *prompt = calloc(1, 20001), *label = calloc(1, 1001);
    assert_non_null(prompt);
    assert_non_null(label);
    for (size_t i = 0; i < 20000; i += 2)
        memcpy(prompt + i, "{}", 2);
    memset(label, 'x', 1000);
    assert_null(prompt_fill(prompt, label, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    free(prompt);
    free(label);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_hole_is_filled),
        cmocka_unit_test(too_long_a_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
