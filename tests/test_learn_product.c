/* Unit tests of core/learn's products and of what they run on: every way to turn the
 * operands against double precision, the same to the bit on any number of threads; that
 * each item of a phase runs once. */
#include "tests/gradcheck.h"

#include "learn/product.h"

#include <stdatomic.h>

static float *random_floats(struct random *r, size_t n)
{
    float *x = mem_aligned(n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(r);
    return x;
}

static double *doubles(const float *x, size_t n)
{
    double *y = mem_array(n, sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* One shape, all ways: bits 0 and 1 turn a and b, 2 adds, 3 has a bias. */
static void check_product(struct compute *c1, struct compute *c3, int m, int n, int k, int ways)
{
    struct random r;
    random_seed(&r, (uint64_t)(m * 1000003 + n * 1009 + k));
    bool   a_turned = ways & 1, b_turned = ways & 2;
    int    lda = (a_turned ? m : k) + 3, ldb = (b_turned ? k : n) + 2, ldc = n + 5;
    size_t na = (size_t)lda * (size_t)(a_turned ? k : m);
    size_t nb = (size_t)ldb * (size_t)(b_turned ? n : k), nc = (size_t)ldc * (size_t)m;
    float *a = random_floats(&r, na), *b = random_floats(&r, nb), *to = random_floats(&r, nc);
    float *bias = random_floats(&r, (size_t)n), *to3 = mem_array(nc, sizeof *to3);
    float *to1 = mem_array(nc, sizeof *to1), *start = mem_array(nc, sizeof *start);
    memcpy(to3, to, nc * sizeof *to);
    memcpy(to1, to, nc * sizeof *to);
    memcpy(start, to, nc * sizeof *to);
    double            *a64 = doubles(a, na), *b64 = doubles(b, nb), *to64 = doubles(to, nc);
    double            *bias64 = doubles(bias, (size_t)n);
    struct product_f32 p      = {m,
                                 n,
                                 k,
                                 a,
                                 lda,
                                 a_turned,
                                 b,
                                 ldb,
                                 b_turned,
                            ways & 8 ? bias : NULL,
                                 to,
                                 ldc,
                                 (ways & 4) != 0};
    struct product_f64 p64    = {m,
                                 n,
                                 k,
                                 a64,
                                 lda,
                                 a_turned,
                                 b64,
                                 ldb,
                                 b_turned,
                              ways & 8 ? bias64 : NULL,
                                 to64,
                                 ldc,
                                 (ways & 4) != 0};
    product_run_f32(c1, &p);
    p.c = to3;
    product_run_f32(c3, &p);
    p.c           = to1;
    void *scratch = mem_aligned(product_scratch_f32(&p), 1);
    product_one_f32(c1, &p, scratch);
    product_run_f64(c3, &p64);
    assert_memory_equal(to, to3, nc * sizeof *to);
    assert_memory_equal(to, to1, nc * sizeof *to);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < ldc; j++) {
            size_t at = (size_t)i * (size_t)ldc + (size_t)j;
            if (j >= n)
                assert_true(to[at] == start[at]); /* between the rows: untouched */
            else if (fabs((double)to[at] - to64[at]) > 2e-6 * (k + 4))
                fail_msg("%d x %d x %d, ways %d: (%d, %d) is %g, not %g", m, n, k, ways, i, j,
                         (double)to[at], to64[at]);
        }
    }
    /* The double product itself, at one place, against a sum written out. */
    int    i = m - 1, j = n - 1;
    double sum = (ways & 4 ? (double)start[(size_t)i * (size_t)ldc + (size_t)j] : 0) +
                 (ways & 8 ? (double)bias[j] : 0);
    for (int kk = 0; kk < k; kk++)
        sum += (double)(a_turned ? a[kk * lda + i] : a[i * lda + kk]) *
               (double)(b_turned ? b[j * ldb + kk] : b[kk * ldb + j]);
    assert_true(fabs(sum - to64[(size_t)i * (size_t)ldc + (size_t)j]) < 1e-10 * (k + 4));
    free(a), free(b), free(to), free(to3), free(to1), free(start), free(bias), free(scratch);
    free(a64), free(b64), free(to64), free(bias64);
}

static void test_products(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},   {3, 5, 2},     {17, 16, 15},  {16, 33, 64},
                                   {29, 7, 31}, {64, 100, 48}, {130, 47, 65}, {257, 310, 129}};
    struct compute  *c1 = NULL, *c3 = NULL;
    assert_int_equal(compute_new(cpu_detect(), 1, &c1, NULL), 0);
    assert_int_equal(compute_new(cpu_detect(), 3, &c3, NULL), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int ways = 0; ways < 16; ways++)
            check_product(c1, c3, sizes[i][0], sizes[i][1], sizes[i][2], ways);
    }
    compute_free(c1);
    compute_free(c3);
}

struct seen {
    atomic_int times[500];
    atomic_int elsewhere;
    size_t     ranges_end;
};

static void see_item(void *arg, int item, int thread)
{
    struct seen *s = arg;
    atomic_fetch_add(&s->times[item], 1);
    if (thread < 0 || thread >= 3)
        atomic_fetch_add(&s->elsewhere, 1);
}

static void see_range(void *arg, size_t from, size_t to)
{
    struct seen *s = arg;
    for (size_t i = from; i < to; i++)
        atomic_fetch_add(&s->times[i], 1);
}

static void test_each_item_runs_once(void **state)
{
    (void)state;
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), 3, &c, NULL), 0);
    for (int round = 0; round < 300; round++) {
        struct seen s     = {0};
        int         items = round % 7 == 0 ? 0 : 1 + round % 500;
        if (round % 2)
            compute_each(c, items, see_item, &s);
        else
            compute_ranges(c, (size_t)items, 5000, see_range, &s);
        for (int i = 0; i < 500; i++)
            assert_int_equal(atomic_load(&s.times[i]), i < items);
        assert_int_equal(atomic_load(&s.elsewhere), 0);
    }
    compute_free(c);
}

static void test_compute(void **state)
{
    (void)state;
    struct compute *c   = NULL;
    struct err      err = ERR_INIT;
    assert_int_equal(compute_new(cpu_detect(), 0, &c, &err), ERR_USAGE);
    assert_null(c);
    compute_free(NULL);
    assert_int_equal(compute_new(cpu_detect(), 2, &c, &err), 0);
    assert_int_equal(compute_threads(c), 2);
    char *p = compute_shared(c, COMPUTE_TEMP, 100);
    assert_non_null(p);
    assert_ptr_equal(compute_shared(c, COMPUTE_TEMP, 50), p);
    assert_int_equal((uintptr_t)compute_own(c, 1, 1000) % 64, 0);
    assert_int_equal(compute_check(c, &err), 0);
    /* More than there is: remembered, and products do nothing from then on. */
    assert_null(compute_shared(c, COMPUTE_PACK, SIZE_MAX));
    assert_int_equal(compute_check(c, &err), ERR_NOMEM);
    float              one = 1, two = 2, to = 5;
    struct product_f32 product = {
        .m = 1, .n = 1, .k = 1, .a = &one, .lda = 1, .b = &two, .ldb = 1, .c = &to, .ldc = 1};
    product_run_f32(c, &product);
    assert_true(to == 5);
    compute_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_each_item_runs_once),
        cmocka_unit_test(test_compute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
