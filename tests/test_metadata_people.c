/* core/meta's changing where it matters whose a tag or a caption is: Osprey's, a person's who
 * said it through Osprey, or another program's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/metadata_shot.h"

/* The packet of a place, opened; packet_put puts it back there. */
static struct xmp *packet_open(const struct shot *s, bool sidecar)
{
    struct xmp      *x;
    struct container c;
    struct span      at = {(const uint8_t *)s->sidecar.data, s->sidecar.len};
    assert_int_equal(container_look((const uint8_t *)s->file.data, s->file.len, &c, NULL), 0);
    if (!sidecar)
        at = c.xmp;
    assert_int_equal(xmp_open(at.data, at.len, &x, NULL), 0);
    container_release(&c);
    return x;
}

static void packet_put(struct shot *s, bool sidecar, struct xmp *x)
{
    size_t n;
    char  *text;
    assert_int_equal(xmp_text_of(x, &text, &n, NULL), 0);
    xmp_close(x);
    if (sidecar) {
        buf_reset(&s->sidecar);
        add(&s->sidecar, text, n);
    } else {
        put_packet(&s->file, text, n);
    }
    free(text);
}

/* Another program takes an item out of a list. */
static void take_out(struct shot *s, bool sidecar, enum xmp_list list, const char *item)
{
    struct xmp *x = packet_open(s, sidecar);
    assert_int_equal(xmp_list_remove(x, list, item, NULL), 0);
    packet_put(s, sidecar, x);
}

static struct metadata_wish person_wish(bool sidecar, const char *tag, const char *taken)
{
    struct metadata_wish wish = wish_of(sidecar, NULL);
    if (tag)
        assert_int_equal(strings_add(&wish.people, tag, NULL), 0);
    if (taken)
        assert_int_equal(strings_add(&wish.taken, taken, NULL), 0);
    return wish;
}

static void people_s_tags_stay_until_they_take_them_away(void **state)
{
    static const char *const dog[] = {"animal|dog", NULL};
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s   = shot_new(NULL, NULL);
        struct buf *out = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        change(&s, wish_of(sidecar, dog), &n);
        /* Whoever says nothing of it, or takes its own out, leaves it there. */
        struct metadata_wish wish = person_wish(sidecar, "Family|Grandmother", NULL);
        assert_int_equal(strings_add(&wish.tags, "animal|dog", NULL), 0);
        assert_int_equal(change(&s, wish, &n), METADATA_PUT);
        assert_int_equal(n, 3);
        assert_string_equal(tags_of(&s), "Family|Grandmother;");
        assert_string_equal(tags_said(&s, true), "Family|Grandmother;");
        assert_int_equal(change(&s, wish_of(sidecar, dog), &n), METADATA_SAME);
        assert_int_equal(change(&s, wish_of(sidecar, NULL), &n), METADATA_PUT);
        assert_int_equal(n, 3);
        assert_false(has(out, "dog"));
        assert_string_equal(tags_of(&s), "Family|Grandmother;");
        /* Another picture's person says something else; one who took it away is heard. */
        assert_int_equal(change(&s, person_wish(sidecar, "Boat", "Dog"), &n), METADATA_PUT);
        assert_string_equal(tags_said(&s, true), "Family|Grandmother;Boat;");
        wish = person_wish(sidecar, "Boat", "Family|Grandmother");
        assert_int_equal(change(&s, wish, &n), METADATA_PUT);
        assert_int_equal(n, 3);
        assert_string_equal(tags_of(&s), "Boat;");
        assert_int_equal(change(&s, person_wish(sidecar, NULL, "Boat"), &n), METADATA_DROP);
        assert_int_equal(change(&s, person_wish(sidecar, NULL, "Boat"), &n), METADATA_SAME);
        shot_release(&s);
    }
}

/* A tag that is Osprey's as well, a word that ends two tags, and one that others wrote. */
static void people_s_tags_may_be_others_too(void **state)
{
    static const char *const dog[] = {"animal|dog", NULL};
    struct shot              s = shot_new(RDF_BEGIN LIST("dc:subject", ITEM("Boat")) RDF_END, NULL);
    size_t                   n;
    (void)state;
    change(&s, wish_of(false, dog), &n);
    assert_int_equal(change(&s, person_wish(false, "animal|dog", NULL), &n), METADATA_PUT);
    assert_int_equal(n, 0); /* it is noted otherwise */
    assert_string_equal(tags_said(&s, true), "animal|dog;");
    change(&s, person_wish(false, "pet|dog", NULL), &n);
    assert_int_equal(change(&s, person_wish(false, NULL, "animal|dog"), &n), METADATA_PUT);
    assert_int_equal(n, 2); /* "dog" ends the other one */
    assert_string_equal(tags_of(&s), "pet|dog;Boat;");
    /* Taken away by the person, and said by Osprey: it is Osprey's now. */
    struct metadata_wish wish = person_wish(false, NULL, "pet|dog");
    assert_int_equal(strings_add(&wish.tags, "pet|dog", NULL), 0);
    assert_int_equal(change(&s, wish, &n), METADATA_PUT);
    assert_int_equal(n, 0);
    assert_string_equal(tags_of(&s), "Boat;");
    change(&s, person_wish(false, "Boat", NULL), &n);
    assert_int_equal(change(&s, person_wish(false, NULL, "Boat"), &n), METADATA_PUT);
    assert_string_equal(tags_of(&s), "Boat;"); /* of another program's lists */
    assert_false(has(&s.file, "osprey"));
    shot_release(&s);
}

/* Where there is a sidecar, it hides the file's. */
static void people_s_tags_in_both_places(void **state)
{
    static const char *const dog[] = {"dog", NULL};
    struct shot              s     = shot_new(NULL, NULL);
    size_t                   n;
    (void)state;
    change(&s, person_wish(false, "Grandmother", NULL), &n);
    change(&s, wish_of(true, dog), &n); /* of another library, where that person is unknown */
    assert_true(has(&s.sidecar, "<rdf:li>Grandmother</rdf:li>"));
    assert_string_equal(tags_of(&s), "Grandmother;");
    assert_string_equal(tags_said(&s, true), "Grandmother;");
    change(&s, person_wish(true, NULL, "Grandmother"), &n);
    assert_false(has(&s.sidecar, "Grandmother"));
    change(&s, person_wish(false, NULL, "Grandmother"), &n);
    assert_string_equal(tags_of(&s), "");
    assert_false(has(&s.file, "Grandmother"));
    shot_release(&s);
}

/* Only taking out writes nothing, and a library that said nothing takes nothing out. */
static void taking_out_and_keeping(void **state)
{
    static const char *const dog[] = {"dog", NULL};
    struct shot              s     = shot_new(NULL, NULL);
    size_t                   n;
    (void)state;
    struct metadata_wish wish = person_wish(false, "Boat", NULL);
    wish.only_out             = true;
    assert_int_equal(change(&s, wish, &n), METADATA_SAME);
    change(&s, wish_of(false, dog), &n);
    wish          = wish_of(false, NULL);
    wish.keep_own = true;
    assert_int_equal(change(&s, wish, &n), METADATA_SAME);
    /* What an earlier version noted as its own, and the library's person says. */
    wish          = person_wish(false, "dog", NULL);
    wish.only_out = true;
    assert_int_equal(change(&s, wish, &n), METADATA_PUT);
    assert_int_equal(n, 0);
    assert_string_equal(tags_said(&s, true), "dog;");
    shot_release(&s);
}

static void what_another_program_took_out_stays_out(void **state)
{
    static const char *const two[] = {"animal|dog", "beach", NULL}, *const one[] = {"beach", NULL};
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s   = shot_new(NULL, NULL);
        struct buf *out = sidecar ? &s.sidecar : &s.file;
        size_t      n;
        change(&s, wish_of(sidecar, two), &n);
        take_out(&s, sidecar, XMP_SUBJECT, "dog");
        assert_int_equal(change(&s, wish_of(sidecar, two), &n), METADATA_PUT);
        assert_int_equal(n, 2); /* it goes from the two others */
        assert_true(has(out, "beach"));
        assert_int_equal(change(&s, wish_of(sidecar, two), &n), METADATA_SAME);
        /* A person's word counts, and Osprey forgets with its tag. */
        change(&s, person_wish(sidecar, "animal|dog", NULL), &n);
        assert_string_equal(tags_of(&s), "animal|dog;");
        take_out(&s, sidecar, XMP_HIERARCHY, "animal|dog");
        assert_int_equal(change(&s, person_wish(sidecar, "animal|dog", NULL), &n), METADATA_PUT);
        assert_int_equal(n, 1);
        change(&s, person_wish(sidecar, NULL, "animal|dog"), &n);
        assert_int_equal(change(&s, wish_of(sidecar, one), &n), METADATA_PUT);
        assert_int_equal(change(&s, wish_of(sidecar, two), &n), METADATA_PUT);
        assert_true(has(out, "<rdf:li>dog</rdf:li>"));
        shot_release(&s);
    }
}

/* In digiKam's list a slash parts levels. */
static void a_slash_within_a_tag(void **state)
{
    static const char *const tags[] = {"Bands|AC/DC", NULL};
    struct shot              s      = shot_new(NULL, NULL);
    size_t                   n;
    (void)state;
    change(&s, wish_of(false, tags), &n);
    assert_true(has(&s.file, "<rdf:li>Bands|AC/DC</rdf:li>"));
    assert_true(has(&s.file, "<rdf:li>Bands/AC\\DC</rdf:li>"));
    assert_false(has(&s.file, "Bands/AC/DC"));
    assert_string_equal(tags_of(&s), "");
    assert_int_equal(change(&s, wish_of(false, tags), &n), METADATA_SAME);
    change(&s, person_wish(false, "Bands|AC/DC", NULL), &n);
    assert_string_equal(tags_of(&s), "Bands|AC/DC;");
    assert_int_equal(change(&s, person_wish(false, NULL, "Bands|AC/DC"), &n), METADATA_DROP);
    shot_release(&s);
}

/* A person's caption is the picture's own once it is written. */
static void people_s_captions_stay(void **state)
{
    (void)state;
    for (int sidecar = 0; sidecar < 2; sidecar++) {
        struct shot s = shot_new(NULL, NULL);
        size_t      n;
        change(&s, caption_wish(sidecar, "a dog", NULL), &n);
        struct metadata_wish wish = caption_wish(sidecar, "Rex, 1954", NULL);
        wish.people_texts         = true;
        assert_int_equal(change(&s, wish, &n), METADATA_PUT); /* in place of Osprey's */
        assert_string_equal(caption_of(&s), "Rex, 1954");
        wish              = caption_wish(sidecar, "Rex, 1954", NULL);
        wish.people_texts = true;
        assert_int_equal(change(&s, wish, &n), METADATA_SAME);
        assert_int_equal(change(&s, caption_wish(sidecar, "a cat", NULL), &n), METADATA_SAME);
        assert_int_equal(change(&s, caption_wish(sidecar, NULL, NULL), &n), METADATA_SAME);
        assert_string_equal(caption_of(&s), "Rex, 1954");
        shot_release(&s);
    }
}

/* Of an earlier version, which noted it as Osprey's; and what a caption's reader deleted. */
static void captions_are_kept_and_stay_away(void **state)
{
    struct shot          s = shot_new(NULL, NULL);
    size_t               n;
    struct metadata_wish wish;
    (void)state;
    change(&s, caption_wish(false, "Rex", NULL), &n);
    wish          = caption_wish(false, NULL, NULL);
    wish.keep_own = true;
    assert_int_equal(change(&s, wish, &n), METADATA_SAME);
    wish          = caption_wish(false, "Rex", NULL);
    wish.only_out = wish.people_texts = true;
    assert_int_equal(change(&s, wish, &n), METADATA_PUT);
    assert_int_equal(n, 0);
    assert_string_equal(caption_of(&s), "Rex");
    shot_release(&s);
    s = shot_new(NULL, NULL);
    change(&s, caption_wish(false, "a dog", NULL), &n);
    struct xmp *x = packet_open(&s, false);
    assert_int_equal(xmp_text_put(x, XMP_DESCRIPTION, NULL, NULL), 0);
    packet_put(&s, false, x);
    assert_int_equal(change(&s, caption_wish(false, "a dog", NULL), &n), METADATA_SAME);
    assert_int_equal(change(&s, caption_wish(false, "a cat", NULL), &n), METADATA_PUT);
    assert_true(has(&s.file, "a cat"));
    shot_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_s_tags_stay_until_they_take_them_away),
        cmocka_unit_test(people_s_tags_may_be_others_too),
        cmocka_unit_test(people_s_tags_in_both_places),
        cmocka_unit_test(taking_out_and_keeping),
        cmocka_unit_test(what_another_program_took_out_stays_out),
        cmocka_unit_test(a_slash_within_a_tag),
        cmocka_unit_test(people_s_captions_stay),
        cmocka_unit_test(captions_are_kept_and_stay_away),
    };
    if (!xmp_is_here())
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
