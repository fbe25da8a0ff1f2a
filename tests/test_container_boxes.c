/* Metadata in files of boxes: HEIF's items, JPEG XL's boxes, a film's place; each file whole,
 * cut after every byte, and with every byte changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "meta/container.h"
#include "meta/metadata.h"
#include "meta/xmp.h"
#include "tests/metadata_files.h"

/* ---- Files ---- */

static size_t begin_box(struct buf *b, const char *name)
{
    add_number(b, 0, 4, true);
    add(b, name, 4);
    return b->len - 8;
}

static void end_box(struct buf *b, size_t at)
{
    size_t n = b->len - at;
    for (size_t i = 0; i < 4; i++)
        b->data[at + i] = (char)(n >> 8 * (3 - i));
}

static void add_box(struct buf *b, const char *name, const void *data, size_t n)
{
    size_t at = begin_box(b, name);
    add(b, data, n);
    end_box(b, at);
}

struct heif_shape {
    int  version;     /* of iloc */
    bool in_idat;     /* the packet lies there, in two pieces; else EXIF and it in the file */
    bool other_first; /* an item before them that describes another picture */
};

static void add_entry(struct buf *b, int id, const char *type, const char *more, size_t n)
{
    size_t at = begin_box(b, "infe");
    add_number(b, 2 << 24, 4, true);
    add_number(b, (unsigned)id, 2, true);
    add_number(b, 0, 2, true);
    add(b, type, 4);
    add(b, more, n);
    end_box(b, at);
}

static void add_reference(struct buf *b, int from, int to)
{
    size_t at = begin_box(b, "cdsc");
    add_number(b, (unsigned)from, 2, true);
    add_number(b, 1, 2, true);
    add_number(b, (unsigned)to, 2, true);
    end_box(b, at);
}

/* An item's place: offsets of 4 bytes, lengths of 4, a base of 4. */
static void add_place(struct buf *b, const struct heif_shape *s, int id, bool inside, size_t base,
                      size_t n, size_t pieces)
{
    add_number(b, (unsigned)id, s->version < 2 ? 2 : 4, true);
    if (s->version)
        add_number(b, inside, 2, true);
    add_number(b, 0, 2, true);
    add_number(b, base, 4, true);
    add_number(b, pieces, 2, true);
    for (size_t i = 0; i < pieces; i++) {
        size_t from = n * i / pieces, to = n * (i + 1) / pieces;
        add_number(b, from, 4, true);
        add_number(b, to - from, 4, true);
    }
}

/* Items: 1 the picture, 2 EXIF, 3 a packet that rates it 5, 4 one of another that rates 1. */
static void make_heif(struct buf *b, const struct heif_shape *s)
{
    struct buf        exif;
    char              five[1024], one[1024];
    size_t            places, at = 0;
    static const char mime[] = "\0application/rdf+xml\0";
    snprintf(five, sizeof five, "%s", packet("5", ""));
    snprintf(one, sizeof one, "%s", packet("1", ""));
    make_exif(&exif, "2011:12:13 14:15:16", NULL, "+01:00");
    for (int pass = 0; pass < 2; pass++) { /* the second knows where they lie */
        buf_init(b, 1 << 16);
        add_box(b, "ftyp", "heic\0\0\0\0mif1heic", 16);
        size_t meta = begin_box(b, "meta");
        add_number(b, 0, 4, true);
        add_box(b, "hdlr", "\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0", 25);
        add_box(b, "pitm", "\0\0\0\0\0\1", 6);
        places = begin_box(b, "iloc");
        add_number(b, (unsigned)s->version << 24, 4, true);
        add_number(b, 0x4440 & 0xFFF0, 2, true);
        add_number(b, s->other_first ? 3 : 2, s->version < 2 ? 2 : 4, true);
        if (s->other_first)
            add_place(b, s, 4, false, at + exif.len + 4 + strlen(five), strlen(one), 1);
        add_place(b, s, 3, s->in_idat, s->in_idat ? 0 : at + exif.len + 4, strlen(five),
                  s->in_idat ? 2 : 1);
        add_place(b, s, 2, false, at, exif.len + 4, 1);
        end_box(b, places);
        size_t entries = begin_box(b, "iinf");
        add_number(b, 0, 4, true);
        add_number(b, s->other_first ? 4 : 3, 2, true);
        add_entry(b, 1, "hvc1", "", 1);
        if (s->other_first)
            add_entry(b, 4, "mime", mime, sizeof mime - 1);
        add_entry(b, 2, "Exif", "", 1);
        add_entry(b, 3, "mime", mime, sizeof mime - 1);
        end_box(b, entries);
        size_t references = begin_box(b, "iref");
        add_number(b, 0, 4, true);
        add_reference(b, 4, 7);
        add_reference(b, 2, 1);
        add_reference(b, 3, 1);
        end_box(b, references);
        if (s->in_idat)
            add_box(b, "idat", five, strlen(five));
        end_box(b, meta);
        size_t data = begin_box(b, "mdat");
        at          = b->len;
        add_number(b, 0, 4, true); /* no byte before the TIFF header */
        add(b, exif.data, exif.len);
        add(b, five, strlen(five));
        add(b, one, strlen(one));
        end_box(b, data);
        if (!pass)
            buf_release(b);
    }
    buf_release(&exif);
}

/* A compressed box as it is without compression (RFC 7932, section 9.2): a window of 16 bits,
 * one block of bytes as they are, an empty last one. */
static void add_packed(struct buf *b, const char *name, const char *data, size_t n)
{
    size_t at = begin_box(b, "brob");
    add(b, name, 4);
    add_number(b, (n - 1) << 4 | 1 << 20, 3, false);
    add(b, data, n);
    add(b, "\3", 1);
    end_box(b, at);
}

static void make_jxl(struct buf *b, const char *skip, size_t skip_n)
{
    struct buf exif, box;
    make_exif(&exif, "2011:12:13 14:15:16", NULL, "+01:00");
    buf_init(&box, 1 << 16);
    buf_init(b, 1 << 16);
    add(&box, skip, skip_n);
    add(&box, exif.data, exif.len);
    add(b, "\0\0\0\14JXL \r\n\x87\n", 12);
    add_box(b, "ftyp", "jxl \0\0\0\0jxl ", 12);
    add_box(b, "jxlc", "\xFF\n", 2);
    add_box(b, "Exif", box.data, box.len);
    add_box(b, "xml ", packet("5", ""), strlen(packet("5", "")));
    buf_release(&exif);
    buf_release(&box);
}

static const uint8_t adobe[16] = {0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8,
                                  0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC};

enum film { FILM_XYZ, FILM_KEYS, FILM_ISO_KEYS, FILM_LOCI, FILM_LOCI_WIDE };

static void add_keys(struct buf *b, bool iso, const char *place)
{
    static const char name[] = "com.apple.quicktime.location.ISO6709";
    size_t            meta   = begin_box(b, "meta");
    add(b, "\0\0\0\0", iso ? 4 : 0);
    add_box(b, "hdlr", "\0\0\0\0\0\0\0\0mdta\0\0\0\0\0\0\0\0\0\0\0\0\0", 25);
    size_t keys = begin_box(b, "keys");
    add(b, "\0\0\0\0\0\0\0\2", 8);
    add_box(b, "mdta", "com.apple.quicktime.make", 24);
    add_box(b, "mdta", name, sizeof name - 1);
    end_box(b, keys);
    size_t list = begin_box(b, "ilst");
    for (int i = 1; i <= 2; i++) {
        const char number[4] = {0, 0, 0, (char)i};
        size_t     item = begin_box(b, number), data = begin_box(b, "data");
        add(b, "\0\0\0\1\0\0\0\0", 8);
        add(b, i == 1 ? "Apple" : place, strlen(i == 1 ? "Apple" : place));
        end_box(b, data);
        end_box(b, item);
    }
    end_box(b, list);
    end_box(b, meta);
}

static void make_film(struct buf *b, enum film kind, const char *place)
{
    buf_init(b, 1 << 16);
    add_box(b, "ftyp", "qt  \0\0\0\0qt  ", 12);
    add(b, "\0\0\0\1mdat\0\0\0\0\0\0\0\24film", 20); /* a size of 64 bits */
    add_box(b, "uuid", "another number..", 16);
    size_t movie = begin_box(b, "moov");
    add_box(b, "mvhd", "", 0);
    if (kind == FILM_KEYS || kind == FILM_ISO_KEYS)
        add_keys(b, kind == FILM_ISO_KEYS, place);
    size_t user = begin_box(b, "udta");
    if (kind == FILM_XYZ) {
        size_t text = begin_box(b, "\251xyz");
        add_number(b, strlen(place), 2, true);
        add_number(b, 0x15C7, 2, true);
        add(b, place, strlen(place));
        end_box(b, text);
    } else if (kind == FILM_LOCI || kind == FILM_LOCI_WIDE) {
        size_t loci = begin_box(b, "loci");
        add(b, "\0\0\0\0\x15\xC7", 6);
        if (kind == FILM_LOCI)
            add(b, "Rome", 5);
        else
            add(b, "\xFE\xFF\0R\0o\0\0", 8);
        /* In the east by 12.5, in the south by 128, which is too far. */
        add(b, "\0\0\x0C\x80\0\xFF\x80\0\0\0\0\0\0", 13);
        end_box(b, loci);
    }
    end_box(b, user);
    end_box(b, movie);
    size_t own = begin_box(b, "uuid");
    add(b, adobe, sizeof adobe);
    add(b, packet("5", ""), strlen(packet("5", "")));
    end_box(b, own);
}

/* ---- Reading ---- */

/* Damage of any kind says something or nothing, within the bytes that there are. */
static void survives(const struct buf *file)
{
    for (size_t i = 0; i < 2 * file->len; i++) {
        bool             cut  = i < file->len;
        size_t           n    = cut ? i : file->len;
        uint8_t         *copy = mem_array(n, 1);
        struct container c;
        assert_non_null(copy);
        memcpy(copy, file->data, n);
        if (!cut)
            copy[i - file->len] ^= 0xFF;
        assert_int_equal(container_look(copy, n, &c, NULL), 0);
        volatile uint8_t last = 0;
        if (c.xmp.len)
            last = c.xmp.data[c.xmp.len - 1];
        if (c.exif.len)
            last = c.exif.data[c.exif.len - 1];
        (void)last;
        container_release(&c);
        free(copy);
    }
}

/* A file with make_exif's date and the rating of packet("5"), damaged afterwards; released. */
static void says_all(struct buf *file)
{
    struct metadata m = read_file(file, NULL);
    assert_int_equal(m.taken_at, 1323782116);
    assert_false(m.is_made);
    if (xmp_is_here())
        assert_int_equal(m.rating, 5);
    metadata_release(&m);
    survives(file);
    buf_release(file);
}

static void items_of_heif_are_read(void **state)
{
    static const struct heif_shape shapes[] = {
        {0, false, false}, {0, false, true}, {1, false, true}, {1, true, true}, {2, true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct buf file;
        make_heif(&file, &shapes[i]);
        says_all(&file);
    }
}

static void boxes_of_jxl_are_read(void **state)
{
    static const struct {
        const char *skip;
        size_t      n;
    } heads[] = {{"\0\0\0\0", 4}, {"", 0}, {"\0\0\0\6Exif\0\0", 10}, {"\0\0\0\0Exif\0\0", 10}};
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct buf file;
        make_jxl(&file, heads[i].skip, heads[i].n);
        says_all(&file);
    }
}

static void packed_boxes_of_jxl_are_read(void **state)
{
    struct buf file, exif;
    (void)state;
    if (!container_unpacks())
        skip();
    make_exif(&exif, "2011:12:13 14:15:16", NULL, "+01:00");
    buf_init(&file, 1 << 18);
    add(&file, "\0\0\0\14JXL \r\n\x87\n", 12);
    add_box(&file, "brob", "xml \x21 broken", 12);
    add_box(&file, "brob", "Ex", 2);
    add_packed(&file, "jbrd", "what rebuilds a JPEG", 20);
    add_packed(&file, "Exif", exif.data, exif.len);
    add_packed(&file, "xml ", packet("5", ""), strlen(packet("5", "")));
    add_packed(&file, "xml ", packet("4", ""), strlen(packet("4", "")));
    says_all(&file);
    buf_release(&exif);
}

static void the_place_of_a_film_is_read(void **state)
{
    static const struct {
        enum film   kind;
        const char *text;
        bool        is;
        double      latitude, longitude;
    } cases[] = {
        {FILM_XYZ, "+52.5200+013.4050/", true, 52.52, 13.405},
        {FILM_XYZ, "-33.8688-151.2093+058.000/", true, -33.8688, -151.2093},
        {FILM_KEYS, "+48.1+011.5+519.3/", true, 48.1, 11.5},
        {FILM_ISO_KEYS, "+48.1+011.5/", true, 48.1, 11.5},
        {FILM_XYZ, "+5230.6-01324.6/", true, 52.51, -13.41},
        {FILM_XYZ, "+523036+0132436.0/", true, 52.51, 13.41},
        {FILM_XYZ, "+9.5+5.25/", true, 9.5, 5.25},
        {FILM_XYZ, "+52+013/", true, 52, 13},
        {FILM_XYZ, "+00.0000+000.0000/", false, 0, 0}, /* what has no fix */
        {FILM_XYZ, "+91.0+013.0/", false, 0, 0},
        {FILM_XYZ, "+52.5", false, 0, 0},
        {FILM_XYZ, "somewhere", false, 0, 0},
        {FILM_XYZ, "+0x10+013.0/", false, 0, 0},
        {FILM_XYZ, "+523+013.0/", false, 0, 0},
        {FILM_XYZ, "", false, 0, 0},
        {FILM_LOCI, "", false, 0, 0}, /* beyond the pole */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf file;
        make_film(&file, cases[i].kind, cases[i].text);
        struct metadata m = read_file(&file, NULL);
        if (m.has_place != cases[i].is)
            fail_msg("%s: %s", cases[i].text, m.has_place ? "a place" : "no place");
        assert_float_equal(m.latitude, cases[i].latitude, 1e-9);
        assert_float_equal(m.longitude, cases[i].longitude, 1e-9);
        if (xmp_is_here())
            assert_int_equal(m.rating, 5);
        metadata_release(&m);
        survives(&file);
        buf_release(&file);
    }
}

static void the_place_of_3gpp_is_read(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct buf file;
        make_film(&file, wide ? FILM_LOCI_WIDE : FILM_LOCI, "");
        char *at = memmem(file.data, file.len, "\xFF\x80\0\0", 4);
        assert_non_null(at);
        memcpy(at, "\xFF\xF0\x80\0", 4); /* 15.5 south */
        struct metadata m = read_file(&file, NULL);
        assert_true(m.has_place);
        assert_float_equal(m.latitude, -15.5, 1e-9);
        assert_float_equal(m.longitude, 12.5, 1e-9);
        metadata_release(&m);
        survives(&file);
        buf_release(&file);
    }
}

static void nothing_can_be_put_there(void **state)
{
    struct buf             file;
    struct container_parts parts;
    (void)state;
    make_jxl(&file, "", 0);
    assert_int_equal(
        container_splice((const uint8_t *)file.data, file.len, "<x/>", 4, &parts, NULL),
        ERR_UNSUPPORTED);
    buf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_heif_are_read),
        cmocka_unit_test(boxes_of_jxl_are_read),
        cmocka_unit_test(packed_boxes_of_jxl_are_read),
        cmocka_unit_test(the_place_of_a_film_is_read),
        cmocka_unit_test(the_place_of_3gpp_is_read),
        cmocka_unit_test(nothing_can_be_put_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
