/* Unit tests of storage/library_tags: what each source says is kept apart, replaced
 * whole, and stays or goes with the image and its content. */
#include "catalog_fixture.h"
#include "storage/library_impl.h"
#include "storage/library_tags.h"

#include <math.h>

enum { N = 6 };

struct shelf {
    struct room         room;
    struct library_item items[N];
    float               embeddings[N][DIM];
    char                paths[N][32];
};

static struct shelf *open_shelf(void)
{
    struct err    err = ERR_INIT;
    struct shelf *s   = calloc(1, sizeof *s);
    assert_non_null(s);
    s->room = room_open("/a");
    for (int i = 0; i < N; i++) {
        snprintf(s->paths[i], sizeof s->paths[i], "%d.jpg", i);
        s->items[i] = picture(s->room.folder, s->paths[i], (uint64_t)i + 1, s->embeddings[i]);
    }
    assert_ok(library_add(s->room.lib, s->room.model, s->items, N, &err), &err);
    return s;
}

static void close_shelf(struct shelf *s)
{
    room_close(&s->room);
    free(s);
}

typedef int (*getter)(struct library *, int64_t, struct library_said **, size_t *, struct err *);

/* What is said of an image as "source:text:score;" in order. */
static const char *said(struct library *lib, int64_t id, getter get)
{
    static char          text[1024];
    struct err           err  = ERR_INIT;
    struct library_said *list = NULL;
    size_t               n = 0, at = 0;
    assert_ok(get(lib, id, &list, &n, &err), &err);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               isnan(list[i].score) ? "%s:%s;" : "%s:%s:%g;",
                               library_source_name(list[i].source), list[i].text, list[i].score);
    library_said_free(list, n);
    return text;
}

static void say(struct library *lib, enum library_source source, int64_t id,
                const struct library_said *list, size_t n, int64_t expect_changed)
{
    struct err                  err     = ERR_INIT;
    const struct library_saying one     = {id, list, n};
    int64_t                     changed = -1;
    assert_ok(library_tags_replace(lib, source, &one, 1, &changed, &err), &err);
    assert_int_equal(changed, expect_changed);
}

static int64_t generation(struct library *lib)
{
    struct library_stats stats;
    struct err           err = ERR_INIT;
    assert_ok(library_stats(lib, &stats, &err), &err);
    return stats.generation;
}

static const struct library_said dog[]  = {{"animal", 0, 0.75}, {"animal|dog", 0, 0.5}};
static const struct library_said swap[] = {{"animal|dog", 0, 0.5}, {"animal", 0, 0.75}};
static const struct library_said own[]  = {{"animal|dog", 0, NAN}, {"Rex", 0, NAN}};

static void sources_are_kept_apart(void **state)
{
    (void)state;
    struct shelf *s   = open_shelf();
    struct err    err = ERR_INIT;
    int64_t       id = s->items[2].id, removed = 0;
    say(s->room.lib, LIBRARY_OSPREY, id, dog, 2, 1);
    say(s->room.lib, LIBRARY_USER, id, own, 2, 1);
    say(s->room.lib, LIBRARY_PICTURE, id, own, 1, 1);
    const char all[] = "osprey:animal:0.75;osprey:animal|dog:0.5;picture:animal|dog;"
                       "user:Rex;user:animal|dog;";
    assert_string_equal(said(s->room.lib, id, library_tags_get), all);
    assert_string_equal(said(s->room.lib, s->items[1].id, library_tags_get), "");

    int64_t before = generation(s->room.lib); /* the same again is no change */
    say(s->room.lib, LIBRARY_OSPREY, id, swap, 2, 0);
    assert_int_equal(generation(s->room.lib), before);
    say(s->room.lib, LIBRARY_OSPREY, id, dog, 1, 1);
    assert_true(generation(s->room.lib) > before);
    assert_string_equal(said(s->room.lib, id, library_tags_get),
                        "osprey:animal:0.75;picture:animal|dog;user:Rex;user:animal|dog;");
    say(s->room.lib, LIBRARY_OSPREY, id, NULL, 0, 1);
    say(s->room.lib, LIBRARY_OSPREY, id, NULL, 0, 0);
    assert_string_equal(said(s->room.lib, id, library_tags_get),
                        "picture:animal|dog;user:Rex;user:animal|dog;");
    assert_ok(library_tags_remove(s->room.lib, LIBRARY_USER, "animal", &removed, &err), &err);
    assert_int_equal(removed, 1);
    assert_string_equal(said(s->room.lib, id, library_tags_get), "picture:animal|dog;user:Rex;");
    close_shelf(s);
}

static void tags_are_counted_and_taken_back(void **state)
{
    (void)state;
    static const struct library_said near[] = {
        {"animal", 0, 1}, {"animals", 0, 1}, {"animal|cat|old", 0, 1}};
    struct shelf             *s     = open_shelf();
    struct err                err   = ERR_INIT;
    struct library_tag_count *list  = NULL;
    size_t                    n     = 0;
    int64_t                   count = -1, removed = 0;
    assert_ok(library_tagged_count(s->room.lib, &count, &err), &err);
    assert_int_equal(count, 0);
    const struct library_saying batch[] = {{s->items[0].id, dog, 2},
                                           {s->items[1].id, near, 3},
                                           {987654, dog, 2},
                                           {s->items[3].id, dog, 2}};
    assert_ok(library_tags_replace(s->room.lib, LIBRARY_OSPREY, batch, 4, &count, &err), &err);
    assert_int_equal(count, 3); /* one image is not there */
    say(s->room.lib, LIBRARY_USER, s->items[0].id, own, 2, 1);
    assert_ok(library_tagged_count(s->room.lib, &count, &err), &err);
    assert_int_equal(count, 3);

    assert_ok(library_tags_list(s->room.lib, &list, &n, &err), &err);
    assert_int_equal(n, 5);
    assert_string_equal(list[0].tag, "animal");
    assert_int_equal(list[0].images, 3);
    assert_string_equal(list[1].tag, "animal|dog");
    assert_int_equal(list[1].images, 2);
    assert_int_equal(list[1].said[LIBRARY_OSPREY], 2);
    assert_int_equal(list[1].said[LIBRARY_USER], 1);
    assert_int_equal(list[1].said[LIBRARY_PICTURE], 0);
    assert_string_equal(list[2].tag, "Rex");
    library_tag_counts_free(list, n);

    assert_ok(library_tags_remove(s->room.lib, LIBRARY_OSPREY, "animal", &removed, &err), &err);
    assert_int_equal(removed, 6); /* and what lies below it, not "animals" */
    assert_string_equal(said(s->room.lib, s->items[1].id, library_tags_get), "osprey:animals:1;");
    assert_ok(library_tags_remove(s->room.lib, LIBRARY_OSPREY, NULL, &removed, &err), &err);
    assert_int_equal(removed, 1);
    assert_ok(library_tagged_count(s->room.lib, &count, &err), &err);
    assert_int_equal(count, 1);
    close_shelf(s);
}

static void captions_have_an_order(void **state)
{
    (void)state;
    static const struct library_said two[]  = {{"zebras", 0, 0.5}, {"a herd\nof zebras", 0, 0.5}};
    static const struct library_said back[] = {{"a herd\nof zebras", 0, 0.5}, {"zebras", 0, 0.5}};
    struct shelf                    *s      = open_shelf();
    struct err                       err    = ERR_INIT;
    int64_t                          id = s->items[0].id, changed = 0, removed = 0;
    const struct library_saying      first = {id, two, 2}, second = {id, back, 2},
                                twice[] = {first, first};
    assert_ok(library_captions_replace(s->room.lib, LIBRARY_OSPREY, twice, 2, &changed, &err),
              &err);
    assert_int_equal(changed, 1);
    assert_string_equal(said(s->room.lib, id, library_captions_get),
                        "osprey:zebras:0.5;osprey:a herd\nof zebras:0.5;");
    assert_ok(library_captions_replace(s->room.lib, LIBRARY_OSPREY, &second, 1, &changed, &err),
              &err);
    assert_int_equal(changed, 1);
    assert_string_equal(said(s->room.lib, id, library_captions_get),
                        "osprey:a herd\nof zebras:0.5;osprey:zebras:0.5;");
    assert_ok(library_captions_replace(s->room.lib, LIBRARY_USER, &first, 1, NULL, &err), &err);
    for (int source = 0; source < LIBRARY_SOURCES; source++) { /* images, not captions */
        int64_t n = -1;
        assert_ok(library_captioned_count(s->room.lib, (enum library_source)source, &n, &err),
                  &err);
        assert_int_equal(n, source != LIBRARY_PICTURE);
    }
    assert_ok(library_captions_remove(s->room.lib, LIBRARY_OSPREY, &removed, &err), &err);
    assert_int_equal(removed, 2);
    assert_string_equal(said(s->room.lib, id, library_captions_get),
                        "user:zebras:0.5;user:a herd\nof zebras:0.5;");
    assert_string_equal(said(s->room.lib, id, library_tags_get), "");
    close_shelf(s);
}

static void what_is_no_text_is_refused_whole(void **state)
{
    (void)state;
    static char long_tag[LIBRARY_TAG_MAX + 2];
    memset(long_tag, 'x', LIBRARY_TAG_MAX + 1);
    char *const   bad[] = {NULL, "", "a\nb", "tab\there", "\xff", "del\x7f", long_tag};
    struct shelf *s     = open_shelf();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err                err     = ERR_INIT;
        const struct library_said list[]  = {{"good", 0, NAN}, {bad[i], 0, NAN}};
        struct library_saying     batch[] = {{s->items[0].id, dog, 2}, {s->items[1].id, list, 2}};
        assert_int_equal(library_tags_replace(s->room.lib, LIBRARY_USER, batch, 2, NULL, &err),
                         ERR_USAGE);
        assert_non_null(strstr(err.msg, "tag"));
    }
    struct err                  err     = ERR_INIT;
    const struct library_said   same[]  = {{"a", 0, NAN}, {"a", 0, NAN}};
    const struct library_saying batch[] = {{s->items[0].id, dog, 2}, {s->items[1].id, same, 2}};
    assert_true(library_tags_replace(s->room.lib, LIBRARY_USER, batch, 2, NULL, &err) < 0);
    long_tag[LIBRARY_TAG_MAX]        = '\0';
    const struct library_said fits[] = {{long_tag, 0, NAN}};
    assert_string_equal(said(s->room.lib, s->items[0].id, library_tags_get), "");
    say(s->room.lib, LIBRARY_USER, s->items[1].id, fits, 1, 1);
    close_shelf(s);
}

/* A move keeps everything, and what a person said of the copy meanwhile. */
static void a_move_keeps_what_is_said(void **state)
{
    (void)state;
    static const struct library_said mine[] = {{"mine", 0, NAN}, {"animal|dog", 0, NAN}};
    struct shelf                    *s      = open_shelf();
    struct err                       err    = ERR_INIT;
    int64_t                          id     = s->items[0].id;
    say(s->room.lib, LIBRARY_OSPREY, id, dog, 2, 1);
    say(s->room.lib, LIBRARY_USER, id, own, 2, 1);
    const struct library_saying caption = {id, own + 1, 1};
    assert_ok(library_captions_replace(s->room.lib, LIBRARY_USER, &caption, 1, NULL, &err), &err);

    struct library_item copy = s->items[0];
    copy.path                = "there.jpg";
    copy.embedding           = NULL;
    copy.copy_of             = id;
    assert_ok(library_add(s->room.lib, s->room.model, &copy, 1, &err), &err);
    assert_string_equal(said(s->room.lib, copy.id, library_tags_get),
                        "osprey:animal:0.75;osprey:animal|dog:0.5;");
    say(s->room.lib, LIBRARY_USER, copy.id, mine, 2, 1);
    assert_ok(library_move(s->room.lib, id, copy.id, &err), &err);
    assert_string_equal(
        said(s->room.lib, id, library_tags_get),
        "osprey:animal:0.75;osprey:animal|dog:0.5;user:Rex;user:animal|dog;user:mine;");
    assert_string_equal(said(s->room.lib, id, library_captions_get), "user:Rex;");
    assert_string_equal(said(s->room.lib, copy.id, library_tags_get), "");
    close_shelf(s);
}

static void new_content_voids_what_osprey_said(void **state)
{
    (void)state;
    struct shelf *s   = open_shelf();
    struct err    err = ERR_INIT;
    for (int i = 0; i < 3; i++) {
        say(s->room.lib, LIBRARY_OSPREY, s->items[i].id, dog, 2, 1);
        say(s->room.lib, LIBRARY_USER, s->items[i].id, own + 1, 1, 1);
    }
    const char kept[] = "osprey:animal:0.75;osprey:animal|dog:0.5;user:Rex;";

    struct library_item written = s->items[0]; /* metadata was written into the file */
    written.hash[3] ^= 1;
    written.size += 700;
    assert_ok(library_add(s->room.lib, s->room.model, &written, 1, &err), &err);
    assert_int_equal(written.id, s->items[0].id);
    assert_string_equal(said(s->room.lib, written.id, library_tags_get), kept);

    float               embedding[DIM];
    struct library_item other = picture(s->room.folder, s->paths[1], 4711, embedding);
    assert_ok(library_add(s->room.lib, s->room.model, &other, 1, &err), &err);
    assert_int_equal(other.id, s->items[1].id);
    assert_string_equal(said(s->room.lib, other.id, library_tags_get), "user:Rex;");

    struct library_item copy = s->items[5]; /* replaced by a copy of what has no tags */
    copy.path                = s->paths[2];
    copy.embedding           = NULL;
    copy.copy_of             = s->items[5].id;
    assert_ok(library_add(s->room.lib, s->room.model, &copy, 1, &err), &err);
    assert_int_equal(copy.id, s->items[2].id);
    assert_string_equal(said(s->room.lib, copy.id, library_tags_get), "user:Rex;");

    const char *gone = s->paths[0];
    int64_t     n    = 0;
    assert_ok(library_remove(s->room.lib, s->room.folder, &gone, 1, &err), &err);
    assert_ok(library_tagged_count(s->room.lib, &n, &err), &err);
    assert_int_equal(n, 2);
    close_shelf(s);
}

static void what_looks_alike_is_one_tag(void **state)
{
    (void)state;
    struct shelf       *s       = open_shelf();
    struct library     *lib     = s->room.lib;
    struct err          err     = ERR_INIT;
    int64_t             removed = 0;
    struct library_said both[]  = {{"Ka\xcc\x88se", LIBRARY_OSPREY, 0.5},
                                   {"a", LIBRARY_OSPREY, 0.25},
                                   {"K\xc3\xa4se", LIBRARY_OSPREY, 0.75}};
    struct library_said one[]   = {{"K\xc3\xa4se", LIBRARY_PICTURE, (double)NAN}};
    struct library_said other[] = {{"Ka\xcc\x88se", LIBRARY_PICTURE, (double)NAN}};
    say(lib, LIBRARY_OSPREY, s->items[0].id, both, 3, 1);
    say(lib, LIBRARY_OSPREY, s->items[0].id, both, 3, 0); /* the same again */
    assert_string_equal(said(lib, s->items[0].id, library_tags_get),
                        "osprey:K\xc3\xa4se:0.75;osprey:a:0.25;");
    say(lib, LIBRARY_PICTURE, s->items[1].id, other, 1, 1);
    say(lib, LIBRARY_PICTURE, s->items[1].id, one, 1, 0);
    assert_ok(library_tags_remove(lib, LIBRARY_OSPREY, "Ka\xcc\x88se", &removed, &err), &err);
    assert_int_equal(removed, 1);
    struct library_tag_count *counts = NULL;
    size_t                    n      = 0;
    assert_ok(library_tags_list(lib, &counts, &n, &err), &err);
    assert_int_equal(n, 2);
    library_tag_counts_free(counts, n);
    close_shelf(s);
}

static void sources_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < LIBRARY_SOURCES; i++) {
        enum library_source back = LIBRARY_SOURCES;
        assert_true(library_source_of(library_source_name((enum library_source)i), &back));
        assert_int_equal(back, i);
    }
    enum library_source back = LIBRARY_USER;
    assert_false(library_source_of("Osprey", &back));
    assert_int_equal(back, LIBRARY_USER);
}

static void whether_anything_is_said(void **state)
{
    (void)state;
    struct shelf *s   = open_shelf();
    struct err    err = ERR_INIT;
    bool          any = true;
    assert_ok(library_tags_any(s->room.lib, LIBRARY_OSPREY, &any, &err), &err);
    assert_false(any);
    say(s->room.lib, LIBRARY_OSPREY, s->items[0].id, dog, 2, 1);
    assert_ok(library_tags_any(s->room.lib, LIBRARY_OSPREY, &any, &err), &err);
    assert_true(any);
    assert_ok(library_tags_any(s->room.lib, LIBRARY_USER, &any, &err), &err);
    assert_false(any);
    assert_ok(library_captions_any(s->room.lib, LIBRARY_OSPREY, &any, &err), &err);
    assert_false(any);
    close_shelf(s);
}

static void changes_keep_the_rest(void **state)
{
    (void)state;
    struct shelf     *s   = open_shelf();
    struct err        err = ERR_INIT;
    const int64_t     a = s->items[0].id, b = s->items[1].id;
    const int64_t     ids[]  = {a, b, 99999};
    const char *const more[] = {"beach", "Rex"}, *const less[] = {"Rex", "never"};
    int64_t changed = -1;
    say(s->room.lib, LIBRARY_OSPREY, a, dog, 2, 1);
    say(s->room.lib, LIBRARY_USER, a, own + 1, 1, 1);

    struct library_tags_edit edit = {.add = more, .n_add = 2};
    assert_ok(library_tags_change(s->room.lib, LIBRARY_USER, ids, 3, &edit, &changed, &err), &err);
    assert_int_equal(changed, 2);
    assert_string_equal(said(s->room.lib, a, library_tags_get),
                        "osprey:animal:0.75;osprey:animal|dog:0.5;user:Rex;user:beach;");
    assert_string_equal(said(s->room.lib, b, library_tags_get), "user:Rex;user:beach;");
    assert_ok(library_tags_change(s->room.lib, LIBRARY_USER, ids, 3, &edit, &changed, &err), &err);
    assert_int_equal(changed, 0);

    edit = (struct library_tags_edit){.remove = less, .n_remove = 2};
    assert_ok(library_tags_change(s->room.lib, LIBRARY_USER, ids, 1, &edit, &changed, &err), &err);
    assert_int_equal(changed, 1);
    assert_string_equal(said(s->room.lib, a, library_tags_get),
                        "osprey:animal:0.75;osprey:animal|dog:0.5;user:beach;");
    /* What a person took away is known, until it is said again. */
    assert_string_equal(said(s->room.lib, a, library_tags_taken), "user:Rex;");
    assert_string_equal(said(s->room.lib, b, library_tags_taken), "");
    edit = (struct library_tags_edit){.add = more + 1, .n_add = 1};
    assert_ok(library_tags_change(s->room.lib, LIBRARY_USER, ids, 1, &edit, &changed, &err), &err);
    assert_string_equal(said(s->room.lib, a, library_tags_taken), "");
    say(s->room.lib, LIBRARY_OSPREY, a, dog, 1, 1);
    assert_string_equal(said(s->room.lib, a, library_tags_taken), ""); /* of people alone */

    const char *const bad[] = {"two\nlines"};
    edit                    = (struct library_tags_edit){.add = bad, .n_add = 1};
    assert_int_equal(library_tags_change(s->room.lib, LIBRARY_USER, ids, 2, &edit, &changed, &err),
                     ERR_USAGE);
    assert_string_equal(said(s->room.lib, b, library_tags_get), "user:Rex;user:beach;");
    close_shelf(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_are_kept_apart),
        cmocka_unit_test(tags_are_counted_and_taken_back),
        cmocka_unit_test(captions_have_an_order),
        cmocka_unit_test(what_is_no_text_is_refused_whole),
        cmocka_unit_test(a_move_keeps_what_is_said),
        cmocka_unit_test(new_content_voids_what_osprey_said),
        cmocka_unit_test(changes_keep_the_rest),
        cmocka_unit_test(whether_anything_is_said),
        cmocka_unit_test(what_looks_alike_is_one_tag),
        cmocka_unit_test(sources_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
