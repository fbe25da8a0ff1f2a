/* Unit tests of core/learn/training_file: what is kept comes back, another run is told by
 * what differs, and files that are no checkpoint, or of another version, or lack
 * something, are refused before a bit of the run is touched. */
#include "learn/training_file.h"

#include "learn/random.h"
#include "scratch_folder.h"

#include <math.h>

static char path[96];

static int set_up(void **state)
{
    int rc = make_folder(state);
    (void)snprintf(path, sizeof path, "%s/checkpoint", folder);
    return rc;
}

/* A run of two parameters. */
struct run {
    float            values[2][6], grads[2][6], best[2][6];
    float           *bests[2];
    struct param_f32 params[2];
    struct adamw     adamw;
    int              step;
    double           loss;
    uint8_t          notes[5];
};

static void run_init(struct run *r, uint64_t seed, double ema)
{
    struct adamw_options o = ADAMW_DEFAULT;
    struct random        random;
    struct compute      *c;
    o.ema = ema;
    *r    = (struct run){.step = (int)seed, .loss = 1.0 / (double)seed, .notes = {1, 2, 3, 4, 5}};
    random_seed(&random, seed);
    for (int i = 0; i < 2; i++) {
        r->params[i] = (struct param_f32){.name  = i ? "b" : "a",
                                          .rows  = 2,
                                          .cols  = 3,
                                          .value = r->values[i],
                                          .grad  = r->grads[i]};
        r->bests[i]  = r->best[i];
        for (int k = 0; k < 6; k++) {
            r->values[i][k] = (float)random_normal(&random);
            r->grads[i][k]  = (float)random_normal(&random);
            r->best[i][k]   = (float)random_normal(&random);
        }
    }
    assert_int_equal(adamw_init(&r->adamw, &o, r->params, 2, NULL), 0);
    assert_int_equal(compute_new(cpu_detect(), 1, &c, NULL), 0);
    for (uint64_t i = 0; i < seed; i++)
        (void)adamw_step(&r->adamw, c, 0.1);
    compute_free(c);
}

static struct training_kept keep(struct run *r, bool best)
{
    struct training_kept k = {.n = 0};
    training_keep_adamw(&k, &r->adamw, best ? r->bests : NULL);
    training_keep(&k, "step", DTYPE_I32, 1, &r->step);
    training_keep(&k, "loss", DTYPE_I64, 1, &r->loss);
    training_keep(&k, "notes", DTYPE_U8, sizeof r->notes, r->notes);
    training_keep(&k, "nothing", DTYPE_F32, 0, r->notes);
    return k;
}

static struct training_traits traits(double rate, const char *model, int data)
{
    struct training_traits t = {.n = 0};
    training_trait_text(&t, "model", model);
    training_trait_real(&t, "rate", rate);
    training_trait_digest(&t, "set of pictures", &data, sizeof data);
    return t;
}

static void save(struct run *r, const struct training_traits *t)
{
    struct err           err = ERR_INIT;
    struct training_kept k   = keep(r, true);
    if (training_file_write(path, t, &k, &err))
        fail_msg("%s", err.msg);
    training_kept_release(&k);
}

static void refuse(const struct training_traits *t, enum err_code code, const char *says)
{
    struct err            err = ERR_INIT;
    struct training_file *f   = NULL;
    int                   rc  = training_file_open(path, t, &f, &err);
    assert_null(f);
    if (rc != (int)code || !strstr(err.msg, says) || !strstr(err.msg, "cannot resume"))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, says);
}

static void what_is_kept_comes_back(void **state)
{
    (void)state;
    struct run             a, b;
    struct training_traits t   = traits(0.1, "m", 1);
    struct training_file  *f   = NULL;
    struct err             err = ERR_INIT;
    run_init(&a, 3, 0.9);
    run_init(&b, 5, 0.9);
    save(&a, &t);
    struct training_kept k = keep(&b, true);
    assert_int_equal(training_file_open(path, &t, &f, &err), 0);
    assert_int_equal(training_file_bytes(f, "notes"), sizeof a.notes);
    assert_int_equal(training_file_bytes(f, "else"), 0);
    assert_int_equal(training_file_take(f, &k, &err), 0);
    training_file_close(f);
    training_kept_release(&k);
    assert_memory_equal(a.values, b.values, sizeof a.values);
    assert_memory_equal(a.best, b.best, sizeof a.best);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(a.adamw.m[i], b.adamw.m[i], sizeof a.values[i]);
        assert_memory_equal(a.adamw.v[i], b.adamw.v[i], sizeof a.values[i]);
        assert_memory_equal(a.adamw.ema[i], b.adamw.ema[i], sizeof a.values[i]);
    }
    assert_int_equal(b.adamw.steps, 3);
    assert_int_equal(b.step, 3);
    assert_memory_equal(&b.loss, &a.loss, sizeof a.loss);
    adamw_release(&a.adamw);
    adamw_release(&b.adamw);
}

/* Each of these leaves the run as it was. */
static void what_does_not_fit_the_run_is_damage(void **state)
{
    (void)state;
    struct run             a, b, before;
    struct training_traits t   = traits(0.1, "m", 1);
    struct training_file  *f   = NULL;
    struct err             err = ERR_INIT;
    run_init(&a, 3, 0); /* without averages */
    run_init(&b, 5, 0.9);
    before = b;
    save(&a, &t);
    assert_int_equal(training_file_open(path, &t, &f, &err), 0);
    struct training_kept k = keep(&b, true);
    assert_int_equal(training_file_take(f, &k, &err), ERR_DAMAGED);
    assert_non_null(strstr(err.msg, "a/ema"));
    training_kept_release(&k);
    training_keep(&k, "notes", DTYPE_U8, 4, b.notes);
    assert_int_equal(training_file_take(f, &k, &err), ERR_DAMAGED);
    training_kept_release(&k);
    training_keep(&k, "step", DTYPE_F32, 1, &b.step);
    assert_int_equal(training_file_take(f, &k, &err), ERR_DAMAGED);
    assert_non_null(strstr(err.msg, "of another kind"));
    training_kept_release(&k);
    training_file_close(f);
    assert_memory_equal(b.values, before.values, sizeof b.values);
    assert_int_equal(b.step, before.step);
    adamw_release(&a.adamw);
    adamw_release(&b.adamw);
}

static void what_differs_is_told(void **state)
{
    (void)state;
    struct run             a;
    struct training_file  *f = NULL;
    struct training_traits t = traits(0.1, "m", 1), other;
    run_init(&a, 1, 0.9);
    save(&a, &t);
    other = traits(2e-3, "m", 1);
    refuse(&other, ERR_USAGE, "was made with rate 0.1 instead of 0.002: ");
    other = traits(nextafter(0.1, 1), "m", 1);
    refuse(&other, ERR_USAGE, "was made with rate 0.1 instead of 0.10000000000000002: ");
    other = traits(0.1, "n", 2);
    refuse(&other, ERR_USAGE, "was made with model m instead of n, another set of pictures: ");
    training_trait_real(&t, "depth", 4);
    refuse(&t, ERR_USAGE, "was made with depth unknown instead of 4: ");
    t.n = 2; /* what is not given is not compared */
    assert_int_equal(training_file_open(path, &t, &f, NULL), 0);
    training_file_close(f);
    for (int i = 0; i < TRAINING_TRAITS; i++) /* however much it is, it is told as far as it goes */
        training_trait_text(&t, "a trait of which the name is long and longer and longer still",
                            "value");
    refuse(&t, ERR_LIMIT, "traits");
    t.n = TRAINING_TRAITS;
    refuse(&t, ERR_USAGE, "longer still unknown instead of value");
    adamw_release(&a.adamw);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    struct training_traits t       = traits(0.1, "m", 1);
    const char            *newer[] = {"format", "osprey training 99", "checksum", "00"};
    const char            *other[] = {"format", "pt"};
    const struct tensor    one     = {
               .name = "x", .dtype = DTYPE_U8, .n_dims = 1, .dims = {1}, .data = "x", .bytes = 1};
    (void)remove(path);
    refuse(&t, ERR_NOTFOUND, "there is no");
    put("checkpoint", "", 0);
    refuse(&t, ERR_DAMAGED, "without --resume the training begins anew");
    put_text("checkpoint", "what is this?");
    refuse(&t, ERR_DAMAGED, "without --resume the training begins anew");
    assert_int_equal(safetensors_write(path, &one, 1, newer, 2, NULL), 0);
    refuse(&t, ERR_UNSUPPORTED, "another version");
    assert_int_equal(safetensors_write(path, &one, 1, other, 1, NULL), 0);
    refuse(&t, ERR_DAMAGED, "no checkpoint of a training");
    assert_int_equal(safetensors_write(path, &one, 1, NULL, 0, NULL), 0);
    refuse(&t, ERR_DAMAGED, "no checkpoint of a training");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_comes_back),
        cmocka_unit_test(what_does_not_fit_the_run_is_damage),
        cmocka_unit_test(what_differs_is_told),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
