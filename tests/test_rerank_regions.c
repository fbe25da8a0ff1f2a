/* Unit tests of re-ranking by regions (core/rerank/regions, regions_family): scores
 * against the same worked out slowly from what the towers show. */
#include "rerank/regions.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/splitmix.h"
#include "model/encoder_features.h"
#include "model/safetensors.h"
#include "rerank/rerank.h"
#include "rerank/rows8.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GRID     7
#define CELLS    (GRID * GRID)
#define DIM      24
#define REGION   1280
#define STAGES   1024
#define WORD     384
#define PICTURES 18 /* more than one batch */
#define SIDE     224

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-regions-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* From -1 to 1. */
static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * splitmix_unit(&seed) - 1);
}

static void averages_are_of_the_cells_that_are_there(void **state)
{
    (void)state;
    enum { N = 3 };
    float x[CELLS * N], out[CELLS * N];
    fill(x, CELLS * N, 1);
    for (int reach = 0; reach < 9; reach++) {
        struct regions_config c = {.grid = GRID, .reach = reach, .top = 1};
        regions_average(&c, x, N, out);
        for (int at = 0; at < CELLS * N; at++) {
            double sum = 0;
            double n   = 0;
            for (int cell = 0; cell < CELLS; cell++) {
                int down = cell / GRID - at / N / GRID, right = cell % GRID - at / N % GRID;
                if (abs(down) <= reach && abs(right) <= reach) {
                    sum += (double)x[cell * N + at % N];
                    n += 1;
                }
            }
            assert_true(fabs((double)out[at] - sum / n) < 1e-6);
        }
    }
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The mean of the `top` largest of dot products. vectors: (CELLS, DIM). */
static double slow_score(const float *vectors, const float *text, int top)
{
    double dots[CELLS] = {0}, sum = 0;
    for (int i = 0; i < CELLS * DIM; i++)
        dots[i / DIM] += (double)vectors[i] * (double)text[i % DIM];
    qsort(dots, CELLS, sizeof *dots, falling);
    for (int i = 0; i < top; i++)
        sum += dots[i];
    return sum / top;
}

static void scores_are_means_of_the_largest(void **state)
{
    (void)state;
    float   vectors[CELLS * DIM], text[DIM];
    uint8_t kept[CELLS * (DIM + 2)];
    assert_int_equal(rows8_bytes(CELLS, DIM), sizeof kept);
    for (int top = 1; top <= CELLS; top++) {
        struct regions_config c = {.grid = GRID, .reach = 0, .top = top};
        fill(vectors, CELLS * DIM, (uint64_t)top);
        fill(text, DIM, 99);
        assert_true(regions_keep(vectors, CELLS, DIM, kept));
        /* DIM numbers below 1, each off by at most half of 1 / 127 */
        double score = (double)regions_score(&c, text, DIM, kept);
        assert_true(fabs(score - slow_score(vectors, text, top)) < 0.05);
    }
    vectors[700] = NAN;
    assert_false(regions_keep(vectors, CELLS, DIM, kept));
    vectors[700] = 1e9f;
    assert_false(regions_keep(vectors, CELLS, DIM, kept));
}

/* ---- On a model ---- */

#define IN_IMAGE (REGION + STAGES)
#define IN_TEXT  (2 * WORD)

/* Random heads, as they lie in a file. */
struct heads {
    float image_mean[IN_IMAGE], image_scale[IN_IMAGE], image[DIM * IN_IMAGE];
    float text_mean[IN_TEXT], text_scale[IN_TEXT], text[DIM * IN_TEXT];
};

static void write_heads(const char *path, struct heads *h, const char *config)
{
    struct err err = ERR_INIT;
    const struct {
        const char *name;
        int64_t     rows, cols;
        float      *data;
    } all[] = {{"image.mean", IN_IMAGE, 0, h->image_mean},
               {"image.scale", IN_IMAGE, 0, h->image_scale},
               {"image.linear.weight", DIM, IN_IMAGE, h->image},
               {"text.mean", IN_TEXT, 0, h->text_mean},
               {"text.scale", IN_TEXT, 0, h->text_scale},
               {"text.linear.weight", DIM, IN_TEXT, h->text}};
    struct tensor tensors[6];
    for (size_t i = 0; i < 6; i++) {
        size_t n = (size_t)(all[i].rows * (all[i].cols ? all[i].cols : 1));
        fill(all[i].data, n, i + 5);
        tensors[i] = (struct tensor){.name   = all[i].name,
                                     .dtype  = DTYPE_F32,
                                     .n_dims = all[i].cols ? 2 : 1,
                                     .dims   = {all[i].rows, all[i].cols},
                                     .data   = all[i].data,
                                     .bytes  = n * sizeof(float)};
    }
    const char *metadata[] = {"reranker", config};
    assert_int_equal(safetensors_write(path, tensors, 6, metadata, 1, &err), 0);
}

/* weight (DIM, n) on standardised x, of length 1. */
static void project(const float *x, int n, const float *mean, const float *scale,
                    const float *weight, float *out)
{
    double sums[DIM] = {0}, length = 0;
    for (int d = 0; d < DIM; d++) {
        for (int i = 0; i < n; i++)
            sums[d] +=
                (double)weight[d * n + i] * ((double)x[i] - (double)mean[i]) * (double)scale[i];
        length += sums[d] * sums[d];
    }
    for (int d = 0; d < DIM; d++)
        out[d] = (float)(sums[d] / sqrt(length));
}

/* What the re-ranker should say of each picture. */
static void expect(const struct encoder *enc, struct encoder_scratch *scratch,
                   const struct heads *h, const uint8_t *pixels, const char *text, double *scores)
{
    struct err            err     = ERR_INIT;
    size_t                cells   = (size_t)CELLS * REGION;
    float                *grid    = mem_array(PICTURES * cells, sizeof *grid);
    float                *stages  = mem_array((size_t)PICTURES * STAGES, sizeof *stages);
    float                *average = mem_array(cells, sizeof *average);
    float                 words[IN_TEXT], query[DIM], x[IN_IMAGE], vectors[CELLS * DIM];
    struct regions_config c    = {.grid = GRID, .reach = 1, .top = 4};
    struct image_features seen = {.regions = grid, .stages = stages};
    struct text_features  read = {.pooled = words, .first = words + WORD};
    assert_int_equal(encoder_image_features(enc, scratch, pixels, PICTURES, &seen, &err), 0);
    assert_int_equal(encoder_text_features(enc, scratch, &text, 1, &read, &err), 0);
    project(words, IN_TEXT, h->text_mean, h->text_scale, h->text, query);
    for (size_t i = 0; i < PICTURES; i++) {
        regions_average(&c, grid + i * cells, REGION, average);
        for (size_t k = 0; k < CELLS; k++) {
            for (size_t j = 0; j < REGION; j++)
                x[j] = sqrtf(average[k * REGION + j]);
            memcpy(x + REGION, stages + i * STAGES, STAGES * sizeof *x);
            project(x, IN_IMAGE, h->image_mean, h->image_scale, h->image, vectors + k * DIM);
        }
        scores[i] = slow_score(vectors, query, 4);
    }
    free(grid);
    free(stages);
    free(average);
}

static const char CONFIG[] =
    "{\"type\": \"regions\", \"grid\": 7, \"reach\": 1, \"top\": 4, \"weight\": 0.5, \"head\": "
    "{\"head\": \"trained\", \"image_inputs\": [\"pooled:root\", \"stages\"], \"text_inputs\": "
    "[\"mean\", \"first\"]}}";

static void a_model_s_pictures_are_scored(void **state)
{
    (void)state;
    struct err              err = ERR_INIT;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct reranker        *r;
    struct reranker_query  *q;
    char                    path[96];
    const char             *text   = "two dogs on a beach";
    size_t                  bytes  = (size_t)SIDE * SIDE * 3;
    struct heads           *heads  = mem_array(1, sizeof *heads);
    uint8_t                *pixels = mem_array(PICTURES, bytes);
    uint64_t                seed   = 3;
    for (size_t i = 0; i < PICTURES * bytes; i++) { /* stripes, coarse and fine, and noise */
        size_t picture = i / bytes, x = i % bytes / 3 % SIDE, y = i % bytes / 3 / SIDE;
        size_t stripe = (picture % 2 ? x : y) * (picture + 1) / 20 % 2;
        pixels[i]     = (uint8_t)(stripe * (40 * (i % 3) + 5 * picture) +
                              splitmix_below(&seed, 1 + picture * 5));
    }
    (void)snprintf(path, sizeof path, "%s/reranker.safetensors", folder);
    write_heads(path, heads, CONFIG);
    assert_int_equal(encoder_open(TEST_MODELS "/osprey-small", &enc, &err), 0);
    assert_int_equal(encoder_scratch_new(enc, 2, &scratch, &err), 0);
    if (reranker_open(folder, enc, &r, &err))
        fail_msg("%s", err.msg);
    const struct reranker_info *info = reranker_info(r);
    assert_string_equal(info->type, "regions");
    assert_int_equal(info->kept_bytes, rows8_bytes(CELLS, DIM));
    assert_true(fabsf(info->weight - 0.5f) < 1e-6f && info->parameters > DIM * IN_IMAGE);

    size_t         dim  = (size_t)encoder_info(enc)->dim;
    uint8_t       *kept = mem_array(PICTURES, info->kept_bytes);
    float         *one = mem_array(PICTURES * dim, sizeof *one), *two = mem_array(dim, sizeof *two);
    const uint8_t *each[PICTURES];
    float          scores[PICTURES];
    double         expected[PICTURES];
    assert_int_equal(reranker_pictures(r, scratch, pixels, PICTURES, one, kept, &err), 0);
    assert_int_equal(reranker_query_new(r, scratch, text, &q, &err), 0);
    for (size_t i = 0; i < PICTURES; i++)
        each[i] = kept + i * info->kept_bytes;
    assert_int_equal(reranker_score(r, q, each, PICTURES, 2, scores, &err), 0);
    expect(enc, scratch, heads, pixels, text, expected);
    double lowest = 1, highest = -1;
    for (int i = 0; i < PICTURES; i++) {
        assert_true(fabs((double)scores[i] - expected[i]) < 0.01);
        lowest  = fmin(lowest, expected[i]);
        highest = fmax(highest, expected[i]);
    }
    assert_true(highest - lowest > 0.05); /* or the comparison says nothing */
    /* embeddings come from the same pass */
    assert_int_equal(encoder_images(enc, scratch, pixels + 17 * bytes, 1, two, &err), 0);
    for (size_t i = 0; i < dim; i++)
        assert_true(fabsf(one[17 * dim + i] - two[i]) < 1e-5f);
    /* what is damaged is told */
    memset(kept, 0xff, sizeof(uint16_t) * CELLS);
    assert_int_equal(reranker_score(r, q, each, PICTURES, 1, scores, &err), ERR_DAMAGED);
    reranker_query_free(q);
    reranker_close(r);
    encoder_scratch_free(scratch);
    encoder_close(enc);
    free(one);
    free(two);
    free(kept);
    free(pixels);
    free(heads);
}

static void odd_configurations_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}",
                                      "{\"grid\": 0, \"reach\": 1, \"top\": 1, \"weight\": 1}",
                                      "{\"grid\": 7, \"reach\": -1, \"top\": 1, \"weight\": 1}",
                                      "{\"grid\": 7, \"reach\": 1, \"top\": 50, \"weight\": 1}",
                                      "{\"grid\": 7, \"reach\": 1, \"top\": 1, \"weight\": -1}",
                                      "{\"grid\": 7, \"reach\": 1, \"top\": 1, \"weight\": \"1\"}",
                                      "{\"grid\": 70, \"reach\": 1, \"top\": 1, \"weight\": 1}"};
    struct regions_config    c, again;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err    err = ERR_INIT;
        struct jnode *node;
        assert_int_equal(jnode_parse(bad[i], strlen(bad[i]), "test", &node, &err), 0);
        assert_int_equal(regions_config_parse(node, &c, &err), ERR_FORMAT);
        jnode_free(node);
    }
    struct err    err  = ERR_INIT;
    struct jnode *node = jnode_object();
    c                  = (struct regions_config){.grid = 7, .reach = 2, .top = 3, .weight = 0.25f};
    assert_int_equal(regions_config_write(&c, node), 0);
    assert_int_equal(regions_config_parse(node, &again, &err), 0);
    assert_memory_equal(&c, &again, sizeof c);
    jnode_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_are_of_the_cells_that_are_there),
        cmocka_unit_test(scores_are_means_of_the_largest),
        cmocka_unit_test(a_model_s_pictures_are_scored),
        cmocka_unit_test(odd_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
