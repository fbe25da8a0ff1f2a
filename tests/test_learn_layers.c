/* Unit tests of core/learn's layers: gradients by finite differences, single against
 * double precision, and that threads change nothing. */
#include "tests/gradcheck.h"

#include "learn/layers.h"

#include "learn/real_f32.h"

#include "tests/learn_layers_inl.h"

#include "learn/real_f64.h"

#include "tests/learn_layers_inl.h"

#define CASE(name) #name, name##_f64, name##_f32

static const struct gradcheck cases[] = {
    {CASE(linear), {35, 63, 9}, 0},
    {CASE(residual), {84, 132, 132}, 0},
    {CASE(sum), {50, 50}, 0},
    {CASE(gelu), {301}, 0},
    {CASE(relu), {301}, 0},
    {CASE(drop), {301}, 0},
    {CASE(norm), {222, 37, 37}, 0},
    {CASE(l2), {222}, 0},
    {CASE(standardise), {222}, 0},
    {CASE(softmax), {222}, 0},
    {CASE(softmax_all), {222}, 0},
    {CASE(attend), {690}, 0},
    {CASE(attend_drop), {690}, 0},
    {CASE(mean_pool), {207}, 0},
    {CASE(attention_pool), {207, 9}, 0},
    {CASE(gather), {205}, 0},
    {CASE(concat), {66, 30, 2}, 0},
};

static void test_gradients(void **state)
{
    (void)state;
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        gradcheck_run(&cases[i], c, 7 + i);
    compute_free(c);
}

/* Gradients of parameters are added to, so that two calls give twice one. */
static void assert_twice(const float *twice, const float *once, int n)
{
    for (int i = 0; i < n; i++) {
        if (fabsf(twice[i] - 2 * once[i]) > 1e-4f * (1 + fabsf(once[i])))
            fail_msg("gradient %d: %g after two calls, %g after one", i, (double)twice[i],
                     (double)once[i]);
    }
}

static void test_gradients_of_parameters_add_up(void **state)
{
    (void)state;
    enum { ROWS = 9, IN = 12, OUT = 5 };
    struct compute *c = NULL;
    struct random   r;
    float           x[ROWS * IN], w[OUT * IN], dy[ROWS * IN], dx[ROWS * IN], y[ROWS * IN];
    float           saved[2 * ROWS], dw[2][OUT * IN] = {{0}}, db[2][IN] = {{0}}, dx2[ROWS * IN];
    const int       starts[] = {0, 4, ROWS};
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    random_seed(&r, 3);
    for (int i = 0; i < ROWS * IN; i++) {
        x[i]  = (float)random_normal(&r);
        dy[i] = (float)random_normal(&r);
    }
    for (int i = 0; i < OUT * IN; i++)
        w[i] = (float)random_normal(&r);
    for (int k = 0; k < 3; k++) /* once to dw[0], twice to dw[1] */
        linear_backward_f32(c, x, dy, ROWS, IN, w, OUT, false, dx, dw[k > 0], db[k > 0]);
    assert_twice(dw[1], dw[0], OUT * IN);
    assert_twice(db[1], db[0], OUT);
    linear_backward_f32(c, x, dy, ROWS, IN, w, OUT, false, dx2, NULL, NULL);
    assert_memory_equal(dx, dx2, sizeof dx); /* set, not added to */
    linear_backward_f32(c, x, dy, ROWS, IN, w, OUT, true, dx2, NULL, NULL);
    assert_twice(dx2, dx, ROWS * IN);
    linear_backward_f32(c, x, dy, ROWS, IN, w, OUT, false, NULL, NULL, NULL);

    memset(dw, 0, sizeof dw);
    memset(db, 0, sizeof db);
    layernorm_forward_f32(c, x, ROWS, IN, w, w, 1e-5f, y, saved);
    for (int k = 0; k < 3; k++)
        layernorm_backward_f32(c, x, dy, ROWS, IN, w, saved, NULL, dw[k > 0], db[k > 0]);
    assert_twice(dw[1], dw[0], IN);
    assert_twice(db[1], db[0], IN);
    layernorm_backward_f32(c, x, dy, ROWS, IN, w, saved, dx, NULL, NULL);

    memset(dw, 0, sizeof dw);
    attention_pool_forward_f32(c, x, IN, starts, 2, w, y, saved);
    for (int k = 0; k < 3; k++)
        attention_pool_backward_f32(c, x, dy, IN, starts, 2, w, saved, NULL, dw[k > 0]);
    assert_twice(dw[1], dw[0], IN);
    for (int i = 0; i < IN; i++)
        assert_true(dw[0][i] != 0);
    compute_free(c);
}

/* Much of everything, on one thread and on three: the same bits. The sizes are such that
 * work is shared. */
static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { ROWS = 600, DIM = 192, SEQUENCES = 20, HEADS = 3 };
    struct random r;
    size_t        n = (size_t)ROWS * DIM;
    float        *x = mem_aligned(3 * n, sizeof *x), *all[2];
    int           starts[SEQUENCES + 1], from[ROWS];
    assert_non_null(x);
    random_seed(&r, 8);
    for (size_t i = 0; i < 3 * n; i++)
        x[i] = (float)random_normal(&r);
    for (int i = 0; i <= SEQUENCES; i++)
        starts[i] = i * ROWS / SEQUENCES;
    for (int i = 0; i < ROWS; i++)
        from[i] = (int)random_below(&r, ROWS);
    struct dropout d     = {.p = 0.5, .key = 3};
    struct attend  a     = {starts, SEQUENCES, HEADS, DIM / HEADS, &d};
    size_t         parts = 12 * n + attend_saved(&a) + 2 * ROWS;
    for (int k = 0; k < 2; k++) {
        struct compute *c = NULL;
        assert_int_equal(compute_new(cpu_detect(), k ? 3 : 1, &c, NULL), 0);
        float *to = all[k] = mem_aligned(parts, sizeof *to);
        assert_non_null(to);
        memset(to, 0, parts * sizeof *to);
        float *saved = to + 12 * n, *norms = saved + attend_saved(&a);
        gelu_forward_f32(c, x, n, to);
        gelu_backward_f32(c, x, x + n, n, to + n);
        dropout_f32(c, x, n, &d, to + 2 * n);
        layernorm_forward_f32(c, x, ROWS, DIM, x + n, x, 1e-5f, to + 3 * n, norms);
        layernorm_backward_f32(c, x, x + n, ROWS, DIM, x, norms, to + 4 * n, to + 5 * n,
                               to + 5 * n + DIM);
        attend_forward_f32(c, &a, x, to + 6 * n, saved);
        attend_backward_f32(c, &a, x, x, saved, to + 7 * n);
        mean_pool_forward_f32(c, x, DIM, starts, SEQUENCES, to + 10 * n);
        gather_backward_f32(c, x, DIM, from, ROWS, to + 11 * n);
        compute_free(c);
    }
    assert_memory_equal(all[0], all[1], parts * sizeof **all);
    free(all[0]);
    free(all[1]);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_of_parameters_add_up),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
