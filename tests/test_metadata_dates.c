/* When a picture was taken, by all that tell it: sidecar, EXIF, XMP, IIM; and how that
 * travels.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meta/metadata.h"
#include "meta/metadata_wire.h"
#include "meta/xmp.h"
#include "tests/metadata_files.h"

/* NULL: there is none. xmp, sidecar: attributes. */
struct telling {
    const char *exif_taken, *exif_made, *zone, *xmp, *sidecar, *iim_day, *iim_time, *iim_made;
    int64_t     taken_at;
    bool        is_made;
};

static struct metadata told(const struct telling *t)
{
    struct buf exif, segment, iim, resource, file;
    char       xmp[1100], beside[1100];
    buf_init(&file, 1 << 16);
    buf_init(&segment, 1 << 16);
    buf_init(&iim, 1 << 16);
    buf_init(&resource, 1 << 16);
    make_exif(&exif, t->exif_taken, t->exif_made, t->zone);
    add(&file, "\xFF\xD8", 2);
    if (t->exif_taken || t->exif_made || t->zone) {
        add(&segment, "Exif\0\0", 6);
        add(&segment, exif.data, exif.len);
        add_segment(&file, 0xE1, segment.data, segment.len);
    }
    if (t->xmp) {
        buf_reset(&segment);
        snprintf(xmp, sizeof xmp, "%s", packet("3", t->xmp));
        add(&segment, "http://ns.adobe.com/xap/1.0/", 29);
        add(&segment, xmp, strlen(xmp));
        add_segment(&file, 0xE1, segment.data, segment.len);
    }
    if (t->iim_day)
        add_iim(&iim, 55, t->iim_day);
    if (t->iim_time)
        add_iim(&iim, 60, t->iim_time);
    if (t->iim_made)
        add_iim(&iim, 62, t->iim_made);
    if (iim.len) {
        add(&resource, "Photoshop 3.0\0008BIM\4\4\0\0", 22);
        add_number(&resource, iim.len, 4, true);
        add(&resource, iim.data, iim.len);
        add(&resource, "", iim.len & 1);
        add_segment(&file, 0xED, resource.data, resource.len);
    }
    add_segment(&file, 0xDA, "\1\1\0\0\77\0", 6);
    add(&file, "\xFF\xD9", 2);
    snprintf(beside, sizeof beside, "%s", t->sidecar ? packet("3", t->sidecar) : "");
    struct metadata m = read_file(&file, t->sidecar ? beside : NULL);
    buf_release(&exif);
    buf_release(&segment);
    buf_release(&iim);
    buf_release(&resource);
    buf_release(&file);
    return m;
}

#define IS_1987 INT64_C(536457600)
#define IS_1990 INT64_C(631152000)
#define IS_1999 INT64_C(915148800)
#define IS_2004 INT64_C(1072915200)
#define IS_NOON INT64_C(1086091200) /* 2004-06-01 12:00 */

static void dates_are_weighed(void **state)
{
    static const struct telling all[] = {
        {.taken_at = 0},
        {.exif_taken = "2004:06:01 12:00:00", .taken_at = IS_NOON},
        {.exif_taken = "2004:06:01 12:00:00", .zone = "+02:00", .taken_at = IS_NOON - 7200},
        {.exif_taken = "0000:00:00 00:00:00", .taken_at = 0},
        {.exif_made = "2004:06:01 12:00:00", .taken_at = IS_NOON, .is_made = true},
        {.exif_made = "1999:01:01 00:00:00", .iim_day = "19870000", .taken_at = IS_1987},
        {.iim_day = "20040601", .iim_time = "120000+0200", .taken_at = IS_NOON - 7200},
        {.iim_day = "20040601", .iim_time = "120000", .zone = "+02:00", .taken_at = IS_NOON - 7200},
        {.iim_time = "120000+0200", .taken_at = 0},
        {.iim_made = "19900101", .taken_at = IS_1990, .is_made = true},
        /* The file's XMP: before IIM, after EXIF. */
        {.xmp = " photoshop:DateCreated='1987'", .taken_at = IS_1987},
        {.xmp = " exif:DateTimeOriginal='1987-01-01T00:00:00'", .taken_at = IS_1987},
        {.xmp = " photoshop:DateCreated='1987' exif:DateTimeOriginal='1990'", .taken_at = IS_1987},
        {.xmp = " photoshop:DateCreated='1987'", .iim_day = "19990101", .taken_at = IS_1987},
        {.xmp        = " photoshop:DateCreated='1987'",
         .exif_taken = "1999:01:01 00:00:00",
         .taken_at   = IS_1999},
        {.xmp = " photoshop:DateCreated='nonsense'", .iim_day = "19990101", .taken_at = IS_1999},
        /* When the file was made counts after all that tell when it was taken. */
        {.xmp = " xmp:CreateDate='1990-01-01'", .taken_at = IS_1990, .is_made = true},
        {.xmp = " exif:DateTimeDigitized='1990-01-01'", .taken_at = IS_1990, .is_made = true},
        {.xmp = " xmp:CreateDate='1990-01-01'", .iim_day = "19870000", .taken_at = IS_1987},
        {.sidecar    = " xmp:CreateDate='1990-01-01'",
         .exif_taken = "1999:01:01 00:00:00",
         .taken_at   = IS_1999},
        /* The sidecar before all, in EXIF's zone where it has none. */
        {.sidecar    = " exif:DateTimeOriginal='2004:06:01 12:00:00.000'",
         .exif_taken = "1999:01:01 00:00:00",
         .xmp        = " photoshop:DateCreated='1987'",
         .taken_at   = IS_NOON},
        {.sidecar    = " exif:DateTimeOriginal='2004-06-01T12:00:00'",
         .exif_taken = "1999:01:01 00:00:00",
         .zone       = "+02:00",
         .taken_at   = IS_NOON - 7200},
        {.sidecar    = " exif:DateTimeOriginal='2004-06-01T12:00:00Z'",
         .exif_taken = "1999:01:01 00:00:00",
         .zone       = "+02:00",
         .taken_at   = IS_NOON},
        /* A coarse one gives way to a finer one within it, and to no other. */
        {.sidecar    = " photoshop:DateCreated='2004'",
         .exif_taken = "2004:06:01 12:00:00",
         .taken_at   = IS_NOON},
        {.sidecar    = " photoshop:DateCreated='2004'",
         .exif_taken = "2005:06:01 12:00:00",
         .taken_at   = IS_2004},
        {.xmp      = " photoshop:DateCreated='2004' exif:DateTimeOriginal='2004-06-01T12:00:00'",
         .taken_at = IS_NOON},
        {.xmp      = " photoshop:DateCreated='2004' xmp:CreateDate='2004-06-01T12:00:00'",
         .taken_at = IS_2004},
        {.exif_taken = "1970:01:01 00:00:00", .taken_at = 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!xmp_is_here() && (all[i].xmp || all[i].sidecar))
            continue;
        struct metadata m = told(&all[i]);
        if (m.taken_at != all[i].taken_at || m.is_made != all[i].is_made)
            fail_msg("%zu: %lld, %d", i, (long long)m.taken_at, m.is_made);
        metadata_release(&m);
    }
}

static void the_decoders_date_is_weighed(void **state)
{
    struct metadata none = {0}, taken = {.taken_at = 5}, made = {.taken_at = 5, .is_made = true};
    (void)state;
    assert_int_equal(metadata_taken_at(&none, 9), 9);
    assert_int_equal(metadata_taken_at(&none, 0), 0);
    assert_int_equal(metadata_taken_at(&taken, 9), 5);
    assert_int_equal(metadata_taken_at(&made, 9), 9);
    assert_int_equal(metadata_taken_at(&made, 0), 5);
}

static void dates_travel_and_are_checked(void **state)
{
    static const struct {
        int64_t date[2];
        bool    is;
    } cases[] = {{{1, 0}, true},
                 {{-468028800, 1}, true},
                 {{INT64_MAX, 0}, false},
                 {{INT64_MIN, 0}, false},
                 {{0, 0}, false},
                 {{5, 2}, false},
                 {{5, -1}, false},
                 {{253402300800, 0}, false},
                 {{253402300799, 0}, true},
                 {{-62135596800, 1}, true},
                 {{-62135596801, 1}, false}};
    (void)state;
    struct buf whole;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct metadata m = {.taken_at = 7}, back;
        buf_init(&whole, 1 << 10);
        assert_int_equal(metadata_pack(&m, &whole, NULL), 0);
        assert_int_equal(whole.len, 8 + sizeof cases[i].date);
        memcpy(whole.data + 8, cases[i].date, sizeof cases[i].date);
        int rc = metadata_unpack((const uint8_t *)whole.data, whole.len, &back, NULL);
        assert_int_equal(rc, cases[i].is ? 0 : ERR_FORMAT);
        assert_int_equal(back.taken_at, cases[i].is ? cases[i].date[0] : 0);
        assert_int_equal(back.is_made, cases[i].is && cases[i].date[1]);
        metadata_release(&back);
        /* Shorter than it should be. */
        whole.data[4] = 8;
        assert_int_equal(metadata_unpack((const uint8_t *)whole.data, 16, &back, NULL), ERR_FORMAT);
        buf_release(&whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_weighed),
        cmocka_unit_test(the_decoders_date_is_weighed),
        cmocka_unit_test(dates_travel_and_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
