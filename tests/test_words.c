/* Unit tests of the table of words and of hybrid search: what is written about images is
 * found as it changes, any text may be asked for, and the fused order is the one that the
 * two rankings give by hand.
 */
#include "catalog_fixture.h"

#include "storage/library_hybrid.h"
#include "storage/library_impl.h"
#include "storage/library_tags.h"

enum { N = 300 };

struct shelf {
    struct room room;
    int64_t     ids[N];
    char        paths[N][64];
    float       embeddings[N][DIM];
};

static struct shelf *open_shelf(void)
{
    struct err          err = ERR_INIT;
    struct shelf       *s   = calloc(1, sizeof *s);
    struct library_item items[N];
    assert_non_null(s);
    s->room = room_open("/archive/Summer Holidays");
    for (int i = 0; i < N; i++) {
        snprintf(s->paths[i], sizeof s->paths[i], "%s/IMG_%04d%s.jpg",
                 i % 2 ? "beach" : "Z\xc3\xbcrich", i, i % 50 == 7 ? "_lighthouse" : "");
        items[i] = picture(s->room.folder, s->paths[i], (uint64_t)i + 1, s->embeddings[i]);
    }
    assert_ok(library_add(s->room.lib, s->room.model, items, N, &err), &err);
    for (int i = 0; i < N; i++)
        s->ids[i] = items[i].id;
    return s;
}

static void close_shelf(struct shelf *s)
{
    room_close(&s->room);
    free(s);
}

/* How many images words find, and the first of them. */
static size_t find(struct shelf *s, const char *words, int64_t *first)
{
    struct err err = ERR_INIT;
    int64_t   *ids = NULL;
    size_t     n   = 0;
    assert_ok(catalog_words_catch_up(s->room.lib->cat, &err), &err);
    assert_ok(catalog_words_find(s->room.lib->cat, words, NULL, N, &ids, &n, &err), &err);
    if (first)
        *first = n ? ids[0] : 0;
    free(ids);
    return n;
}

static void say(struct shelf *s, int i, bool caption, const char *text)
{
    struct err            err    = ERR_INIT;
    struct library_said   one    = {.text = text ? strdup(text) : NULL, .score = 1};
    struct library_saying saying = {.image_id = s->ids[i], .said = &one, .n = text != NULL};
    assert_ok(caption ? library_captions_replace(s->room.lib, LIBRARY_USER, &saying, 1, NULL, &err)
                      : library_tags_replace(s->room.lib, LIBRARY_USER, &saying, 1, NULL, &err),
              &err);
    free(one.text);
}

static void words_follow_what_they_come_from(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct shelf *s   = open_shelf();
    int64_t       first;
    assert_int_equal(find(s, "lighthouse", NULL), N / 50);
    assert_int_equal(find(s, "img_0007", &first), 1);
    assert_int_equal(first, s->ids[7]);
    assert_int_equal(find(s, "ZURICH", NULL), N / 2); /* without its accent */
    assert_int_equal(find(s, "holidays", NULL), N);   /* the folder that was added */
    assert_int_equal(find(s, "archive", NULL), 0);    /* and not where that lies */
    assert_int_equal(find(s, "otter", NULL), 0);

    say(s, 3, false, "animal|otter");
    say(s, 4, true, "Two otters, one of them asleep");
    assert_int_equal(find(s, "otter", &first), 1);
    assert_int_equal(first, s->ids[3]);
    assert_int_equal(find(s, "the otter or otters", NULL), 2); /* "the" is in neither */
    say(s, 3, false, "animal|cat");
    say(s, 4, true, NULL);
    assert_int_equal(find(s, "otter otters", NULL), 0);
    assert_int_equal(find(s, "cat", NULL), 1);

    /* Moved, gone, and the folder itself moved. */
    struct library_item moved = picture(s->room.folder, "elsewhere/cat.jpg", 4, s->embeddings[3]);
    moved.copy_of             = s->ids[3];
    assert_ok(library_add(s->room.lib, s->room.model, &moved, 1, &err), &err);
    assert_ok(library_move(s->room.lib, s->ids[3], moved.id, &err), &err);
    assert_int_equal(find(s, "elsewhere", &first), 1);
    assert_int_equal(first, s->ids[3]);
    const char *gone = s->paths[57];
    assert_ok(library_remove(s->room.lib, s->room.folder, &gone, 1, &err), &err);
    assert_int_equal(find(s, "lighthouse", NULL), N / 50 - 1);
    int64_t folders = 0;
    assert_ok(
        library_relocate(s->room.lib, "/archive/Summer Holidays", "/new/Winter", &folders, &err),
        &err);
    assert_int_equal(find(s, "holidays", NULL), 0);
    assert_int_equal(find(s, "winter", NULL), N - 1);
    close_shelf(s);
}

static void any_text_may_be_asked_for(void **state)
{
    (void)state;
    struct err               err   = ERR_INIT;
    struct shelf            *s     = open_shelf();
    static const char *const odd[] = {
        "\"",
        "\"\"\"",
        "AND",
        "a AND",
        "NOT x",
        "NEAR(a b)",
        "(",
        "a OR )",
        "name:x",
        "{captions}: x",
        "^a",
        "a*",
        "-a",
        "+",
        "x'y",
        "';--",
        "\\",
        "a\nb\tc",
        "\xff\xfe bad",
        "\xc3\xa9t\xc3\xa9",
        "",
        "   ",
        "...",
        "\"lighthouse",
        "lighthouse\"",
        "light\"house",
        "%s%n",
        "\xf0\x9f\xa6\xa6",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_true(find(s, odd[i], NULL) <= N);
    assert_int_equal(find(s, "\"lighthouse", NULL), N / 50);
    assert_int_equal(find(s, "lighthouse OR", NULL), N / 50); /* "or" is a common word */
    assert_int_equal(find(s, "the", NULL), 0);
    char *many = calloc(1, 300000);
    for (size_t i = 0; i < 299990; i += 3)
        memcpy(many + i, "zq ", 3);
    assert_int_equal(find(s, many, NULL), 0);
    free(many);
    /* The same in captions, all of whose words must be there. */
    say(s, 1, true, "say \"hello\" AND wave");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        const struct library_filter f  = {.caption = odd[i]};
        int64_t                     n  = -1;
        int                         rc = library_count(s->room.lib, &f, &n, &err);
        assert_true(rc == 0 || rc == ERR_USAGE);
    }
    const struct library_filter f = {.caption = "WAVE \"hello\" and"};
    int64_t                     n = -1;
    assert_ok(library_count(s->room.lib, &f, &n, &err), &err);
    assert_int_equal(n, 1);
    close_shelf(s);
}

/* ---- Hybrid ---- */

static void ranks_are_fused(void **state)
{
    (void)state;
    struct err            err   = ERR_INIT;
    struct shelf         *s     = open_shelf();
    struct library_fused *fused = NULL;
    struct library_hit   *hits  = NULL;
    int64_t              *ids   = NULL;
    size_t                n = 0, n_hits = 0, n_ids = 0;
    float                 query[DIM];
    unit_vector(query, DIM, 99);
    assert_ok(library_search(s->room.lib, query, N, NULL, &hits, &n_hits, &err), &err);
    assert_ok(catalog_words_find(s->room.lib->cat, "lighthouse", NULL, N, &ids, &n_ids, &err),
              &err);
    assert_true(n_hits == N && n_ids == N / 50);
    assert_ok(library_search_hybrid(s->room.lib, query, "a lighthouse", 20, NULL, &fused, &n, &err),
              &err);
    assert_int_equal(n, 20);
    double least = 1;
    for (size_t i = 0; i < n; i++) {
        const struct library_fused *f   = &fused[i];
        double                      sum = 0;
        for (size_t h = 0; h < 200; h++) {
            if (hits[h].id != f->hit.id)
                continue;
            assert_int_equal(f->vector_rank, h + 1);
            sum += 1.0 / (60 + (double)h + 1);
        }
        for (size_t w = 0; w < n_ids; w++) {
            if (ids[w] != f->hit.id)
                continue;
            assert_int_equal(f->words_rank, w + 1);
            sum += 1.0 / (60 + (double)w + 1);
        }
        for (size_t h = 0; h < n_hits; h++)
            if (hits[h].id == f->hit.id)
                assert_float_equal(f->hit.score, hits[h].score, 1e-6);
        assert_float_equal(f->fused, sum, 1e-12);
        assert_true(f->fused <= least);
        least = f->fused;
    }
    assert_true(fused[0].vector_rank && fused[0].words_rank); /* in both beats best in one */
    free(fused);

    /* A filter and a least score hold for both, and no words leave the vectors' order. */
    const struct library_filter only = {
        .name = "lighthouse", .has_min_score = true, .min_score = 0};
    assert_ok(library_search_hybrid(s->room.lib, query, "beach", N, &only, &fused, &n, &err), &err);
    assert_true(n > 0 && n < N / 50);
    for (size_t i = 0; i < n; i++)
        assert_true(fused[i].hit.score >= 0);
    free(fused);
    assert_ok(library_search_hybrid(s->room.lib, query, "...", 5, NULL, &fused, &n, &err), &err);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fused[i].hit.id, hits[i].id);
    free(fused);
    free(hits);
    free(ids);
    close_shelf(s);
}

/* ---- Upkeep ---- */

static int64_t damage_of(struct shelf *s, bool repair)
{
    struct err err    = ERR_INIT;
    int64_t    damage = -1;
    assert_ok(library_verify(s->room.lib, repair, NULL, NULL, &damage, &err), &err);
    return damage;
}

static void verify_finds_and_rebuilds(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "DELETE FROM words WHERE rowid = 5",
        "UPDATE words SET tags = 'nonsense' WHERE rowid = 9",
        "INSERT INTO words (rowid, name) VALUES (99999, 'ghost')",
        "DELETE FROM words_data WHERE id > 1000",  /* the index inside */
        "DELETE FROM words_content WHERE id = 12", /* what the index is of */
    };
    struct shelf *s = open_shelf();
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        change_catalog(s->room.dir, damages[i]);
        assert_true(damage_of(s, false) > 0);
        assert_int_equal(damage_of(s, true), 0);
        assert_int_equal(damage_of(s, false), 0);
        assert_int_equal(find(s, "lighthouse", NULL), N / 50);
        assert_int_equal(find(s, "nonsense ghost", NULL), 0);
    }
    close_shelf(s);
}

static void older_libraries_are_filled(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct shelf *s   = open_shelf();
    say(s, 3, false, "animal|otter");
    say(s, 4, true, "an otter floats");
    library_close(s->room.lib);
    age_catalog(s->room.dir, 9);
    assert_ok(library_open(s->room.dir, LIBRARY_EXISTING, &s->room.lib, &err), &err);
    assert_int_equal(find(s, "otter", NULL), 2);
    assert_int_equal(find(s, "lighthouse", NULL), N / 50);
    say(s, 5, false, "otter"); /* and it is kept from then on */
    assert_int_equal(find(s, "otter", NULL), 3);
    close_shelf(s);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(words_follow_what_they_come_from),
        cmocka_unit_test(any_text_may_be_asked_for),
        cmocka_unit_test(ranks_are_fused),
        cmocka_unit_test(verify_finds_and_rebuilds),
        cmocka_unit_test(older_libraries_are_filled),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
