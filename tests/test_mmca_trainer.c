/* Unit tests of core/rerank/mmca_trainer: made-up regions and words that share what a
 * picture and its captions have in common. Learning, stopping and going on to the same
 * bits, checkpoints that are refused, data that cannot be learned from. */
#include "mmca_small.h"
#include "rerank/mmca_trainer.h"

#include "base/half.h"
#include "base/mem.h"
#include "rerank/rows8.h"
#include "scratch_folder.h"

#include <math.h>
#include <unistd.h>

#define N      40 /* pictures */
#define TEXTS  2  /* of each */
#define WORDS  3  /* of each text */
#define CELLS  4
#define REGION 10
#define WORD   8
#define NEAR   6
#define LATENT 3

static const struct mmca_config config = MMCA_SMALL(CELLS, REGION, WORD, 12);

static struct mmca_data data;
static char             checkpoint[96];

/* to: (out) a random matrix of that seed times from, and some noise. */
static void mix(uint64_t seed, struct random *noise, const float *from, int out, float *to)
{
    struct random matrix;
    random_seed(&matrix, seed);
    for (int o = 0; o < out; o++) {
        to[o] = 0.2f * (float)random_normal(noise);
        for (int i = 0; i < LATENT; i++)
            to[o] += (float)random_normal(&matrix) * from[i];
    }
}

static void make_picture(struct random *r, int picture)
{
    size_t view = rows8_bytes(CELLS, REGION);
    float  z[LATENT], x[REGION > WORD ? REGION : WORD];
    for (int k = 0; k < LATENT; k++)
        z[k] = (float)random_normal(r);
    for (int v = 0; v < MMCA_DATA_VIEWS; v++) {
        uint8_t *kept = data.regions + ((size_t)picture * MMCA_DATA_VIEWS + (size_t)v) * view;
        for (size_t c = 0; c < CELLS; c++) {
            uint16_t step;
            mix(1 + c, r, z, REGION, x);
            assert_true(
                rows8_pack(x, REGION, &step, (int8_t *)(kept + CELLS * sizeof step) + c * REGION));
            memcpy(kept + c * sizeof step, &step, sizeof step);
        }
    }
    for (int t = picture * TEXTS; t < (picture + 1) * TEXTS; t++) {
        for (int w = t * WORDS; w < (t + 1) * WORDS; w++) {
            mix(20 + (uint64_t)(w % WORDS), r, z, WORD, x);
            half_from_float(data.words + w * WORD, x, WORD);
        }
        data.starts[t + 1] = (t + 1) * WORDS;
    }
}

static int make_data(void **state)
{
    struct random r;
    int           rc = make_folder(state);
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", folder);
    random_seed(&r, 5);
    data =
        (struct mmca_data){.n = N, .cells = CELLS, .region = REGION, .word = WORD, .n_near = NEAR};
    data.regions = mem_array((size_t)N * MMCA_DATA_VIEWS, rows8_bytes(CELLS, REGION));
    data.words   = mem_array((size_t)N * TEXTS * WORDS * WORD, sizeof *data.words);
    data.starts  = mem_zeroed(N * TEXTS + 1, sizeof *data.starts);
    data.first   = mem_zeroed(N + 1, sizeof *data.first);
    data.group   = mem_array(N, sizeof *data.group);
    data.near    = mem_array((size_t)N * NEAR, sizeof *data.near);
    for (int i = 0; i < N; i++) {
        make_picture(&r, i);
        data.first[i + 1] = (i + 1) * TEXTS;
        data.group[i]     = i;
        for (int k = 0; k < NEAR; k++)
            data.near[i * NEAR + k] = (i + 1 + 3 * k) % N;
    }
    return rc;
}

static int remove_data(void **state)
{
    mmca_data_release(&data);
    return remove_folder(state);
}

static struct mmca_trainer_options options(void)
{
    return (struct mmca_trainer_options){.steps        = 130,
                                         .groups       = 3,
                                         .size         = 4,
                                         .rate         = 5e-3,
                                         .weight_decay = 0.1,
                                         .clip         = 1,
                                         .ema          = 0.9,
                                         .smoothing    = 0.05,
                                         .warmup       = 10,
                                         .dropout = {.region = 0.1, .word = 0.1, .hidden = 0.1},
                                         .seed    = 3,
                                         .threads = 1};
}

/* What the listener heard; stop is set in it. */
struct heard {
    int                   stop_at; /* once so many steps are done; 0: never */
    const char           *copy_to; /* what a copy of the checkpoint is made as by then, or NULL */
    volatile sig_atomic_t stop;
    int                   n, step[8];
    double                loss[8];
};

static void on_step(void *ctx, int step, int steps, double loss, double seconds)
{
    struct heard *h = ctx;
    assert_true(h->n < 8 && step <= steps && seconds >= 0);
    h->step[h->n]   = step;
    h->loss[h->n++] = loss;
    h->stop         = h->stop || (h->stop_at && step >= h->stop_at);
    if (h->stop && h->copy_to) {
        uint8_t *bytes;
        size_t   len;
        assert_int_equal(file_read(checkpoint, 1 << 24, &bytes, &len, NULL), 0);
        assert_int_equal(file_replace(h->copy_to, bytes, len, NULL), 0);
        free(bytes);
    }
}

static struct mmca_fit_f32 *run(const struct mmca_trainer_options *o, struct heard *h)
{
    struct err                         err = ERR_INIT;
    struct mmca_fit_f32               *net = NULL;
    const struct mmca_trainer_listener l   = {.ctx = h, .step = on_step};
    if (mmca_trainer_run(&config, o, &data, h ? &l : NULL, h ? &h->stop : NULL, &net, &err))
        fail_msg("%s", err.msg);
    return net;
}

/* Runs until it is stopped, and leaves a checkpoint. */
static void begin(const struct mmca_trainer_options *o, int stop_at, const char *copy_to)
{
    struct err           err = ERR_INIT;
    struct mmca_fit_f32 *net = NULL;
    struct heard         h   = {.stop_at = stop_at, .stop = stop_at == 0, .copy_to = copy_to};
    const struct mmca_trainer_listener l = {.ctx = &h, .step = on_step};
    assert_int_equal(mmca_trainer_run(&config, o, &data, &l, &h.stop, &net, &err), ERR_CANCELLED);
    assert_non_null(strstr(err.msg, "stopped in step"));
    assert_null(net);
}

static void refuse(const struct mmca_trainer_options *o, const struct mmca_data *d,
                   enum err_code code, const char *says)
{
    struct err           err = ERR_INIT;
    struct mmca_fit_f32 *net = NULL;
    int                  rc  = mmca_trainer_run(&config, o, d, NULL, NULL, &net, &err);
    assert_null(net);
    if (rc != (int)code || !strstr(err.msg, says))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, says);
}

/* The same before the data are made. */
static void refuse_early(const struct mmca_trainer_options *o, enum err_code code, const char *says)
{
    struct err err = ERR_INIT;
    int        rc  = mmca_trainer_check(&config, o, &err);
    if (rc != (int)code || !strstr(err.msg, says))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, says);
    refuse(o, &data, code, says);
}

static size_t numbers(const struct param_f32 *p)
{
    return (size_t)p->rows * (size_t)p->cols;
}

static bool same(const struct mmca_fit_f32 *a, const struct mmca_fit_f32 *b)
{
    int                     n, m;
    const struct param_f32 *p = mmca_fit_params_f32(a, &n), *q = mmca_fit_params_f32(b, &m);
    bool                    equal = n == m;
    for (int i = 0; i < n && equal; i++)
        equal = !memcmp(p[i].value, q[i].value, numbers(&p[i]) * sizeof(float));
    return equal;
}

static void it_learns_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    struct mmca_trainer_options o   = options();
    struct heard                h   = {.n = 0};
    struct mmca_fit_f32        *one = run(&o, &h);
    assert_int_equal(h.n, 3);
    assert_int_equal(h.step[0], 50);
    assert_int_equal(h.step[2], 130);
    assert_true(h.loss[2] < 0.85 * h.loss[0]);
    o.threads                  = 3;
    struct mmca_fit_f32 *three = run(&o, NULL);
    o.seed                     = 4;
    struct mmca_fit_f32 *other = run(&o, NULL);
    assert_true(same(one, three));
    assert_false(same(one, other));
    mmca_fit_free_f32(one);
    mmca_fit_free_f32(three);
    mmca_fit_free_f32(other);
}

/* Stopped after so many steps; what the whole run tells is what the second part tells. */
static void stopping_changes_nothing(void **state)
{
    (void)state;
    struct mmca_trainer_options o     = options();
    struct heard                all   = {.n = 0};
    struct mmca_fit_f32        *whole = run(&o, &all);
    o.checkpoint                      = checkpoint;
    for (int at = 0; at <= 100; at += 50) {
        struct heard rest = {.n = 0};
        o.resume          = false;
        o.threads         = 1;
        begin(&o, at, NULL);
        o.resume                  = true;
        o.threads                 = 2;
        struct mmca_fit_f32 *part = run(&o, &rest);
        assert_true(same(part, whole));
        assert_int_equal(rest.n, all.n - at / 50);
        for (int i = 0; i < rest.n; i++) {
            assert_int_equal(rest.step[i], all.step[i + at / 50]);
            assert_memory_equal(&rest.loss[i], &all.loss[i + at / 50], sizeof *all.loss);
        }
        mmca_fit_free_f32(part);
    }
    mmca_fit_free_f32(whole);
}

/* As if it had been killed: the checkpoint of step 49, in the middle of what the listener
 * is told. One of a run that is done goes on, too: what follows it may have failed. */
static void checkpoints_are_written_on_the_way(void **state)
{
    (void)state;
    struct mmca_trainer_options o   = options();
    struct heard                all = {.n = 0}, rest = {.n = 0}, none = {.n = 0};
    struct mmca_fit_f32        *whole = run(&o, &all), *part;
    char                        copy[96];
    (void)snprintf(copy, sizeof copy, "%s/copy", folder);
    o.checkpoint       = checkpoint;
    o.checkpoint_every = 7;
    begin(&o, 50, copy);
    (void)unlink(checkpoint);
    o.checkpoint       = copy;
    o.checkpoint_every = 77; /* it is no trait of the run */
    o.resume           = true;
    part               = run(&o, &rest);
    assert_true(same(part, whole));
    assert_int_equal(rest.n, all.n); /* a step was done again */
    for (int i = 0; i < all.n; i++)
        assert_memory_equal(&rest.loss[i], &all.loss[i], sizeof *all.loss);
    mmca_fit_free_f32(part);
    part = run(&o, &none);
    assert_int_equal(none.n, 0);
    assert_true(same(part, whole));
    mmca_fit_free_f32(part);
    mmca_fit_free_f32(whole);
}

static void what_cannot_be_resumed(void **state)
{
    (void)state;
    struct mmca_trainer_options o = options();
    uint8_t                    *bytes;
    size_t                      len;
    o.checkpoint = checkpoint;
    o.resume     = true;
    (void)unlink(checkpoint);
    refuse_early(&o, ERR_NOTFOUND, "there is no");
    o.resume = false;
    o.model  = "one";
    begin(&o, 50, NULL);
    o.resume = true;
    o.rate *= 2;
    o.steps++;
    refuse_early(&o, ERR_USAGE,
                 "made with steps 130 instead of 131, learning rate 0.005 instead of 0.01:");
    o.rate /= 2;
    o.steps--;
    o.seed++;
    refuse_early(&o, ERR_USAGE, "made with another seed:");
    o.seed--;
    o.model = "two";
    refuse_early(&o, ERR_USAGE, "made with model one instead of two:");
    o.model                = "one";
    struct mmca_data other = data;
    other.near             = mem_array((size_t)N * NEAR, sizeof *other.near);
    memcpy(other.near, data.near, (size_t)N * NEAR * sizeof *other.near);
    other.near[5]++;
    refuse(&o, &other, ERR_USAGE, "made with another set of pictures or captions:");
    free(other.near);

    assert_int_equal(file_read(checkpoint, 1 << 24, &bytes, &len, NULL), 0);
    for (size_t at = len / 64 * 64 - 64; at > len / 2; at -= 64 * 31) {
        for (size_t i = 0; i < 64 && at + i < len; i++) /* some of a line is not padding */
            bytes[at + i] ^= 8;
        assert_int_equal(file_replace(checkpoint, bytes, len, NULL), 0);
        refuse_early(&o, ERR_DAMAGED, "checksum");
        for (size_t i = 0; i < 64 && at + i < len; i++)
            bytes[at + i] ^= 8;
    }
    for (size_t cut = 0; cut < len; cut += len / 7) {
        assert_int_equal(file_replace(checkpoint, bytes, cut, NULL), 0);
        refuse_early(&o, ERR_DAMAGED, "without --resume the training begins anew");
    }
    assert_int_equal(file_replace(checkpoint, bytes, len, NULL), 0);
    mmca_fit_free_f32(run(&o, NULL));
    free(bytes);
}

static void a_checkpoint_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    struct mmca_trainer_options o = options();
    o.checkpoint                  = "/nowhere/checkpoint";
    o.checkpoint_every            = 20;
    refuse(&o, &data, ERR_IO, "/nowhere/checkpoint");
}

static void what_cannot_be_learned_from(void **state)
{
    (void)state;
    struct mmca_trainer_options o   = options();
    struct mmca_data            bad = data;
    bad.n                           = 11;
    refuse(&o, &bad, ERR_USAGE, "a step of 12 pictures needs as many: there are 11");
    bad       = data;
    bad.group = mem_zeroed(N, sizeof *bad.group);
    refuse(&o, &bad, ERR_USAGE, "one class");
    free(bad.group);
    o.rate         = 1e6;
    o.weight_decay = 10;
    refuse(&o, &data, ERR_FAILED, "diverged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_the_same_on_any_number_of_threads),
        cmocka_unit_test(stopping_changes_nothing),
        cmocka_unit_test(checkpoints_are_written_on_the_way),
        cmocka_unit_test(what_cannot_be_resumed),
        cmocka_unit_test(a_checkpoint_that_cannot_be_written_is_told),
        cmocka_unit_test(what_cannot_be_learned_from),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
