/* Unit tests of core/learn's losses: the gradient of each with each distance by finite
 * differences, single against double precision, and values worked out by hand. */
#include "tests/gradcheck.h"

#include "learn/losses.h"

static struct {
    struct loss loss;
    const int  *groups_a, *groups_b;
} tested;

#include "learn/real_f32.h"

#include "tests/learn_losses_inl.h"

#include "learn/real_f64.h"

#include "tests/learn_losses_inl.h"

/* Row 5 of a has no positive, group 2 has several on both sides. */
static const int several_a[] = {0, 1, 2, 2, 4, 9}, several_b[] = {0, 1, 2, 2, 4, 2, 7};
static const int own[] = {0, 1, 2, 3, 4, 5}, own_b[] = {0, 1, 2, 3, 4, 5, 6};
static const int twins[] = {0, 0, 1, 1, 2, 2};

static void assert_near(double a, double b, double most)
{
    if (!(fabs(a - b) <= most))
        fail_msg("%.15g is not %.15g", a, b);
}

static struct compute *compute_for_tests(int threads)
{
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), threads, &c, NULL), 0);
    return c;
}

static void check(struct compute *c, const char *what)
{
    char name[128];
    snprintf(name, sizeof name, "%s, %s%s%s", loss_name(tested.loss.kind),
             distance_name(tested.loss.distance), tested.loss.hardest ? ", hardest" : "", what);
    struct gradcheck g = {name, any_loss_f64, any_loss_f32, {30, tested.loss.same ? 30 : 35, 2}, 0};
    gradcheck_run(&g, c, 3 + (uint64_t)tested.loss.distance);
}

static void test_gradients(void **state)
{
    (void)state;
    struct compute *c = compute_for_tests(2);
    for (int kind = 0; kind < LOSS_KINDS; kind++) {
        for (int distance = 0; distance < DISTANCES; distance++) {
            for (int hardest = 0; hardest <= (kind == LOSS_TRIPLET); hardest++) {
                tested.loss     = (struct loss){.kind     = (enum loss_kind)kind,
                                                .distance = (enum distance)distance,
                                                .margin   = 2.5,
                                                .hardest  = hardest};
                tested.groups_a = own;
                tested.groups_b = own_b;
                check(c, "");
                tested.groups_a = several_a;
                tested.groups_b = several_b;
                check(c, ", several positives");
                tested.loss.smoothing = 0.1;
                check(c, ", smoothed");
                tested.loss.same = true;
                tested.groups_a = tested.groups_b = twins;
                check(c, ", one set");
            }
        }
    }
    compute_free(c);
}

static void test_list_gradients(void **state)
{
    (void)state;
    struct compute        *c       = compute_for_tests(1);
    const struct gradcheck lists[] = {{"list softmax", list_softmax_f64, list_softmax_f32, {24}, 0},
                                      {"list triplet", list_triplet_f64, list_triplet_f32, {24}, 0},
                                      {"hardest", list_hardest_f64, list_hardest_f32, {24}, 0}};
    for (size_t i = 0; i < 3; i++)
        gradcheck_run(&lists[i], c, 5 + i);
    compute_free(c);
}

static void test_distillation(void **state)
{
    (void)state;
    struct compute *c = compute_for_tests(2);
    for (int distance = 0; distance < DISTANCES; distance++) {
        tested.loss.distance = (enum distance)distance;
        struct gradcheck g   = {"distil", distil_f64, distil_f32, {30, 35}, 0};
        gradcheck_run(&g, c, 30 + (uint64_t)distance);
    }
    /* One row: scores 0.6 and 0, scale 2, targets 0.25 and 0.75, weight 3. */
    const double         a[] = {0.6, 0.8}, b[] = {1, 0, 0, 0}, targets[] = {0.25, 0.75};
    struct loss_sets_f64 sets = {.a = a, .b = b, .na = 1, .nb = 2, .dim = 2};
    double               scores[2];
    assert_near(loss_distil_f64(c, DISTANCE_COSINE, &sets, 2, 3, targets, scores, NULL, NULL),
                3 * (0.25 * log(1 + exp(-1.2)) + 0.75 * log(1 + exp(1.2))), 1e-12);
    compute_free(c);
}

/* Values of small cases by hand. */
static void test_values(void **state)
{
    (void)state;
    struct compute         *c       = compute_for_tests(1);
    const int               pair[]  = {0, 1};
    const double            s[4]    = {0.9, 0.4, 0.1, 0.3};
    struct loss_scalars_f64 scalars = {.log_scale = log(2.0), .bias = -0.5}, ds = {0};
    struct loss_sets_f64    sets    = {.groups_a = pair, .groups_b = pair, .na = 2, .nb = 2};
    struct loss             l       = {.kind = LOSS_INFONCE};
    double                  rows    = log(1 + exp(2 * (0.4 - 0.9))) + log(1 + exp(2 * (0.1 - 0.3)));
    double                  columns = log(1 + exp(2 * (0.1 - 0.9))) + log(1 + exp(2 * (0.4 - 0.3)));
    assert_near(loss_of_scores_f64(c, &l, &sets, &scalars, s, NULL, &ds),
                (rows / 2 + columns / 2) / 2, 1e-12);
    /* Half the target even: half the loss above, half that of an even target. */
    l.smoothing = 0.5;
    double even = (rows + log(1 + exp(2 * (0.9 - 0.4))) + log(1 + exp(2 * (0.3 - 0.1)))) / 2;
    double even_columns =
        (columns + log(1 + exp(2 * (0.9 - 0.1))) + log(1 + exp(2 * (0.3 - 0.4)))) / 2;
    assert_near(loss_of_scores_f64(c, &l, &sets, &scalars, s, NULL, &ds),
                (0.5 * (rows + even) / 2 + 0.5 * (columns + even_columns) / 2) / 2, 1e-12);
    l = (struct loss){.kind = LOSS_TRIPLET, .margin = 0.2};
    /* Rows: 0.2 - 0.9 + 0.4 < 0; 0.2 - 0.3 + 0.1 = 0. Columns: 0.2 - 0.9 + 0.1 < 0;
     * 0.2 - 0.3 + 0.4 = 0.3. Two pairs, two ways. */
    assert_near(loss_of_scores_f64(c, &l, &sets, &scalars, s, NULL, &ds), 0.3 / 4, 1e-12);
    l.kind       = LOSS_SIGLIP;
    double pairs = log(1 + exp(-(1.8 - 0.5))) + log(1 + exp(0.8 - 0.5)) + log(1 + exp(0.2 - 0.5)) +
                   log(1 + exp(-(0.6 - 0.5)));
    assert_near(loss_of_scores_f64(c, &l, &sets, &scalars, s, NULL, &ds), pairs / 2, 1e-12);
    l = (struct loss){.kind = LOSS_CONTRASTIVE, .margin = 0.7};
    /* Distances 0.1, 0.6, 0.9, 0.7. */
    assert_near(loss_of_scores_f64(c, &l, &sets, &scalars, s, NULL, &ds),
                (0.01 + 0.49) / 2 / 2 + (0.01 + 0) / 2 / 2, 1e-12);
    compute_free(c);
}

static void test_distances(void **state)
{
    (void)state;
    struct compute      *c   = compute_for_tests(1);
    const double         a[] = {3, -4, 0, 2}, b[] = {0, 0, 3, -3};
    struct loss_sets_f64 sets     = {.a = a, .b = b, .na = 2, .nb = 2, .dim = 2};
    const double         of[3][4] = {{0, 21, 0, -6}, {-5, -1, -2, -sqrt(34)}, {-7, -1, -2, -8}};
    for (int d = 0; d < DISTANCES; d++) {
        double s[4];
        similarity_forward_f64(c, (enum distance)d, &sets, s);
        for (int i = 0; i < 4; i++)
            assert_near(s[i], of[d][i], 1e-6);
    }
    compute_free(c);
}

/* Two classes: more positives and negatives than are looked at together. Against the
 * definition, pair by pair; and threads change nothing. */
static void test_triplet_of_many(void **state)
{
    (void)state;
    enum { NA = 310, NB = 290 };
    struct random r;
    int           ga[NA], gb[NB];
    double       *s = mem_array(NA * NB, sizeof *s), *ds = mem_array(NA * NB, sizeof *ds);
    double       *by_hand = mem_zeroed(NA * NB, sizeof *by_hand), value = 0;
    int64_t       pairs = 0;
    random_seed(&r, 21);
    for (int i = 0; i < NA; i++)
        ga[i] = (int)random_below(&r, 2);
    for (int j = 0; j < NB; j++)
        gb[j] = (int)random_below(&r, 2);
    for (int i = 0; i < NA * NB; i++)
        s[i] = random_uniform(&r);
    for (int i = 0; i < NA; i++) {
        for (int p = 0; p < NB; p++) {
            if (ga[i] != gb[p])
                continue;
            pairs++;
            for (int j = 0; j < NB; j++) { /* another b for a's row */
                double h = 0.3 - s[i * NB + p] + s[i * NB + j];
                if (gb[j] != ga[i] && h > 0) {
                    value += h;
                    by_hand[i * NB + j]++;
                    by_hand[i * NB + p]--;
                }
            }
            for (int k = 0; k < NA; k++) { /* another a for b's column */
                double h = 0.3 - s[i * NB + p] + s[k * NB + p];
                if (ga[k] != gb[p] && h > 0) {
                    value += h;
                    by_hand[k * NB + p]++;
                    by_hand[i * NB + p]--;
                }
            }
        }
    }
    struct loss             l       = {.kind = LOSS_TRIPLET, .margin = 0.3};
    struct loss_sets_f64    sets    = {.groups_a = ga, .groups_b = gb, .na = NA, .nb = NB};
    struct loss_scalars_f64 scalars = {0}, unused = {0};
    for (int threads = 1; threads <= 3; threads++) {
        struct compute *c    = compute_for_tests(threads);
        double          loss = loss_of_scores_f64(c, &l, &sets, &scalars, s, ds, &unused);
        assert_near(loss, value / (2 * (double)pairs), 1e-9);
        for (int i = 0; i < NA * NB; i++)
            assert_near(ds[i], by_hand[i] / (2 * (double)pairs), 1e-12);
        compute_free(c);
    }
    free(s);
    free(ds);
    free(by_hand);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < LOSS_KINDS; i++)
        assert_int_equal(loss_by_name(loss_name((enum loss_kind)i)), i);
    assert_int_equal(loss_by_name("hinge"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),    cmocka_unit_test(test_list_gradients),
        cmocka_unit_test(test_distillation), cmocka_unit_test(test_values),
        cmocka_unit_test(test_distances),    cmocka_unit_test(test_triplet_of_many),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
