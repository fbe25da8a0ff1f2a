/* Unit tests of core/model/bert and core/nn/{attention,ops}: kernels against the
 * reference, every stage and 1,000 embeddings against PyTorch
 * (tools/goldens/bert.py), at each level that this processor has. */
#include "model/bert.h"

#include "base/file.h"
#include "base/mem.h"
#include "nn/attention.h"
#include "nn/ops.h"
#include "text/wordpiece.h"

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

#define MODEL      TEST_MODELS "/osprey-small/model.safetensors"
#define VOCAB      TEST_MODELS "/osprey-small/vocab.txt"
#define GOLDEN     TEST_DATA "/bert_golden.safetensors"
#define SENTENCES  TEST_DATA "/bert_sentences.txt"
#define HIDDEN     384
#define MAX_TOKENS 256
#define TOLERANCE  1e-4f

static const char CONFIG[] =
    "{\"hidden_act\":\"gelu\",\"hidden_size\":384,\"intermediate_size\":1536,"
    "\"layer_norm_eps\":1e-12,\"max_position_embeddings\":512,\"num_attention_heads\":12,"
    "\"num_hidden_layers\":6,\"vocab_size\":30522}";

static struct safetensors *model, *golden;
static struct wordpiece   *wp;
static struct prepared    *weights;
static struct jnode       *config;

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* The levels from portable up to what is here. */
static int levels(struct cpu out[3])
{
    struct cpu have = cpu_detect();
    int        n    = 0;
    for (int level = CPU_PORTABLE; level <= (int)have.level; level++)
        out[n++] = (struct cpu){.level = (enum cpu_level)level};
    return n;
}

static void attention_equals_the_reference(void **state)
{
    (void)state;
    static const int tokens[] = {1, 2, 3, 5, 15, 16, 17, 33, 100}, dims[] = {1, 8, 16, 20, 32, 64};
    struct cpu       cpus[3];
    uint32_t         seed     = 1;
    int              n_levels = levels(cpus);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens * 6; i++) {
        int    n = tokens[i / 6], d = dims[i % 6], heads = 3, ld = 3 * heads * d + 5;
        float *qkv = mem_array((size_t)(n * ld), sizeof *qkv);
        float *a   = mem_zeroed((size_t)(n * heads * d), sizeof *a);
        float *b   = mem_zeroed((size_t)(n * heads * d), sizeof *b);
        float *s   = mem_aligned(attention_scratch(n, d), sizeof *s);
        for (int k = 0; k < n * ld; k++)
            qkv[k] = 4 * noise(&seed);
        struct attention job = {.tokens   = n,
                                .heads    = heads,
                                .head_dim = d,
                                .qkv      = qkv,
                                .ld       = ld,
                                .out      = a,
                                .ldo      = heads * d};
        for (int head = 0; head < heads; head++)
            attention_ref(&job, head, s);
        job.out = b;
        for (int level = 1; level < n_levels; level++) {
            memset(b, 0, (size_t)(n * heads * d) * sizeof *b);
            for (int head = 0; head < heads; head++)
                attention_kernel_for(cpus[level])(&job, head, s);
            for (int k = 0; k < n * heads * d; k++)
                assert_true(fabsf(a[k] - b[k]) < 2e-5f);
        }
        free(qkv);
        free(a);
        free(b);
        free(s);
    }
}

static void attention_of_equal_keys_is_the_mean(void **state)
{
    (void)state;
    float            qkv[2 * 3] = {7, 1, 2, -3, 1, 6}, out[2], scratch[16 * 5]; /* q, k, v */
    struct attention a          = {
                 .tokens = 2, .heads = 1, .head_dim = 1, .qkv = qkv, .ld = 3, .out = out, .ldo = 1};
    attention_ref(&a, 0, scratch);
    assert_true(fabsf(out[0] - 4) < 1e-6f && fabsf(out[1] - 4) < 1e-6f);
}

static void small_operations_are_right(void **state)
{
    (void)state;
    float x[40], w[20], b[20], out[40];
    for (int i = 0; i < 40; i++)
        x[i] = (float)(i % 20) * (i < 20 ? 1 : -2);
    for (int i = 0; i < 20; i++) {
        w[i] = 2;
        b[i] = 1;
    }
    ops_layernorm(x, 2, 20, w, b, 0.0f, out);
    float scale = sqrtf((20.0f * 20 - 1) / 12); /* of 0 ... 19 */
    for (int i = 0; i < 20; i++) {
        assert_true(fabsf(out[i] - (2 * ((float)i - 9.5f) / scale + 1)) < 1e-5f);
        assert_true(fabsf(out[20 + i] - (2 * (9.5f - (float)i) / scale + 1)) < 1e-5f);
    }
    ops_mean_rows(x, 2, 20, out);
    assert_true(out[19] == -9.5f);
    float three[] = {3, 0, 4}, zero[] = {0, 0};
    ops_l2_normalize(three, 3);
    assert_true(fabsf(three[0] - 0.6f) < 1e-7f && fabsf(three[2] - 0.8f) < 1e-7f);
    ops_l2_normalize(zero, 2);
    assert_true(zero[0] == 0 && zero[1] == 0);
    float logits[] = {1000, 1000 - 2 * logf(3)};
    ops_softmax(logits, 2, 2.0f);
    assert_true(fabsf(logits[0] - 0.75f) < 1e-4f && fabsf(logits[1] - 0.25f) < 1e-4f);
}

static struct bert *load(struct cpu cpu)
{
    struct err   err  = ERR_INIT;
    struct bert *bert = NULL;
    if (bert_load(model, "text_model.", config, weights, cpu, PRECISION_F32, &bert, &err))
        fail_msg("%s", err.msg);
    return bert;
}

struct seen {
    int   stages;
    int   first;         /* tokens of the first text */
    float early[HIDDEN]; /* their mean before the first layer */
};

static void check_stage(void *ctx, const char *stage, const float *data, int tokens, int hidden)
{
    struct seen         *seen = ctx;
    char                 name[64];
    const struct tensor *t;
    const int64_t        dims[] = {tokens, HIDDEN / 16};
    (void)snprintf(name, sizeof name, "stage.%s", stage);
    assert_int_equal(safetensors_require(golden, name, 2, dims, &t, NULL), 0);
    float *want = mem_array((size_t)t->elements, sizeof *want);
    assert_int_equal(tensor_to_f32(t, want, NULL), 0);
    for (int i = 0; i < tokens; i++) {
        for (int c = 0; c < HIDDEN / 16; c++) {
            float got = data[i * hidden + 16 * c], right = want[i * HIDDEN / 16 + c];
            if (!(fabsf(got - right) <= TOLERANCE * fmaxf(1, fabsf(right))))
                fail_msg("%s of token %d, component %d: %g instead of %g", stage, i, 16 * c, got,
                         right);
        }
    }
    free(want);
    if (seen->stages == 0)
        ops_mean_rows(data, seen->first, hidden, seen->early);
    seen->stages++;
}

static void every_stage_equals_pytorch(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a dog runs on the beach",
        "Zwei M\xC3\xB6wen \xC3\xBC"
        "ber dem K\xC3\xB6lner Hafen, 2019!",
        "an old man in a red hat reads a newspaper on a wooden bench"};
    struct cpu cpus[3];
    int        n_levels = levels(cpus);
    int32_t    ids[3 * MAX_TOKENS];
    int        starts[4] = {0};
    for (int i = 0; i < 3; i++)
        starts[i + 1] = starts[i] + wordpiece_encode(wp, texts[i], strlen(texts[i]),
                                                     ids + starts[i], MAX_TOKENS, NULL);
    for (int level = 0; level < n_levels; level++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            struct bert    *bert    = load(cpus[level]);
            void           *scratch = mem_aligned(bert_scratch_size(bert, starts[3], threads), 1);
            float           pooled[3 * HIDDEN], early[3 * HIDDEN];
            float          *states = mem_array((size_t)starts[3] * HIDDEN, sizeof *states);
            struct seen     seen   = {.first = starts[1]};
            struct bert_tap tap    = {.see = check_stage, .ctx = &seen};
            bert_forward(bert, ids, starts, 3, threads, scratch, pooled, early, states, &tap);
            assert_int_equal(seen.stages, 8);
            float first[HIDDEN]; /* states are the last layer's: their mean is pooled */
            ops_mean_rows(states, starts[1], HIDDEN, first);
            assert_memory_equal(first, pooled, sizeof first);
            assert_memory_equal(early, seen.early, sizeof seen.early);
            free(states);
            free(scratch);
            bert_free(bert);
        }
    }
}

/* Encodes the sentences in batches of batch, each every-th batch of them, and
 * compares the stored components. */
static float worst_difference(const struct bert *bert, int batch, int every)
{
    uint8_t *text;
    size_t   len;
    float    worst = 0;
    assert_int_equal(file_read(SENTENCES, 1 << 20, &text, &len, NULL), 0);
    const struct tensor *t;
    const int64_t        dims[] = {1000, HIDDEN / 16};
    assert_int_equal(safetensors_require(golden, "normalised", 2, dims, &t, NULL), 0);
    float *want = mem_array((size_t)t->elements, sizeof *want);
    assert_int_equal(tensor_to_f32(t, want, NULL), 0);
    int32_t *ids     = mem_array((size_t)batch * MAX_TOKENS, sizeof *ids);
    int     *starts  = mem_zeroed((size_t)batch + 1, sizeof *starts);
    float   *pooled  = mem_array((size_t)batch * HIDDEN, sizeof *pooled);
    void    *scratch = mem_aligned(bert_scratch_size(bert, batch * MAX_TOKENS, 1), 1);
    int      row     = 0;
    for (size_t at = 0; at < len;) {
        int n = 0;
        for (; n < batch && at < len; n++) {
            size_t end = (size_t)((uint8_t *)memchr(text + at, '\n', len - at) - text);
            int got = wordpiece_encode(wp, (char *)text + at, end - at, ids + starts[n], MAX_TOKENS,
                                       NULL);
            assert_true(got >= 2);
            starts[n + 1] = starts[n] + got;
            at            = end + 1;
        }
        if (row / batch % every) {
            row += n;
            continue;
        }
        bert_forward(bert, ids, starts, n, 1, scratch, pooled, NULL, NULL, NULL);
        for (int i = 0; i < n; i++, row++) {
            ops_l2_normalize(pooled + i * HIDDEN, HIDDEN);
            for (int c = 0; c < HIDDEN / 16; c++) {
                float d = pooled[i * HIDDEN + row % 16 + 16 * c] - want[row * HIDDEN / 16 + c];
                assert_false(isnan(d));
                worst = fmaxf(worst, fabsf(d));
            }
        }
    }
    assert_int_equal(row, 1000);
    free(text);
    free(want);
    free(ids);
    free(starts);
    free(pooled);
    free(scratch);
    return worst;
}

static void a_thousand_sentences_equal_pytorch(void **state)
{
    (void)state;
    struct cpu cpus[3];
    int        n_levels = levels(cpus);
    for (int level = 0; level < n_levels; level++) {
        struct bert *bert     = load(cpus[level]);
        /* plain C is slow: a fifth of them, the long ones at the end included; under
         * qemu it takes minutes for a few */
        bool         portable = cpus[level].level == CPU_PORTABLE;
        float        d        = worst_difference(bert, 20, TEST_EMULATED ? 97 : portable ? 7 : 1);
        print_message("%s: largest difference %.2g\n", cpu_level_name(cpus[level].level), d);
        assert_true(d <= TOLERANCE);
        bert_free(bert);
    }
}

/* Loads with a changed config. */
static int load_with(const char *text, struct err *err)
{
    struct jnode *other = NULL;
    struct bert  *bert  = NULL;
    assert_int_equal(jnode_parse(text, strlen(text), "config.json", &other, NULL), 0);
    int rc =
        bert_load(model, "text_model.", other, weights, cpu_detect(), PRECISION_F32, &bert, err);
    assert_null(bert);
    jnode_free(other);
    return rc;
}

static void wrong_configs_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(load_with("{}", &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "hidden_size"));
#define WITH(vocab, heads, act)                                                                    \
    "{\"hidden_size\":384,\"intermediate_size\":1536,\"max_position_embeddings\":512,"             \
    "\"num_hidden_layers\":6,\"vocab_size\":" vocab ",\"num_attention_heads\":" heads              \
    ",\"hidden_act\":\"" act "\"}"
    assert_int_equal(load_with(WITH("30523", "12", "gelu"), &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "text_model.embeddings.word_embeddings.weight has the shape "
                                    "(30522, 384) instead of (30523, 384)"));
    assert_int_equal(load_with(WITH("30522", "7", "gelu"), &err), ERR_FORMAT);
    assert_int_equal(load_with(WITH("30522", "12", "swish"), &err), ERR_UNSUPPORTED);
    struct bert *bert = NULL;
    assert_int_equal(
        bert_load(model, "other.", config, weights, cpu_detect(), PRECISION_F32, &bert, &err),
        ERR_FORMAT);
    assert_non_null(strstr(err.msg, "no tensor other.embeddings"));
}

static int setup(void **state)
{
    (void)state;
    struct err   err     = ERR_INIT;
    const char  *files[] = {MODEL};
    struct bert *bert    = NULL;
    if (safetensors_open(MODEL, &model, &err) || safetensors_open(GOLDEN, &golden, &err) ||
        wordpiece_load(VOCAB, &wp, &err) || prepared_open(files, 1, &weights, &err) ||
        jnode_parse(CONFIG, strlen(CONFIG), "config", &config, &err) ||
        bert_load(model, "text_model.", config, weights, cpu_detect(), PRECISION_F32, &bert,
                  &err)) {
        print_error("%s\n(models are assembled by `make build`)\n", err.msg);
        return -1;
    }
    assert_int_equal(bert_hidden(bert), HIDDEN);
    assert_int_equal(bert_max_tokens(bert), 512);
    assert_int_equal(bert_parameters(bert), 22713216 - 384 * 385); /* without the pooler */
    bert_free(bert);
    /* from here on the tests read what was kept, as a search does */
    if (prepared_finish(weights, &err))
        return -1;
    prepared_close(weights);
    return prepared_open(files, 1, &weights, &err) || prepared_building(weights);
}

static int teardown(void **state)
{
    (void)state;
    prepared_close(weights);
    safetensors_close(model);
    safetensors_close(golden);
    wordpiece_free(wp);
    jnode_free(config);
    return 0;
}

int main(void)
{
    char cache[] = "/tmp/osprey-bert-XXXXXX";
    if (!mkdtemp(cache))
        return 1;
    setenv("XDG_CACHE_HOME", cache, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_equals_the_reference),
        cmocka_unit_test(attention_of_equal_keys_is_the_mean),
        cmocka_unit_test(small_operations_are_right),
        cmocka_unit_test(every_stage_equals_pytorch),
        cmocka_unit_test(a_thousand_sentences_equal_pytorch),
        cmocka_unit_test(wrong_configs_are_refused),
    };
    int  failed = cmocka_run_group_tests_name("bert", tests, setup, teardown);
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", cache);
    return system(command) ? 1 : failed;
}
