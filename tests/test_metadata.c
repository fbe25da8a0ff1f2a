/* core/meta's reading and changing: what is Osprey's and what is others', in the file and
 * beside it; and the packed forms, which believe nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "meta/container.h"
#include "meta/iim.h"
#include "meta/metadata.h"
#include "meta/metadata_wire.h"
#include "meta/tiff_fields.h"
#include "meta/xmp.h"
#include "tests/metadata_files.h"
#include "tests/metadata_shot.h"

static void reads_what_others_wrote(void **state)
{
    struct shot s = shot_new(
        RDF_BEGIN LIST("dc:subject", ITEM("dog") ITEM("Berlin") ITEM("animal") ITEM("  a  b "))
            LIST("lr:hierarchicalSubject", ITEM("animal|dog") ITEM("darktable|exported")) LIST(
                "digiKam:TagsList", ITEM("Places/Rome") ITEM("animal/dog")) TEXT("dc:description",
                                                                                 "A dog\n runs")
                TEXT("Iptc4xmpCore:AltTextAccessibility",
                     "A dog on grass") "<xmp:Rating>-1</xmp:Rating><exif:GPSLatitude>52,30.6N</"
                                       "exif:GPSLatitude>"
                                       "<exif:GPSLongitude>13,24,36W</exif:GPSLongitude>" RDF_END,
        NULL);
    struct metadata       m;
    struct metadata_files files = files_of(&s);
    (void)state;
    assert_int_equal(metadata_read(&files, &m, NULL), 0);
    assert_int_equal(m.tags.n, 4);
    assert_string_equal(m.tags.list[0], "Places|Rome");
    assert_string_equal(m.tags.list[1], "animal|dog");
    assert_string_equal(m.tags.list[2], "Berlin");
    assert_string_equal(m.tags.list[3], "a b");
    assert_string_equal(m.caption, "A dog runs");
    assert_string_equal(m.alt_text, "A dog on grass");
    assert_int_equal(m.rating, -1);
    assert_true(m.has_place);
    assert_float_equal(m.latitude, 52.51, 1e-9);
    assert_float_equal(m.longitude, -13.41, 1e-9);
    metadata_release(&m);
    shot_release(&s);
}

static void broken_xmp_says_nothing_and_is_not_replaced(void **state)
{
    struct shot           s     = shot_new("<x:xmpmeta><not closed", "neither");
    struct metadata_files files = files_of(&s);
    struct metadata       m;
    struct metadata_edit  edit;
    (void)state;
    assert_int_equal(metadata_read(&files, &m, NULL), 0);
    assert_int_equal(m.tags.n, 0);
    assert_null(m.caption);
    metadata_release(&m);
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct metadata_wish wish = wish_of(sidecar, (const char *const[]){"dog", NULL});
        struct err           err  = ERR_INIT;
        assert_int_equal(metadata_change(&files, &wish, &edit, &err), ERR_FORMAT);
        assert_non_null(strstr(err.msg, "XMP"));
        metadata_wish_release(&wish);
    }
    shot_release(&s);
}

/* Where Osprey's tags are taken out, broken XMP has none of them unless it names Osprey. */
static void broken_xmp_of_others_holds_nothing_to_take_out(void **state)
{
    static const char broken[] = "<x:xmpmeta><not closed";
    static const char ours[]   = "<x:xmpmeta xmlns:osprey='http://ns.osprey/xmp/1.0/'><not closed";
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool                  sidecar = i & 1, foreign = i & 2;
        struct shot           s     = shot_new(foreign ? broken : ours, foreign ? broken : ours);
        struct metadata_files files = files_of(&s);
        struct metadata_wish  wish  = wish_of(sidecar, NULL);
        struct metadata_edit  edit;
        struct err            err = ERR_INIT;
        assert_int_equal(metadata_change(&files, &wish, &edit, &err), foreign ? 0 : ERR_FORMAT);
        assert_true(foreign ? edit.outcome == METADATA_SAME : strstr(err.msg, "XMP") != NULL);
        metadata_edit_release(&edit);
        metadata_wish_release(&wish);
        shot_release(&s);
    }
}

static void own_tags_come_and_go(void **state)
{
    static const char *const two[] = {"animal|dog", "beach", NULL}, *const one[] = {"beach", NULL};
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s = shot_new(NULL, NULL), old = shot_new(NULL, NULL);
        struct buf *out = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        assert_int_equal(change(&s, wish_of(sidecar, two), &n), METADATA_PUT);
        assert_int_equal(n, 6); /* each in three lists */
        assert_true(has(out, "<rdf:li>dog</rdf:li>"));
        assert_true(has(out, "<rdf:li>animal|dog</rdf:li>"));
        assert_true(has(out, "<rdf:li>animal/dog</rdf:li>"));
        assert_string_equal(tags_of(&s), ""); /* they are not the picture's */
        assert_int_equal(change(&s, wish_of(sidecar, two), &n), METADATA_SAME);
        assert_int_equal(n, 0);
        assert_int_equal(change(&s, wish_of(sidecar, one), &n), METADATA_PUT);
        assert_int_equal(n, 3);
        assert_false(has(out, "dog"));
        assert_true(has(out, "beach"));
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_DROP);
        assert_int_equal(s.file.len, old.file.len);
        assert_memory_equal(s.file.data, old.file.data, old.file.len);
        assert_int_equal(s.sidecar.len, 0);
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_SAME);
        shot_release(&s);
        shot_release(&old);
    }
}

#define FOREIGN                                                                                    \
    RDF_BEGIN LIST("dc:subject",                                                                   \
                   ITEM("dog") ITEM(                                                               \
                       "Berlin")) "<foo:thing rdf:parseType='Resource'>"                           \
                                  "<foo:a>1</foo:a></foo:thing><xmp:Rating>4</xmp:Rating>" RDF_END

static void what_others_wrote_stays(void **state)
{
    static const char *const tags[] = {"animal|dog", "beach", NULL};
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s   = shot_new(sidecar ? NULL : FOREIGN, sidecar ? FOREIGN : NULL);
        struct buf *out = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        assert_int_equal(change(&s, wish_of(sidecar, tags), &n), METADATA_PUT);
        assert_int_equal(n, 5); /* "dog" is there already */
        assert_true(has(out, "<foo:a>1</foo:a>") || has(out, "foo:a=\"1\""));
        assert_true(has(out, "beach"));
        assert_string_equal(tags_of(&s), "dog;Berlin;");
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_PUT);
        assert_int_equal(n, 5);
        assert_false(has(out, "beach"));
        assert_false(has(out, "osprey"));
        assert_true(has(out, "<rdf:li>dog</rdf:li>"));
        assert_true(has(out, "foo:a"));
        assert_true(has(out, "Rating"));
        assert_string_equal(tags_of(&s), "dog;Berlin;");
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_SAME);
        shot_release(&s);
    }
}

/* Another program has it decomposed: it is there, and stays as it is. */
static void what_looks_alike_is_not_written_twice(void **state)
{
    static const char *const tags[] = {"K\xc3\xa4se", NULL};
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        static const char foreign[] = RDF_BEGIN LIST("dc:subject", ITEM("Ka\xcc\x88se")) RDF_END;
        struct shot s               = shot_new(sidecar ? NULL : foreign, sidecar ? foreign : NULL);
        struct buf *out             = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        assert_int_equal(change(&s, wish_of(sidecar, tags), &n), METADATA_PUT);
        assert_int_equal(n, 2); /* the two other lists */
        assert_int_equal(change(&s, wish_of(sidecar, tags), &n), METADATA_SAME);
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_PUT);
        assert_int_equal(n, 2);
        assert_false(has(out, "K\xc3\xa4se"));
        assert_true(has(out, "<rdf:li>Ka\xcc\x88se</rdf:li>"));
        assert_string_equal(tags_of(&s), "Ka\xcc\x88se;");
        shot_release(&s);
    }
}

/* What another program takes out of a list is not Osprey's any more; what it adds stays. */
static void others_may_change_what_is_osprey_s(void **state)
{
    static const char *const tags[] = {"dog", "beach", NULL}, *const one[] = {"beach", NULL};
    struct shot      s = shot_new(NULL, NULL);
    struct xmp      *x;
    struct container c;
    size_t           n;
    char            *text;
    (void)state;
    change(&s, wish_of(false, tags), &n);
    assert_int_equal(container_look((const uint8_t *)s.file.data, s.file.len, &c, NULL), 0);
    assert_int_equal(xmp_open(c.xmp.data, c.xmp.len, &x, NULL), 0);
    container_release(&c);
    assert_int_equal(xmp_list_remove(x, XMP_SUBJECT, "dog", NULL), 0);
    assert_int_equal(xmp_list_add(x, XMP_SUBJECT, "cat", NULL), 0);
    assert_int_equal(xmp_text_of(x, &text, &n, NULL), 0);
    put_packet(&s.file, text, n);
    free(text);
    xmp_close(x);
    assert_string_equal(tags_of(&s), "cat;");
    assert_int_equal(change(&s, wish_of(false, one), &n), METADATA_PUT);
    assert_int_equal(n, 2); /* "dog" in the two other lists */
    assert_int_equal(change(&s, wish_of(false, NULL), &n), METADATA_PUT);
    assert_string_equal(tags_of(&s), "cat;");
    shot_release(&s);
}

static void captions_come_and_go_but_for_others(void **state)
{
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s   = shot_new(NULL, NULL);
        struct buf *out = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        assert_int_equal(change(&s, caption_wish(sidecar, "a dog", "dog alt"), &n), METADATA_PUT);
        assert_int_equal(n, 2);
        assert_true(has(out, "a dog"));
        assert_true(has(out, "AltTextAccessibility"));
        assert_string_equal(caption_of(&s), ""); /* Osprey's own is none of the picture's */
        assert_int_equal(change(&s, caption_wish(sidecar, "a dog", "dog alt"), &n), METADATA_SAME);
        assert_int_equal(change(&s, caption_wish(sidecar, "a cat", "dog alt"), &n), METADATA_PUT);
        assert_int_equal(n, 1);
        assert_false(has(out, "a dog"));
        assert_int_equal(change(&s, caption_wish(sidecar, NULL, NULL), &n), METADATA_DROP);
        shot_release(&s);
        s = shot_new(RDF_BEGIN TEXT("dc:description", "by hand") RDF_END, NULL);
        assert_int_equal(change(&s, caption_wish(sidecar, "a dog", NULL), &n), METADATA_SAME);
        assert_string_equal(caption_of(&s), "by hand");
        shot_release(&s);
    }
}

/* A list in XMP hides IIM's, and a sidecar the file's own: both are copied, and go. */
static void hidden_keywords_are_copied(void **state)
{
    static const char *const tags[] = {"beach", NULL};
    struct shot              s      = shot_new(NULL, NULL);
    struct buf               iim, resources, old;
    size_t                   n;
    (void)state;
    buf_init(&iim, 1 << 16);
    add_iim(&iim, 25, "Hafen");
    add_iim(&iim, 25, "Flu\xDF"); /* Latin-1 */
    add_iim(&iim, 120, "Am Hafen");
    buf_init(&resources, 1 << 16);
    add(&resources, "Photoshop 3.0\0008BIM\4\4\0\0", 22);
    add_number(&resources, iim.len, 4, true);
    add(&resources, iim.data, iim.len);
    buf_release(&s.file);
    make_jpeg(&s.file, 0xED, resources.data, resources.len);
    make_jpeg(&old, 0xED, resources.data, resources.len);
    assert_string_equal(tags_of(&s), "Hafen;Flu\xC3\x9F;");
    assert_string_equal(caption_of(&s), "Am Hafen");
    assert_int_equal(change(&s, wish_of(false, tags), &n), METADATA_PUT);
    assert_int_equal(n, 5);
    assert_true(has(&s.file, "<rdf:li>Hafen</rdf:li>"));
    assert_string_equal(tags_of(&s), "Hafen;Flu\xC3\x9F;");
    assert_int_equal(change(&s, wish_of(false, tags), &n), METADATA_SAME);
    assert_int_equal(change(&s, caption_wish(false, "a port", NULL), &n), METADATA_SAME);
    assert_int_equal(change(&s, wish_of(true, tags), &n), METADATA_PUT);
    assert_true(has(&s.sidecar, "<rdf:li>Hafen</rdf:li>"));
    assert_string_equal(tags_of(&s), "Hafen;Flu\xC3\x9F;");
    assert_int_equal(change(&s, wish_of(true, NULL), &n), METADATA_DROP);
    assert_int_equal(change(&s, wish_of(false, NULL), &n), METADATA_DROP);
    assert_int_equal(s.file.len, old.len);
    assert_memory_equal(s.file.data, old.data, old.len);
    buf_release(&iim);
    buf_release(&resources);
    buf_release(&old);
    shot_release(&s);
}

/* The sidecar's word counts before the file's, list by list. */
static void the_sidecar_comes_first(void **state)
{
    struct shot s = shot_new(RDF_BEGIN LIST("dc:subject", ITEM("old") ITEM("both"))
                                 TEXT("dc:description", "of the file") RDF_END,
                             RDF_BEGIN LIST("dc:subject", ITEM("new") ITEM("both")) RDF_END);
    (void)state;
    assert_string_equal(tags_of(&s), "new;both;");
    assert_string_equal(caption_of(&s), "of the file");
    shot_release(&s);
}

static void exif_says_something_too(void **state)
{
    struct buf      file;
    struct metadata m;
    (void)state;
    for (int junk = 0; junk < 2; junk++) {
        make_tiff(&file, &(struct tiff_shape){.big_endian  = true,
                                              .description = junk ? "OLYMPUS DIGITAL CAMERA"
                                                                  : "Grandmother, 1954"});
        struct metadata_files files = {.picture   = (const uint8_t *)file.data,
                                       .picture_n = file.len};
        assert_int_equal(metadata_read(&files, &m, NULL), 0);
        if (junk)
            assert_null(m.caption);
        else
            assert_string_equal(m.caption, "Grandmother, 1954");
        metadata_release(&m);
        buf_release(&file);
    }
}

/* ---- Packed ---- */

static void packed_forms_come_out_as_they_went_in(void **state)
{
    struct metadata      m = {.rating = -1, .has_place = true, .latitude = -1.5, .longitude = 7};
    struct metadata      back;
    struct metadata_wish wish = wish_of(true, (const char *const[]){"a|b", "c", NULL}), wish_back;
    struct metadata_edit edit = {.outcome = METADATA_PUT, .len = 4}, edit_back;
    struct buf           b;
    (void)state;
    assert_int_equal(strings_add(&m.tags, "x|y", NULL), 0);
    assert_int_equal(strings_add(&m.people, "x|y", NULL), 0);
    m.caption = mem_strdup("caption");
    (void)snprintf(m.lens, sizeof m.lens, "50mm");
    buf_init(&b, 1 << 20);
    assert_int_equal(metadata_pack(&m, &b, NULL), 0);
    assert_int_equal(metadata_unpack((const uint8_t *)b.data, b.len, &back, NULL), 0);
    assert_true(strings_equal(&m.tags, &back.tags) && strings_equal(&m.people, &back.people));
    assert_string_equal(back.caption, "caption");
    assert_null(back.alt_text);
    assert_string_equal(back.lens, "50mm");
    assert_int_equal(back.rating, -1);
    assert_true(back.has_place && back.latitude == -1.5 && back.longitude == 7);
    metadata_release(&back);
    /* Cut anywhere between records it is fewer records; elsewhere it is refused. */
    size_t whole = 0;
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *copy = mem_array(n, 1);
        memcpy(copy, b.data, n);
        whole += metadata_unpack(copy, n, &back, NULL) == 0;
        metadata_release(&back);
        free(copy);
    }
    assert_int_equal(whole, 6);
    buf_reset(&b);
    wish.caption  = mem_strdup("text");
    wish.keep_own = true;
    assert_int_equal(strings_add(&wish.people, "person", NULL), 0);
    assert_int_equal(strings_add(&wish.taken, "taken", NULL), 0);
    assert_int_equal(metadata_wish_pack(&wish, &b, NULL), 0);
    assert_int_equal(metadata_wish_unpack((const uint8_t *)b.data, b.len, &wish_back, NULL), 0);
    assert_true(wish_back.sidecar && wish_back.set_tags && !wish_back.set_caption);
    assert_true(wish_back.keep_own && !wish_back.only_out && !wish_back.people_texts);
    assert_true(strings_equal(&wish.tags, &wish_back.tags));
    assert_true(strings_equal(&wish.people, &wish_back.people));
    assert_true(strings_equal(&wish.taken, &wish_back.taken));
    assert_string_equal(wish_back.caption, "text");
    metadata_wish_release(&wish_back);
    buf_reset(&b);
    edit.packet = mem_strdup("<x/>");
    assert_int_equal(strings_add(&edit.changes, "+ a", NULL), 0);
    assert_int_equal(metadata_edit_pack(&edit, &b, NULL), 0);
    assert_int_equal(metadata_edit_unpack((const uint8_t *)b.data, b.len, &edit_back, NULL), 0);
    assert_int_equal(edit_back.outcome, METADATA_PUT);
    assert_string_equal(edit_back.packet, "<x/>");
    assert_string_equal(edit_back.changes.list[0], "+ a");
    metadata_edit_release(&edit_back);
    buf_release(&b);
    metadata_release(&m);
    metadata_wish_release(&wish);
    metadata_edit_release(&edit);
}

static void add_record(struct buf *b, uint32_t kind, const void *data, uint32_t n)
{
    buf_reset(b);
    add(b, &kind, 4);
    add(b, &n, 4);
    add(b, data, n);
}

static void a_worker_s_lies_are_refused(void **state)
{
    const int32_t   six       = 6;
    const double    nowhere[] = {91, 0};
    struct metadata m;
    struct err      err = ERR_INIT;
    struct buf      b;
    (void)state;
    const struct {
        uint32_t    kind;
        const void *data;
        uint32_t    n;
    } lies[] = {{1, "", 0},     {1, "a\nb", 3},   {1, "\xFF", 1},  {5, &six, 4},
                {5, &six, 3},   {6, nowhere, 16}, {6, nowhere, 8}, {99, "x", 1},
                {2, "a\0b", 3}, {4, "\x7F", 1},   {10, "<x/>", 4}};
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        add_record(&b, lies[i].kind, lies[i].data, lies[i].n);
        assert_int_equal(metadata_unpack((const uint8_t *)b.data, b.len, &m, &err), ERR_FORMAT);
    }
    buf_release(&b);
}

static void texts_are_cleaned(void **state)
{
    static const char *const pairs[][2] = {
        {" a\t\n b ", "a b"},
        {"Stra\xDF"
         "e",
         "Stra\xC3\x9F"
         "e"},
        {"\xC3\xA4", "\xC3\xA4"},
        {"", ""},
        {"12345678", "12345"},
        {"1234\xC3\xA4", "1234"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *clean = text_clean(pairs[i][0], strlen(pairs[i][0]), i >= 4 ? 5 : 100);
        assert_string_equal(clean, pairs[i][1]);
        free(clean);
    }
}

static void iim_of_any_length_is_read(void **state)
{
    struct buf iim;
    (void)state;
    buf_init(&iim, 1 << 16);
    add_iim(&iim, 25, "one");
    add(&iim, "\x1C\2\x78\x80\4\0\0\0\7caption", 16); /* a length of four bytes */
    add_iim(&iim, 25, "two");
    for (size_t n = 0; n <= iim.len; n++) {
        struct strings keywords = {0};
        char          *caption  = NULL;
        uint8_t       *copy     = mem_array(n, 1);
        memcpy(copy, iim.data, n);
        assert_int_equal(iim_read(copy, n, &keywords, &caption, NULL), 0);
        assert_int_equal(keywords.n, (n >= 8) + (n == iim.len));
        assert_true((caption != NULL) == (n >= 24));
        strings_release(&keywords);
        free(caption);
        free(copy);
    }
    buf_release(&iim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_others_wrote),
        cmocka_unit_test(broken_xmp_says_nothing_and_is_not_replaced),
        cmocka_unit_test(broken_xmp_of_others_holds_nothing_to_take_out),
        cmocka_unit_test(own_tags_come_and_go),
        cmocka_unit_test(what_others_wrote_stays),
        cmocka_unit_test(what_looks_alike_is_not_written_twice),
        cmocka_unit_test(others_may_change_what_is_osprey_s),
        cmocka_unit_test(captions_come_and_go_but_for_others),
        cmocka_unit_test(hidden_keywords_are_copied),
        cmocka_unit_test(the_sidecar_comes_first),
        cmocka_unit_test(exif_says_something_too),
        cmocka_unit_test(packed_forms_come_out_as_they_went_in),
        cmocka_unit_test(a_worker_s_lies_are_refused),
        cmocka_unit_test(texts_are_cleaned),
        cmocka_unit_test(iim_of_any_length_is_read),
    };
    if (!xmp_is_here())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
