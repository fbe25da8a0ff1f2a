/* Unit tests of storage/filter_text: what people write means what it names, all else is
 * refused. */
#include "image/formats.h"
#include "library_fixture.h"
#include "storage/filter_text.h"

static void texts_say_what_they_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t     from, to; /* Unix seconds; equal: no date */
    } dates[] = {
        {"2024", 1704067200, 1735689599},
        {"2024-02", 1706745600, 1709251199},
        {"2024-02-29", 1709164800, 1709251199},
        {"1970-01-01", 0, 86399},
        {"2023-02-29", 0, 0},
        {"2024-13", 0, 0},
        {"24", 0, 0},
        {"2024-2", 0, 0},
        {"2024-02-3", 0, 0},
        {"", 0, 0},
        {"yesterday", 0, 0},
        {"2024-02-29T1", 0, 0},
    };
    struct err            err = ERR_INIT;
    struct library_filter f   = {.folder_id = 0};
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        int64_t from = 0, to = 0;
        bool    good = dates[i].from != dates[i].to;
        assert_int_equal(filter_text_is_date(dates[i].text, false, &from), good);
        assert_int_equal(filter_text_is_date(dates[i].text, true, &to), good);
        assert_true(!good || (from == dates[i].from && to == dates[i].to));
    }
    assert_ok(filter_text_rating("x", "3", &f, &err), &err);
    assert_true(f.min_rating == 3 && f.max_rating == 5 && f.has_rating);
    assert_ok(filter_text_rating("x", "0-2", &f, &err), &err);
    assert_true(f.min_rating == 0 && f.max_rating == 2);
    assert_ok(filter_text_rating("x", "rejected", &f, &err), &err);
    assert_true(f.min_rating == -1 && f.max_rating == -1);
    static const char *const no_ratings[] = {"6", "3-1", "", "good", "3-", "-1", "2-6"};
    for (size_t i = 0; i < sizeof no_ratings / sizeof *no_ratings; i++)
        assert_int_equal(filter_text_rating("x", no_ratings[i], &f, &err), ERR_USAGE);
    assert_ok(filter_text_near("x", "-48.5,16.25,0.5", &f, &err), &err);
    assert_true(f.latitude == -48.5 && f.longitude == 16.25 && f.near_km == 0.5);
    static const char *const nowhere[] = {"1,2",    "1,2,3,4", "91,0,1",  "0,181,1",
                                          "0,0,-1", "a,b,c",   "nan,0,1", ""};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_int_equal(filter_text_near("x", nowhere[i], &f, &err), ERR_USAGE);
    assert_ok(filter_text_size("x", "2M", &f, &err), &err);
    assert_int_equal(f.min_size, 2000000);
    assert_ok(filter_text_size("x", "1920x1080", &f, &err), &err);
    assert_true(f.min_width == 1920 && f.min_height == 1080);
    static const char *const no_sizes[] = {"", "M", "1.5x2", "10q", "-1", "1x", "x1"};
    for (size_t i = 0; i < sizeof no_sizes / sizeof *no_sizes; i++)
        assert_int_equal(filter_text_size("x", no_sizes[i], &f, &err), ERR_USAGE);
    static const struct {
        const char *text;
        unsigned    kinds;
    } words[] = {
        {"JPG", 1u << IMAGE_JPEG},
        {"png", 1u << IMAGE_PNG},
        {"ppm", 1u << IMAGE_PNM},
        {"jxl", 1u << IMAGE_JXL},
        {"jpeg XL", 1u << IMAGE_JXL},
        {"raw", 1u << IMAGE_RAW},
        {"cr2", 1u << IMAGE_RAW},
        {"mkv", 1u << IMAGE_MATROSKA},
        {"video", 1u << IMAGE_MP4 | 1u << IMAGE_MOV | 1u << IMAGE_MATROSKA | 1u << IMAGE_WEBM |
                      1u << IMAGE_AVI},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        assert_ok(filter_text_kind("x", words[i].text, &f, &err), &err);
        assert_int_equal(f.kinds, words[i].kinds);
    }
    static const char *const no_kinds[] = {"foo",  "",  " ",        "unknown",
                                           ".jpg", "p", "jpeg,png", "png .apng"};
    for (size_t i = 0; i < sizeof no_kinds / sizeof *no_kinds; i++)
        assert_int_equal(filter_text_kind("x", no_kinds[i], &f, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "JPEG, PNG, "));
    assert_non_null(strstr(err.msg, "or video"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_say_what_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
