/* Unit tests of core/rerank/mmca_fit: the gradient of the whole network and its losses
 * by finite differences, single precision beside double; and that what is trained is
 * what answers searches. */
#include "mmca_small.h"
#include "rerank/mmca_fit.h"

#include "base/json.h"
#include "rerank/mmca.h"
#include "rerank/mmca_write.h"
#include "tests/gradcheck.h"

#define GROUPS   2
#define SIZE     3
#define PICTURES (GROUPS * SIZE)
#define CELLS    4
#define REGION   5
#define WORD     6
#define WORDS    14

static const struct mmca_config config = MMCA_SMALL(CELLS, REGION, WORD, 6);

static const int starts[PICTURES + 1] = {0, 3, 5, 6, 9, 13, WORDS};
static const int owner[PICTURES]      = {0, 1, 2, 3, 4, 5};

static const struct mmca_fit_dropout dropout = {.region = 0.2, .word = 0.15, .hidden = 0.1};

static void fill(struct random *r, double *wide, float *narrow, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        narrow[i] = (float)random_normal(r);
        wide[i]   = (double)narrow[i];
    }
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    double               regions[PICTURES * CELLS * REGION], words[WORDS * WORD];
    float                regions32[PICTURES * CELLS * REGION], words32[WORDS * WORD];
    struct mmca_fit_f64 *net;
    struct mmca_fit_f32 *net32;
    struct compute      *c;
    struct random        r;
    int                  n, n32;
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    assert_int_equal(mmca_fit_new_f64(&config, 0.05, &net, NULL), 0);
    assert_int_equal(mmca_fit_new_f32(&config, 0.05, &net32, NULL), 0);
    random_seed(&r, 7);
    fill(&r, regions, regions32, PICTURES * CELLS * REGION);
    fill(&r, words, words32, WORDS * WORD);
    struct mmca_batch_f64   batch    = {GROUPS, SIZE, regions, words, starts, owner};
    struct mmca_batch_f32   batch32  = {GROUPS, SIZE, regions32, words32, starts, owner};
    const struct param_f64 *params   = mmca_fit_params_f64(net, &n);
    const struct param_f32 *params32 = mmca_fit_params_f32(net32, &n32);
    assert_int_equal(n, n32);
    double *mean, *scale;
    float  *mean32, *scale32;
    for (int side = 0; side < 2; side++) { /* standardised by something that shows */
        mmca_fit_standard_f64(net, side, &mean, &scale);
        mmca_fit_standard_f32(net32, side, &mean32, &scale32);
        fill(&r, mean, mean32, side ? WORD : REGION);
        fill(&r, scale, scale32, side ? WORD : REGION);
    }
    for (int i = 0; i < n; i++) { /* everywhere, so that nothing is at rest */
        assert_string_equal(params[i].name, params32[i].name);
        fill(&r, params[i].value, params32[i].value, (size_t)(params[i].rows * params[i].cols));
    }
    struct random draws = r;
    double        loss  = mmca_fit_run_f64(net, c, &batch, &dropout, &draws, true);
    draws               = r;
    assert_true(fabs(mmca_fit_run_f32(net32, c, &batch32, &dropout, &draws, true) - loss) < 1e-4);
    assert_true(isfinite(loss) && loss > 0);
    for (int i = 0; i < n; i++) {
        int     size = params[i].rows * params[i].cols, worst = 0;
        double *numeric = mem_array((size_t)size, sizeof *numeric);
        double *single  = mem_array((size_t)size, sizeof *single);
        bool    some    = false;
        for (int k = 0; k < size; k++) {
            double x           = params[i].value[k];
            draws              = r;
            params[i].value[k] = x + GRADCHECK_STEP;
            double up          = mmca_fit_run_f64(net, c, &batch, &dropout, &draws, false);
            draws              = r;
            params[i].value[k] = x - GRADCHECK_STEP;
            double low         = mmca_fit_run_f64(net, c, &batch, &dropout, &draws, false);
            params[i].value[k] = x;
            numeric[k]         = (up - low) / (2 * GRADCHECK_STEP);
            single[k]          = (double)params32[i].grad[k];
            some               = some || fabs(numeric[k]) > 1e-9;
        }
        if (!some)
            fail_msg("%s has no gradient", params[i].name);
        double d = gradcheck_difference(params[i].grad, numeric, size, &worst);
        if (d > GRADCHECK_MOST)
            fail_msg("%s: gradient %d is %.12g, finite difference %.12g (relative %.3g)",
                     params[i].name, worst, params[i].grad[worst], numeric[worst], d);
        d = gradcheck_difference(single, params[i].grad, size, &worst);
        if (d > 1e-3)
            fail_msg("%s: gradient %d is %.9g in single precision, %.9g in double", params[i].name,
                     worst, single[worst], params[i].grad[worst]);
        free(numeric);
        free(single);
    }
    assert_int_equal(compute_check(c, NULL), 0);
    mmca_fit_free_f64(net);
    mmca_fit_free_f32(net32);
    compute_free(c);
}

/* ---- What is trained is what answers ---- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-fit-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* Writes the network, and loads it as a search does. */
static struct mmca *reopen(struct mmca_fit_f32 *net, struct safetensors **st, struct prepared **p)
{
    struct err       err  = ERR_INIT;
    struct mmca_file file = {.n = 0};
    struct jnode    *node = jnode_object();
    struct mmca     *m;
    char             path[96];
    const char      *files[] = {path};
    (void)snprintf(path, sizeof path, "%s/net.safetensors", folder);
    assert_int_equal(mmca_file_fill(&file, net, &err), 0);
    assert_int_equal(safetensors_write(path, file.tensors, file.n, NULL, 0, &err), 0);
    mmca_file_release(&file);
    assert_int_equal(mmca_config_write(&config, node), 0);
    assert_int_equal(safetensors_open(path, st, &err), 0);
    assert_int_equal(prepared_open(files, 1, p, &err), 0);
    if (mmca_load(*st, node, *p, cpu_detect(), PRECISION_F32, &m, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(prepared_finish(*p, &err), 0);
    jnode_free(node);
    return m;
}

static void scores_are_those_of_the_network_that_answers(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct mmca_fit_f32 *net;
    struct compute      *c;
    struct random        r;
    struct safetensors  *st;
    struct prepared     *p;
    int                  n;
    double               unused[PICTURES * CELLS * REGION];
    float                regions[PICTURES * CELLS * REGION], words[WORDS * WORD], score;
    assert_int_equal(compute_new(cpu_detect(), 1, &c, NULL), 0);
    assert_int_equal(mmca_fit_new_f32(&config, 0, &net, NULL), 0);
    random_seed(&r, 3);
    mmca_fit_init_f32(net, &r);
    fill(&r, unused, regions, PICTURES * CELLS * REGION);
    fill(&r, unused, words, WORDS * WORD);
    const struct param_f32 *params = mmca_fit_params_f32(net, &n);
    for (int i = 0; i < n; i++) { /* biases and gains that show */
        for (int k = 0; k < params[i].rows * params[i].cols; k++)
            params[i].value[k] += 0.2f * (float)random_normal(&r);
    }
    struct mmca_batch_f32 batch = {GROUPS, SIZE, regions, words, starts, owner};
    assert_true(isfinite(mmca_fit_run_f32(net, c, &batch, NULL, NULL, false)));
    struct mmca *m    = reopen(net, &st, &p);
    uint8_t     *kept = mem_array(PICTURES, mmca_kept_bytes(m));
    assert_int_equal(mmca_keep(m, regions, PICTURES, 1, kept, &err), 0);
    double spread = 0, first = 0;
    for (int t = 0; t < PICTURES; t++) {
        struct mmca_query *q;
        assert_int_equal(
            mmca_query_new(m, words + starts[t] * WORD, starts[t + 1] - starts[t], &q, &err), 0);
        for (int i = 0; i < SIZE; i++) {
            int            picture = t / SIZE * SIZE + i;
            const uint8_t *one     = kept + (size_t)picture * mmca_kept_bytes(m);
            assert_int_equal(mmca_score(m, q, &one, 1, 1, &score, &err), 0);
            float expected = mmca_fit_score_f32(net, t / SIZE, t % SIZE, i);
            if (fabsf(score - expected) > 0.04f) /* 8 bits, half precision */
                fail_msg("text %d, picture %d: %g, in training %g", t, picture, (double)score,
                         (double)expected);
            first  = t + i == 0 ? (double)expected : first;
            spread = fmax(spread, fabs((double)expected - first));
        }
        mmca_query_free(q);
    }
    assert_true(spread > 0.3); /* or the comparison says nothing */
    free(kept);
    mmca_free(m);
    prepared_close(p);
    safetensors_close(st);
    mmca_fit_free_f32(net);
    compute_free(c);
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    struct mmca_config   bad = config;
    struct mmca_fit_f32 *net;
    bad.layers[MMCA_TEXT] = 2;
    assert_int_equal(mmca_fit_new_f32(&bad, 0, &net, &err), ERR_UNSUPPORTED);
    struct jnode *node = jnode_object();
    bad                = config;
    bad.image_pool     = MMCA_MEAN;
    assert_int_equal(mmca_config_write(&bad, node), 0);
    assert_int_equal(mmca_config_parse(node, &bad, &err), ERR_FORMAT);
    jnode_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(scores_are_those_of_the_network_that_answers),
        cmocka_unit_test(other_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
