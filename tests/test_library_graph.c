/* Unit tests of storage/library_upkeep: a graph of a library whose folders are each of
 * pictures that resemble one another. */
#include "library_fixture.h"

#include "storage/library_impl.h"

#include <math.h>

#define FOLDERS 48
#define IN_EACH 256 /* three chunks in all */
#define QUERIES 100
#define K       10
#define WIDE    5000 /* pixels that one picture in sixteen has */

/* A vector near the centre of its folder. */
static void near_centre(float *out, int folder, uint64_t seed)
{
    float noise[DIM], sum = 0;
    unit_vector(out, DIM, 1000003U + (uint64_t)folder);
    unit_vector(noise, DIM, seed);
    for (int i = 0; i < DIM; i++) {
        out[i] += 0.4F * noise[i];
        sum += out[i] * out[i];
    }
    for (int i = 0; i < DIM; i++)
        out[i] /= sqrtf(sum);
}

static void fill(struct library *lib, int64_t model, int64_t folder, int from, int to)
{
    static float        embeddings[IN_EACH][DIM];
    static char         paths[IN_EACH][32];
    struct library_item items[IN_EACH];
    struct err          err = ERR_INIT;
    for (int f = from; f < to; f++) {
        for (uint64_t i = 0; i < IN_EACH; i++) {
            uint64_t seed = (uint64_t)f * IN_EACH + i + 1;
            (void)snprintf(paths[i], sizeof paths[i], "%02d/%03d.jpg", f, (int)i);
            items[i] = picture(folder, paths[i], seed, embeddings[i]);
            near_centre(embeddings[i], f, seed);
            if (i % 16 == 0)
                items[i].width = WIDE;
        }
        assert_ok(library_add(lib, model, items, IN_EACH, &err), &err);
    }
}

static size_t found_of(struct library *lib, const float *query, const struct library_filter *filter)
{
    struct library_filter exactly = *filter;
    struct library_hit   *hits, *best;
    struct err            err = ERR_INIT;
    size_t                n, m, found = 0;
    exactly.exact = true;
    assert_ok(library_search(lib, query, K, filter, &hits, &n, &err), &err);
    assert_ok(library_search(lib, query, K, &exactly, &best, &m, &err), &err);
    assert_int_equal(n, K);
    assert_int_equal(m, K);
    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < K; j++)
            found += best[i].id == hits[j].id;
    free(hits);
    free(best);
    return found;
}

static size_t found_near_all(struct library *lib, const struct library_filter *filter)
{
    struct library_stats stats;
    struct err           err   = ERR_INIT;
    size_t               found = 0;
    assert_ok(library_stats(lib, &stats, &err), &err);
    assert_string_equal(stats.index_kind, "hnsw");
    for (int q = 0; q < QUERIES; q++) {
        float query[DIM];
        near_centre(query, q % FOLDERS, 5000000U + (uint64_t)q);
        found += found_of(lib, query, filter);
    }
    assert_sound(lib);
    return found;
}

/* at_once: else the index grows folder by folder. */
static void folders_make_no_islands(void **state)
{
    bool            at_once = *(const bool *)*state;
    struct err      err     = ERR_INIT;
    char           *dir     = temporary_dir();
    struct library *lib;
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    int64_t model = fill_model(lib, "hash-a", true), folder = add_folder(lib, "/pictures");
    lib->tuning.flat_max = 100;
    for (int f = 0, step = at_once ? FOLDERS : 1; f < FOLDERS; f += step) {
        fill(lib, model, folder, f, f + step);
        assert_ok(library_index_maintain(lib, true, &err), &err);
    }
    assert_true(found_near_all(lib, &(struct library_filter){0}) >= QUERIES * K * 995 / 1000);
    /* a filter that all pass, which no index knows; one that few pass; one of a folder, far
     * from nearly all that is asked for */
    assert_true(found_near_all(lib, &(struct library_filter){.min_size = 1}) >=
                QUERIES * K * 995 / 1000);
    assert_int_equal(found_near_all(lib, &(struct library_filter){.min_width = WIDE}), QUERIES * K);
    assert_int_equal(
        found_near_all(lib, &(struct library_filter){.folder_id = folder, .below = "07"}),
        QUERIES * K);
    library_close(lib);
    remove_dir(dir);
}

int main(void)
{
    static bool             at_once = true, grown = false;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(folders_make_no_islands, &at_once),
        cmocka_unit_test_prestate(folders_make_no_islands, &grown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
