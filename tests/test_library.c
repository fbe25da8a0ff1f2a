/* Tests of storage/library: search against brute force through every kind of base, a second
 * handle that must see the same, and what may go wrong with the index file. */
#include "library_truth.h"

struct plan {
    struct library_tuning tuning;
    const char           *kind;
    double                recall; /* at least; 1: exact */
    size_t                start;  /* pictures before the random steps */
    int                   steps;
};

static void random_step(struct library *lib, int64_t model, int64_t folder, struct truth *truth,
                        uint64_t *s)
{
    struct err  err  = ERR_INIT;
    size_t      at   = truth->n ? splitmix_next(s) % truth->n : 0;
    const char *path = truth->path[at];
    float       embedding[DIM];
    switch (truth->n ? splitmix_next(s) % 7 : 0) {
    case 0:
    case 1:
        add_batch(lib, model, folder, truth, 1 + splitmix_next(s) % 60, s);
        break;
    case 2: { /* replaced at its path */
        struct library_item item = picture(folder, path, splitmix_next(s) >> 40, embedding);
        assert_ok(library_add(lib, model, &item, 1, &err), &err);
        assert_int_equal(item.id, truth->id[at]);
        truth->seed[at] = (uint64_t)item.size - 1000;
        break;
    }
    case 3: /* removed */
        assert_ok(library_remove(lib, folder, &path, 1, &err), &err);
        truth_drop(truth, at);
        break;
    case 4: { /* copied, then moved onto the copy */
        char to[32];
        snprintf(to, sizeof(to), "x/moved%06u.jpg", (unsigned)splitmix_next(s) % 1000000);
        struct library_item item = picture(folder, to, truth->seed[at], embedding);
        item.embedding           = NULL;
        item.copy_of             = truth->id[at];
        assert_ok(library_add(lib, model, &item, 1, &err), &err);
        assert_ok(library_move(lib, truth->id[at], item.id, &err), &err);
        snprintf(truth->path[at], sizeof(truth->path[at]), "%s", to);
        break;
    }
    case 5: { /* broken now */
        struct library_item item = {.folder_id = folder, .path = path, .error = "cut short"};
        assert_ok(library_add(lib, model, &item, 1, &err), &err);
        truth_drop(truth, at);
        break;
    }
    case 6:
        assert_ok(library_index_maintain(lib, splitmix_next(s) % 3 == 0, &err), &err);
        break;
    }
}

/* Any sequence of changes, seen by the handle that made them and by another. */
static void search_equals_brute_force(void **state)
{
    const struct plan   *plan = *state;
    struct err           err  = ERR_INIT;
    static struct truth  truth;
    struct library_stats stats;
    struct library      *lib, *other;
    uint64_t             s        = 12345;
    char                *dir      = temporary_dir();
    double               recall   = 0;
    int                  searches = 0;
    truth.n                       = 0;
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    assert_ok(library_open(dir, LIBRARY_EXISTING, &other, &err), &err);
    lib->tuning = other->tuning = plan->tuning;
    int64_t model = fill_model(lib, "hash-a", true), folder = add_folder(lib, "/pics");
    compare_search(other, &truth, 10, NULL, 1, true);
    while (truth.n < plan->start)
        add_batch(lib, model, folder, &truth, 60, &s);
    assert_ok(library_index_maintain(lib, true, &err), &err);

    for (int step = 0; step < plan->steps; step++) {
        random_step(lib, model, folder, &truth, &s);
        struct library_filter none = {0}, half = {.folder_id = folder, .below = "x"},
                              high       = {.has_min_score = true, .min_score = 0.3f};
        struct library_filter *filters[] = {NULL, &none, &half, &high};
        struct library_filter *filter    = filters[splitmix_next(&s) % 4];
        size_t                 ks[]      = {1, 10, 10, 50, truth.n / 3, truth.n, SIZE_MAX};
        size_t                 k         = ks[splitmix_next(&s) % 7];
        uint64_t               query     = splitmix_next(&s);
        recall += compare_search(lib, &truth, k, filter, query, plan->recall >= 1);
        recall += compare_search(other, &truth, k, filter, query, plan->recall >= 1);
        struct library_filter exact = filter ? *filter : (struct library_filter){0};
        exact.exact                 = true;
        compare_search(lib, &truth, k, &exact, query, true);
        searches += 2;
    }
    assert_true(recall / searches >= plan->recall);
    assert_ok(library_stats(other, &stats, &err), &err);
    assert_int_equal(stats.images, truth.n);
    assert_string_equal(stats.index_kind, plan->kind);
    assert_sound(lib);
    assert_sound(other);
    library_close(lib);
    library_close(other);

    assert_ok(library_open(dir, LIBRARY_EXISTING, &lib, &err), &err); /* from the files alone */
    compare_search(lib, &truth, 20, NULL, 4, plan->recall >= 1);
    assert_sound(lib);
    library_close(lib);
    remove_dir(dir);
}

/* ---- What may go wrong with the index file ---- */

static void room_reopen(struct room *r)
{
    struct err err = ERR_INIT;
    library_close(r->lib);
    assert_ok(library_open(r->dir, LIBRARY_EXISTING, &r->lib, &err), &err);
    r->lib->tuning.delta_min = 10;
}

static void the_index_file_may_be_lost_or_broken(void **state)
{
    (void)state;
    static struct truth truth;
    struct err          err    = ERR_INIT;
    struct room         r      = room_with(&truth, 300);
    int64_t             damage = -1;
    assert_ok(library_index_maintain(r.lib, false, &err), &err);
    assert_true(file_exists(r.vectors));

    assert_int_equal(unlink(r.vectors), 0);
    room_reopen(&r);
    compare_search(r.lib, &truth, 10, NULL, 1, true);
    assert_sound(r.lib); /* derived, and nothing contradicts */

    assert_ok(library_index_maintain(r.lib, true, &err), &err);
    assert_ok(file_replace(r.vectors, "garbage", 7, &err), &err);
    room_reopen(&r);
    compare_search(r.lib, &truth, 10, NULL, 2, true); /* searched without it */
    assert_ok(library_verify(r.lib, false, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 1);
    assert_ok(library_verify(r.lib, true, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 0);
    assert_ok(vindex_check(r.vectors, &err), &err);
    compare_search(r.lib, &truth, 10, NULL, 3, true);
    room_close(&r);
}

/* A status line, and an upkeep with nothing to do, load no vectors. */
static void its_state_is_told_without_loading(void **state)
{
    (void)state;
    static struct truth  truth;
    struct err           err = ERR_INIT;
    struct library_stats stats;
    struct room          r = room_with(&truth, 300);
    room_reopen(&r);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.index_base, 0);
    assert_int_equal(stats.index_delta, truth.n);
    assert_string_equal(stats.index_kind, "flat");
    r.lib->tuning.delta_min = 1000;
    assert_ok(library_index_maintain(r.lib, false, &err), &err); /* 300 are few */
    assert_false(r.lib->loaded);
    assert_false(file_exists(r.vectors));

    assert_ok(library_index_maintain(r.lib, true, &err), &err);
    size_t in_base = truth.n;
    add_one(r.lib, r.model, r.folder, "late.jpg", 5);
    add_one(r.lib, r.model, r.folder, "late.jpg", 6); /* the same image once more */
    room_reopen(&r);
    r.lib->tuning.delta_min = 1000;
    assert_ok(library_index_maintain(r.lib, false, &err), &err);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_false(r.lib->loaded);
    assert_int_equal(stats.images, in_base + 1);
    assert_int_equal(stats.index_base, in_base);
    assert_int_equal(stats.index_delta, 1);

    /* A broken file is no base, and is made anew when something is due. */
    assert_ok(file_replace(r.vectors, "garbage", 7, &err), &err);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.index_base, 0);
    assert_int_equal(stats.index_delta, in_base + 1);
    r.lib->tuning.delta_min = 100;
    assert_ok(library_index_maintain(r.lib, false, &err), &err);
    assert_ok(vindex_check(r.vectors, &err), &err);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.index_base, in_base + 1);
    assert_int_equal(stats.index_delta, 0);
    assert_sound(r.lib);
    room_close(&r);
}

/* An index of a catalogue's other future must not be believed. */
static void a_restored_catalogue_drops_the_index(void **state)
{
    (void)state;
    static struct truth truth, old;
    struct err          err  = ERR_INIT;
    struct room         r    = room_with(&truth, 200);
    char               *file = path_join(r.dir, "catalog.db"), *backup = path_join(r.dir, "backup");
    char               *wal = path_join(r.dir, "catalog.db-wal");
    uint64_t            s   = 77;
    old                     = truth;
    assert_ok(library_backup(r.lib, backup, &err), &err);
    add_batch(r.lib, r.model, r.folder, &truth, 60, &s);
    assert_ok(library_index_maintain(r.lib, true, &err), &err);
    library_close(r.lib);
    unlink(wal);
    assert_int_equal(rename(backup, file), 0);
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    compare_search(r.lib, &old, 10, NULL, 1, true);
    for (int i = 0; i < 4; i++) /* past the sequence number that the index reaches to */
        add_batch(r.lib, r.model, r.folder, &old, 60, &s);
    room_reopen(&r);
    compare_search(r.lib, &old, 300, NULL, 2, true);
    assert_sound(r.lib);
    assert_ok(library_index_maintain(r.lib, false, &err), &err);
    compare_search(r.lib, &old, 300, NULL, 3, true);
    assert_sound(r.lib);
    free(file);
    free(backup);
    free(wal);
    room_close(&r);
}

/* An index file that is whole but holds the wrong things. */
static void verify_compares_index_and_catalogue(void **state)
{
    (void)state;
    static struct truth truth;
    struct err          err = ERR_INIT;
    for (int what = 0; what < 3; what++) {
        struct room    r = room_with(&truth, 300);
        struct vindex *ix;
        int64_t        damage = -1, ghost = 999999;
        float          v[DIM];
        assert_ok(library_index_maintain(r.lib, true, &err), &err);
        assert_ok(vindex_open(r.vectors, true, &ix, &err), &err);
        struct vindex_info info = *vindex_info(ix);
        unit_vector(v, DIM, 4711);
        if (what == 0) { /* one too many */
            assert_ok(vindex_add(ix, 1, &ghost, v, &err), &err);
        } else if (what == 1) { /* one twice */
            assert_ok(vindex_add(ix, 1, &truth.id[5], v, &err), &err);
        } else { /* one less, and one that is another's */
            struct vindex *other;
            assert_ok(vindex_new(VINDEX_FLAT, VINDEX_PRODUCT, DIM, 300, &other, &err), &err);
            for (int64_t i = 1; i < info.count; i++) {
                int64_t id = vindex_ids(ix)[i];
                assert_ok(vindex_vectors(ix, i == 7 ? 8 : i, 1, v, &err), &err);
                assert_ok(vindex_add(other, 1, &id, v, &err), &err);
            }
            vindex_free(ix);
            ix = other;
        }
        assert_ok(vindex_write(ix, r.vectors, info.seq, info.stamp, info.model_hash, &err), &err);
        vindex_free(ix);
        room_reopen(&r);
        assert_ok(library_verify(r.lib, false, NULL, NULL, &damage, &err), &err);
        assert_int_equal(damage, what == 2 ? 2 : 1);
        assert_ok(library_verify(r.lib, true, NULL, NULL, &damage, &err), &err);
        assert_int_equal(damage, 0);
        assert_sound(r.lib);
        compare_search(r.lib, &truth, 10, NULL, 1, true);
        room_close(&r);
    }
}

static void equal_scores_come_in_order_of_ids(void **state)
{
    (void)state;
    struct err          err = ERR_INIT;
    static struct truth truth;
    struct room         r = room_with(&truth, 0);
    struct library_hit *hits;
    size_t              n;
    float               query[DIM];
    char                path[32];
    for (int i = 0; i < 400; i++) { /* the same picture, 400 times */
        snprintf(path, sizeof(path), "%d.jpg", i);
        add_one(r.lib, r.model, r.folder, path, 9);
        if (i == 250)
            assert_ok(library_index_maintain(r.lib, true, &err), &err);
    }
    unit_vector(query, DIM, 9);
    assert_ok(library_search(r.lib, query, 60, NULL, &hits, &n, &err), &err);
    assert_int_equal(n, 60);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(hits[i].id, i + 1);
    free(hits);
    query[0] = NAN;
    assert_int_equal(library_search(r.lib, query, 5, NULL, &hits, &n, &err), ERR_USAGE);
    room_close(&r);
}

static void a_new_model_switches_the_index(void **state)
{
    (void)state;
    struct err          err = ERR_INIT;
    static struct truth truth, fresh;
    struct room         r = room_with(&truth, 120);
    float               embedding[DIM];
    assert_ok(library_index_maintain(r.lib, true, &err), &err);
    int64_t next = fill_model(r.lib, "hash-b", false);
    fresh        = truth;
    for (size_t i = 0; i < truth.n; i++) {
        struct library_item item = picture(r.folder, truth.path[i], truth.seed[i], embedding);
        fresh.seed[i]            = truth.seed[i] + 1000000;
        unit_vector(embedding, DIM, fresh.seed[i]);
        assert_ok(library_add(r.lib, next, &item, 1, &err), &err);
        if (i == truth.n / 2) /* the old one answers until the new one is complete */
            compare_search(r.lib, &truth, 20, NULL, 1, true);
    }
    compare_search(r.lib, &truth, 20, NULL, 1, true);
    assert_sound(r.lib);
    assert_ok(library_model_activate(r.lib, next, &err), &err);
    compare_search(r.lib, &fresh, 20, NULL, 1, true);
    assert_ok(library_index_maintain(r.lib, false, &err), &err);
    room_reopen(&r);
    compare_search(r.lib, &fresh, 20, NULL, 1, true);
    assert_sound(r.lib);
    room_close(&r);
}

int main(void)
{
    /* small libraries without a base; exact; a graph; inverted lists */
    static struct plan none         = {{50000, 1000000, 1000000}, "flat", 1, 0, 60},
                       flat         = {{50000, 1000000, 20}, "flat", 1, 600, 120},
                       hnsw         = {{100, 1000000, 20}, "hnsw", 0.98, 1500, 120},
                       ivf          = {{50, 100, 20}, "ivf", 0.85, 1500, 120};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(search_equals_brute_force, &none),
        cmocka_unit_test_prestate(search_equals_brute_force, &flat),
        cmocka_unit_test_prestate(search_equals_brute_force, &hnsw),
        cmocka_unit_test_prestate(search_equals_brute_force, &ivf),
        cmocka_unit_test(the_index_file_may_be_lost_or_broken),
        cmocka_unit_test(its_state_is_told_without_loading),
        cmocka_unit_test(a_restored_catalogue_drops_the_index),
        cmocka_unit_test(verify_compares_index_and_catalogue),
        cmocka_unit_test(equal_scores_come_in_order_of_ids),
        cmocka_unit_test(a_new_model_switches_the_index),
    };
    if (getenv("TEST_ONLY"))
        cmocka_set_test_filter(getenv("TEST_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
