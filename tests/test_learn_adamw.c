/* Unit tests of core/learn's optimiser, schedule and random numbers: AdamW against the
 * paper's algorithm in double precision, clipping, averages, what a kept state gives. */
#include "tests/gradcheck.h"

#include "learn/adamw.h"

#define N 1003

struct problem {
    float            w[N], g[N], bias[3], bias_g[3];
    struct param_f32 params[2];
};

static void open_problem(struct problem *p, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    for (int i = 0; i < N; i++) {
        p->w[i] = (float)random_normal(&r);
        p->g[i] = 0;
    }
    for (int i = 0; i < 3; i++) {
        p->bias[i]   = (float)random_normal(&r);
        p->bias_g[i] = 0;
    }
    p->params[0] = (struct param_f32){"w", 17, 59, p->w, p->g, true};
    p->params[1] = (struct param_f32){"b", 1, 3, p->bias, p->bias_g, false};
}

static void set_gradients(struct problem *p, int step)
{
    for (int i = 0; i < N; i++)
        p->g[i] = sinf((float)(i + 13 * step));
    for (int i = 0; i < 3; i++)
        p->bias_g[i] = cosf((float)(i + 5 * step));
}

static struct compute *compute_for_tests(void)
{
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    return c;
}

static void assert_near(double a, double b, double most)
{
    if (!(fabs(a - b) <= most))
        fail_msg("%.12g is not %.12g", a, b);
}

/* Algorithm 2 of the paper, one number at a time. */
static void test_adamw_is_the_papers(void **state)
{
    (void)state;
    struct compute      *c = compute_for_tests();
    struct problem       p;
    struct adamw         a;
    struct adamw_options o = {
        .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1, .clip = 3, .ema = 0.7};
    double w[N + 3], m[N + 3] = {0}, v[N + 3] = {0}, ema[N + 3];
    open_problem(&p, 1);
    assert_int_equal(adamw_init(&a, &o, p.params, 2, NULL), 0);
    for (int i = 0; i < N + 3; i++)
        w[i] = ema[i] = (double)(i < N ? p.w[i] : p.bias[i - N]);
    for (int step = 1; step <= 20; step++) {
        double rate = 0.01 * step, norm = 0, k = fmin(0.7, step / (step + 9.0));
        set_gradients(&p, step);
        if (step > 10) { /* below the clip */
            for (int i = 0; i < N; i++)
                p.g[i] *= 0.01f;
        }
        for (int i = 0; i < N + 3; i++)
            norm += pow((double)(i < N ? p.g[i] : p.bias_g[i - N]), 2);
        norm = sqrt(norm);
        assert_true((norm > 3) == (step <= 10));
        for (int i = 0; i < N + 3; i++) {
            double g  = (double)(i < N ? p.g[i] : p.bias_g[i - N]) * fmin(1, 3 / norm);
            m[i]      = 0.9 * m[i] + 0.1 * g;
            v[i]      = 0.98 * v[i] + 0.02 * g * g;
            double mh = m[i] / (1 - pow(0.9, step)), vh = v[i] / (1 - pow(0.98, step));
            w[i] -= rate * (mh / (sqrt(vh) + 1e-8) + (i < N ? 0.1 * w[i] : 0));
            ema[i] = k * ema[i] + (1 - k) * w[i];
        }
        assert_near(adamw_step(&a, c, rate), norm, 1e-4);
        for (int i = 0; i < N + 3; i++) {
            assert_near((double)(i < N ? p.w[i] : p.bias[i - N]), w[i], 2e-5);
            assert_near((double)(i < N ? a.ema[0][i] : a.ema[1][i - N]), ema[i], 2e-5);
            assert_true((i < N ? p.g[i] : p.bias_g[i - N]) == 0);
        }
    }
    assert_int_equal(a.steps, 20);
    adamw_swap_ema(&a);
    assert_near((double)p.w[5], ema[5], 2e-5);
    assert_near((double)a.ema[0][5], w[5], 2e-5);
    adamw_release(&a);
    adamw_release(NULL);
    compute_free(c);
}

static void test_not_finite_changes_nothing(void **state)
{
    (void)state;
    struct compute      *c = compute_for_tests();
    struct problem       p, before;
    struct adamw         a;
    struct adamw_options o = ADAMW_DEFAULT;
    open_problem(&p, 2);
    assert_int_equal(adamw_init(&a, &o, p.params, 2, NULL), 0);
    assert_null(a.ema);
    adamw_swap_ema(&a);
    before = p;
    set_gradients(&p, 1);
    p.g[77] = NAN;
    assert_false(isfinite(adamw_step(&a, c, 0.1)));
    assert_memory_equal(p.w, before.w, sizeof p.w);
    assert_memory_equal(p.g, before.g, sizeof p.g);
    assert_int_equal(a.steps, 0);
    for (int i = 0; i < N; i++)
        assert_true(a.m[0][i] == 0 && a.v[0][i] == 0);
    adamw_release(&a);
    compute_free(c);
}

static void test_schedule(void **state)
{
    (void)state;
    struct schedule s = {.peak = 2, .last = 0.1, .warmup = 10, .total = 110};
    assert_near(schedule_rate(&s, 0), 0.2, 1e-12);
    for (int i = 1; i < 10; i++)
        assert_true(schedule_rate(&s, i) > schedule_rate(&s, i - 1));
    for (int i = 10; i < 110; i++)
        assert_true(schedule_rate(&s, i) < schedule_rate(&s, i - 1));
    assert_near(schedule_rate(&s, 55), 2 * (0.1 + 0.9 * 0.5), 1e-12);
    assert_near(schedule_rate(&s, 110), 0.2, 1e-12);
    assert_near(schedule_rate(&s, 500), 0.2, 1e-12);
    s.warmup = 0;
    assert_near(schedule_rate(&s, 0), 2, 1e-12);
}

/* The first numbers of xoshiro256++ from a state of 1, 2, 3, 4, worked out by hand from
 * its definition. */
static void test_xoshiro(void **state)
{
    (void)state;
    struct random r = {{1, 2, 3, 4}};
    assert_true(random_next(&r) == ((uint64_t)5 << 23) + 1);
    assert_true(r.s[0] == 7 && r.s[1] == 0 && r.s[2] == ((1 ^ 3) ^ ((uint64_t)2 << 17)) &&
                r.s[3] == (uint64_t)(4 ^ 2) << 45);
}

static void test_random(void **state)
{
    (void)state;
    struct random r, kept;
    random_seed(&r, 42);
    double sum = 0, square = 0, normal = 0, normal_square = 0, fourth = 0;
    int    counts[7] = {0}, order[100], n = 200000;
    for (int i = 0; i < n; i++) {
        double u = random_uniform(&r), z = random_normal(&r);
        assert_true(u >= 0 && u < 1);
        sum += u;
        square += u * u;
        normal += z;
        normal_square += z * z;
        fourth += z * z * z * z;
        counts[random_below(&r, 7)]++;
    }
    assert_near(sum / n, 0.5, 0.004);
    assert_near(square / n, 1.0 / 3, 0.004);
    assert_near(normal / n, 0, 0.012);
    assert_near(normal_square / n, 1, 0.02);
    assert_near(fourth / n, 3, 0.15);
    for (int i = 0; i < 7; i++)
        assert_near(counts[i], n / 7.0, 900);
    kept = r; /* the state is all there is */
    for (int i = 0; i < 100; i++)
        order[i] = i;
    random_shuffle(&r, order, 100);
    uint64_t next = random_next(&r);
    int      again[100], seen[100] = {0}, moved = 0;
    for (int i = 0; i < 100; i++)
        again[i] = i;
    random_shuffle(&kept, again, 100);
    assert_memory_equal(order, again, sizeof order);
    assert_true(random_next(&kept) == next);
    for (int i = 0; i < 100; i++) {
        seen[order[i]]++;
        moved += order[i] != i;
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 80);
    random_seed(&kept, 43);
    assert_true(random_next(&kept) != next);
    assert_int_equal(random_below(&r, 1), 0);
}

/* Dropout keeps what it should in number, scales it, and follows from the key alone. */
static void test_dropout(void **state)
{
    (void)state;
    enum { M = 100001 };
    struct compute *c = compute_for_tests();
    float          *x = mem_array(M, sizeof *x), *y = mem_array(M, sizeof *y);
    float          *z    = mem_array(M, sizeof *z);
    struct dropout  d    = {.p = 0.25, .key = 7};
    int             kept = 0, same = 0;
    for (int i = 0; i < M; i++)
        x[i] = 1;
    dropout_f32(c, x, M, &d, y);
    for (int i = 0; i < M; i++) {
        assert_true(y[i] == 0 || fabsf(y[i] - 4.0f / 3) < 1e-6f);
        kept += y[i] != 0;
    }
    assert_near(kept, 0.75 * M, 700);
    dropout_f32(c, x, M, &d, z);
    assert_memory_equal(y, z, M * sizeof *y);
    d.key = 8;
    dropout_f32(c, x, M, &d, z);
    for (int i = 0; i < M; i++)
        same += (y[i] != 0) == (z[i] != 0);
    assert_near(same, (0.75 * 0.75 + 0.25 * 0.25) * M, 900);
    d.p = 0;
    dropout_f32(c, x, M, &d, z);
    assert_memory_equal(x, z, M * sizeof *x);
    free(x);
    free(y);
    free(z);
    compute_free(c);
}

static void test_standardise_fit(void **state)
{
    (void)state;
    float x[5 * 70], mean[70], scale[70];
    for (int r = 0; r < 5; r++) {
        for (int j = 0; j < 70; j++)
            x[r * 70 + j] = 1000.0f + (float)j + (float)(r - 2); /* deviation sqrt(2) */
    }
    standardise_fit_f32(x, 5, 70, 1e-3f, mean, scale);
    for (int j = 0; j < 70; j++) {
        assert_near((double)mean[j], 1000 + j, 1e-4);
        assert_near((double)scale[j], 1 / (sqrt(2) + 1e-3), 1e-5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw_is_the_papers),
        cmocka_unit_test(test_not_finite_changes_nothing),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_xoshiro),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_standardise_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
