/* Unit tests of core/learn/lbfgs and core/learn/probe: minima that are known, gradients
 * against finite differences, and labels learned from a few examples of clouds. */
#include "tests/gradcheck.h"

#include "learn/lbfgs.h"
#include "learn/probe.h"

/* ---- L-BFGS ---- */

/* sum of weight_i (x_i - i / n)^2, with weights from 1 to 10,000. */
static double valley(void *ctx, const float *x, float *gradient)
{
    size_t n   = *(size_t *)ctx;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double w = pow(10, 4.0 * (double)i / (double)(n - 1)),
               d = (double)x[i] - (double)i / (double)n;
        sum += w * d * d;
        gradient[i] = (float)(2 * w * d);
    }
    return sum;
}

/* Rosenbrock's, whose valley is curved: a minimum of 0 at (1, 1). */
static double banana(void *ctx, const float *x, float *gradient)
{
    (void)ctx;
    double a = 1 - (double)x[0], b = (double)x[1] - (double)x[0] * (double)x[0];
    gradient[0] = (float)(-2 * a - 400 * (double)x[0] * b);
    gradient[1] = (float)(200 * b);
    return a * a + 100 * b * b;
}

static double endless(void *ctx, const float *x, float *gradient)
{
    (void)ctx;
    gradient[0] = x[0];
    return (double)NAN;
}

static void lbfgs_finds_minima(void **state)
{
    (void)state;
    struct err   err   = ERR_INIT;
    size_t       n     = 50;
    int          took  = 0;
    float        x[50] = {0};
    struct lbfgs l = {.n = n, .function = valley, .ctx = &n, .most_steps = 500, .tolerance = 5e-3};
    assert_int_equal(lbfgs_minimise(&l, x, &took, &err), 0);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)x[i] - (double)i / (double)n) < 0.003);
    if (took <= 5 || took >= 400)
        fail_msg("%d steps", took); /* steepest descent would take tens of thousands */

    float at[2] = {-1.2F, 1};
    l           = (struct lbfgs){.n = 2, .function = banana, .most_steps = 500, .tolerance = 1e-4};
    assert_int_equal(lbfgs_minimise(&l, at, &took, &err), 0);
    assert_float_equal(at[0], 1, 1e-2);
    assert_float_equal(at[1], 1, 1e-2);
    int whole = took;
    at[0] = at[1] = 1; /* it is there already */
    assert_int_equal(lbfgs_minimise(&l, at, &took, &err), 0);
    assert_int_equal(took, 0);
    assert_true(whole > 0);

    l = (struct lbfgs){.n = 1, .function = endless, .most_steps = 5};
    assert_int_equal(lbfgs_minimise(&l, at, NULL, &err), ERR_FAILED);
}

/* ---- The loss ---- */

#define N      7
#define INPUTS 5
#define LABELS 4

static const int labels_of[N] = {0, 1, 2, 3, 1, 0, 0};

#define LOSS(real, suffix)                                                                         \
    static double loss_##suffix(struct compute *c, real **in, real **grad)                         \
    {                                                                                              \
        const struct probe_data_##suffix d = {                                                     \
            in[1], labels_of, N, INPUTS, LABELS, 0.3, gradcheck_take(N * LABELS, sizeof(real))};   \
        real *g = grad ? grad[0] : gradcheck_take((size_t)LABELS * (INPUTS + 1), sizeof(real));    \
        return probe_loss_##suffix(c, &d, in[0], g);                                               \
    }
LOSS(float, f32)
LOSS(double, f64)

/* Of the weights alone: the inputs are no parameters, and stay what they are. */
static double fixed_f64(struct compute *c, double **in, double **grad)
{
    double  x[(size_t)N * INPUTS];
    double *both[2] = {in[0], x};
    for (int i = 0; i < N * INPUTS; i++)
        x[i] = cos(i * 1.3);
    return loss_f64(c, both, grad);
}

static double fixed_f32(struct compute *c, float **in, float **grad)
{
    float  x[(size_t)N * INPUTS];
    float *both[2] = {in[0], x};
    for (int i = 0; i < N * INPUTS; i++)
        x[i] = (float)cos(i * 1.3);
    return loss_f32(c, both, grad);
}

static void gradients_are_right(void **state)
{
    struct compute        *c    = *state;
    const struct gradcheck loss = {"probe_loss", fixed_f64, fixed_f32, {LABELS * (INPUTS + 1)}, 0};
    for (uint64_t seed = 1; seed < 4; seed++)
        gradcheck_run(&loss, c, seed);
}

/* With no weights all labels are alike: log(LABELS), whatever the examples. */
static void the_loss_begins_at_chance(void **state)
{
    double  w[LABELS * (INPUTS + 1)] = {0}, g[LABELS * (INPUTS + 1)];
    double *in[1] = {w}, *grad[1] = {g};
    gradcheck_used = 0;
    assert_true(fabs(fixed_f64(*state, in, grad) - log(LABELS)) < 1e-12);
    double bias = 0;
    for (int l = 0; l < LABELS; l++)
        bias += g[(l + 1) * (INPUTS + 1) - 1];
    assert_true(fabs(bias) < 1e-12);
    assert_true(fabs(g[INPUTS] - (1.0 / LABELS - 3.0 / N)) < 1e-12); /* three of seven are 0 */
}

/* ---- Fitting ---- */

#define DIM    24
#define CLOUDS 6

/* Points around a centre for each label, of length 1. */
static void make_clouds(uint64_t seed, int each, double noise, float *x, int *labels)
{
    struct random r;
    for (int i = 0; i < CLOUDS * each; i++) {
        double length = 0;
        labels[i]     = i % CLOUDS;
        random_seed(&r, 1000 + (uint64_t)labels[i]);
        for (int d = 0; d < DIM; d++)
            x[i * DIM + d] = (float)random_normal(&r);
        random_seed(&r, seed * 100 + (uint64_t)i);
        for (int d = 0; d < DIM; d++) {
            x[i * DIM + d] += (float)(noise * random_normal(&r));
            length += (double)x[i * DIM + d] * (double)x[i * DIM + d];
        }
        for (int d = 0; d < DIM; d++)
            x[i * DIM + d] /= (float)sqrt(length);
    }
}

static int predict(const struct probe *p, const float *x)
{
    double most = -INFINITY;
    int    best = -1;
    for (int l = 0; l < p->n_labels; l++) {
        const float *w = p->weights + l * (p->dim + 1);
        double       z = (double)w[p->dim];
        for (int d = 0; d < p->dim; d++)
            z += (double)w[d] * (double)x[d];
        if (z > most) {
            most = z;
            best = l;
        }
    }
    return best;
}

static void a_few_examples_teach_labels(void **state)
{
    static float x[CLOUDS * 5 * DIM], fresh[CLOUDS * 50 * DIM];
    static int   labels[CLOUDS * 5], right[CLOUDS * 50];
    struct err   err  = ERR_INIT;
    struct probe p    = {0};
    int          good = 0;
    make_clouds(1, 5, 0.6, x, labels);
    make_clouds(2, 50, 0.6, fresh, right);
    const struct probe_examples e = {x, labels, CLOUDS * 5, DIM, CLOUDS, fresh, CLOUDS * 50};
    assert_int_equal(probe_fit(*state, &e, &p, &err), 0);
    for (int i = 0; i < CLOUDS * 50; i++)
        good += predict(&p, fresh + i * DIM) == right[i];
    assert_true(good > CLOUDS * 50 * 95 / 100);
    assert_int_equal(p.folds, 4);
    assert_true(p.accuracy > 0.9 && p.accuracy <= 1);
    assert_true(p.typical > 0.8 && p.typical < 5); /* a sixth of the background is each label */

    struct probe again = {0}; /* the same to the bit */
    assert_int_equal(probe_fit(*state, &e, &again, &err), 0);
    assert_memory_equal(p.weights, again.weights, sizeof(float) * CLOUDS * (DIM + 1));
    probe_release(&again);
    probe_release(&p);
}

/* Nothing there to be learned: cross-validation says so. */
static void noise_teaches_nothing(void **state)
{
    static float  x[40 * DIM];
    static int    labels[40];
    struct random r;
    struct err    err = ERR_INIT;
    struct probe  p   = {0};
    random_seed(&r, 5);
    for (int i = 0; i < 40 * DIM; i++)
        x[i] = (float)random_normal(&r);
    for (int i = 0; i < 40; i++)
        labels[i] = i % 4;
    const struct probe_examples e = {x, labels, 40, DIM, 4, NULL, 0};
    assert_int_equal(probe_fit(*state, &e, &p, &err), 0);
    assert_true(p.accuracy < 0.55);
    assert_true(p.typical == 0);
    probe_release(&p);
}

static void single_examples_have_no_folds(void **state)
{
    static float x[CLOUDS * 2 * DIM];
    static int   labels[CLOUDS * 2];
    struct err   err = ERR_INIT;
    struct probe p   = {0};
    make_clouds(3, 2, 0.1, x, labels);
    const struct probe_examples one = {x, labels, CLOUDS, DIM, CLOUDS, NULL, 0};
    assert_int_equal(probe_fit(*state, &one, &p, &err), 0);
    assert_int_equal(p.folds, 0);
    for (int i = 0; i < CLOUDS * 2; i++)
        assert_int_equal(predict(&p, x + i * DIM), labels[i]);
    probe_release(&p);

    const struct probe_examples alone = {x, labels, 1, DIM, 1, NULL, 0};
    assert_int_equal(probe_fit(*state, &alone, &p, &err), ERR_USAGE);
    const struct probe_examples gap = {x, labels, 3, DIM, 5, NULL, 0};
    assert_int_equal(probe_fit(*state, &gap, &p, &err), ERR_USAGE);
    assert_null(p.weights);
}

static int set_up(void **state)
{
    struct err err = ERR_INIT;
    return compute_new(cpu_detect(), 2, (struct compute **)state, &err);
}

static int tear_down(void **state)
{
    compute_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lbfgs_finds_minima),
        cmocka_unit_test(gradients_are_right),
        cmocka_unit_test(the_loss_begins_at_chance),
        cmocka_unit_test(a_few_examples_teach_labels),
        cmocka_unit_test(noise_teaches_nothing),
        cmocka_unit_test(single_examples_have_no_folds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
