/* Unit tests of storage/library_match: what a score means, and the background that
 * says so, kept with the library. */
#include "storage/library_match.h"

#include "library_fixture.h"
#include "storage/library_impl.h"

#include <math.h>

enum { SMALL = 40, LARGE = 1500 };

/* The curve itself: rising, inverse, and the same whatever the scale of scores. */
static void matches_rise_and_invert(void **state)
{
    const enum distance distances[] = {DISTANCE_COSINE, DISTANCE_EUCLIDEAN, DISTANCE_MANHATTAN};
    (void)state;
    for (size_t d = 0; d < 3; d++) {
        for (int kind = LIBRARY_QUERY_TEXT; kind <= LIBRARY_QUERY_MIXED; kind++) {
            float    closeness[100];
            uint64_t s = 5;
            for (int i = 0; i < 100; i++)
                closeness[i] = (distances[d] == DISTANCE_MANHATTAN ? -9 : 0) + rng_float(&s) * 0.2f;
            struct library_match m = library_match_from((enum library_query)kind, distances[d],
                                                        closeness, 100, 0.1, 100);
            assert_true(m.known);
            double before = 0;
            for (float near = closeness[0]; near < m.mean + 0.9; near += 0.05f) {
                float  score = distance_score(distances[d], near);
                double match = library_match_of(&m, score);
                assert_true(match > before && match < 1);
                assert_true(fabs((double)(library_match_score(&m, match) - score)) < 1e-4);
                before = match;
            }
            assert_true(library_match_score(&m, 0) == -INFINITY);
            assert_true(library_match_score(&m, 1) == INFINITY);
        }
    }
}

static void a_scale_does_not_matter(void **state)
{
    float    wide[200], narrow[200];
    uint64_t s = 9;
    (void)state;
    for (int i = 0; i < 200; i++) {
        wide[i]   = rng_float(&s) * 0.3f;
        narrow[i] = 0.2f + wide[i] / 10; /* as CLIP's: all alike and close together */
    }
    struct library_match a =
        library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, wide, 200, 0, 1000);
    struct library_match b =
        library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, narrow, 200, 0, 1000);
    for (float x = 0; x < 0.9f; x += 0.1f)
        assert_true(fabs(library_match_of(&a, x) - library_match_of(&b, 0.2f + x / 10)) < 1e-3);
}

/* Scores that are all low together: the best of them is no match. */
static void outlandish_texts_match_less(void **state)
{
    float    usual[200], odd[200];
    uint64_t s = 11;
    (void)state;
    for (int i = 0; i < 200; i++) {
        usual[i] = rng_float(&s) * 0.2f;
        odd[i]   = usual[i] / 2;
    }
    double               spread = 0.2 / sqrt(3);
    struct library_match a =
        library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, usual, 200, spread, 1000);
    struct library_match b =
        library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, odd, 200, spread, 1000);
    assert_true(library_match_of(&a, 0.5f) > 0.5);
    assert_true(library_match_of(&b, 0.25f) < 0.35);
}

static void a_picture_matches_itself(void **state)
{
    float    closeness[100];
    uint64_t s = 3;
    (void)state;
    for (int i = 0; i < 100; i++)
        closeness[i] = 0.5f + rng_float(&s) * 0.1f;
    struct library_match m =
        library_match_from(LIBRARY_QUERY_IMAGE, DISTANCE_COSINE, closeness, 100, 0, 1000000);
    assert_true(library_match_of(&m, 1) > 0.98);
    assert_true(library_match_of(&m, 0.5f) < 0.01);
}

static void too_little_says_nothing(void **state)
{
    float even[50] = {0}, few[7] = {0.1f, 0.2f, 0.3f, 0.1f, 0, 0.5f, 0.4f};
    (void)state;
    struct library_match a =
        library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, even, 50, 0, 50);
    struct library_match b = library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, few, 7, 0, 7);
    struct library_match c = library_match_from(LIBRARY_QUERY_TEXT, DISTANCE_COSINE, NULL, 0, 0, 0);
    assert_false(a.known || b.known || c.known);
    assert_true(library_match_of(&a, 0.5f) == 0 && library_match_score(&a, 0.5) == -INFINITY);
}

static void kinds_follow_the_terms(void **state)
{
    (void)state;
    assert_int_equal(library_query_kind(2, 0), LIBRARY_QUERY_TEXT);
    assert_int_equal(library_query_kind(0, 1), LIBRARY_QUERY_IMAGE);
    assert_int_equal(library_query_kind(0, 2), LIBRARY_QUERY_MIXED);
    assert_int_equal(library_query_kind(1, 1), LIBRARY_QUERY_MIXED);
}

/* ---- With a library ---- */

static void add(struct library *lib, int64_t model, int64_t folder, int from, int n)
{
    struct err err = ERR_INIT;
    for (int i = from; i < from + n; i++) {
        char                path[32];
        float               embedding[DIM];
        struct library_item item;
        snprintf(path, sizeof path, "%06d.jpg", i);
        item = picture(folder, path, (uint64_t)i + 1, embedding);
        assert_ok(library_add(lib, model, &item, 1, &err), &err);
    }
}

static void the_background_keeps_up(void **state)
{
    struct err                err = ERR_INIT;
    char                     *dir = temporary_dir();
    struct library           *lib, *other;
    struct library_background kept;
    struct library_match      m;
    float                     query[DIM];
    int64_t                   damage = 0;
    (void)state;
    unit_vector(query, DIM, 1); /* the first picture's */
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    assert_ok(library_match_begin(lib, query, LIBRARY_QUERY_TEXT, &m, &err), &err);
    assert_false(m.known);
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    int64_t model = fill_model(lib, "h1", true), folder = add_folder(lib, "/a");

    /* A small library counts whole, before anything is stored. */
    add(lib, model, folder, 0, SMALL);
    assert_ok(library_match_begin(lib, query, LIBRARY_QUERY_TEXT, &m, &err), &err);
    assert_true(m.known && m.images == SMALL && lib->background.n == SMALL);
    double sum = 0;
    for (int i = 0; i < SMALL; i++) {
        float e[DIM];
        unit_vector(e, DIM, (uint64_t)i + 1);
        for (int d = 0; d < DIM; d++)
            sum += (double)e[d] * (double)query[d];
    }
    assert_true(fabs(m.mean - sum / SMALL) < 1e-3);
    assert_true(library_match_of(&m, 1) > 0.8 && library_match_of(&m, 0) < 0.1);
    assert_int_equal(library_background_get(lib, &kept, NULL), ERR_NOTFOUND);
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    assert_ok(library_background_get(lib, &kept, &err), &err);
    assert_true(kept.images == SMALL && kept.n == SMALL);

    /* A large one by a sample, the same for another handle, until a tenth is new. */
    add(lib, model, folder, SMALL, LARGE - SMALL);
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    assert_ok(library_background_get(lib, &kept, &err), &err);
    assert_true(kept.images == LARGE && kept.n == LIBRARY_BACKGROUND);
    add(lib, model, folder, LARGE, LARGE / 20);
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    assert_ok(library_background_get(lib, &kept, &err), &err);
    assert_true(kept.images == LARGE);
    assert_ok(library_open(dir, LIBRARY_EXISTING, &other, &err), &err);
    assert_ok(library_match_begin(other, query, LIBRARY_QUERY_TEXT, &m, &err), &err);
    assert_true(m.images == LARGE && other->background.n == LIBRARY_BACKGROUND);
    assert_true(fabs(m.deviation - 1 / sqrt(DIM)) < 0.02);
    add(lib, model, folder, LARGE + LARGE / 20, LARGE / 10);
    assert_ok(library_match_begin(other, query, LIBRARY_QUERY_TEXT, &m, &err), &err);
    assert_true(m.images == LARGE + LARGE / 20 + LARGE / 10);
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    assert_ok(library_background_get(lib, &kept, &err), &err);
    assert_true(kept.images == LARGE + LARGE / 20 + LARGE / 10);
    assert_ok(library_verify(lib, false, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 0);

    /* A damaged one: searches do without, verify tells and repairs. */
    assert_ok(catalog_begin_write(lib->cat, &err), &err);
    struct background odd       = {.model_id = model, .seq = 1, .images = 3, .n = 1};
    uint16_t          half[DIM] = {0};
    odd.vectors                 = half;
    assert_ok(catalog_background_put(lib->cat, DIM - 1, &odd, &err), &err);
    assert_ok(catalog_commit(lib->cat, &err), &err);
    library_close(other);
    assert_ok(library_open(dir, LIBRARY_EXISTING, &other, &err), &err);
    assert_ok(library_match_begin(other, query, LIBRARY_QUERY_TEXT, &m, &err), &err);
    assert_true(m.known && other->background.n == LIBRARY_BACKGROUND);
    assert_ok(library_verify(lib, false, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 1);
    assert_ok(library_verify(lib, true, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 0);

    /* It goes with its model. */
    assert_ok(library_background_maintain(lib, NULL, &err), &err);
    assert_ok(library_background_get(lib, &kept, &err), &err);
    fill_model(lib, "h2", true);
    assert_int_equal(library_background_get(lib, &kept, NULL), ERR_NOTFOUND);
    assert_int_equal(catalog_background_size(lib->cat, model, DIM, &kept, NULL), ERR_NOTFOUND);
    library_close(other);
    library_close(lib);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_rise_and_invert),     cmocka_unit_test(a_scale_does_not_matter),
        cmocka_unit_test(outlandish_texts_match_less), cmocka_unit_test(a_picture_matches_itself),
        cmocka_unit_test(too_little_says_nothing),     cmocka_unit_test(kinds_follow_the_terms),
        cmocka_unit_test(the_background_keeps_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
