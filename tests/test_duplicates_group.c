/* Tests of storage/duplicates_group: which of many pairs make a group. */
#include "storage/duplicates_group.h"

#include "tests/library_fixture.h"

struct world {
    const char *alike; /* "ab bc": pairs of letters */
    int         asked;
};

static int are_alike(void *ctx, uint32_t a, uint32_t b, struct err *err)
{
    struct world *w       = ctx;
    char          pair[3] = {(char)('a' + a), (char)('a' + b), 0};
    (void)err;
    w->asked++;
    return strstr(w->alike, pair) != NULL;
}

static void group(struct duplicate_edge *edges, size_t n_edges, size_t n, size_t most,
                  const char *alike, uint32_t *groups)
{
    struct err   err = ERR_INIT;
    struct world w   = {alike, 0};
    assert_ok(duplicates_group(edges, n_edges, n, most, are_alike, &w, groups, &err), &err);
}

static void chains_do_not_join(void **state)
{
    (void)state;
    uint32_t              groups[4];
    struct duplicate_edge edges[] = {{0, 1, 1, 0.97f}, {1, 2, 1, 0.99f}, {2, 3, 1, 0.98f}};
    group(edges, 3, 4, 100, "", groups);
    assert_int_equal(groups[0], 0); /* 1 went with 2, which is nearer */
    assert_int_equal(groups[1], 1);
    assert_int_equal(groups[2], 1);
    assert_int_equal(groups[3], 3);
}

static void pairs_without_an_edge_are_asked_for(void **state)
{
    (void)state;
    uint32_t              groups[4];
    struct duplicate_edge edges[] = {{0, 1, 1, 0.97f}, {1, 2, 1, 0.99f}, {2, 3, 1, 0.98f}};
    group(edges, 3, 4, 100, "bd ac ad", groups);
    for (int i = 0; i < 4; i++)
        assert_int_equal(groups[i], 0);
    group(edges, 3, 4, 100, "bd ac", groups); /* a and d differ: a stays out */
    assert_int_equal(groups[0], 0);
    assert_int_equal(groups[3], 1);
}

static void kinds_come_before_scores(void **state)
{
    (void)state;
    uint32_t              groups[3];
    struct duplicate_edge edges[] = {{0, 1, 2, 0.99f}, {1, 2, 1, 0.97f}};
    group(edges, 2, 3, 100, "", groups);
    assert_int_equal(groups[0], 0);
    assert_int_equal(groups[1], groups[2]);
}

static void the_order_of_edges_does_not_matter(void **state)
{
    (void)state;
    struct duplicate_edge edges[60], shuffled[60];
    uint32_t              one[20], other[20];
    uint64_t              random = 5;
    size_t                n      = 0;
    for (uint32_t a = 0; a < 20; a++)
        for (uint32_t b = a + 1; b < 20 && n < 60; b++)
            if (splitmix_below(&random, 3) == 0) {
                edges[n] = (struct duplicate_edge){a, b, 1, 0.9f + 0.01f * (float)(n % 4)};
                n++;
            }
    memcpy(shuffled, edges, sizeof edges);
    for (size_t i = n - 1; i > 0; i--) {
        size_t                j = splitmix_below(&random, i + 1);
        struct duplicate_edge t = shuffled[i];
        shuffled[i]             = shuffled[j];
        shuffled[j]             = t;
    }
    group(edges, n, 20, 100, "", one);
    group(shuffled, n, 20, 100, "", other);
    assert_memory_equal(one, other, sizeof one);
}

static void groups_have_a_ceiling(void **state)
{
    (void)state;
    uint32_t              groups[4];
    struct duplicate_edge edges[] = {{0, 1, 1, 1}, {0, 2, 1, 0.99f}, {0, 3, 1, 0.99f}};
    group(edges, 3, 4, 2, "bc bd cd", groups);
    assert_int_equal(groups[1], 0);
    assert_int_equal(groups[2], 2);
    assert_int_equal(groups[3], 3);
}

static int cannot_tell(void *ctx, uint32_t a, uint32_t b, struct err *err)
{
    (void)ctx;
    return err_set(err, ERR_IO, "%u %u", a, b);
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    struct err            err = ERR_INIT;
    uint32_t              groups[3];
    struct duplicate_edge edges[] = {{0, 1, 1, 1}, {1, 2, 1, 1}};
    assert_int_equal(duplicates_group(edges, 2, 3, 100, cannot_tell, NULL, groups, &err), ERR_IO);
    assert_string_equal(err.msg, "0 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_do_not_join),
        cmocka_unit_test(pairs_without_an_edge_are_asked_for),
        cmocka_unit_test(kinds_come_before_scores),
        cmocka_unit_test(the_order_of_edges_does_not_matter),
        cmocka_unit_test(groups_have_a_ceiling),
        cmocka_unit_test(a_failure_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
