/* Unit tests of core/learn's heads: the gradient of a whole head, and that every loss
 * with every distance learns to match two views of hidden vectors, far above chance and
 * the same on each run, on any number of threads. */
#include "tests/gradcheck.h"

#include "learn/adamw.h"
#include "learn/heads_net.h"
#include "learn/losses.h"

#include "learn/real_f32.h"

#include "tests/learn_heads_inl.h"

#include "learn/real_f64.h"

#include "tests/learn_heads_inl.h"

#define HIDDEN 6   /* numbers behind each pair */
#define IMAGE  20  /* what an "image" shows of them */
#define TEXT   14  /* what a "text" tells of them */
#define DIM    16  /* joint */
#define TRAIN  256 /* pairs */
#define HELD   64  /* pairs never trained on */
#define BATCH  64
#define STEPS  160

static void test_gradients(void **state)
{
    (void)state;
    struct compute  *c = NULL;
    struct gradcheck g = {"head", whole_head_f64, whole_head_f32, {54, 6, 72, 8, 48, 6, 6, 6}, 0};
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    gradcheck_run(&g, c, 1);
    compute_free(c);
}

/* Pairs of which both sides are noisy linear images of the same hidden vector. With
 * classes, hidden vectors are those of one of 8 classes and little of their own. */
struct data {
    float images[(TRAIN + HELD) * IMAGE], texts[(TRAIN + HELD) * TEXT];
    int   group[TRAIN + HELD];
};

static void see(struct random *r, const float *m, const float *hidden, int n, float *out)
{
    for (int i = 0; i < n; i++) {
        double sum = 0.1 * random_normal(r);
        for (int k = 0; k < HIDDEN; k++)
            sum += (double)(m[i * HIDDEN + k] * hidden[k]);
        out[i] = (float)sum;
    }
}

static void make_data(struct data *d, bool classes)
{
    struct random r;
    float         a[IMAGE * HIDDEN], b[TEXT * HIDDEN], centre[8 * HIDDEN], hidden[HIDDEN];
    random_seed(&r, 5);
    for (int i = 0; i < IMAGE * HIDDEN; i++)
        a[i] = (float)random_normal(&r);
    for (int i = 0; i < TEXT * HIDDEN; i++)
        b[i] = (float)random_normal(&r);
    for (int i = 0; i < 8 * HIDDEN; i++)
        centre[i] = (float)random_normal(&r);
    for (int i = 0; i < TRAIN + HELD; i++) {
        int class   = (int)random_below(&r, 8);
        d->group[i] = classes ? class : i;
        for (int k = 0; k < HIDDEN; k++) {
            double own = random_normal(&r);
            hidden[k]  = classes ? centre[class * HIDDEN + k] + (float)(0.3 * own) : (float)own;
        }
        see(&r, a, hidden, IMAGE, d->images + i * IMAGE);
        see(&r, b, hidden, TEXT, d->texts + i * TEXT);
    }
}

struct training {
    struct loss             loss;
    struct head_net_f32    *image, *text;
    struct loss_scalars_f32 scalars, dscalars;
    struct adamw            adamw;
};

static void open_training(struct training *t, struct loss loss, double log_scale, double bias)
{
    struct head_shape image = {.in = IMAGE, .hidden = 24, .dim = DIM, .input_dropout = 0.1};
    struct head_shape text  = {.in = TEXT, .hidden = 24, .dim = DIM, .hidden_dropout = 0.1};
    struct param_f32  list[2 * HEAD_PARAMS + 2];
    struct random     r;
    *t = (struct training){.loss = loss, .scalars = {(float)log_scale, (float)bias}};
    assert_int_equal(head_net_new_f32(&image, BATCH, &t->image, NULL), 0);
    assert_int_equal(head_net_new_f32(&text, BATCH, &t->text, NULL), 0);
    random_seed(&r, 11);
    head_net_init_f32(t->image, &r);
    head_net_init_f32(t->text, &r);
    int n = head_net_params_f32(t->image, list);
    n += head_net_params_f32(t->text, list + n);
    list[n++] =
        (struct param_f32){"log_scale", 1, 1, &t->scalars.log_scale, &t->dscalars.log_scale, false};
    list[n++] = (struct param_f32){"bias", 1, 1, &t->scalars.bias, &t->dscalars.bias, false};
    struct adamw_options o = ADAMW_DEFAULT;
    o.ema                  = 0.9;
    o.clip                 = 10;
    assert_int_equal(adamw_init(&t->adamw, &o, list, n, NULL), 0);
}

static void close_training(struct training *t)
{
    adamw_release(&t->adamw);
    head_net_free_f32(t->image);
    head_net_free_f32(t->text);
}

/* Percent of held-out images whose nearest text is of their group. */
static double recall(struct training *t, struct compute *c, const struct data *d)
{
    float a[HELD * DIM], b[HELD * DIM], scores[HELD * HELD];
    int   good = 0;
    head_net_forward_f32(t->image, c, d->images + TRAIN * IMAGE, HELD, NULL, a);
    head_net_forward_f32(t->text, c, d->texts + TRAIN * TEXT, HELD, NULL, b);
    struct loss_sets_f32 sets = {.a = a, .b = b, .na = HELD, .nb = HELD, .dim = DIM};
    similarity_forward_f32(c, t->loss.distance, &sets, scores);
    for (int i = 0; i < HELD; i++) {
        int best = 0;
        for (int j = 1; j < HELD; j++)
            best = scores[i * HELD + j] > scores[i * HELD + best] ? j : best;
        good += d->group[TRAIN + i] == d->group[TRAIN + best];
    }
    return 100.0 * good / HELD;
}

/* Trains and returns the loss of the last step. */
static double train(struct training *t, struct compute *c, const struct data *d, int steps)
{
    float  a[BATCH * DIM], b[BATCH * DIM], da[BATCH * DIM], db[BATCH * DIM], scores[BATCH * BATCH];
    float  images[BATCH * IMAGE], texts[BATCH * TEXT];
    int    order[TRAIN], group[BATCH];
    double value      = 0;
    struct schedule s = {.peak = 0.01, .last = 0.1, .warmup = 10, .total = steps};
    struct random   r;
    random_seed(&r, 17);
    for (int i = 0; i < TRAIN; i++)
        order[i] = i;
    for (int step = 0; step < steps; step++) {
        if (step % (TRAIN / BATCH) == 0)
            random_shuffle(&r, order, TRAIN);
        const int *batch = order + step % (TRAIN / BATCH) * BATCH;
        gather_forward_f32(c, d->images, IMAGE, batch, BATCH, images);
        gather_forward_f32(c, d->texts, TEXT, batch, BATCH, texts);
        for (int i = 0; i < BATCH; i++)
            group[i] = d->group[batch[i]];
        head_net_forward_f32(t->image, c, images, BATCH, &r, a);
        head_net_forward_f32(t->text, c, texts, BATCH, &r, b);
        struct loss_sets_f32 sets = {a, b, group, group, BATCH, BATCH, DIM};
        value = loss_run_f32(c, &t->loss, &sets, &t->scalars, scores, da, db, &t->dscalars);
        head_net_backward_f32(t->image, c, da);
        head_net_backward_f32(t->text, c, db);
        assert_true(isfinite(adamw_step(&t->adamw, c, schedule_rate(&s, step))));
    }
    assert_int_equal(compute_check(c, NULL), 0);
    return value;
}

static struct data data;

/* Chance: 1 in 64 for pairs; for classes about 1 in 8. */
static void check_learns(struct compute *c, const struct loss *loss, double log_scale, double bias,
                         bool classes)
{
    struct training t;
    open_training(&t, *loss, log_scale, bias);
    double before = recall(&t, c, &data);
    if (loss->hardest) { /* from a cold start it collapses: warmed up by the sum */
        t.loss.hardest = false;
        train(&t, c, &data, STEPS / 4);
        t.loss.hardest = true;
    }
    train(&t, c, &data, STEPS);
    adamw_swap_ema(&t.adamw);
    double after = recall(&t, c, &data);
    if (before > 35 || after < 85)
        fail_msg("%s, %s%s, %s: %g%% found before training, %g%% after", loss_name(loss->kind),
                 distance_name(loss->distance), loss->hardest ? ", hardest" : "",
                 classes ? "classes" : "pairs", before, after);
    close_training(&t);
}

static void test_each_learns(void **state)
{
    (void)state;
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    for (int classes = 0; classes < 2; classes++) {
        make_data(&data, classes);
        for (int k = 0; k < LOSS_KINDS * DISTANCES; k++) {
            enum loss_kind kind     = (enum loss_kind)(k / DISTANCES);
            enum distance  distance = (enum distance)(k % DISTANCES);
            double         log_scale, bias;
            struct loss    loss = loss_default(kind, distance, DIM, &log_scale, &bias);
            check_learns(c, &loss, log_scale, bias, classes);
            loss.hardest = kind == LOSS_TRIPLET;
            if (loss.hardest)
                check_learns(c, &loss, log_scale, bias, classes);
        }
    }
    compute_free(c);
}

/* The learned scalars go where they should: the temperature falls on data that can be
 * told apart, SigLIP's bias leaves its start. */
static void test_scalars_learn(void **state)
{
    (void)state;
    struct compute *c = NULL;
    struct training t;
    double          log_scale, bias;
    assert_int_equal(compute_new(cpu_detect(), 1, &c, NULL), 0);
    make_data(&data, false);
    open_training(&t, loss_default(LOSS_INFONCE, DISTANCE_COSINE, DIM, &log_scale, &bias), 0, 0);
    train(&t, c, &data, STEPS);
    assert_true(t.scalars.log_scale > 0.5f && t.scalars.bias == 0);
    close_training(&t);
    open_training(&t, loss_default(LOSS_SIGLIP, DISTANCE_COSINE, DIM, &log_scale, &bias), 1.5, 0);
    train(&t, c, &data, STEPS);
    assert_true(t.scalars.log_scale > 1.6f && t.scalars.bias < -0.1f);
    close_training(&t);
    compute_free(c);
}

/* Every parameter after a short training. */
static float *trained(int threads, size_t *n)
{
    struct compute *c = NULL;
    struct training t;
    double          log_scale, bias;
    assert_int_equal(compute_new(cpu_detect(), threads, &c, NULL), 0);
    struct loss loss = loss_default(LOSS_INFONCE, DISTANCE_COSINE, DIM, &log_scale, &bias);
    open_training(&t, loss, log_scale, bias);
    train(&t, c, &data, 20);
    *n = 0;
    for (int i = 0; i < t.adamw.n; i++)
        *n += (size_t)(t.adamw.params[i].rows * t.adamw.params[i].cols);
    float *all = mem_array(*n, sizeof *all), *to = all;
    assert_non_null(all);
    for (int i = 0; i < t.adamw.n; i++) {
        size_t size = (size_t)(t.adamw.params[i].rows * t.adamw.params[i].cols);
        memcpy(to, t.adamw.params[i].value, size * sizeof *to);
        to += size;
    }
    close_training(&t);
    compute_free(c);
    return all;
}

static void test_runs_are_the_same_to_the_bit(void **state)
{
    (void)state;
    make_data(&data, false);
    size_t n   = 0;
    float *one = trained(1, &n);
    assert_true(n > 1000);
    for (int threads = 1; threads <= 3; threads++) {
        float *again = trained(threads, &n);
        assert_memory_equal(one, again, n * sizeof *one);
        free(again);
    }
    free(one);
}

static void test_bad_shapes(void **state)
{
    (void)state;
    struct head_net_f32    *net   = NULL;
    struct err              err   = ERR_INIT;
    const struct head_shape bad[] = {
        {.in = 0, .dim = 4},
        {.in = 4, .dim = 0},
        {.in = 4, .dim = 4, .hidden = -1},
        {.in = 4, .dim = 4, .input_dropout = 1},
        {.in = 4, .dim = 4, .hidden_dropout = NAN},
        {.in = 2147483647, .dim = 2147483647, .hidden = 2147483647},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(head_net_new_f32(&bad[i], 2147483647, &net, &err), 0);
    assert_null(net);
    head_net_free_f32(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),     cmocka_unit_test(test_each_learns),
        cmocka_unit_test(test_scalars_learn), cmocka_unit_test(test_runs_are_the_same_to_the_bit),
        cmocka_unit_test(test_bad_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
