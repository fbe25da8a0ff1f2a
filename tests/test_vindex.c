/* Unit tests of storage/vindex and storage/delta: every kind finds what it
 * should, survives the file, and refuses a damaged one. */
#include "library_fixture.h"

#include "base/file.h"
#include "base/half.h"
#include "storage/delta.h"
#include "storage/vindex.h"

#include <math.h>

#define N 3000

struct kind_case {
    enum vindex_kind kind;
    double           recall; /* at least, of the 10 nearest, on uniform vectors */
};

static float vectors[N][DIM];

static void make_vectors(void)
{
    for (int i = 0; i < N; i++)
        unit_vector(vectors[i], DIM, (uint64_t)i + 1);
}

/* Ids are 3 i + 5: no positions. */
static struct vindex *build(enum vindex_kind kind)
{
    struct err     err = ERR_INIT;
    struct vindex *ix  = NULL;
    static int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = 3 * i + 5;
    assert_ok(vindex_new(kind, VINDEX_PRODUCT, DIM, N, &ix, &err), &err);
    if (vindex_training_size(ix) > 0)
        assert_ok(vindex_train(ix, N, vectors[0], &err), &err);
    assert_ok(vindex_add(ix, N / 2, ids, vectors[0], &err), &err);
    assert_ok(vindex_add(ix, N - N / 2, ids + N / 2, vectors[N / 2], &err), &err);
    return ix;
}

static int nearest(const float *query, int k, int64_t *out)
{
    static float scores[N];
    for (int i = 0; i < N; i++) {
        scores[i] = 0;
        for (int j = 0; j < DIM; j++)
            scores[i] += query[j] * vectors[i][j];
    }
    for (int n = 0; n < k; n++) {
        int best = 0;
        for (int i = 1; i < N; i++)
            if (scores[i] > scores[best])
                best = i;
        out[n]       = 3 * best + 5;
        scores[best] = -2;
    }
    return k;
}

static double recall_of(struct vindex *ix)
{
    struct err err  = ERR_INIT;
    int        hits = 0;
    for (int q = 0; q < 50; q++) {
        float   query[DIM], scores[200];
        int64_t want[10], ids[200], positions[200];
        size_t  n;
        unit_vector(query, DIM, (uint64_t)(100000 + q));
        nearest(query, 10, want);
        assert_ok(vindex_search(ix, query, 200, 1, ids, positions, scores, &n, &err), &err);
        assert_true(n > 100 && n <= 200); /* inverted lists may run dry */
        for (size_t i = 1; i < n; i++)
            assert_true(scores[i] <= scores[i - 1]);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(vindex_ids(ix)[positions[i]], ids[i]);
        for (int i = 0; i < 10; i++)
            for (size_t j = 0; j < n; j++)
                hits += ids[j] == want[i];
    }
    return hits / 500.0;
}

static bool is_even(void *ctx, int64_t id)
{
    ++*(int *)ctx;
    return id % 2 == 0;
}

static void a_kind_goes_through_its_file(void **state)
{
    const struct kind_case *c    = *state;
    struct err              err  = ERR_INIT;
    char                   *dir  = temporary_dir();
    char                   *path = path_join(dir, "vectors.faiss");
    const char    *hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct vindex *ix   = build(c->kind);
    assert_true(recall_of(ix) >= c->recall);
    assert_ok(vindex_write(ix, path, 77, -5, hash, &err), &err);
    vindex_free(ix);

    assert_ok(vindex_check(path, &err), &err);
    assert_ok(vindex_open(path, false, &ix, &err), &err);
    assert_int_equal(vindex_info(ix)->seq, 77);
    assert_int_equal(vindex_info(ix)->stamp, -5);
    assert_int_equal(vindex_info(ix)->count, N);
    assert_int_equal(vindex_info(ix)->kind, c->kind);
    assert_string_equal(vindex_info(ix)->model_hash, hash);
    struct vindex_file mine = vindex_file_of(ix), there = vindex_file_at(path),
                       none = vindex_file_at(dir);
    assert_true(vindex_file_equal(&mine, &there));
    assert_false(vindex_file_equal(&mine, &none));
    assert_int_equal(vindex_file_at("/nowhere/at/all").inode, 0);
    assert_true(recall_of(ix) >= c->recall);
    float stored[2][DIM];
    assert_ok(vindex_vectors(ix, 1234, 2, stored[0], &err), &err);
    for (int i = 0; i < 2; i++) {
        uint16_t half[DIM];
        float    want[DIM];
        half_from_float(half, vectors[1234 + i], DIM);
        half_to_float(want, half, DIM);
        assert_memory_equal(stored[i], want, sizeof(want));
    }
    vindex_free(ix);

    /* Grown: half of it gone, one more in. */
    int     asked = 0;
    int64_t id = 1000001, ids[N], extra = 0;
    float   scores[N];
    size_t  n;
    assert_ok(vindex_open(path, true, &ix, &err), &err);
    vindex_remove(ix, is_even, &asked);
    assert_int_equal(asked, N);
    assert_int_equal(vindex_info(ix)->gone, N / 2);
    float more[DIM];
    unit_vector(more, DIM, 424242);
    assert_ok(vindex_add(ix, 1, &id, more, &err), &err);
    assert_ok(vindex_write(ix, path, 78, 9, hash, &err), &err);
    vindex_free(ix);
    assert_ok(vindex_open(path, false, &ix, &err), &err);
    assert_int_equal(vindex_info(ix)->count, N + 1);
    assert_int_equal(vindex_info(ix)->gone, N / 2);
    assert_ok(vindex_search(ix, more, 100, 1, ids, NULL, scores, &n, &err), &err);
    assert_true(n > 0 && n <= 100);
    assert_int_equal(ids[0], 1000001);
    assert_true(fabsf(scores[0] - 1) < 1e-3f);
    for (size_t i = 0; i < n; i++)
        extra += ids[i] % 2 == 0;
    assert_int_equal(extra, 0);
    vindex_free(ix);
    free(path);
    remove_dir(dir);
}

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    struct err     err  = ERR_INIT;
    char          *dir  = temporary_dir();
    char          *path = path_join(dir, "vectors.faiss");
    struct vindex *ix   = NULL;
    uint8_t       *data;
    size_t         len;
    assert_int_equal(vindex_open(path, false, &ix, &err), ERR_NOTFOUND);
    ix = build(VINDEX_FLAT);
    assert_ok(vindex_write(ix, path, 1, 1, "hash", &err), &err);
    vindex_free(ix);
    ix = NULL;
    assert_ok(file_read(path, 1 << 24, &data, &len, &err), &err);
    for (size_t i = 0; i < 60; i++) { /* a bit anywhere, its end included */
        size_t at = i < 30 ? i * (len / 30) : len - 1 - (i - 30) * 6;
        data[at] ^= 0x10;
        assert_ok(file_replace(path, data, len, &err), &err);
        assert_int_equal(vindex_open(path, false, &ix, &err), ERR_DAMAGED);
        assert_int_equal(vindex_check(path, &err), ERR_DAMAGED);
        assert_non_null(strstr(err.msg, path));
        data[at] ^= 0x10;
    }
    for (size_t cut = 0; cut < len; cut += len / 20 + 1) {
        assert_ok(file_replace(path, data, cut, &err), &err);
        assert_int_equal(vindex_open(path, false, &ix, &err), ERR_DAMAGED);
    }
    assert_ok(file_replace(path, data, len, &err), &err);
    assert_ok(vindex_open(path, false, &ix, &err), &err);
    vindex_free(ix);
    free(data);
    free(path);
    remove_dir(dir);
}

static void an_empty_index_answers_nothing(void **state)
{
    (void)state;
    struct err     err = ERR_INIT;
    struct vindex *ix  = NULL;
    int64_t        ids[10];
    float          scores[10], query[DIM];
    size_t         n = 7;
    unit_vector(query, DIM, 1);
    assert_ok(vindex_new(VINDEX_FLAT, VINDEX_PRODUCT, DIM, 0, &ix, &err), &err);
    assert_ok(vindex_search(ix, query, 10, 1, ids, NULL, scores, &n, &err), &err);
    assert_int_equal(n, 0);
    vindex_free(ix);
    vindex_free(NULL);
}

/* Against an array that says for each id what the delta should. */
static void delta_keeps_the_last_word(void **state)
{
    (void)state;
    struct err   err = ERR_INIT;
    struct delta delta;
    int          known[500] = {0}; /* 0: never, -1: tombstone, else the vector's mark */
    uint64_t     s          = 3;
    delta_init(&delta, 4);
    for (int step = 1; step < 20000; step++) {
        int id = (int)(splitmix_next(&s) % 499) + 1;
        if (splitmix_next(&s) % 3 == 0) {
            assert_ok(delta_put(&delta, id, NULL, &err), &err);
            known[id] = -1;
        } else {
            uint16_t v[4] = {(uint16_t)step, (uint16_t)id, 3, 4};
            assert_ok(delta_put(&delta, id, v, &err), &err);
            known[id] = step & 0xffff;
        }
    }
    size_t live = 0, count = 0;
    for (int id = 1; id < 500; id++) {
        assert_int_equal(delta_has(&delta, id), known[id] != 0);
        live += known[id] > 0;
        count += known[id] != 0;
    }
    assert_int_equal(delta.live, live);
    assert_int_equal(delta.count, count);
    for (size_t i = 0; i < delta.live; i++) {
        assert_int_equal(delta.vectors[i * 4 + 1], delta.ids[i]);
        assert_int_equal(delta.vectors[i * 4], known[delta.ids[i]]);
    }
    delta_release(&delta);
    assert_false(delta_has(&delta, 1));
}

int main(void)
{
    static struct kind_case flat = {VINDEX_FLAT, 1.0}, hnsw = {VINDEX_HNSW, 0.95},
                            ivf = {VINDEX_IVF, 0.5};
    make_vectors();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_kind_goes_through_its_file, &flat),
        cmocka_unit_test_prestate(a_kind_goes_through_its_file, &hnsw),
        cmocka_unit_test_prestate(a_kind_goes_through_its_file, &ivf),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(an_empty_index_answers_nothing),
        cmocka_unit_test(delta_keeps_the_last_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
