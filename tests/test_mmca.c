/* Unit tests of core/rerank/mmca: scores against PyTorch (tools/goldens/mmca.py) at
 * each level and number of threads, what is kept, and files that are no re-ranker. */
#include "rerank/mmca.h"

#include "base/half.h"
#include "base/json.h"
#include "base/mem.h"
#include "scratch_folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PICTURES 6
#define TEXTS    3
#define LONGEST  5

/* An open golden file, and the network in it. */
struct golden {
    struct safetensors *st;
    struct prepared    *prepared;
    struct mmca        *m;
    float              *regions, *words, *i0, *scores;
    int32_t             lengths[TEXTS];
};

static float *floats(const struct golden *g, const char *name)
{
    const struct tensor *t = safetensors_find(g->st, name);
    assert_non_null(t);
    float *out = mem_array((size_t)t->elements, sizeof *out);
    assert_int_equal(tensor_to_f32(t, out, NULL), 0);
    return out;
}

/* Loads the network; change: a text in its metadata and what takes its place. */
static int load(struct golden *g, const char *change, const char *by, enum precision precision,
                struct cpu cpu, struct err *err)
{
    char          text[1024];
    const char   *metadata = safetensors_metadata(g->st, "reranker"), *at;
    const char   *files[]  = {safetensors_path(g->st)};
    struct jnode *config;
    assert_non_null(metadata);
    (void)snprintf(text, sizeof text, "%s", metadata);
    if (change) {
        assert_non_null(at = strstr(metadata, change));
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - metadata), metadata, by,
                       at + strlen(change));
    }
    assert_int_equal(jnode_parse(text, strlen(text), "test", &config, err), 0);
    assert_int_equal(prepared_open_as(precision_name(precision), files, 1, &g->prepared, err), 0);
    int rc = mmca_load(g->st, config, g->prepared, cpu, precision, &g->m, err);
    if (!rc && prepared_building(g->prepared))
        rc = prepared_finish(g->prepared, err);
    jnode_free(config);
    return rc;
}

static void golden_open(struct golden *g, const char *name)
{
    char       path[512];
    struct err err = ERR_INIT;
    *g             = (struct golden){0};
    (void)snprintf(path, sizeof path, TEST_DATA "/mmca_%s.safetensors", name);
    assert_int_equal(safetensors_open(path, &g->st, &err), 0);
    g->regions             = floats(g, "golden.regions");
    g->words               = floats(g, "golden.words");
    g->i0                  = floats(g, "golden.i0");
    g->scores              = floats(g, "golden.scores");
    const struct tensor *t = safetensors_find(g->st, "golden.lengths");
    assert_int_equal(t->bytes, sizeof g->lengths);
    memcpy(g->lengths, t->data, sizeof g->lengths);
}

static void unload(struct golden *g)
{
    mmca_free(g->m);
    prepared_close(g->prepared);
    g->m        = NULL;
    g->prepared = NULL;
}

static void golden_close(struct golden *g)
{
    unload(g);
    safetensors_close(g->st);
    free(g->regions);
    free(g->words);
    free(g->i0);
    free(g->scores);
}

/* kept: (PICTURES) pointers into *memory. */
static void keep_all(const struct golden *g, int threads, uint8_t **memory, const uint8_t **kept)
{
    struct err err   = ERR_INIT;
    size_t     bytes = mmca_kept_bytes(g->m);
    *memory          = mem_array(PICTURES, bytes);
    assert_int_equal(mmca_keep(g->m, g->regions, PICTURES, threads, *memory, &err), 0);
    for (int i = 0; i < PICTURES; i++)
        kept[i] = *memory + (size_t)i * bytes;
}

/* The largest difference from the golden scores. */
static float worst_score(const struct golden *g, int threads)
{
    uint8_t       *memory;
    const uint8_t *kept[PICTURES];
    float          scores[PICTURES], worst = 0;
    struct err     err  = ERR_INIT;
    int            word = mmca_config_of(g->m)->word;
    keep_all(g, threads, &memory, kept);
    for (int t = 0; t < TEXTS; t++) {
        struct mmca_query *q;
        assert_int_equal(
            mmca_query_new(g->m, g->words + t * LONGEST * word, g->lengths[t], &q, &err), 0);
        assert_int_equal(mmca_score(g->m, q, kept, PICTURES, threads, scores, &err), 0);
        for (int i = 0; i < PICTURES; i++) {
            assert_true(isfinite(scores[i]));
            worst = fmaxf(worst, fabsf(scores[i] - g->scores[t * PICTURES + i]));
        }
        mmca_query_free(q);
    }
    free(memory);
    return worst;
}

static void scores_equal_torch_at_each_level(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float       tolerance; /* of scores of about 0.3, and of about 5 */
    } cases[] = {{"pre", 2e-5f}, {"post", 2e-4f}};
    for (size_t c = 0; c < 2; c++) {
        struct golden g;
        struct err    err  = ERR_INIT;
        struct cpu    have = cpu_detect();
        golden_open(&g, cases[c].name);
        for (int level = CPU_PORTABLE; level <= (int)have.level; level++) {
            struct cpu cpu = {.level = (enum cpu_level)level};
            if (load(&g, NULL, NULL, PRECISION_F32, cpu, &err))
                fail_msg("%s", err.msg);
            float one = worst_score(&g, 1), three = worst_score(&g, 3);
            print_message("%s, level %d: differs by %.2g\n", cases[c].name, level, (double)one);
            assert_true(one <= cases[c].tolerance);
            assert_true(three == one); /* pictures are independent of each other */
            unload(&g);
        }
        golden_close(&g);
    }
}

static void reduced_precision_stays_near(void **state)
{
    (void)state;
    struct golden g;
    struct err    err = ERR_INIT;
    golden_open(&g, "pre");
    assert_int_equal(load(&g, NULL, NULL, PRECISION_BF16, cpu_detect(), &err), 0);
    float worst = worst_score(&g, 2);
    assert_true(worst > 0 && worst < 0.02f);
    golden_close(&g);
}

static void pictures_are_kept_as_told(void **state)
{
    (void)state;
    struct golden  g;
    struct err     err = ERR_INIT;
    uint8_t       *memory;
    const uint8_t *kept[PICTURES];
    golden_open(&g, "pre");
    assert_int_equal(load(&g, NULL, NULL, PRECISION_F32, cpu_detect(), &err), 0);
    const struct mmca_config *c = mmca_config_of(g.m);
    assert_int_equal(mmca_kept_bytes(g.m), (c->width + 2) * c->cells + 2 * c->width);
    keep_all(&g, 1, &memory, kept);
    for (int i = 0; i < PICTURES; i++) {
        int16_t most = 0;
        for (int k = 0; k < c->width; k++) {
            uint16_t half;
            float    value;
            memcpy(&half, kept[i] + 2 * (c->cells + k), sizeof half);
            half_to_float(&value, &half, 1);
            assert_true(fabsf(value - g.i0[i * c->width + k]) < 5e-4f);
        }
        for (int k = 0; k < c->cells * c->width; k++) {
            int8_t q;
            memcpy(&q, kept[i] + 2 * (c->cells + c->width) + k, 1);
            assert_true(q >= -127);
            most = q > most ? q : most;
            most = -q > most ? (int16_t)-q : most;
        }
        assert_true(most >= 126); /* the scale makes use of the range */
    }
    g.regions[100] = NAN;
    assert_int_equal(mmca_keep(g.m, g.regions, PICTURES, 2, memory, &err), ERR_DAMAGED);
    free(memory);
    golden_close(&g);
}

static void damage_to_what_is_kept_is_told(void **state)
{
    (void)state;
    struct golden      g;
    struct err         err = ERR_INIT;
    uint8_t           *memory;
    const uint8_t     *kept[PICTURES];
    float              scores[PICTURES];
    struct mmca_query *q;
    golden_open(&g, "post");
    assert_int_equal(load(&g, NULL, NULL, PRECISION_F32, cpu_detect(), &err), 0);
    keep_all(&g, 1, &memory, kept);
    memory[0] = 0;
    memory[1] = 0x7e; /* a scale that is no number */
    assert_int_equal(mmca_query_new(g.m, g.words, 1, &q, &err), 0);
    assert_int_equal(mmca_score(g.m, q, kept, PICTURES, 1, scores, &err), ERR_DAMAGED);
    mmca_query_free(q);
    free(memory);
    golden_close(&g);
}

/* The second load maps what the first one prepared. */
static void what_was_prepared_gives_the_same(void **state)
{
    (void)state;
    struct golden g;
    struct err    err = ERR_INIT;
    golden_open(&g, "post");
    assert_int_equal(load(&g, NULL, NULL, PRECISION_F32, cpu_detect(), &err), 0);
    char first[40];
    (void)snprintf(first, sizeof first, "%s", prepared_hash(g.prepared));
    unload(&g);
    assert_int_equal(load(&g, NULL, NULL, PRECISION_F32, cpu_detect(), &err), 0);
    assert_false(prepared_building(g.prepared));
    assert_string_equal(prepared_hash(g.prepared), first);
    assert_int_equal(strlen(first), 32);
    assert_true(worst_score(&g, 1) <= 2e-4f);
    golden_close(&g);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *change, *by, *says;
        int         code;
    } cases[] = {{"\"cells\": 9", "\"cells\": 10", "region.position", ERR_FORMAT},
                 {"\"width\": 20", "\"width\": 22", "region.weight", ERR_FORMAT},
                 {"\"heads\": 2", "\"heads\": 3", "heads", ERR_FORMAT},
                 {"\"heads\": 2", "\"heads\": 0", "heads", ERR_FORMAT},
                 {"\"mlp\": 28", "\"mlp\": 1e9", "mlp", ERR_FORMAT},
                 {"\"cross_layers\": 2", "\"cross_layers\": 3", "cross.2", ERR_FORMAT},
                 {"\"cross_layers\": 2", "\"cross_layers\": 99", "cross_layers", ERR_FORMAT},
                 {"\"norm\": \"pre\"", "\"norm\": \"side\"", "norm", ERR_UNSUPPORTED},
                 {"\"unit\": true", "\"unit\": 1", "unit", ERR_FORMAT},
                 {"\"weight\": 0.25", "\"weight\": -1", "weight", ERR_FORMAT},
                 {"\"image_pool\": \"mean\"", "\"image_pool\": 3", "image_pool", ERR_FORMAT}};
    struct golden g;
    golden_open(&g, "pre");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        int        rc  = load(&g, cases[i].change, cases[i].by, PRECISION_F32, cpu_detect(), &err);
        if (rc != cases[i].code || !strstr(err.msg, cases[i].says))
            fail_msg("%s: %d %s", cases[i].by, rc, err.msg);
        unload(&g);
    }
    golden_close(&g);
}

static void configurations_come_back_as_written(void **state)
{
    (void)state;
    struct golden      g;
    struct err         err  = ERR_INIT;
    struct jnode      *node = jnode_object();
    struct mmca_config again;
    golden_open(&g, "post");
    assert_int_equal(load(&g, NULL, NULL, PRECISION_F32, cpu_detect(), &err), 0);
    assert_int_equal(mmca_config_write(mmca_config_of(g.m), node), 0);
    assert_int_equal(mmca_config_parse(node, &again, &err), 0);
    assert_memory_equal(&again, mmca_config_of(g.m), sizeof again);
    jnode_free(node);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_equal_torch_at_each_level),
        cmocka_unit_test(reduced_precision_stays_near),
        cmocka_unit_test(pictures_are_kept_as_told),
        cmocka_unit_test(damage_to_what_is_kept_is_told),
        cmocka_unit_test(what_was_prepared_gives_the_same),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(configurations_come_back_as_written),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
