/* Unit tests of storage/library_suggest: pictures like those given come, best first, as many
 * as wanted; what was given never does, and what cannot be learned is said.
 */
#include "catalog_fixture.h"
#include "storage/library_suggest.h"

enum { ALIKE = 20, OTHERS = 100, N = ALIKE + OTHERS };

/* Pictures 0 to ALIKE - 1 lie close together, in two halves that are closer still; the
 * others anywhere. */
struct shelf {
    struct room room;
    int64_t     ids[N];
    float       embeddings[N][DIM];
};

static void make_embedding(float *out, int i)
{
    float  theme[DIM], half[DIM];
    double sum = 0;
    unit_vector(out, DIM, (uint64_t)i + 1);
    if (i >= ALIKE)
        return;
    unit_vector(theme, DIM, 4711);
    unit_vector(half, DIM, i < ALIKE / 2 ? 4712 : 4713);
    for (int d = 0; d < DIM; d++) {
        out[d] = theme[d] + 0.5f * half[d] + 0.4f * out[d];
        sum += (double)out[d] * (double)out[d];
    }
    for (int d = 0; d < DIM; d++)
        out[d] = (float)((double)out[d] / __builtin_sqrt(sum));
}

static struct shelf *open_shelf(void)
{
    struct err    err = ERR_INIT;
    struct shelf *s   = calloc(1, sizeof *s);
    assert_non_null(s);
    s->room = room_open("/pics");
    for (int i = 0; i < N; i++) {
        char                path[32];
        struct library_item item;
        snprintf(path, sizeof path, "%04d.jpg", i);
        item = picture(s->room.folder, path, (uint64_t)i + 1, s->embeddings[i]);
        make_embedding(s->embeddings[i], i);
        assert_ok(library_add(s->room.lib, s->room.model, &item, 1, &err), &err);
        s->ids[i] = item.id;
    }
    return s;
}

static void close_shelf(struct shelf *s)
{
    room_close(&s->room);
    free(s);
}

static bool holds(const int64_t *ids, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static int rank_of(const struct library_suggestion *list, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].id == id)
            return (int)i;
    return -1;
}

/* Suggests, and checks what holds for every answer. */
static size_t suggest(struct shelf *s, const struct library_suggesting *how,
                      struct library_suggestion **out)
{
    struct err err = ERR_INIT;
    size_t     n   = 0;
    assert_ok(library_suggest(s->room.lib, how, out, &n, &err), &err);
    assert_true(n <= how->limit);
    for (size_t i = 0; i < n; i++) {
        const struct library_suggestion *one = &(*out)[i];
        assert_true(one->score >= how->min_score && one->score <= 1);
        assert_false(holds(how->like, how->n_like, one->id));
        assert_false(holds(how->unlike, how->n_unlike, one->id));
        assert_true(holds(s->ids, N, one->id));
        if (i)
            assert_true(one[-1].score > one->score ||
                        (one[-1].score == one->score && one[-1].id < one->id));
    }
    return n;
}

static void what_is_alike_comes_first(void **state)
{
    (void)state;
    struct shelf                   *s = open_shelf();
    struct library_suggestion      *list;
    const struct library_suggesting how = {
        .like = s->ids + ALIKE / 2 - 3, .n_like = 6, .limit = N, .min_score = 0, .threads = 1};
    size_t n = suggest(s, &how, &list);
    assert_int_equal(n, N - 6); /* no score is less than 0: all come */
    for (size_t i = 0; i < ALIKE - 6; i++)
        assert_true(holds(s->ids, ALIKE, list[i].id));
    assert_true(list[0].score > 0.5);
    assert_true(list[ALIKE - 6].score < 0.5);
    free(list);
    close_shelf(s);
}

/* Whatever the limit: the first of the whole order. */
static void a_limit_cuts_the_order(void **state)
{
    (void)state;
    struct shelf              *s   = open_shelf();
    struct library_suggesting  how = {.like = s->ids, .n_like = 4, .limit = N, .threads = 1};
    struct library_suggestion *all, *some;
    size_t                     n = suggest(s, &how, &all);
    assert_int_equal(n, N - 4);
    for (size_t limit = 0; limit <= N; limit = limit * 2 + 1) {
        how.limit   = limit;
        size_t less = suggest(s, &how, &some);
        assert_int_equal(less, limit < n ? limit : n);
        for (size_t i = 0; i < less; i++) {
            assert_int_equal(some[i].id, all[i].id);
            assert_float_equal(some[i].score, all[i].score, 0);
        }
        free(some);
    }
    /* And a least score takes those that have it, no others. */
    how.limit     = N;
    how.min_score = all[9].score;
    size_t least  = suggest(s, &how, &some);
    assert_true(least >= 10 && least < n);
    for (size_t i = 0; i < least; i++)
        assert_int_equal(some[i].id, all[i].id);
    assert_true(all[least].score < how.min_score);
    free(some);
    free(all);
    close_shelf(s);
}

static void what_is_not_it_teaches_too(void **state)
{
    (void)state;
    struct shelf              *s   = open_shelf();
    struct library_suggesting  how = {.like = s->ids, .n_like = 3, .limit = N, .threads = 1};
    struct library_suggestion *before, *after;
    size_t                     n = suggest(s, &how, &before);
    how.unlike                   = s->ids + ALIKE / 2; /* three of the other half */
    how.n_unlike                 = 3;
    size_t m                     = suggest(s, &how, &after);
    assert_int_equal(m, n - 3);
    for (int i = ALIKE / 2 + 3; i < ALIKE; i++) {
        int a = rank_of(before, n, s->ids[i]), b = rank_of(after, m, s->ids[i]);
        assert_true(a >= 0 && b >= 0);
        assert_true(after[b].score < before[a].score);
        for (int k = 3; k < ALIKE / 2; k++)
            assert_true(rank_of(after, m, s->ids[k]) < b);
    }
    free(before);
    free(after);
    close_shelf(s);
}

static void one_picture_is_enough(void **state)
{
    (void)state;
    struct shelf                   *s = open_shelf();
    struct library_suggestion      *list;
    const struct library_suggesting how = {
        .like = s->ids + 7, .n_like = 1, .limit = 10, .threads = 1};
    size_t n = suggest(s, &how, &list), right = 0;
    assert_int_equal(n, 10);
    for (size_t i = 0; i < n; i++)
        right += holds(s->ids, ALIKE, list[i].id);
    assert_true(right >= 8);
    free(list);
    close_shelf(s);
}

/* ---- What cannot be ---- */

static int stop_at_once(void *ctx, double done, struct err *err)
{
    assert_true(done >= 0 && done <= 1);
    return err_set(err, ERR_CANCELLED, "%s", (const char *)ctx);
}

static void failures_are_told_and_nothing_is_written(void **state)
{
    (void)state;
    struct err                 err  = ERR_INIT;
    struct shelf              *s    = open_shelf();
    int64_t                    gone = 99999;
    struct library_stats       before, after;
    struct library_suggestion *list  = NULL;
    size_t                     n     = 77;
    char                       why[] = "enough";
    struct library_suggesting  how   = {.like = &gone, .n_like = 1, .limit = 5, .threads = 1};
    assert_ok(library_stats(s->room.lib, &before, &err), &err);
    assert_int_equal(library_suggest(s->room.lib, &how, &list, &n, &err), ERR_NOTFOUND);
    how.like = s->ids, how.unlike = &gone, how.n_unlike = 1;
    assert_int_equal(library_suggest(s->room.lib, &how, &list, &n, &err), ERR_NOTFOUND);
    how.n_unlike = 0, how.go_on = (struct go_on){.ask = stop_at_once, .ctx = why};
    assert_int_equal(library_suggest(s->room.lib, &how, &list, &n, &err), ERR_CANCELLED);
    assert_non_null(strstr(err.msg, why));
    assert_null(list);
    assert_int_equal(n, 77);
    assert_ok(library_stats(s->room.lib, &after, &err), &err);
    assert_int_equal(after.generation, before.generation);
    close_shelf(s);
}

static void a_library_without_others_has_nothing_to_suggest(void **state)
{
    (void)state;
    struct err                 err   = ERR_INIT;
    char                      *dir   = temporary_dir();
    struct library            *lib   = NULL;
    struct library_suggestion *list  = NULL;
    size_t                     n     = 0;
    int64_t                    ids[] = {1, 2};
    struct library_suggesting  how   = {.like = ids, .n_like = 1, .limit = 5, .threads = 1};
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    assert_int_equal(library_suggest(lib, &how, &list, &n, &err), ERR_NOTFOUND); /* no model */
    int64_t model = fill_model(lib, "h1", true), folder = add_folder(lib, "/pics");
    assert_int_equal(library_suggest(lib, &how, &list, &n, &err), ERR_NOTFOUND);
    ids[0] = add_one(lib, model, folder, "a.jpg", 1);
    assert_int_equal(library_suggest(lib, &how, &list, &n, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "no other pictures"));
    ids[1]     = add_one(lib, model, folder, "b.jpg", 2);
    how.n_like = 2;
    assert_int_equal(library_suggest(lib, &how, &list, &n, &err), ERR_USAGE);
    assert_null(list);
    how.n_like = 1; /* the other is left, and is what it is told from */
    assert_ok(library_suggest(lib, &how, &list, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].id, ids[1]);
    assert_true(list[0].score < 0.5);
    free(list);
    library_close(lib);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_alike_comes_first),
        cmocka_unit_test(a_limit_cuts_the_order),
        cmocka_unit_test(what_is_not_it_teaches_too),
        cmocka_unit_test(one_picture_is_enough),
        cmocka_unit_test(failures_are_told_and_nothing_is_written),
        cmocka_unit_test(a_library_without_others_has_nothing_to_suggest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
