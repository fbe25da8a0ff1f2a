/* Metadata in files of boxes: HEIF's items, JPEG XL's boxes, a film's place; each file whole,
 * cut after every byte, and with every byte changed. And dates, which places weigh: sidecar,
 * EXIF, XMP, IIM.
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
#include "meta/metadata_wire.h"
#include "meta/xmp.h"
#include "tests/metadata_files.h"

#define PACKET                                                                                     \
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF "                                                \
    "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "       \
    "xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:exif='http://ns.adobe.com/exif/1.0/' "         \
    "xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' "                                        \
    "xmp:Rating='%s'%s/></rdf:RDF></x:xmpmeta>"

static const char *packet(const char *rating, const char *more)
{
    static char text[2][1024];
    static int  turn;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], PACKET, rating, more);
    return text[turn];
}

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

/* EXIF with the dates given (NULL: without), in the order of their tags. */
static void make_exif(struct buf *b, const char *taken, const char *made, const char *zone)
{
    const struct {
        int         tag;
        const char *text;
    } fields[]   = {{0x9003, taken}, {0x9004, made}, {0x9011, zone}, {0x9012, zone}};
    size_t count = (taken != NULL) + (made != NULL) + 2U * (zone != NULL);
    size_t at    = 26 + 2 + count * 12 + 4;
    buf_init(b, 1 << 16);
    add(b, "MM\0*\0\0\0\10\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x1A\0\0\0\0", 26);
    add_number(b, count, 2, true);
    for (size_t i = 0; i < 4; i++) {
        size_t n = fields[i].text ? strlen(fields[i].text) + 1 : 0;
        if (!n)
            continue;
        add_number(b, (unsigned)fields[i].tag, 2, true);
        add_number(b, 2, 2, true);
        add_number(b, n, 4, true);
        add_number(b, at, 4, true);
        at += n;
    }
    add_number(b, 0, 4, true);
    for (size_t i = 0; i < 4; i++) {
        if (fields[i].text)
            add(b, fields[i].text, strlen(fields[i].text) + 1);
    }
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

static struct metadata read_file(const struct buf *file, const char *sidecar)
{
    struct metadata       m;
    struct err            err   = ERR_INIT;
    struct metadata_files files = {.picture   = (const uint8_t *)file->data,
                                   .picture_n = file->len,
                                   .sidecar   = (const uint8_t *)sidecar,
                                   .sidecar_n = sidecar ? strlen(sidecar) : 0};
    if (metadata_read(&files, &m, &err))
        fail_msg("%s", err.msg);
    return m;
}

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

static void items_of_heif_are_read(void **state)
{
    static const struct heif_shape shapes[] = {
        {0, false, false}, {0, false, true}, {1, false, true}, {1, true, true}, {2, true, false}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct buf file;
        make_heif(&file, &shapes[i]);
        struct metadata m = read_file(&file, NULL);
        assert_int_equal(m.taken_at, 1323782116);
        assert_false(m.is_made);
        if (xmp_is_here())
            assert_int_equal(m.rating, 5);
        metadata_release(&m);
        survives(&file);
        buf_release(&file);
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
        struct metadata m = read_file(&file, NULL);
        assert_int_equal(m.taken_at, 1323782116);
        if (xmp_is_here())
            assert_int_equal(m.rating, 5);
        metadata_release(&m);
        survives(&file);
        buf_release(&file);
    }
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

/* ---- Dates ---- */

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
        cmocka_unit_test(items_of_heif_are_read),
        cmocka_unit_test(boxes_of_jxl_are_read),
        cmocka_unit_test(the_place_of_a_film_is_read),
        cmocka_unit_test(the_place_of_3gpp_is_read),
        cmocka_unit_test(nothing_can_be_put_there),
        cmocka_unit_test(dates_are_weighed),
        cmocka_unit_test(the_decoders_date_is_weighed),
        cmocka_unit_test(dates_travel_and_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
