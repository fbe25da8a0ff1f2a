/* Unit tests of core/model/encoder and models: against torch
 * (tools/goldens/encoder.py), batches, odd texts, and folders that lack or
 * contradict something. */
#include "model/encoder.h"
#include "model/models.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

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

#define SMALL     TEST_MODELS "/osprey-small-zeroshot"
#define TOWERS    TEST_MODELS "/osprey-small"
#define GOLDEN    TEST_DATA "/encoder_golden.safetensors"
#define JPEG      TEST_DATA "/images/baseline-420.jpg"
#define SIZE      224
#define PIXELS    (SIZE * SIZE * 3)
#define DIM       640
#define TOLERANCE 1e-4f

static char                    scratch_dir[] = "/tmp/osprey-encoder-XXXXXX";
static struct encoder         *small;
static struct encoder_scratch *scratch;
static struct safetensors     *golden;

/* The same bytes as picture() of the golden's script. */
static void make_picture(int k, uint8_t *out)
{
    for (int y = 0; y < SIZE; y++) {
        for (int x = 0; x < SIZE; x++) {
            int d = (x - 112) * (x - 112) + (y - 100 - 10 * k) * (y - 100 - 10 * k);
            for (int c = 0; c < 3; c++) {
                int inside = d < (40 + 20 * k) * (40 + 20 * k);
                int v      = inside ? 200 - 60 * c + 25 * k : x * (k + 1) / 2 + y / 3;
                *out++     = (uint8_t)(v + (x * 7 + y * 13) % 5 * 9);
            }
        }
    }
}

static float worst(const float *a, const float *b, int n)
{
    float d = 0;
    for (int i = 0; i < n; i++) {
        assert_false(isnan(a[i]));
        d = fmaxf(d, fabsf(a[i] - b[i]));
    }
    return d;
}

static float *stored(const char *name, int rows, int dim)
{
    const int64_t        dims[] = {rows, dim};
    const struct tensor *t;
    assert_int_equal(safetensors_require(golden, name, 2, dims, &t, NULL), 0);
    float *out = mem_array((size_t)(rows * dim), sizeof *out);
    assert_int_equal(tensor_to_f32(t, out, NULL), 0);
    return out;
}

/* Encodes three pictures and three texts with every kernel of this processor. */
static void embeddings_equal_torch_at_each_level(void **state)
{
    (void)state;
    static const char *const names[] = {"portable", "avx2", "avx512"};
    struct err               err     = ERR_INIT;
    uint8_t                 *pixels  = mem_array(3 * PIXELS, 1);
    float                   *images  = stored("images", 3, DIM);
    float                   *wanted  = stored("texts", 3, DIM);
    float                   *got     = mem_array(3 * DIM, sizeof *got);
    char                    *many    = mem_zeroed(300 * 11 + 1, 1);
    for (int i = 0; i < 300; i++)
        memcpy(many + 11 * i, "photograph ", 11);
    const char *texts[] = {"a dog on a beach", "ein Caf\xC3\xA9 in K\xC3\xB6ln, 2019!", many};
    for (int k = 0; k < 3; k++)
        make_picture(k, pixels + k * PIXELS);
    for (int level = 0; level < (TEST_EMULATED ? 1 : 3); level++) {
        struct encoder *enc = NULL;
        setenv("OSPREY_CPU", names[level], 1);
        assert_int_equal(encoder_open(SMALL, &enc, &err), 0);
        unsetenv("OSPREY_CPU");
        assert_int_equal(encoder_images(enc, scratch, pixels, 3, got, &err), 0);
        float d = worst(got, images, 3 * DIM);
        assert_int_equal(encoder_texts(enc, scratch, texts, 3, got, &err), 0);
        float t = worst(got, wanted, 3 * DIM);
        print_message("%s: images differ by %.2g, texts by %.2g\n", encoder_info(enc)->cpu, d, t);
        assert_true(d <= TOLERANCE && t <= TOLERANCE);
        encoder_close(enc);
    }
    free(many);
    free(pixels);
    free(images);
    free(wanted);
    free(got);
}

/* Reduced precisions stay near the reference; auto is single precision here. */
static void precisions_are_kept_apart(void **state)
{
    (void)state;
    static const struct {
        enum precision wanted;
        const char    *got;
        float          agrees; /* least cosine */
    } cases[]          = {{PRECISION_AUTO, "f32", 0.999999f},
                          {PRECISION_BF16, "bf16", 0.9995f},
                          {PRECISION_INT8, "int8", 0.995f}};
    struct err  err    = ERR_INIT;
    uint8_t    *pixels = mem_array(3 * PIXELS, 1);
    float      *images = stored("images", 3, DIM);
    float      *texts  = stored("texts", 3, DIM);
    float      *got    = mem_array(3 * DIM, sizeof *got);
    const char *text[] = {"a dog on a beach", "ein Caf\xC3\xA9 in K\xC3\xB6ln, 2019!"};
    for (int k = 0; k < 3; k++)
        make_picture(k, pixels + k * PIXELS);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct encoder_options options = {.precision = cases[c].wanted};
        struct encoder        *enc     = NULL;
        float                  least   = 1;
        assert_int_equal(encoder_open_with(SMALL, &options, &enc, &err), 0);
        assert_string_equal(encoder_info(enc)->precision, cases[c].got);
        assert_string_equal(encoder_info(enc)->hash, encoder_info(small)->hash);
        for (int what = 0; what < 2; what++) {
            int rc = what ? encoder_texts(enc, scratch, text, 2, got, &err)
                          : encoder_images(enc, scratch, pixels, 3, got, &err);
            assert_int_equal(rc, 0);
            for (int i = 0; i < 3 - what; i++) {
                float cosine = 0;
                for (int d = 0; d < DIM; d++)
                    cosine += got[i * DIM + d] * (what ? texts : images)[i * DIM + d];
                least = cosine < least ? cosine : least;
            }
        }
        print_message("%s: least cosine %.6f\n", cases[c].got, (double)least);
        assert_true(least >= cases[c].agrees);
        assert_true(cases[c].wanted == PRECISION_AUTO || least < 0.999999f);
        encoder_close(enc);
    }
    free(pixels);
    free(images);
    free(texts);
    free(got);
}

static void info_says_what_it_is(void **state)
{
    (void)state;
    const struct encoder_info *info = encoder_info(small);
    assert_string_equal(info->name, "osprey-small-zeroshot");
    assert_int_equal(info->dir[0], '/');
    assert_string_equal(info->family, "vision-text-dual-encoder");
    assert_int_equal(strlen(info->hash), 32);
    assert_int_equal(strspn(info->hash, "0123456789abcdef"), 32);
    assert_int_equal(info->dim, DIM);
    assert_int_equal(info->image_size, SIZE);
    assert_int_equal(info->max_tokens, 256);
    assert_true(info->image_batch >= 1);
    assert_in_range(info->parameters, 27000000, 28000000);
    assert_int_equal(info->preprocess.out_w, SIZE);
}

static void batches_change_nothing(void **state)
{
    (void)state;
    enum { N = 35 }; /* more than two batches of pictures, in part */
    struct err err    = ERR_INIT;
    uint8_t   *pixels = mem_array((size_t)N * PIXELS, 1);
    float     *all    = mem_array(300 * DIM, sizeof *all);
    float      one[DIM];
    for (int i = 0; i < N; i++) {
        make_picture(i % 3, pixels + (size_t)i * PIXELS);
        pixels[(size_t)i * PIXELS + 1000] = (uint8_t)i;
    }
    assert_int_equal(encoder_images(small, scratch, pixels, N, all, &err), 0);
    for (int i = 0; i < N; i += 17) {
        assert_int_equal(encoder_images(small, scratch, pixels + (size_t)i * PIXELS, 1, one, &err),
                         0);
        assert_true(worst(one, all + i * DIM, DIM) <= 1e-5f);
    }
    char        text[300][64];
    const char *texts[300];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(text[i], sizeof text[i], "picture %d of %s", i, i % 2 ? "a dog" : "");
        texts[i] = text[i];
    }
    assert_int_equal(encoder_texts(small, scratch, texts, 300, all, &err), 0);
    for (int i = 0; i < 300; i += 23) {
        assert_int_equal(encoder_texts(small, scratch, texts + i, 1, one, &err), 0);
        assert_true(worst(one, all + i * DIM, DIM) <= 1e-5f);
    }
    assert_true(worst(all, all + DIM, DIM) > 0.01f); /* different texts, different vectors */
    assert_int_equal(encoder_texts(small, scratch, NULL, 0, NULL, &err), 0);
    assert_int_equal(encoder_images(small, scratch, NULL, 0, NULL, &err), 0);
    free(pixels);
    free(all);
}

static void odd_texts_are_encoded(void **state)
{
    (void)state;
    struct err err  = ERR_INIT;
    char      *huge = mem_zeroed(2000001, 1);
    float      out[5 * DIM];
    memset(huge, 'x', 2000000);
    for (int i = 5; i < 2000000; i += 6)
        huge[i] = ' ';
    const char *texts[] = {"", "\xFF\xFE \xC3", "a d\xFFog", "a dog", huge};
    assert_int_equal(encoder_texts(small, scratch, texts, 5, out, &err), 0);
    for (int i = 0; i < 5; i++) {
        double length = 0;
        for (int d = 0; d < DIM; d++)
            length += (double)out[i * DIM + d] * out[i * DIM + d];
        assert_true(fabs(length - 1) < 1e-5);
    }
    /* what is not UTF-8 is dropped: nothing, and "dog" */
    assert_true(worst(out, out + DIM, DIM) <= 1e-5f);
    assert_true(worst(out + 2 * DIM, out + 3 * DIM, DIM) <= 1e-5f);
    free(huge);
}

static void a_file_is_decoded_and_encoded(void **state)
{
    (void)state;
    struct err          err    = ERR_INIT;
    struct image_limits limits = image_limits_default();
    struct image        image  = {0};
    uint8_t            *bytes, *pixels = mem_array(PIXELS, 1);
    size_t              len;
    float               a[DIM], b[DIM];
    assert_int_equal(file_read(JPEG, 1 << 20, &bytes, &len, &err), 0);
    assert_int_equal(encoder_image_bytes(small, scratch, bytes, len, a, &err), 0);
    const struct preprocess *pre = &encoder_info(small)->preprocess;
    assert_int_equal(
        image_decode(bytes, len, preprocess_min_side(pre), &limits, &image, NULL, &err), 0);
    assert_int_equal(preprocess_image(pre, &image, pixels, &err), 0);
    assert_int_equal(encoder_images(small, scratch, pixels, 1, b, &err), 0);
    assert_true(worst(a, b, DIM) <= 1e-6f);
    assert_true(encoder_image_bytes(small, scratch, bytes, len / 3, a, &err) < 0);
    assert_true(strlen(err.msg) > 0);
    image_free(&image);
    free(bytes);
    free(pixels);
}

/* A folder that links the model's files, but for the one named without;
 * freed by the caller. */
static char *make_folder(const char *name, const char *without)
{
    static const char *const files[] = {"config.json", "preprocessor_config.json",
                                        "model.safetensors", "heads.safetensors", "vocab.txt"};
    char                    *dir     = path_join(scratch_dir, name);
    assert_int_equal(file_mkdirs(dir, NULL), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bool of_towers =
            strcmp(files[i], "model.safetensors") == 0 || strcmp(files[i], "vocab.txt") == 0;
        char *from = path_join(of_towers ? TOWERS : SMALL, files[i]),
             *to   = path_join(dir, files[i]);
        if (strcmp(files[i], without) != 0)
            assert_int_equal(symlink(from, to), 0);
        free(from);
        free(to);
    }
    return dir;
}

static void put(const char *dir, const char *name, const void *data, size_t len)
{
    char *path = path_join(dir, name);
    assert_int_equal(file_replace(path, data, len, NULL), 0);
    free(path);
}

static void expect_failure(const char *dir, int code, const char *a, const char *b)
{
    struct err      err = ERR_INIT;
    struct encoder *enc = NULL;
    assert_int_equal(encoder_open(dir, &enc, &err), code);
    assert_null(enc);
    if (!strstr(err.msg, a) || !strstr(err.msg, b))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", err.msg, a, b);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    static const char *const weights[] = {"model.safetensors", "heads.safetensors", "vocab.txt"};
    char                     name[64];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "without-%d", i);
        char *dir = make_folder(name, weights[i]);
        expect_failure(dir, ERR_NOTFOUND, weights[i], "make build");
        if (i == 0) {
            put(dir, "pytorch_model.bin", "x", 1);
            expect_failure(dir, ERR_UNSUPPORTED, "pytorch_model.bin", "convert");
        }
        free(dir);
    }
    char *dir = make_folder("without-config", "config.json");
    expect_failure(dir, ERR_NOTFOUND, "config.json", dir);
    free(dir);
    dir = make_folder("without-preprocessor", "preprocessor_config.json");
    expect_failure(dir, ERR_NOTFOUND, "preprocessor_config.json", dir);
    free(dir);
    expect_failure("/nonexistent", ERR_NOTFOUND, "/nonexistent", "cannot find");
    expect_failure(JPEG, ERR_USAGE, JPEG, "not a folder");
}

/* The shipped config.json with one string replaced; freed by the caller. */
static char *edited_config(const char *from, const char *to)
{
    uint8_t *text;
    size_t   len;
    assert_int_equal(file_read(SMALL "/config.json", 1 << 20, &text, &len, NULL), 0);
    char *at = strstr((char *)text, from);
    assert_non_null(at);
    char *out = mem_zeroed(len + strlen(to) + 1, 1);
    (void)snprintf(out, len + strlen(to) + 1, "%.*s%s%s", (int)(at - (char *)text), text, to,
                   at + strlen(from));
    free(text);
    return out;
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *says;
        int         code;
    } cases[] = {
        {"\"vision-text-dual-encoder\"", "\"blip\"", "model_type \"blip\"", ERR_UNSUPPORTED},
        {"\"model_type\": \"vision", "\"x\": \"vision", "does not say what model_type", ERR_FORMAT},
        {"\"projection_dim\": 640", "\"projection_dim\": 512", "projection_dim is 512", ERR_FORMAT},
        {"\"efficientnet_lite0\"", "\"vit\"", "vision_config.model_type is \"vit\"",
         ERR_UNSUPPORTED},
        {"\"bert\"", "\"roberta\"", "text_config.model_type is \"roberta\"", ERR_UNSUPPORTED},
        {"\"image_size\": 224", "\"image_size\": 225", "image_size is 225", ERR_FORMAT},
        {"\"conse\"", "\"none\"", "osprey.head is \"none\"", ERR_UNSUPPORTED},
        {"\"temperature\": 2.0", "\"temperature\": 0", "osprey.temperature", ERR_FORMAT},
        {"\"visual_weight\": 0.8", "\"visual_weight\": 1.5", "osprey.visual_weight", ERR_FORMAT},
        {"\"max_tokens\": 256", "\"max_tokens\": 513", "from 3 to 512", ERR_FORMAT},
        {"\"hidden_size\": 384", "\"hidden_size\": 385", "no multiple", ERR_FORMAT},
        {"\"vocab_size\": 30522", "\"vocab_size\": 30000", "word_embeddings.weight has the shape",
         ERR_FORMAT},
        {"}", "", "JSON", ERR_FORMAT},
    };
    char *dir = make_folder("contradictions", "config.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = edited_config(cases[i].from, cases[i].to);
        put(dir, "config.json", text, strlen(text));
        expect_failure(dir, cases[i].code, cases[i].says, "cannot open the model");
        free(text);
    }
    free(dir);
    dir                = make_folder("wrong-heads", "heads.safetensors");
    char         *h    = path_join(dir, "heads.safetensors");
    float         w[4] = {0};
    struct tensor t    = {.name     = "conse.class_embeddings",
                          .dtype    = DTYPE_F32,
                          .n_dims   = 2,
                          .dims     = {2, 2},
                          .elements = 4,
                          .data     = w,
                          .bytes    = sizeof w};
    assert_int_equal(safetensors_write(h, &t, 1, NULL, 0, NULL), 0);
    expect_failure(dir, ERR_FORMAT, "conse.class_embeddings has the shape (2, 2)", "(1000, 384)");
    free(h);
    free(dir);
    dir = make_folder("truncated", "model.safetensors");
    uint8_t *bytes;
    size_t   len;
    assert_int_equal(file_read(TOWERS "/model.safetensors", 1 << 28, &bytes, &len, NULL), 0);
    put(dir, "model.safetensors", bytes, 1 << 20);
    expect_failure(dir, ERR_FORMAT, "truncated", "model.safetensors");
    free(bytes);
    free(dir);
}

/* The head's other options, against torch; and they make another model. */
static void options_of_the_head_are_followed(void **state)
{
    (void)state;
    struct err      err    = ERR_INIT;
    struct encoder *enc    = NULL;
    char           *dir    = make_folder("options", "config.json");
    float          *want   = stored("images_top", 3, 384);
    uint8_t        *pixels = mem_array(3 * PIXELS, 1);
    float           got[3 * 384];
    char           *text = edited_config("\"temperature\": 2.0,\n    \"visual_weight\": 0.8",
                                         "\"temperature\": 1, \"top_classes\": 10, \"center\": true");
    char           *dim  = strstr(text, "640");
    memcpy(dim, "384", 3);
    put(dir, "config.json", text, strlen(text));
    assert_int_equal(encoder_open(dir, &enc, &err), 0);
    assert_int_equal(encoder_info(enc)->dim, 384);
    assert_string_not_equal(encoder_info(enc)->hash, encoder_info(small)->hash);
    for (int k = 0; k < 3; k++)
        make_picture(k, pixels + k * PIXELS);
    assert_int_equal(encoder_images(enc, scratch, pixels, 3, got, &err), 0);
    assert_true(worst(got, want, 3 * 384) <= TOLERANCE);
    encoder_close(enc);
    free(text);
    free(dir);
    free(want);
    free(pixels);
}

static void models_are_found_by_name_and_folder(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    char                *dir = NULL, *found = NULL;
    struct models_entry *entries;
    size_t               n;
    char                *place = path_join(scratch_dir, "models");
    char                *one = make_folder("models/osprey-one", ""), *list = NULL;
    put(place, "file", "x", 1);
    assert_true(asprintf(&list, "::/nonexistent:%s", place) > 0);
    setenv("OSPREY_MODELS", list, 1);
    assert_int_equal(models_find("osprey-one", &found, &err), 0);
    assert_int_equal(path_real(one, &dir, &err), 0);
    assert_string_equal(found, dir);
    free(found);
    assert_int_equal(models_find(one, &found, &err), 0); /* has slashes: a folder */
    assert_string_equal(found, dir);
    free(found);
    assert_int_equal(models_list(&entries, &n, &err), 0);
    bool listed = false;
    for (size_t i = 0; i < n; i++) {
        listed = listed || strcmp(entries[i].dir, dir) == 0;
        assert_string_not_equal(entries[i].name, "file");
        assert_true(i == 0 || strcmp(entries[i - 1].name, entries[i].name) < 0);
    }
    assert_true(listed);
    models_list_free(entries, n);

    found = NULL;
    assert_int_equal(models_find("absent", &found, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "absent"));
    assert_non_null(strstr(err.msg, place));
    assert_int_equal(models_find("/nonexistent/m", &found, &err), ERR_NOTFOUND);
    assert_int_equal(models_find("..", &found, &err), ERR_USAGE);
    assert_int_equal(models_find(place, &found, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.msg, "no config.json"));
    /* never in the current folder */
    assert_int_equal(chdir(place), 0);
    unsetenv("OSPREY_MODELS");
    assert_int_equal(models_find("osprey-one", &found, &err), ERR_NOTFOUND);
    assert_null(found);
    free(dir);
    free(one);
    free(list);
    free(place);
}

static int setup(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    if (encoder_open(SMALL, &small, &err) || encoder_scratch_new(small, 2, &scratch, &err) ||
        safetensors_open(GOLDEN, &golden, &err)) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    encoder_scratch_free(scratch);
    encoder_close(small);
    safetensors_close(golden);
    return 0;
}

int main(void)
{
    if (!mkdtemp(scratch_dir))
        return 1;
    char *cache = path_join(scratch_dir, "cache");
    setenv("XDG_CACHE_HOME", cache, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_says_what_it_is),
        cmocka_unit_test(embeddings_equal_torch_at_each_level),
        cmocka_unit_test(precisions_are_kept_apart),
        cmocka_unit_test(batches_change_nothing),
        cmocka_unit_test(odd_texts_are_encoded),
        cmocka_unit_test(a_file_is_decoded_and_encoded),
        cmocka_unit_test(missing_files_are_named),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(options_of_the_head_are_followed),
        cmocka_unit_test(models_are_found_by_name_and_folder),
    };
    int  failed = cmocka_run_group_tests_name("encoder", tests, setup, teardown);
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch_dir);
    failed |= system(command) != 0;
    free(cache);
    return failed;
}
