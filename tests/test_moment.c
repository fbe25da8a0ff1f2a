/* Dates as pictures tell them (base/moment.h): each form, whole and partly known, with the
 * zones; what is none; and which of two counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/moment.h"

#define DAY INT64_C(86400)

struct sample {
    const char *text, *zone;
    int64_t     from, span; /* span 0: no date */
};

static void dates_are_read(void **state)
{
    static const struct sample samples[] = {
        /* EXIF */
        {"2024:02:29 23:59:58", NULL, 1709251198, 1},
        {"2024:02:29 23:59:58", "+02:00", 1709251198 - 7200, 1},
        {"2024:02:29 23:59:58", "-03:30", 1709251198 + 12600, 1},
        {"2024:02:29 23:59:58", "nowhere", 1709251198, 1},
        {"2024:02:29 23:59:58", "+15:00", 1709251198, 1},
        {"2024:02:29 23:59:58", "", 1709251198, 1},
        {"2024:02:29T23:59:58", NULL, 1709251198, 1},
        {"2016:12:31 23:59:60", NULL, 1483228800, 1}, /* a leap second */
        {"1970:01:01 00:00:00", NULL, 1, 1},          /* 0 is no date */
        {"1970:01:01 02:00:00", "+02:00", 1, 1},
        {"1969:12:31 23:59:59", NULL, -1, 1},
        {"1987:06:00 00:00:00", NULL, 549504000, 30 * DAY},
        {"1987:00:00 00:00:00", NULL, 536457600, 365 * DAY},
        {"1988:  :     :  :  ", NULL, 567993600, 366 * DAY},
        {"1987:06:  ", NULL, 549504000, 30 * DAY},
        {"1987:06:02   :  :  ", NULL, 549590400, DAY},
        /* XMP */
        {"1923", NULL, -1483228800, 365 * DAY},
        {"1900", NULL, -2208988800, 365 * DAY},
        {"2000", NULL, 946684800, 366 * DAY},
        {"1970", NULL, 1, 365 * DAY},
        {"1923", "+02:00", -1483228800, 365 * DAY},
        {"2004-02", NULL, 1075593600, 29 * DAY},
        {"2004-12", NULL, 1101859200, 31 * DAY},
        {"2004-06-01", NULL, 1086048000, DAY},
        {"2004-06-01T12:00", NULL, 1086091200, 1},
        {"2004-06-01T12:00+02:00", "-05:00", 1086084000, 1},
        {"2004-06-01T12:00:30Z", "+02:00", 1086091230, 1},
        {"2004-06-01T12:00:30.250+02:00", NULL, 1086084030, 1},
        {"2004-06-01T12:00:30.", NULL, 1086091230, 1},
        {" 2004-06-01T12:00:30 +0200", NULL, 1086084030, 1},
        {"2024-02-29T21:29:58.000000Z", NULL, 1709242198, 1},
        {"0001-01-01T00:00:00", NULL, MOMENT_FIRST, 1},
        {"9999-12-31T23:59:59", NULL, MOMENT_END - 1, 1},
        /* IIM */
        {"19550304", NULL, -468028800, DAY},
        {"19550304T101112+0100", NULL, -467995728, 1},
        {"19550304T101112", NULL, -467992128, 1},
        {"19550300", NULL, -468288000, 31 * DAY},
        {"19550000", NULL, -473385600, 365 * DAY},
        /* None of them */
        {"", NULL, 0, 0},
        {NULL, NULL, 0, 0},
        {"    :  :     :  :  ", NULL, 0, 0},
        {"0000:00:00 00:00:00", NULL, 0, 0},
        {"0000", NULL, 0, 0},
        {"20", NULL, 0, 0},
        {"circa 1950", NULL, 0, 0},
        {"1950s", NULL, 0, 0},
        {"2024:13:01 00:00:00", NULL, 0, 0},
        {"2024:02:30 00:00:00", NULL, 0, 0},
        {"2023:02:29 00:00:00", NULL, 0, 0},
        {"2024:01:01 24:00:00", NULL, 0, 0},
        {"2024:01:01 12:60:00", NULL, 0, 0},
        {"2024:01:01 12:00:61", NULL, 0, 0},
        {"2024:01:01 12", NULL, 0, 0},
        {"2024:01:01 noon", NULL, 0, 0},
        {"2024:1:01 12:00:00", NULL, 0, 0},
        {"0001-01-01T00:00:00+02:00", NULL, 0, 0},
        {"9999-12-31T23:59:59-02:00", NULL, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *s    = &samples[i];
        struct moment        m    = {7, 7};
        /* Behind its end there is nothing to be read. */
        char                *text = s->text ? malloc(strlen(s->text) + 1) : NULL;
        if (text)
            memcpy(text, s->text, strlen(s->text) + 1);
        bool is = moment_parse(text, s->zone, &m);
        free(text);
        if (is != (s->span > 0) || m.from != s->from || m.span != s->span)
            fail_msg("'%s' %s: %lld, %lld", s->text ? s->text : "(none)", s->zone ? s->zone : "",
                     (long long)m.from, (long long)m.span);
    }
}

static void every_cut_is_bounded(void **state)
{
    static const char whole[] = "2004-06-01T12:00:30.250+02:00";
    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        char *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut, whole, n);
        cut[n] = '\0';
        struct moment m;
        bool          is = moment_parse(cut, NULL, &m);
        assert_true(is == (m.span > 0));
        if (n >= 4 && is) /* the same, more or less coarsely, or in another zone */
            assert_true(m.from >= 1072915200 && m.from <= 1086091230);
        free(cut);
    }
}

static void a_finer_one_within_counts(void **state)
{
    struct moment none = {0}, year, other, day, second, same;
    (void)state;
    assert_true(moment_parse("2004", NULL, &year));
    assert_true(moment_parse("2005", NULL, &other));
    assert_true(moment_parse("2004-06-01", NULL, &day));
    assert_true(moment_parse("2004-06-01T12:00:00", NULL, &second));
    assert_true(moment_parse("2004-06-01T13:00:00", NULL, &same));
    const struct {
        const struct moment *first, *second, *counts;
    } cases[] = {{&none, &year, &year},      {&year, &none, &year},     {&year, &day, &day},
                 {&day, &year, &day},        {&day, &second, &second},  {&other, &second, &other},
                 {&second, &other, &second}, {&second, &same, &second}, {&none, &none, &none}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct moment m = moment_of_two(cases[i].first, cases[i].second);
        assert_int_equal(m.from, cases[i].counts->from);
        assert_int_equal(m.span, cases[i].counts->span);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read),
        cmocka_unit_test(every_cut_is_bounded),
        cmocka_unit_test(a_finer_one_within_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
