/* Unit tests of searching by each distance: a library against brute force, with its
 * vectors in the delta, in the base and in both, with filters; the index of
 * Manhattan distances through its file; the catalogue's step to version 2. */
#include "catalog_fixture.h"

#include "storage/library_impl.h"

#include <math.h>

#define PICTURES 400

/* What a search must say of a picture: the score from the vector that is stored. */
static double truth(enum distance distance, const float *query, const float *vector)
{
    double dot = 0, apart = 0;
    for (int i = 0; i < DIM; i++) {
        dot += (double)query[i] * (double)vector[i];
        apart += fabs((double)query[i] - (double)vector[i]);
    }
    if (distance == DISTANCE_COSINE)
        return dot;
    return 1 / (1 + (distance == DISTANCE_MANHATTAN ? apart : sqrt(fmax(0, 2 - 2 * dot))));
}

struct entry {
    int64_t id;
    double  score;
};

static int best_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static size_t brute(struct library *lib, enum distance distance, const int64_t *ids, size_t n,
                    const float *query, struct entry *out)
{
    struct err err  = ERR_INIT;
    size_t     live = 0;
    for (size_t i = 0; i < n; i++) {
        float vector[DIM];
        if (ids[i] == 0)
            continue;
        assert_ok(library_embedding_get(lib, ids[i], vector, &err), &err);
        out[live++] = (struct entry){ids[i], truth(distance, query, vector)};
    }
    qsort(out, live, sizeof *out, best_first);
    return live;
}

static void equals_brute_force(struct library *lib, enum distance distance, const int64_t *ids,
                               size_t n)
{
    static const size_t ks[] = {1, 10, 90, 10000};
    static struct entry want[PICTURES];
    struct err          err = ERR_INIT;
    for (uint64_t q = 0; q < 12; q++) {
        struct library_hit *hits;
        size_t              found;
        float               query[DIM];
        unit_vector(query, DIM, 70000 + q);
        size_t live = brute(lib, distance, ids, n, query, want);
        for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
            size_t expect = ks[i] < live ? ks[i] : live;
            assert_ok(library_search(lib, query, ks[i], NULL, &hits, &found, &err), &err);
            assert_int_equal(found, expect);
            for (size_t j = 0; j < found; j++) {
                assert_float_equal(hits[j].score, want[j].score, 1e-5);
                assert_true(j == 0 || hits[j].score <= hits[j - 1].score);
            }
            free(hits);
        }
        struct library_filter filter = {.has_min_score = true,
                                        .min_score     = (float)want[live / 3].score - 1e-5f};
        assert_ok(library_search(lib, query, live, &filter, &hits, &found, &err), &err);
        assert_true(found > live / 3 && found < live / 3 + 5);
        assert_true(hits[found - 1].score >= filter.min_score);
        free(hits);
    }
}

static int64_t model_of(struct library *lib, enum distance distance)
{
    struct err           err   = ERR_INIT;
    struct library_model model = {.name      = "test",
                                  .dir       = "/models/test",
                                  .precision = "f32",
                                  .dim       = DIM,
                                  .distance  = distance};
    struct library_model again;
    (void)snprintf(model.hash, sizeof model.hash, "of-%s", distance_name(distance));
    assert_ok(library_model_register(lib, &model, &err), &err);
    assert_ok(library_model_activate(lib, model.id, &err), &err);
    assert_ok(library_model_active(lib, &again, &err), &err);
    assert_int_equal(again.distance, distance);
    return model.id;
}

static void search_equals_brute_force(void **state)
{
    enum distance        distance = *(enum distance *)*state;
    struct err           err      = ERR_INIT;
    struct library      *lib      = NULL;
    char                *dir      = temporary_dir();
    static int64_t       ids[PICTURES];
    struct library_stats stats;
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    lib->tuning.flat_max = distance == DISTANCE_MANHATTAN ? 10 : 100000;
    int64_t model = model_of(lib, distance), folder = add_folder(lib, "/pictures");
    char    name[32];
    size_t  n = 0;
    for (; n < PICTURES - 50; n++) {
        (void)snprintf(name, sizeof name, "%04zu.jpg", n);
        ids[n] = add_one(lib, model, folder, name, n + 1);
    }
    equals_brute_force(lib, distance, ids, n); /* all in the delta */
    assert_ok(library_index_maintain(lib, true, &err), &err);
    assert_ok(library_stats(lib, &stats, &err), &err);
    assert_int_equal(stats.index_base, n);
    assert_string_equal(stats.index_kind, "flat"); /* Manhattan knows no other, whatever the size */
    equals_brute_force(lib, distance, ids, n);
    for (; n < PICTURES; n++) {
        (void)snprintf(name, sizeof name, "%04zu.jpg", n);
        ids[n] = add_one(lib, model, folder, name, n + 1);
    }
    for (size_t i = 3; i < PICTURES; i += 7) {
        (void)snprintf(name, sizeof name, "%04zu.jpg", i);
        const char *path[] = {name};
        assert_ok(library_remove(lib, folder, path, 1, &err), &err);
        ids[i] = 0;
    }
    equals_brute_force(lib, distance, ids, n); /* base, delta and tombstones */
    assert_sound(lib);
    library_close(lib);
    assert_ok(library_open(dir, LIBRARY_EXISTING, &lib, &err), &err);
    equals_brute_force(lib, distance, ids, n);
    library_close(lib);
    remove_dir(dir);
}

static void a_manhattan_index_goes_through_its_file(void **state)
{
    (void)state;
    struct err         err = ERR_INIT;
    struct vindex     *ix  = NULL;
    struct vindex_info info;
    char              *dir = temporary_dir(), *path = path_join(dir, "v.faiss");
    static float       x[100][DIM];
    static int64_t     ids[100], found[100];
    float              scores[100], back[DIM];
    size_t             n = 0;
    for (int i = 0; i < 100; i++) {
        unit_vector(x[i], DIM, (uint64_t)i + 1);
        ids[i] = 5 * i + 2;
    }
    assert_int_equal(vindex_new(VINDEX_HNSW, VINDEX_MANHATTAN, DIM, 100, &ix, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "hnsw"));
    assert_ok(vindex_new(VINDEX_FLAT, VINDEX_MANHATTAN, DIM, 100, &ix, &err), &err);
    assert_ok(vindex_add(ix, 100, ids, x[0], &err), &err);
    assert_ok(vindex_write(ix, path, 9, 8, "hash", &err), &err);
    vindex_free(ix);
    assert_ok(vindex_peek(path, &info, &err), &err);
    assert_int_equal(info.metric, VINDEX_MANHATTAN);
    assert_int_equal(info.kind, VINDEX_FLAT);
    assert_ok(vindex_open(path, false, &ix, &err), &err);
    assert_ok(vindex_search(ix, x[17], 100, 1, found, NULL, scores, &n, &err), &err);
    assert_int_equal(n, 100);
    assert_int_equal(found[0], ids[17]);
    for (size_t i = 0; i < n; i++) {
        double apart = 0;
        for (int d = 0; d < DIM; d++)
            apart += fabs((double)x[17][d] - (double)x[(found[i] - 2) / 5][d]);
        assert_float_equal(scores[i], -apart, 1e-5);
        assert_true(i == 0 || scores[i] <= scores[i - 1]);
    }
    assert_ok(vindex_vectors(ix, 40, 1, back, &err), &err);
    assert_memory_equal(back, x[40], sizeof back);
    vindex_free(ix);
    free(path);
    remove_dir(dir);
}

/* A catalogue of version 1, as the first Osprey made it. */
static void an_old_catalogue_learns_distances(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct library      *lib = NULL;
    struct library_model model;
    char                *dir = temporary_dir();
    int64_t              ids[3];
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    int64_t id = model_of(lib, DISTANCE_COSINE), folder = add_folder(lib, "/pictures");
    for (size_t i = 0; i < 3; i++)
        ids[i] = add_one(lib, id, folder, i == 0 ? "a.jpg" : i == 1 ? "b.jpg" : "c.jpg", i + 1);
    library_close(lib);
    age_catalog(dir, 1);
    assert_ok(library_open(dir, LIBRARY_EXISTING, &lib, &err), &err);
    assert_ok(library_model_active(lib, &model, &err), &err);
    assert_int_equal(model.distance, DISTANCE_COSINE);
    equals_brute_force(lib, DISTANCE_COSINE, ids, 3);
    library_close(lib);
    remove_dir(dir);
}

int main(void)
{
    static enum distance cosine = DISTANCE_COSINE, euclidean = DISTANCE_EUCLIDEAN,
                         manhattan  = DISTANCE_MANHATTAN;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(search_equals_brute_force, &cosine),
        cmocka_unit_test_prestate(search_equals_brute_force, &euclidean),
        cmocka_unit_test_prestate(search_equals_brute_force, &manhattan),
        cmocka_unit_test(a_manhattan_index_goes_through_its_file),
        cmocka_unit_test(an_old_catalogue_learns_distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
