/* Unit tests of core/model/clip_family: folders in both layouts through the
 * encoder's door, and those whose parts do not belong together. */
#include "model/encoder.h"

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

#define SMALL TEST_DATA "/clip"

/* Ids 126 and 127 are the fixtures' start and end. */
#define TOKENIZER(end)                                                                             \
    "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":"         \
    "\"</w>\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,"           \
    "\"<|startoftext|>\":126,\"<|endoftext|>\":" end "},\"merges\":[\"a b\",\"a b</w>\"]}}"
#define PREPROCESSOR(size)                                                                         \
    "{\"crop_size\":" size ",\"do_center_crop\":true,\"do_normalize\":true,\"do_resize\":true,"    \
    "\"image_mean\":[0.48145466,0.4578275,0.40821073],"                                            \
    "\"image_std\":[0.26862954,0.26130258,0.27577711],\"resample\":3,\"size\":" size "}"

static void put_copy(const char *model, const char *name)
{
    char       path[512];
    uint8_t   *data;
    size_t     len;
    struct err err = ERR_INIT;
    (void)snprintf(path, sizeof path, SMALL "/%s/%s", model, name);
    if (file_read(path, 1 << 24, &data, &len, &err))
        fail_msg("%s", err.msg);
    put(name, data, len);
    free(data);
}

static float dot(const float *a, const float *b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Opens the folder, encodes the fixture's pictures and some texts. */
static void check_folder(const char *model)
{
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    struct safetensors     *golden;
    struct err              err = ERR_INIT;
    char                    path[512];
    (void)snprintf(path, sizeof path, SMALL "/%s/golden.safetensors", model);
    assert_int_equal(safetensors_open(path, &golden, &err), 0);
    if (encoder_open(folder, &enc, &err) || encoder_scratch_new(enc, 2, &scratch, &err))
        fail_msg("%s", err.msg);
    const struct encoder_info *info = encoder_info(enc);
    assert_string_equal(info->family, "clip");
    assert_int_equal(strlen(info->hash), 32);
    assert_int_equal(info->max_tokens, 77);

    const struct tensor *pixels = safetensors_find(golden, "pixels");
    const struct tensor *image  = safetensors_find(golden, "image");
    int                  n = (int)pixels->dims[0], dim = info->dim;
    float               *want = mem_array((size_t)(n * dim), sizeof *want);
    float               *got  = mem_array((size_t)(800 * dim), sizeof *got);
    assert_int_equal(tensor_to_f32(image, want, &err), 0);
    assert_int_equal(encoder_images(enc, scratch, pixels->data, n, got, &err), 0);
    for (int i = 0; i < n * dim; i++)
        assert_true(fabsf(got[i] - want[i]) < 2e-5f);
    assert_int_equal(encoder_images(enc, scratch, pixels->data, 0, got, &err), 0);

    const char *texts[800];
    for (int i = 0; i < 800; i++) /* more than a chunk; every eighth the same but for its case */
        texts[i] = i % 8 == 0 ? "AB a" : i % 8 == 4 ? " ab  a" : i % 2 ? "b" : "a b ab ab ba aab";
    assert_int_equal(encoder_texts(enc, scratch, texts, 800, got, &err), 0);
    for (int i = 0; i < 800; i++) {
        float *x = got + (ptrdiff_t)i * dim;
        assert_true(fabsf(dot(x, x, dim) - 1.0f) < 1e-5f);
        float same = dot(x, got, dim); /* with "AB a" */
        assert_true(i % 4 == 0 ? same > 0.99999f : same < 0.999f);
    }
    safetensors_close(golden);
    encoder_scratch_free(scratch);
    encoder_close(enc);
    free(got);
    free(want);
}

static void refused(enum err_code code, const char *part)
{
    struct encoder *enc;
    struct err      err = ERR_INIT;
    int             rc  = encoder_open(folder, &enc, &err);
    if (rc != (int)code || !strstr(err.msg, part))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, part);
}

/* The least cosine between the fixture's pictures and some texts in a precision
 * and in single precision. */
static float agreement(const char *model, enum precision precision, const char *want)
{
    static const char *const texts[]    = {"a b ab ab ba aab", "b", "ab a b a", "a"};
    struct encoder_options   options[2] = {{.precision = PRECISION_F32}, {.precision = precision}};
    struct safetensors      *golden;
    struct err               err    = ERR_INIT;
    float                   *got[2] = {NULL, NULL}, least = 1;
    int                      n = 0, dim = 0;
    char                     path[512];
    (void)snprintf(path, sizeof path, SMALL "/%s/golden.safetensors", model);
    assert_int_equal(safetensors_open(path, &golden, &err), 0);
    const struct tensor *pixels = safetensors_find(golden, "pixels");
    for (int i = 0; i < 2; i++) {
        struct encoder         *enc;
        struct encoder_scratch *scratch;
        if (encoder_open_with(folder, &options[i], &enc, &err) ||
            encoder_scratch_new(enc, 2, &scratch, &err))
            fail_msg("%s", err.msg);
        if (i == 1 && want)
            assert_string_equal(encoder_info(enc)->precision, want);
        n      = (int)pixels->dims[0];
        dim    = encoder_info(enc)->dim;
        got[i] = mem_array((size_t)((n + 4) * dim), sizeof *got[i]);
        assert_int_equal(encoder_images(enc, scratch, pixels->data, n, got[i], &err), 0);
        assert_int_equal(encoder_texts(enc, scratch, texts, 4, got[i] + n * dim, &err), 0);
        encoder_scratch_free(scratch);
        encoder_close(enc);
    }
    for (int i = 0; i < n + 4; i++) {
        float cosine = dot(got[0] + i * dim, got[1] + i * dim, dim);
        least        = cosine < least ? cosine : least;
    }
    safetensors_close(golden);
    free(got[0]);
    free(got[1]);
    return least;
}

static void check_precisions(const char *model)
{
    float bf16 = agreement(model, PRECISION_BF16, "bf16");
    float int8 = agreement(model, PRECISION_INT8, "int8");
    print_message("%s: cosine %.6f in bf16, %.6f in int8\n", model, (double)bf16, (double)int8);
    assert_true(bf16 >= 0.9995f && bf16 < 0.9999999f); /* it is another precision */
    assert_true(int8 >= 0.998f && int8 < 0.9999999f);
    for (int i = 0; i < 2; i++) /* decides, then remembers */
        assert_true(agreement(model, PRECISION_AUTO, NULL) >= 0.998f);
}

static void a_transformers_folder_opens(void **state)
{
    (void)state;
    put_copy("legacy_p8_f32", "config.json");
    refused(ERR_NOTFOUND, "preprocessor_config.json");
    put_text("preprocessor_config.json", PREPROCESSOR("40"));
    refused(ERR_NOTFOUND, "has no weights");
    put_copy("legacy_p8_f32", "model.safetensors");
    refused(ERR_NOTFOUND, "has no tokenizer");
    put_text("tokenizer.json", TOKENIZER("127"));
    check_folder("legacy_p8_f32"); /* builds the prepared weights, */
    check_folder("legacy_p8_f32"); /* maps them */
    check_precisions("legacy_p8_f32");
}

static void parts_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    put_text("tokenizer.json", TOKENIZER("128"));
    refused(ERR_FORMAT, "has 129 tokens, but the text tower knows 128");
    put_text("tokenizer.json", TOKENIZER("127"));
    put_text("preprocessor_config.json", PREPROCESSOR("48"));
    refused(ERR_FORMAT, "48 x 48, but the image tower takes 40 x 40");
    put_text("preprocessor_config.json", PREPROCESSOR("40"));
    put_text("config.json", "{\"model_type\":\"blip\"}");
    refused(ERR_UNSUPPORTED, "\"blip\"");
}

static void an_open_clip_folder_opens(void **state)
{
    (void)state;
    char *path = path_join(folder, "model.safetensors");
    assert_int_equal(unlink(path), 0);
    free(path);
    put_copy("open_p16_f16", "open_clip_config.json");
    put_copy("open_p16_f16", "open_clip_model.safetensors");
    check_folder("open_p16_f16");
    check_precisions("open_p16_f16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transformers_folder_opens),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(an_open_clip_folder_opens),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
