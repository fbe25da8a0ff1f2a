/* Unit tests of core/model/encoder_features: what the towers show agrees with the
 * embeddings, with what is pooled from it, and (a CLIP's states) with PyTorch
 * (tools/goldens/clip_states.py). */
#include "model/encoder_features.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"
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

#define SMALL  TEST_MODELS "/osprey-small"
#define CLIP   TEST_DATA "/clip/new_p14_bf16"
#define STATES TEST_DATA "/clip_states.safetensors"

static const char *const texts[] = {"a dog on a beach", "stairs", "two men in front of a red bus"};

static void put_copy(const char *name)
{
    char       path[512];
    uint8_t   *data;
    size_t     len;
    struct err err = ERR_INIT;
    (void)snprintf(path, sizeof path, CLIP "/%s", name);
    if (file_read(path, 1 << 24, &data, &len, &err))
        fail_msg("%s", err.msg);
    put(name, data, len);
    free(data);
}

static void open_model(const char *dir, struct encoder **enc, struct encoder_scratch **scratch)
{
    struct err err = ERR_INIT;
    if (encoder_open(dir, enc, &err) || encoder_scratch_new(*enc, 2, scratch, &err))
        fail_msg("%s", err.msg);
}

static void assert_near(const float *a, const float *b, size_t n, float tolerance)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= tolerance))
            fail_msg("number %zu: %g, not %g", i, (double)a[i], (double)b[i]);
    }
}

/* rows (n, rows, dim), averaged to out (n, dim). */
static void average(const float *x, int n, int rows, int dim, float *out)
{
    for (int i = 0; i < n * dim; i++) {
        double sum = 0;
        for (int r = 0; r < rows; r++)
            sum += (double)x[((i / dim) * rows + r) * dim + i % dim];
        out[i] = (float)(sum / rows);
    }
}

static void pictures_show_regions_and_embedding_together(void **state)
{
    (void)state;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct err              err = ERR_INIT;
    open_model(SMALL, &enc, &scratch);
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    enum { N = 17 }; /* more than a batch of the family's */
    int    side = encoder_info(enc)->image_size, dim = encoder_info(enc)->dim;
    size_t cells = (size_t)(sizes.grid * sizes.grid), region = (size_t)sizes.region;
    assert_int_equal(sizes.grid, 7);
    assert_int_equal(sizes.region, 1280);
    uint8_t *pixels = mem_array((size_t)(N * side * side * 3), 1);
    for (int i = 0; i < N * side * side * 3; i++)
        pixels[i] = (uint8_t)((i * 7 + i / 301 * 13 + i / (side * side * 3) * 50) % 251);
    struct image_features out  = {.pooled    = mem_array(N * region, sizeof(float)),
                                  .logits    = mem_array(N * 1000, sizeof(float)),
                                  .regions   = mem_array(N * cells * region, sizeof(float)),
                                  .embedding = mem_array((size_t)(N * dim), sizeof(float))};
    float                *want = mem_array(N * region, sizeof *want);
    assert_int_equal(encoder_image_features(enc, scratch, pixels, N, &out, &err), 0);
    assert_int_equal(encoder_images(enc, scratch, pixels, N, want, &err), 0);
    assert_near(out.embedding, want, (size_t)(N * dim), 1e-6f);
    average(out.regions, N, (int)cells, (int)region, want);
    assert_near(out.pooled, want, N * region, 1e-4f);
    /* the head, which turns them to probabilities, has not touched them */
    float least = 0;
    for (int i = 0; i < 1000; i++)
        least = fminf(least, out.logits[i]);
    assert_true(least < -1);
    free(pixels);
    free(out.pooled);
    free(out.logits);
    free(out.regions);
    free(out.embedding);
    free(want);
    encoder_scratch_free(scratch);
    encoder_close(enc);
}

static void texts_show_states_and_embedding_together(void **state)
{
    (void)state;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct err              err = ERR_INIT;
    enum { N = 3, ROOM = 64 };
    int starts[N + 1];
    open_model(SMALL, &enc, &scratch);
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    int                          text = sizes.text, dim = encoder_info(enc)->dim;
    struct text_features         out  = {.pooled   = mem_array((size_t)(N * text), sizeof(float)),
                                         .states   = mem_array((size_t)(ROOM * text), sizeof(float)),
                                         .starts   = starts,
                                         .capacity = ROOM,
                                         .embedding = mem_array((size_t)(N * dim), sizeof(float))};
    float                       *want = mem_array((size_t)(N * dim), sizeof *want);
    assert_int_equal(encoder_text_features(enc, scratch, texts, N, &out, &err), 0);
    assert_int_equal(starts[0], 0);
    assert_int_equal(starts[1], 7); /* five words between two marks */
    assert_int_equal(starts[2], 10);
    assert_int_equal(encoder_texts(enc, scratch, texts, N, want, &err), 0);
    assert_near(out.embedding, want, (size_t)(N * dim), 1e-6f);
    for (int i = 0; i < N; i++) {
        average(out.states + starts[i] * text, 1, starts[i + 1] - starts[i], text, want);
        assert_near(out.pooled + i * text, want, (size_t)text, 1e-5f);
    }
    out.capacity = starts[N] - 1;
    assert_int_equal(encoder_text_features(enc, scratch, texts, N, &out, &err), ERR_LIMIT);
    free(out.pooled);
    free(out.states);
    free(out.embedding);
    free(want);
    encoder_scratch_free(scratch);
    encoder_close(enc);
}

static const float *golden_tensor(const struct safetensors *golden, const char *name, int n_dims,
                                  const int64_t *dims)
{
    const struct tensor *t;
    struct err           err = ERR_INIT;
    if (safetensors_require(golden, name, n_dims, dims, &t, &err))
        fail_msg("%s", err.msg);
    float *out = mem_array((size_t)t->elements, sizeof *out);
    assert_int_equal(tensor_to_f32(t, out, &err), 0);
    return out;
}

static void a_clip_shows_patches_and_words_as_pytorch(void **state)
{
    (void)state;
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct safetensors     *golden, *pictures;
    struct err              err = ERR_INIT;
    put_copy("config.json");
    put_copy("model.safetensors");
    put_text("preprocessor_config.json",
             "{\"crop_size\":61,\"do_center_crop\":true,\"do_normalize\":true,\"do_resize\":true,"
             "\"image_mean\":[0.48145466,0.4578275,0.40821073],"
             "\"image_std\":[0.26862954,0.26130258,0.27577711],\"resample\":3,\"size\":61}");
    put_text("tokenizer.json",
             "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":"
             "\"</w>\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,"
             "\"<|startoftext|>\":126,\"<|endoftext|>\":127},\"merges\":[\"a b\",\"a b</w>\"]}}");
    open_model(folder, &enc, &scratch);
    assert_int_equal(safetensors_open(STATES, &golden, &err), 0);
    assert_int_equal(safetensors_open(CLIP "/golden.safetensors", &pictures, &err), 0);
    enum { N = 2, PATCHES = 16, VISION = 16, TEXT = 32, WORDS = 5, DIM = 32 };
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    assert_int_equal(sizes.grid * sizes.grid, PATCHES);
    assert_int_equal(sizes.region, VISION);
    assert_int_equal(sizes.text, TEXT);
    const float *regions =
        golden_tensor(golden, "regions", 3, (const int64_t[]){N, PATCHES, VISION});
    const float *states = golden_tensor(golden, "states", 2, (const int64_t[]){WORDS, TEXT});
    float        seen[N * PATCHES * VISION], pooled[N * TEXT], embedding[N * DIM], want[N * DIM];
    float        words[2 * WORDS * TEXT];
    int          starts[3];
    const struct tensor  *pixels = safetensors_find(pictures, "pixels");
    struct image_features image  = {.pooled = pooled, .regions = seen, .embedding = embedding};
    assert_int_equal(encoder_image_features(enc, scratch, pixels->data, N, &image, &err), 0);
    assert_near(seen, regions, N * PATCHES * VISION, 5e-5f);
    assert_int_equal(encoder_images(enc, scratch, pixels->data, N, want, &err), 0);
    assert_near(embedding, want, N * DIM, 1e-6f);

    struct text_features text  = {.pooled    = pooled,
                                  .states    = words,
                                  .starts    = starts,
                                  .capacity  = 2 * WORDS,
                                  .embedding = embedding};
    const char *const    two[] = {"ab a b", "ab a b"};
    assert_int_equal(encoder_text_features(enc, scratch, two, 2, &text, &err), 0);
    assert_int_equal(starts[1], WORDS);
    assert_int_equal(starts[2], 2 * WORDS);
    assert_near(words, states, WORDS * TEXT, 5e-5f);
    assert_near(words + WORDS * TEXT, states, WORDS * TEXT, 5e-5f);
    assert_near(pooled, states + (WORDS - 1) * TEXT, TEXT, 5e-5f);
    assert_int_equal(encoder_texts(enc, scratch, two, 2, want, &err), 0);
    assert_near(embedding, want, 2 * DIM, 1e-6f);
    free((void *)regions);
    free((void *)states);
    safetensors_close(golden);
    safetensors_close(pictures);
    encoder_scratch_free(scratch);
    encoder_close(enc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_show_regions_and_embedding_together),
        cmocka_unit_test(texts_show_states_and_embedding_together),
        cmocka_unit_test(a_clip_shows_patches_and_words_as_pytorch),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
