/* Unit tests of the command line's parsing: options (cli/options.c) and the
 * terms of a search (cli/terms.c). */
#include "cli/options.h"
#include "cli/terms.h"
#include "storage/query.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Options ---- */

struct own {
    const char *in, *preview;
    double      min;
    bool        min_given, flag;
};

/* Parses a command line whose last element is NULL. */
static int parse(const char *const *argv, struct own *own, struct common *common, struct args *args,
                 struct err *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    memset(own, 0, sizeof *own);
    const struct option_spec specs[] = {
        {.name = "--in", .kind = OPTION_TEXT, .target = &own->in},
        {.name = "--min-score", .kind = OPTION_REAL, .target = &own->min, .given = &own->min_given},
        {.name = "--preview", .kind = OPTION_MAYBE, .target = &own->preview},
        {.name = "--repair", .kind = OPTION_FLAG, .target = &own->flag},
        {.name = "--image", .kind = OPTION_IMAGE},
    };
    return options_parse(argc, (char **)(uintptr_t)argv, specs, 5, common, args, err);
}
#define PARSE(...) parse((const char *const[]){"x", __VA_ARGS__, NULL}, &own, &common, &args, &err)

static void options_stand_anywhere(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    assert_int_equal(PARSE("a", "-k", "7", "b", "--json", "--library=/l", "--model", "m", "c",
                           "--min-score=-0.25", "--repair", "-q"),
                     0);
    assert_int_equal(args.n, 3);
    assert_string_equal(args.items[2].text, "c");
    assert_int_equal(common.k, 7);
    assert_true(common.json && common.quiet && !common.help && own.flag && own.min_given);
    assert_string_equal(common.library, "/l");
    assert_string_equal(common.model, "m");
    assert_int_equal(common.precision, PRECISION_AUTO);
    assert_true(own.min == -0.25);
    args_release(&args);

    assert_int_equal(PARSE("-k12", "--min-score", "-1e-2", "--precision", "bf16"), 0);
    assert_int_equal(common.k, 12);
    assert_int_equal(common.precision, PRECISION_BF16);
    assert_true(own.min == -1e-2);
    args_release(&args);
}

static void a_value_may_look_like_an_option(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    assert_int_equal(PARSE("--in", "--json", "--image", "-"), 0);
    assert_string_equal(own.in, "--json");
    assert_false(common.json);
    assert_int_equal(args.n, 1);
    assert_int_equal(args.items[0].kind, ARG_IMAGE);
    assert_string_equal(args.items[0].text, "-");
    args_release(&args);
}

static void an_optional_value_needs_an_equals_sign(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    assert_int_equal(PARSE("--preview", "40x12"), 0);
    assert_string_equal(own.preview, "");
    assert_int_equal(args.n, 1);
    args_release(&args);
    assert_int_equal(PARSE("--preview=40x12"), 0);
    assert_string_equal(own.preview, "40x12");
    args_release(&args);
    assert_int_equal(PARSE("a"), 0);
    assert_null(own.preview);
    args_release(&args);
}

static void after_two_dashes_nothing_is_an_option(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    assert_int_equal(PARSE("-", "--", "--json", "--", "-k"), 0);
    assert_false(common.json);
    assert_int_equal(args.n, 5);
    assert_int_equal(args.items[0].kind, ARG_WORD);
    assert_int_equal(args.items[1].kind, ARG_END);
    assert_int_equal(args.items[3].kind, ARG_LITERAL);
    assert_string_equal(args.items[3].text, "--");
    args_release(&args);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *argv[4];
        const char *part; /* of the message */
    } cases[] = {
        {{"x", "--jsn", NULL}, "did you mean --json?"},
        {{"x", "--min-scor=1", NULL}, "unknown option --min-scor; did you mean --min-score?"},
        {{"x", "--frobnicate", NULL}, "unknown option --frobnicate"},
        {{"x", "-z", NULL}, "unknown option -z"},
        {{"x", "-2:dog", NULL}, "goes after --"},
        {{"x", "-qh", NULL}, "unknown option -qh"},
        {{"x", "-k", NULL}, "-k needs a value"},
        {{"x", "-k", "0", NULL}, "from 1 on, not '0'"},
        {{"x", "-k", "-3", NULL}, "from 1 on, not '-3'"},
        {{"x", "-k", "+3", NULL}, "from 1 on, not '+3'"},
        {{"x", "-k", " 3", NULL}, "not ' 3'"},
        {{"x", "-k", "3x", NULL}, "not '3x'"},
        {{"x", "-k", "", NULL}, "not ''"},
        {{"x", "-k", "99999999999999999999", NULL}, "too large"},
        {{"x", "--min-score=nan", NULL}, "takes a number, not 'nan'"},
        {{"x", "--min-score=inf", NULL}, "takes a number"},
        {{"x", "--min-score=", NULL}, "takes a number"},
        {{"x", "--min-score", "0.5 ", NULL}, "takes a number"},
        {{"x", "--json=yes", NULL}, "--json takes no value"},
        {{"x", "--library=", NULL}, "--library needs a value"},
        {{"x", "--image", NULL}, "--image needs a value"},
        {{"x", "--image=", NULL}, "--image needs a file"},
        {{"x", "--precision", "int4", NULL}, "use auto, f32, bf16 or int8"},
        {{"x", "--precision", "half", NULL}, "unknown precision 'half'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct own    own;
        struct common common;
        struct args   args;
        struct err    err = ERR_INIT;
        assert_int_equal(parse(cases[i].argv, &own, &common, &args, &err), ERR_USAGE);
        if (!strstr(err.msg, cases[i].part))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.msg, cases[i].part);
        assert_null(args.items);
    }
}

static void help_ends_the_checks(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    assert_int_equal(PARSE("a", "-h", "--no-such", "-k", "0"), 0);
    assert_true(common.help);
    args_release(&args);
}

static void arguments_are_counted(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err = ERR_INIT;
    const char   *out[2];
    assert_int_equal(PARSE("a", "--", "-b"), 0);
    assert_int_equal(args_exactly(&args, 2, "two folders", out, &err), 0);
    assert_string_equal(out[0], "a");
    assert_string_equal(out[1], "-b");
    assert_int_equal(args_exactly(&args, 1, "one folder", out, &err), ERR_USAGE);
    assert_string_equal(err.msg, "one folder was expected, and '-b' is one argument too many");
    args_release(&args);
    assert_int_equal(PARSE("a"), 0);
    assert_int_equal(args_exactly(&args, 2, "two folders", out, &err), ERR_USAGE);
    args_release(&args);
}

static void common_options_may_lead(void **state)
{
    (void)state;
    char *with[]    = {"osprey", "--json", "--library", "/l", "-k3", "search", "--in", "x", NULL};
    char *without[] = {"osprey", "search", "--json", NULL};
    char *unknown[] = {"osprey", "--version", NULL};
    char *open[]    = {"osprey", "--json", "--library", NULL};
    assert_int_equal(options_leading(8, with), 4);
    assert_int_equal(options_leading(3, without), 0);
    assert_int_equal(options_leading(2, unknown), 0);
    assert_int_equal(options_leading(3, open), 2);
}

static void typing_mistakes_are_guessed(void **state)
{
    (void)state;
    static const char *const names[] = {"search", "similar", "status", "serve", "embed"};
    assert_string_equal(nearest_word("serach", names, 5), "search");
    assert_string_equal(nearest_word("simliar", names, 5), "similar");
    assert_string_equal(nearest_word("stats", names, 5), "status");
    assert_null(nearest_word("tag", names, 5));
    assert_null(nearest_word("", names, 5));
    assert_null(nearest_word("a-word-that-is-much-longer-than-any-command", names, 5));
}

/* ---- Terms ---- */

static bool fake_file(const char *path)
{
    return strcmp(path, "a/b.jpg") == 0 || strcmp(path, "./my photo.png") == 0 ||
           strcmp(path, "plain.jpg") == 0;
}

/* Terms as one string: weight and kind of each, "1:t(a dog) -2:i(a/b.jpg)". */
static void assert_terms(const char *expected, const char *const *argv)
{
    struct own    own;
    struct common common;
    struct args   args;
    struct terms  terms;
    struct err    err = ERR_INIT;
    char          seen[1024];
    size_t        used = 0;
    assert_int_equal(parse(argv, &own, &common, &args, &err), 0);
    int rc = terms_parse(&args, fake_file, &terms, &err);
    args_release(&args);
    if (rc) {
        assert_int_equal(rc, ERR_USAGE);
        assert_string_equal(err.msg, expected);
        assert_null(terms.items);
        return;
    }
    for (size_t i = 0; i < terms.n; i++)
        used += (size_t)snprintf(seen + used, sizeof seen - used, "%s%g:%c(%s)", i ? " " : "",
                                 (double)terms.items[i].weight, terms.items[i].is_image ? 'i' : 't',
                                 terms.items[i].text);
    terms_release(&terms);
    assert_string_equal(seen, expected);
}
#define TERMS(expected, ...) assert_terms(expected, (const char *const[]){"x", __VA_ARGS__, NULL})

static void words_join_and_signs_part(void **state)
{
    (void)state;
    TERMS("1:t(a dog on a beach)", "a", "dog", "on", "a", "beach");
    TERMS("1:t(a dog on a beach)", "a dog on a beach");
    TERMS("1:t(a) 1:t(b c)", "a", "+", "b", "c");
    TERMS("1:t(a b) -1:t(c)", "a", "b", "-", "c");
    TERMS("1:t(a) 1:t(b) -1:t(c) 1:t(d)", "a", "+", "b", "-", "c", "+", "d");
    TERMS("-1:t(a)", "-", "a");
    TERMS("1:t(a)", "+", "a");
    TERMS("1:t(a+b -c)", "a+b -c");
    TERMS("1:t(a + b)", "a + b");
}

static void weights_stand_before_terms(void **state)
{
    (void)state;
    TERMS("2:t(dog)", "2:dog");
    TERMS("2:t(dog)", "2:", "dog");
    TERMS("0.5:t(a cat) -3:t(dog)", "0.5:a", "cat", "-", "3:", "dog");
    TERMS("0.5:t(cat)", ".5:cat");
    TERMS("2:t(cat)", "2.:cat");
    TERMS("0:t(cat) 1:t(dog)", "0:cat", "+", "dog");
    TERMS("1:t(dog 2: cat)", "dog", "2:", "cat");
    TERMS("2:t(3: cat)", "2:", "3:", "cat");
    TERMS("2:t(3:cat)", "2:3:cat");
    TERMS("2:t( dog)", "2: dog");
    TERMS("1:t(nan:dog)", "nan:dog");
    TERMS("1:t(1e3:dog)", "1e3:dog");
    TERMS("1:t(.:dog)", ".:dog");
    TERMS("1:t(:dog)", ":dog");
    TERMS("1:t(2 dogs)", "2", "dogs");
    TERMS("-2:t(b)", "-", "2:b");
    TERMS("1e+06:t(b)", "1000000:b");
    TERMS("the weight 1000001:b is too large", "1000001:b");
}

static void files_and_images_are_pictures(void **state)
{
    (void)state;
    TERMS("1:i(a/b.jpg)", "a/b.jpg");
    TERMS("2:i(a/b.jpg)", "2:a/b.jpg");
    TERMS("2:i(a/b.jpg)", "2:", "a/b.jpg");
    TERMS("1:t(plain.jpg)", "plain.jpg");
    TERMS("1:i(./my photo.png)", "./my photo.png");
    TERMS("1:t(a/missing.jpg)", "a/missing.jpg");
    TERMS("1:t(black/white)", "black/white");
    TERMS("1:t(dog a/b.jpg)", "dog", "a/b.jpg");
    TERMS("1:t(dog) 1:i(a/b.jpg)", "dog", "+", "a/b.jpg");
    TERMS("1:t(dog) -0.5:i(a/b.jpg) 1:t(x)", "dog", "-", "0.5:a/b.jpg", "+", "x");
    TERMS("1:i(plain.jpg)", "--image", "plain.jpg");
    TERMS("1:i(p) 1:t(a dog)", "a", "--image", "p", "dog");
    TERMS("1:t(dog) -1:i(p)", "dog", "-", "--image", "p");
    TERMS("1:t(dog) -3:i(p) 1:t(cat)", "dog", "-", "3:", "--image=p", "cat");
    TERMS("1:i(p) 1:i(q)", "--image", "p", "--image", "q");
}

static void what_follows_two_dashes_is_literal(void **state)
{
    (void)state;
    TERMS("1:t(+ - 2:)", "--", "+", "-", "2:");
    TERMS("1:t(a/b.jpg)", "--", "a/b.jpg");
    TERMS("1:t(--image p)", "--", "--image", "p");
    TERMS("1:t(--)", "--", "--");
    TERMS("1:t(a) 1:t(b)", "a", "--", "b");
    TERMS("1:t(a) -1:t(3:2 ratio)", "a", "-", "--", "3:2", "ratio");
    TERMS("2:t(3:2)", "2:", "--", "3:2");
    TERMS("1:i(a/b.jpg) 1:t(x)", "a/b.jpg", "--", "x");
    TERMS("1:t(a)", "a", "--");
}

static void empty_terms_are_refused(void **state)
{
    (void)state;
    TERMS("nothing to search for", "--json");
    TERMS("nothing to search for", "--");
    TERMS("a term of the search is empty", "");
    TERMS("a term of the search is empty", " \t");
    TERMS("a term of the search is empty", "--", "");
    TERMS("nothing follows the sign +", "a", "+");
    TERMS("nothing follows the sign -", "-");
    TERMS("nothing follows the sign +", "a", "+", "-", "b");
    TERMS("nothing follows the sign -", "a", "-", "--");
    TERMS("nothing follows the weight 2:", "2:");
    TERMS("nothing follows the weight 2:", "2:", "+", "a");
    TERMS("nothing follows the weight 2:", "a", "+", "2:", "");
    TERMS("nothing follows the weight 0.5: ", "0.5: ");
}

static void terms_have_a_ceiling(void **state)
{
    (void)state;
    enum { MOST = 2 * QUERY_MAX_TERMS };
    const char *argv[MOST + 4] = {"x"};
    size_t      n              = 1;
    for (int i = 0; i < QUERY_MAX_TERMS; i++) {
        argv[n++] = "+";
        argv[n++] = "a";
    }
    struct own    own;
    struct common common;
    struct args   args;
    struct terms  terms;
    struct err    err = ERR_INIT;
    assert_int_equal(parse(argv, &own, &common, &args, &err), 0);
    assert_int_equal(terms_parse(&args, fake_file, &terms, &err), 0);
    assert_int_equal(terms.n, QUERY_MAX_TERMS);
    args_release(&args);
    terms_release(&terms);
    argv[n++] = "+";
    argv[n++] = "a";
    assert_int_equal(parse(argv, &own, &common, &args, &err), 0);
    assert_int_equal(terms_parse(&args, fake_file, &terms, &err), ERR_USAGE);
    args_release(&args);
}

static void embed_reads_nothing_into_its_text(void **state)
{
    (void)state;
    struct own    own;
    struct common common;
    struct args   args;
    struct err    err  = ERR_INIT;
    char         *text = NULL;
    assert_int_equal(PARSE("2:a", "+", "a/b.jpg", "--", "--json"), 0);
    assert_int_equal(terms_literal(&args, &text, &err), 0);
    assert_string_equal(text, "2:a + a/b.jpg --json");
    free(text);
    args_release(&args);
    assert_int_equal(PARSE("", " "), 0);
    assert_int_equal(terms_literal(&args, &text, &err), ERR_USAGE);
    args_release(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(a_value_may_look_like_an_option),
        cmocka_unit_test(an_optional_value_needs_an_equals_sign),
        cmocka_unit_test(after_two_dashes_nothing_is_an_option),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(help_ends_the_checks),
        cmocka_unit_test(arguments_are_counted),
        cmocka_unit_test(common_options_may_lead),
        cmocka_unit_test(typing_mistakes_are_guessed),
        cmocka_unit_test(words_join_and_signs_part),
        cmocka_unit_test(weights_stand_before_terms),
        cmocka_unit_test(files_and_images_are_pictures),
        cmocka_unit_test(what_follows_two_dashes_is_literal),
        cmocka_unit_test(empty_terms_are_refused),
        cmocka_unit_test(terms_have_a_ceiling),
        cmocka_unit_test(embed_reads_nothing_into_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
