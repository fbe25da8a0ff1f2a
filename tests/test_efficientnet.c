/* The image tower against PyTorch, stage by stage, and its depthwise kernels
 * against plain sums. The golden file comes from tools/goldens/efficientnet.py;
 * the weights are osprey-small's, which `make build` assembles.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/efficientnet.h"
#include "nn/conv.h"
#include "nn/gemm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#define WEIGHTS TEST_MODELS "/osprey-small/model.safetensors"
#define GOLDEN  TEST_DATA "/efficientnet.golden"
#define SIDE    224
#define BYTES   (SIDE * SIDE * 3)

static uint32_t seed = 7;

static float next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static float *random_floats(size_t n)
{
    float *x = mem_aligned(n, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = next();
    return x;
}

/* depthwise kernels */

static void check_row(depthwise_kernel kernel, int k, int stride, int channels, int out_w)
{
    size_t           row_w = (size_t)((out_w - 1) * stride + k), taps = (size_t)(k * k);
    ptrdiff_t        ldo    = channels + 3;
    size_t           n_out  = (size_t)out_w * (size_t)ldo;
    float           *in     = random_floats((size_t)k * row_w * (size_t)channels);
    float           *w      = random_floats((size_t)channels * taps);
    float           *packed = mem_aligned(depthwise_packed_size(channels, k), sizeof(float));
    float           *bias   = random_floats((size_t)channels);
    float           *out    = random_floats(n_out);
    float           *before = mem_aligned(n_out, sizeof(float));
    struct depthwise d      = {.k        = k,
                               .stride   = stride,
                               .channels = channels,
                               .out_w    = out_w,
                               .w        = packed,
                               .bias     = bias,
                               .out      = out,
                               .ldo      = ldo};
    assert_non_null(packed);
    assert_non_null(before);
    memcpy(before, out, n_out * sizeof(float));
    for (int c = 0; c < channels; c += 5)
        bias[c] += 6; /* some reach the ceiling */
    depthwise_pack(w, channels, k, packed);
    for (int i = 0; i < k; i++)
        d.rows[i] = in + (size_t)i * row_w * (size_t)channels;
    kernel(&d);
    for (int x = 0; x < out_w; x++) {
        for (int c = 0; c < (int)ldo; c++) {
            size_t at = (size_t)x * (size_t)ldo + (size_t)c;
            if (c >= channels) {
                assert_true(out[at] == before[at]);
                continue;
            }
            double sum = (double)bias[c];
            for (int i = 0; i < k; i++) {
                for (int j = 0; j < k; j++)
                    sum += (double)d.rows[i][(x * stride + j) * channels + c] *
                           (double)w[(size_t)c * taps + (size_t)(i * k + j)];
            }
            double want = fmin(fmax(sum, 0), 6);
            if (!(fabs((double)out[at] - want) < 1e-5))
                fail_msg(
                    "window %d, stride %d, %d channels, pixel %d of %d, channel %d: %g, not %g", k,
                    stride, channels, x, out_w, c, (double)out[at], want);
        }
    }
    free(in);
    free(w);
    free(packed);
    free(bias);
    free(out);
    free(before);
}

static void depthwise_rows_of_every_width(void **state)
{
    (void)state;
    for (int level = CPU_PORTABLE; level <= (int)cpu_detect().level; level++) {
        struct conv_kernels kernels =
            conv_kernels_for((struct cpu){.level = (enum cpu_level)level});
        for (int k = 3; k <= 5; k += 2) {
            for (int stride = 1; stride <= 2; stride++) {
                for (int w = 1; w <= 44; w++)
                    check_row(kernels.depthwise, k, stride, 16 * (1 + w % 3), w);
            }
        }
    }
}

static void check_stem(stem_kernel kernel, int channels, int out_w)
{
    size_t      row_w = (size_t)((out_w - 1) * STEM_STEP + STEM_RUN);
    size_t      each = (size_t)(channels * STEM_RUN), n_out = (size_t)(out_w * channels);
    float      *in     = random_floats(STEM_K * row_w);
    float      *w      = random_floats(STEM_K * each);
    float      *packed = mem_aligned(STEM_K * each, sizeof(float));
    float      *bias   = random_floats((size_t)channels);
    float      *out    = random_floats(n_out + 1);
    float       after  = out[n_out];
    struct stem s      = {.channels = channels, .out_w = out_w, .bias = bias, .out = out};
    assert_non_null(packed);
    for (int c = 0; c < channels; c += 5)
        bias[c] += 6; /* some reach the ceiling */
    for (int i = 0; i < STEM_K; i++) {
        gemm_pack(w + (size_t)i * each, channels, STEM_RUN, packed + (size_t)i * each);
        s.rows[i] = in + (size_t)i * row_w;
        s.w[i]    = packed + (size_t)i * each;
    }
    kernel(&s);
    for (int x = 0; x < out_w; x++) {
        for (int c = 0; c < channels; c++) {
            double sum = (double)bias[c];
            for (int i = 0; i < STEM_K; i++) {
                for (int j = 0; j < STEM_RUN; j++)
                    sum += (double)s.rows[i][x * STEM_STEP + j] *
                           (double)w[(size_t)i * each + (size_t)(c * STEM_RUN + j)];
            }
            double want = fmin(fmax(sum, 0), 6), got = (double)out[x * channels + c];
            if (!(fabs(got - want) < 1e-5))
                fail_msg("%d channels, pixel %d of %d, channel %d: %g, not %g", channels, x, out_w,
                         c, got, want);
        }
    }
    assert_true(out[n_out] == after);
    free(in);
    free(w);
    free(packed);
    free(bias);
    free(out);
}

static void stem_rows_of_every_width(void **state)
{
    (void)state;
    for (int level = CPU_PORTABLE; level <= (int)cpu_detect().level; level++) {
        struct conv_kernels kernels =
            conv_kernels_for((struct cpu){.level = (enum cpu_level)level});
        for (int w = 1; w <= 44; w++)
            check_stem(kernels.stem, 16 * (1 + w % 4), w);
    }
}

static void pixels_become_floats(void **state)
{
    (void)state;
    for (int level = CPU_PORTABLE; level <= (int)cpu_detect().level; level++) {
        struct conv_kernels kernels =
            conv_kernels_for((struct cpu){.level = (enum cpu_level)level});
        uint8_t bytes[256];
        float   scale[256], shift[256], out[257];
        for (int i = 0; i < 256; i++) {
            bytes[i] = (uint8_t)i;
            scale[i] = 1.0f / (255.0f * (0.2f + 0.1f * (float)(i % 3)));
            shift[i] = -0.3f - (float)(i % 3);
        }
        for (int n = 250; n <= 256; n++) {
            out[n] = 77;
            kernels.pixels(bytes, scale, shift, n, out);
            for (int i = 0; i < n; i++)
                assert_true(fabsf(out[i] - ((float)i * scale[i] + shift[i])) < 1e-6f);
            assert_true(out[n] == 77);
        }
    }
}

static void same_padding_as_tensorflow(void **state)
{
    (void)state;
    int before, after;
    assert_int_equal(conv_same(224, 3, 2, &before, &after), 112);
    assert_int_equal(before * 10 + after, 1);
    assert_int_equal(conv_same(56, 5, 2, &before, &after), 28);
    assert_int_equal(before * 10 + after, 12);
    assert_int_equal(conv_same(14, 5, 1, &before, &after), 14);
    assert_int_equal(before * 10 + after, 22);
    assert_int_equal(conv_same(7, 3, 2, &before, &after), 4);
    assert_int_equal(before * 10 + after, 11);
    assert_int_equal(conv_same(8, 1, 2, &before, &after), 4);
    assert_int_equal(before * 10 + after, 0);
}

/* the tower */

struct tower {
    struct safetensors *st;
    struct prepared    *prepared;
    struct effnet      *net;
};

static int tower_open(struct tower *t, struct cpu cpu)
{
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.5f, 0.5f, 0.5f};
    const char        *files[] = {WEIGHTS};
    struct err         err     = ERR_INIT;
    *t                         = (struct tower){0};
    if (!file_exists(WEIGHTS)) {
        print_error("%s is missing: `make build` assembles it\n", WEIGHTS);
        return -1;
    }
    if (safetensors_open(WEIGHTS, &t->st, &err) || prepared_open(files, 1, &t->prepared, &err) ||
        effnet_load(t->st, "vision_model.", t->prepared, cpu, PRECISION_F32, mean, std, &t->net,
                    &err) ||
        prepared_finish(t->prepared, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static void tower_close(struct tower *t)
{
    effnet_free(t->net);
    prepared_close(t->prepared);
    safetensors_close(t->st);
}

static char cache[] = "/tmp/osprey-effnet-XXXXXX";

/* A cache of this run's own, so that both building and mapping are tested. */
static int private_cache(void **state)
{
    (void)state;
    if (!mkdtemp(cache))
        return -1;
    return setenv("XDG_CACHE_HOME", cache, 1);
}

static int remove_cache(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof(command), "rm -r %s", cache);
    return system(command);
}

/* tools/goldens/efficientnet.py makes the same picture. */
static void draw(uint8_t *out)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            for (int c = 0; c < 3; c++) {
                uint32_t i     = (uint32_t)((y * SIDE + x) * 3 + c);
                uint32_t noise = (i * 2654435761u) >> 27;
                int      v     = x * (c + 1) / 2 + y * (3 - c) / 3 + ((x * x + y * y) >> 7);
                out[i]         = (uint8_t)(((uint32_t)v + noise) & 255);
            }
        }
    }
}

static void draw_noise(uint8_t *out)
{
    for (int i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(127.5f + 120 * next());
}

#define STAGES 24
#define VALUES 1300

struct stage {
    char   name[20];
    int    h, w, c, n;
    double mean;
    int    at[VALUES];
    float  value[VALUES];
    int    seen;
};

static struct stage stages[STAGES];
static int          n_stages;

static void read_golden(void)
{
    FILE *f = fopen(GOLDEN, "r");
    assert_non_null(f);
    struct stage *s = stages;
    while (n_stages < STAGES &&
           fscanf(f, "%19s %d %d %d %lf %d", s->name, &s->h, &s->w, &s->c, &s->mean, &s->n) == 6) {
        assert_in_range(s->n, 1, VALUES);
        for (int i = 0; i < s->n; i++)
            assert_int_equal(fscanf(f, "%d %f", &s->at[i], &s->value[i]), 2);
        s++;
        n_stages++;
    }
    fclose(f);
    assert_int_equal(n_stages, 20);
}

/* Float sums in another order: relative to the values' size in that stage. */
#define STAGE_TOLERANCE 1e-5

static void compare(void *ctx, const char *name, const float *data, int h, int w, int c)
{
    (void)ctx;
    struct stage *s = NULL;
    for (int i = 0; i < n_stages; i++) {
        if (!strcmp(stages[i].name, name))
            s = &stages[i];
    }
    if (!s)
        fail_msg("no golden stage is called %s", name);
    assert_int_equal(h, s->h);
    assert_int_equal(w, s->w);
    assert_int_equal(c, s->c);
    double mean = 0, size = 0, worst = 0;
    int    where = 0;
    for (int i = 0; i < h * w * c; i++) {
        mean += (double)data[i] / (h * w * c);
        size = fmax(size, fabs((double)data[i]));
    }
    for (int i = 0; i < s->n; i++) {
        double off = fabs((double)data[s->at[i]] - (double)s->value[i]);
        if (!(off <= worst)) {
            worst = off;
            where = i;
        }
    }
    if (getenv("TEST_VERBOSE"))
        print_message("%-8s off by %.2g, relative %.2g\n", name, worst, worst / size);
    if (!(worst <= STAGE_TOLERANCE * size) || !(fabs(mean - s->mean) <= STAGE_TOLERANCE * size))
        fail_msg("%s: [%d] is %.7g, not %.7g; the mean is %.7g, not %.7g", name, s->at[where],
                 (double)data[s->at[where]], (double)s->value[where], mean, s->mean);
    s->seen++;
}

static void stages_equal_torch(void **state)
{
    (void)state;
    uint8_t *pixels = mem_array(BYTES, 1);
    float    pooled[1280], logits[1000];
    float   *grid = mem_array((size_t)7 * 7 * 1280, sizeof(*grid));
    assert_non_null(pixels);
    assert_non_null(grid);
    draw(pixels);
    read_golden();
    int runs = 0;
    for (int level = CPU_PORTABLE; level <= (int)cpu_detect().level; level++) {
        for (int threads = 1; threads <= 3; threads++) {
            struct tower t;
            assert_int_equal(tower_open(&t, (struct cpu){.level = (enum cpu_level)level}), 0);
            void *scratch = mem_aligned(effnet_scratch_size(t.net, 1, threads), 1);
            assert_non_null(scratch);
            effnet_forward(t.net, pixels, 1, threads, scratch,
                           &(struct effnet_seen){.pooled = pooled, .logits = logits, .grid = grid},
                           &(struct effnet_tap){.see = compare});
            free(scratch);
            tower_close(&t);
            runs++;
            for (int i = 0; i < n_stages; i++)
                assert_int_equal(stages[i].seen, runs);
        }
    }
    free(pixels);
    free(grid);
}

/* Normalised, as the joint space will see them. */
static void outputs_within_1e_4(void **state)
{
    (void)state;
    struct tower t;
    uint8_t     *pixels = mem_array(BYTES, 1);
    float        out[2][1280];
    assert_non_null(pixels);
    assert_int_equal(tower_open(&t, cpu_detect()), 0);
    assert_int_equal(effnet_features(t.net), 1280);
    assert_int_equal(effnet_classes(t.net), 1000);
    assert_int_equal(effnet_grid(t.net), 7);
    assert_int_equal(effnet_image_size(t.net), SIDE);
    assert_int_equal(effnet_parameters(t.net), 4652008);
    void *scratch = mem_aligned(effnet_scratch_size(t.net, 1, 1), 1);
    assert_non_null(scratch);
    draw(pixels);
    effnet_forward(t.net, pixels, 1, 1, scratch,
                   &(struct effnet_seen){.pooled = out[0], .logits = out[1]}, NULL);
    for (int which = 0; which < 2; which++) {
        const struct stage *s    = &stages[n_stages - 2 + which];
        double              have = 0, want = 0;
        for (int i = 0; i < s->n; i++) {
            have += (double)out[which][i] * (double)out[which][i];
            want += (double)s->value[i] * (double)s->value[i];
        }
        for (int i = 0; i < s->n; i++)
            assert_true(
                fabs((double)out[which][i] / sqrt(have) - (double)s->value[i] / sqrt(want)) < 1e-5);
    }
    free(scratch);
    free(pixels);
    tower_close(&t);
}

/* What the tap saw of the blocks that are summed up, summed up in double. */
struct summed {
    float want[1024];
    int   n;
};

static void sum_up(void *ctx, const char *stage, const float *data, int h, int w, int c)
{
    static const char *const ends[] = {"block0", "block2", "block4", "block10", "block15"};
    struct summed           *s      = ctx;
    bool                     is     = false;
    for (int i = 0; i < 5; i++)
        is = is || strcmp(stage, ends[i]) == 0;
    for (int k = 0; is && k < c; k++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < h * w; i++)
            sum += (double)data[i * c + k] / (h * w);
        for (int i = 0; i < h * w; i++)
            squares += ((double)data[i * c + k] - sum) * ((double)data[i * c + k] - sum);
        s->want[s->n + k]     = (float)sum;
        s->want[s->n + c + k] = (float)sqrt(squares / (h * w - 1));
    }
    s->n += is ? 2 * c : 0;
}

static void stages_are_summed_up(void **state)
{
    (void)state;
    struct tower t;
    uint8_t     *pixels = mem_array(BYTES, 1);
    float       *pooled = mem_array(1280, sizeof *pooled), *got = mem_array(1024, sizeof *got);
    assert_true(pixels && pooled && got);
    draw_noise(pixels);
    for (int threads = 1; threads <= 2; threads++) {
        struct summed s = {.n = 0};
        assert_int_equal(tower_open(&t, cpu_detect()), 0);
        assert_int_equal(effnet_stages(t.net), 1024);
        void *scratch = mem_aligned(effnet_scratch_size(t.net, 1, threads), 1);
        assert_non_null(scratch);
        effnet_forward(t.net, pixels, 1, threads, scratch,
                       &(struct effnet_seen){.pooled = pooled, .stages = got},
                       &(struct effnet_tap){.see = sum_up, .ctx = &s});
        assert_int_equal(s.n, 1024);
        for (int i = 0; i < 1024; i++)
            assert_true(fabsf(got[i] - s.want[i]) <= 1e-4f * (1 + fabsf(s.want[i])));
        free(scratch);
        tower_close(&t);
    }
    free(got);
    free(pooled);
    free(pixels);
}

/* A batch yields what its pictures yield alone, whichever way threads share it. */
static void batches_equal_single_pictures(void **state)
{
    (void)state;
    enum { N = 5 };
    struct tower t;
    uint8_t     *pixels = mem_array(N, BYTES);
    float       *alone = mem_array(N, 2280 * sizeof(float)), *pooled = mem_array(N, 5120),
          *logits = mem_array(N, 4000);
    size_t cells  = (size_t)7 * 7 * 1280;
    float *grid = mem_array(N * cells, sizeof(float)), *one = mem_array(cells, sizeof(float));
    assert_true(pixels && alone && pooled && logits && grid && one);
    assert_int_equal(tower_open(&t, cpu_detect()), 0);
    void *scratch = mem_aligned(effnet_scratch_size(t.net, N, 3), 1);
    assert_non_null(scratch);
    for (int i = 0; i < N; i++)
        draw_noise(pixels + (size_t)i * BYTES);
    for (int i = 0; i < N; i++)
        effnet_forward(t.net, pixels + (size_t)i * BYTES, 1, 1, scratch,
                       &(struct effnet_seen){.pooled = alone + i * 2280,
                                             .logits = alone + i * 2280 + 1280,
                                             .grid   = i == N - 1 ? one : NULL},
                       NULL);
    for (int threads = 1; threads <= 3; threads++) {
        memset(pooled, 0xff, N * 5120);
        memset(logits, 0xff, N * 4000);
        memset(grid, 0xff, N * cells * sizeof(float));
        effnet_forward(t.net, pixels, N, threads, scratch,
                       &(struct effnet_seen){.pooled = pooled, .logits = logits, .grid = grid},
                       NULL);
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < 1280; j++)
                assert_true(fabsf(pooled[i * 1280 + j] - alone[i * 2280 + j]) < 1e-5f);
            for (int j = 0; j < 1000; j++)
                assert_true(fabsf(logits[i * 1000 + j] - alone[i * 2280 + 1280 + j]) < 1e-4f);
        }
        for (size_t j = 0; j < cells; j++)
            assert_true(fabsf(grid[(N - 1) * cells + j] - one[j]) < 1e-4f);
    }
    free(scratch);
    free(pixels);
    free(alone);
    free(pooled);
    free(logits);
    free(grid);
    free(one);
    tower_close(&t);
}

/* A tensor of the wrong shape, or none, is named in the message. */
static void wrong_tensors_are_refused(void **state)
{
    (void)state;
    static const float  mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.5f, 0.5f, 0.5f}, zero[3] = {0};
    const char         *files[] = {WEIGHTS};
    struct tower        t       = {0};
    struct safetensors *broken  = NULL;
    struct err          err     = ERR_INIT;
    char                path[200];
    assert_int_equal(safetensors_open(WEIGHTS, &t.st, &err), 0);
    assert_int_equal(prepared_open(files, 1, &t.prepared, &err), 0);
    assert_int_equal(effnet_load(t.st, "text_model.", t.prepared, cpu_detect(), PRECISION_F32, mean,
                                 std, &t.net, &err),
                     ERR_FORMAT);
    assert_non_null(strstr(err.msg, "text_model._conv_stem.weight"));
    assert_int_equal(effnet_load(t.st, "vision_model.", t.prepared, cpu_detect(), PRECISION_F32,
                                 mean, zero, &t.net, &err),
                     ERR_FORMAT);

    size_t         n   = safetensors_count(t.st);
    struct tensor *all = mem_array(n, sizeof(*all));
    assert_non_null(all);
    (void)snprintf(path, sizeof(path), "%s/broken.safetensors", cache);
    for (size_t i = 0; i < n; i++) {
        all[i] = *safetensors_at(t.st, i);
        if (!strcmp(all[i].name, "vision_model._blocks.7._expand_conv.weight")) {
            int64_t swap   = all[i].dims[0];
            all[i].dims[0] = all[i].dims[1];
            all[i].dims[1] = swap;
        }
    }
    assert_int_equal(safetensors_write(path, all, n, NULL, 0, &err), 0);
    assert_int_equal(safetensors_open(path, &broken, &err), 0);
    assert_int_equal(effnet_load(broken, "vision_model.", t.prepared, cpu_detect(), PRECISION_F32,
                                 mean, std, &t.net, &err),
                     ERR_FORMAT);
    assert_non_null(strstr(err.msg, "_blocks.7._expand_conv.weight"));
    free(all);
    safetensors_close(broken);
    tower_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depthwise_rows_of_every_width),
        cmocka_unit_test(stem_rows_of_every_width),
        cmocka_unit_test(pixels_become_floats),
        cmocka_unit_test(same_padding_as_tensorflow),
        cmocka_unit_test(stages_equal_torch),
        cmocka_unit_test(outputs_within_1e_4),
        cmocka_unit_test(stages_are_summed_up),
        cmocka_unit_test(batches_equal_single_pictures),
        cmocka_unit_test(wrong_tensors_are_refused),
    };
    return cmocka_run_group_tests_name("efficientnet", tests, private_cache, remove_cache);
}
