/* Unit tests of core/model/head: trained heads against PyTorch
 * (tools/goldens/heads.py), in every precision, and heads that must be refused. */
#include "model/head.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/distance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 5

static const struct head_towers towers = {.features = 12, .stages = 10, .classes = 7, .hidden = 6};

static char *cache;

static int make_cache(void **state)
{
    (void)state;
    cache = mem_strdup("/tmp/osprey-head-XXXXXX");
    return cache && mkdtemp(cache) && !setenv("XDG_CACHE_HOME", cache, 1) ? 0 : -1;
}

static int remove_cache(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", cache);
    free(cache);
    return system(command);
}

/* A fixture, and the head in it. */
struct fixture {
    struct safetensors *st;
    struct jnode       *config;
    struct prepared    *prepared;
    struct head        *head;
};

static void fixture_open(struct fixture *f, const char *name)
{
    struct err err = ERR_INIT;
    char       path[512];
    *f = (struct fixture){0};
    (void)snprintf(path, sizeof path, "%s/heads/%s.safetensors", TEST_DATA, name);
    assert_int_equal(safetensors_open(path, &f->st, &err), 0);
    const char *config = safetensors_metadata(f->st, "config");
    assert_int_equal(jnode_parse(config, strlen(config), name, &f->config, &err), 0);
}

static int fixture_load(struct fixture *f, enum precision precision, struct err *err)
{
    const char *files[] = {safetensors_path(f->st)};
    assert_int_equal(prepared_open_as(precision_name(precision), files, 1, &f->prepared, err), 0);
    return head_load(f->st, f->config, &towers, f->prepared, cpu_detect(), precision, &f->head,
                     err);
}

static void fixture_unload(struct fixture *f)
{
    head_free(f->head);
    prepared_close(f->prepared);
    f->head     = NULL;
    f->prepared = NULL;
}

static void fixture_close(struct fixture *f)
{
    fixture_unload(f);
    jnode_free(f->config);
    safetensors_close(f->st);
}

static float *tensor(const struct fixture *f, const char *name)
{
    const struct tensor *t = safetensors_find(f->st, name);
    assert_non_null(t);
    float *x = mem_array((size_t)t->elements, sizeof *x);
    assert_int_equal(tensor_to_f32(t, x, NULL), 0);
    return x;
}

static float *seen(const struct fixture *f, const char *name, int from, int dim)
{
    float *all = tensor(f, name);
    memmove(all, all + (ptrdiff_t)from * dim, (size_t)((N - from) * dim) * sizeof *all);
    return all;
}

/* The worst difference of n rows from row `from` on, pictures and texts. */
static float worst(const struct fixture *f, int from, int n, int threads)
{
    int    dim    = head_dim(f->head);
    float *pooled = seen(f, "in.pooled", from, towers.features);
    float *stages = seen(f, "in.stages", from, towers.stages);
    float *logits = seen(f, "in.logits", from, towers.classes);
    float *mean   = seen(f, "in.mean", from, towers.hidden);
    float *first  = seen(f, "in.first", from, towers.hidden);
    float *out = mem_array((size_t)(n * dim), sizeof *out), most = 0;
    void  *scratch = mem_aligned(head_scratch_size(f->head, n) + 64, 1);
    for (int texts = 0; texts < 2; texts++) {
        float *want = tensor(f, texts ? "out.text" : "out.image");
        assert_int_equal(safetensors_find(f->st, "out.image")->dims[1], dim);
        if (texts)
            head_texts(f->head, &(struct head_read){mean, first}, n, threads, scratch, out);
        else
            head_images(f->head, &(struct head_seen){pooled, stages, logits}, n, threads, scratch,
                        out);
        for (int i = 0; i < n * dim; i++)
            most = fmaxf(most, fabsf(out[i] - want[from * dim + i]));
        free(want);
    }
    free(pooled);
    free(stages);
    free(logits);
    free(mean);
    free(first);
    free(out);
    free(scratch);
    return most;
}

static void heads_equal_pytorch(void **state)
{
    static const char *const names[]  = {"beside", "after", "linear"};
    static const float       within[] = {2e-6f, 2e-2f, 5e-2f}; /* by precision */
    struct err               err      = ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fixture f;
        fixture_open(&f, names[i]);
        for (int p = 0; p < (int)PRECISION_AUTO; p++) {
            for (int again = 0; again < 2; again++) { /* built, then mapped */
                assert_int_equal(fixture_load(&f, (enum precision)p, &err), 0);
                assert_int_equal(prepared_building(f.prepared), !again);
                assert_true(worst(&f, 0, N, 2) < within[p]);
                assert_true(worst(&f, 2, 1, 1) < within[p]);
                assert_true(head_parameters(f.head) > 0);
                assert_int_equal(prepared_finish(f.prepared, &err), 0);
                fixture_unload(&f);
            }
        }
        fixture_close(&f);
    }
}

/* Only the class part of a text weighs more, by the factor that head.h says, and a
 * head without one leaves texts as they are. */
static void names_weigh_more_in_the_class_part(void **state)
{
    static const char *const names[] = {"beside", "linear"};
    struct err               err     = ERR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fixture f;
        double         b = 0;
        fixture_open(&f, names[i]);
        assert_int_equal(fixture_load(&f, PRECISION_F32, &err), 0);
        int    dim = head_dim(f.head), n = (int)safetensors_find(f.st, "out.text")->dims[0];
        int    trained = (int)safetensors_find(f.st, "text.linear.weight")->dims[0];
        float *before = tensor(&f, "out.text"), *after = tensor(&f, "out.text");
        bool   classes = jnode_to_double(jnode_get(f.config, "class_weight"), &b) && b > 0;
        head_as_names(f.head, after, n);
        for (int row = 0; row < n; row++, before += dim, after += dim) {
            double length = 0;
            float  factor = after[0] / before[0];
            for (int j = 0; j < dim; j++) {
                bool more = classes && j >= trained && j < trained + towers.hidden;
                assert_float_equal(after[j], before[j] * factor * (more ? HEAD_NAMES : 1), 1e-5f);
                length += (double)after[j] * (double)after[j];
            }
            assert_float_equal(length, 1, 1e-5);
            assert_true(classes ? factor < 0.99F : fabsf(factor - 1) < 1e-5F);
        }
        free(before - (ptrdiff_t)n * dim);
        free(after - (ptrdiff_t)n * dim);
        fixture_close(&f);
    }
}

/* Each config, as text put in place of the fixture's, and what the error says. */
static void bad_configs_are_refused(void **state)
{
    static const struct {
        const char *config, *says;
    } cases[] = {
        {"{\"head\":\"nothing\"}", "trained"},
        {"{\"head\":\"trained\"}", "image_inputs"},
        {"{\"head\":\"trained\",\"image_inputs\":[],\"text_inputs\":[\"mean\"]}", "image_inputs"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"]}", "text_inputs"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"mean\"],\"text_inputs\":[\"mean\"]}",
         "\"mean\""},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled:cube\"],\"text_inputs\":[\"mean\"]}",
         "pooled:cube"},
        {"{\"head\":\"trained\",\"image_inputs\":[7],\"text_inputs\":[\"mean\"]}", "image_inputs"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\",\"pooled\"],\"text_inputs\":[\"mean\"]"
         "}",
         "image.mean"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"],\"text_inputs\":[\"mean\"],"
         "\"mlp\":\"over\"}",
         "osprey.mlp"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"],\"text_inputs\":[\"mean\"],"
         "\"trained_weight\":-1}",
         "trained_weight"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"],\"text_inputs\":[\"mean\"],"
         "\"class_weight\":\"much\"}",
         "class_weight"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"],\"text_inputs\":[\"mean\"],"
         "\"visual_weight\":0.5}",
         "conse.visual_projection"},
        {"{\"head\":\"trained\",\"image_inputs\":[\"pooled\"],\"text_inputs\":[\"mean\"],"
         "\"class_weight\":0.5,\"temperature\":0}",
         "temperature"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err     err = ERR_INIT;
        struct fixture f;
        fixture_open(&f, "linear");
        jnode_free(f.config);
        assert_int_equal(
            jnode_parse(cases[i].config, strlen(cases[i].config), "it", &f.config, &err), 0);
        assert_int_not_equal(fixture_load(&f, PRECISION_F32, &err), 0);
        assert_null(f.head);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("case %zu: %s", i, err.msg);
        fixture_close(&f);
    }
}

static void distances_have_names_and_scores(void **state)
{
    (void)state;
    for (int i = 0; i <= (int)DISTANCE_MANHATTAN; i++) {
        enum distance d;
        assert_true(distance_of(distance_name((enum distance)i), &d));
        assert_int_equal(d, i);
    }
    enum distance d = DISTANCE_EUCLIDEAN;
    assert_false(distance_of("chebyshev", &d));
    assert_int_equal(d, DISTANCE_EUCLIDEAN);
    assert_float_equal(distance_score(DISTANCE_COSINE, -0.25f), -0.25, 0);
    assert_float_equal(distance_score(DISTANCE_EUCLIDEAN, 1.0f), 1, 0);
    assert_float_equal(distance_score(DISTANCE_EUCLIDEAN, 1.0000001f), 1, 0); /* rounding */
    assert_float_equal(distance_score(DISTANCE_EUCLIDEAN, 0.5f), 0.5, 1e-7);  /* 60 degrees */
    assert_float_equal(distance_score(DISTANCE_EUCLIDEAN, -1.0f), 1.0 / 3, 1e-7);
    assert_float_equal(distance_score(DISTANCE_MANHATTAN, 0.0f), 1, 0);
    assert_float_equal(distance_score(DISTANCE_MANHATTAN, -3.0f), 0.25, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_equal_pytorch),
        cmocka_unit_test(names_weigh_more_in_the_class_part),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(distances_have_names_and_scores),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
