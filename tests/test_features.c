/* Unit tests of core/learn/features: features of pictures and texts, their cache, and
 * what a cache must not be trusted with. A tiny CLIP stands for the model. */
#include "learn/features.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL   TEST_DATA "/clip/quick_p32_f16/"
#define PICTURE TEST_DATA "/images/baseline-420.jpg"
#define OTHER   TEST_DATA "/images/rgb.jpg"
#define N       5

#define TOKENIZER                                                                                  \
    "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<|endoftext|>\",\"end_of_word_suffix\":"         \
    "\"</w>\",\"vocab\":{\"a\":0,\"a</w>\":1,\"<|startoftext|>\":126,\"<|endoftext|>\":127},"      \
    "\"merges\":[]}}"
#define PREPROCESSOR                                                                               \
    "{\"crop_size\":64,\"do_center_crop\":true,\"do_normalize\":true,\"do_resize\":true,"          \
    "\"image_mean\":[0.48,0.45,0.40],\"image_std\":[0.26,0.26,0.27],\"resample\":3,\"size\":64}"

static char            folder[64], cache[96];
static struct encoder *enc;
static char           *paths[N];

/* What a listener heard. */
struct heard {
    size_t computed, done, total, broken;
    char   why[256];
};

static void on_progress(void *ctx, size_t done, size_t total, size_t computed)
{
    struct heard *h = ctx;
    h->done         = done;
    h->total        = total;
    h->computed     = computed;
}

static void on_broken(void *ctx, const char *path, const char *why)
{
    struct heard *h = ctx;
    h->broken++;
    (void)snprintf(h->why, sizeof h->why, "%s: %s", path, why);
}

static void copy(const char *from, const char *to)
{
    uint8_t   *data;
    size_t     len;
    struct err err = ERR_INIT;
    if (file_read(from, 1 << 24, &data, &len, &err) || file_replace(to, data, len, &err))
        fail_msg("%s", err.msg);
    free(data);
}

static const char *at(const char *name)
{
    static char path[4][160];
    static int  next;
    next = (next + 1) % 4;
    (void)snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static int make_folder(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-features-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(cache, sizeof cache, "%s/kept", folder);
    setenv("XDG_CACHE_HOME", folder, 1);
    assert_int_equal(file_mkdirs(at("model"), &err), 0);
    copy(MODEL "config.json", at("model/config.json"));
    copy(MODEL "model.safetensors", at("model/model.safetensors"));
    assert_int_equal(file_replace(at("model/tokenizer.json"), TOKENIZER, strlen(TOKENIZER), NULL),
                     0);
    assert_int_equal(file_replace(at("model/preprocessor_config.json"), PREPROCESSOR,
                                  strlen(PREPROCESSOR), NULL),
                     0);
    if (encoder_open(at("model"), &enc, &err))
        fail_msg("%s", err.msg);
    for (int i = 0; i < N; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d.jpg", i);
        copy(i % 2 ? OTHER : PICTURE, at(name));
        paths[i] = mem_strdup(at(name));
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    encoder_close(enc);
    for (int i = 0; i < N; i++)
        free(paths[i]);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static struct features *images(struct heard *h, int views, uint64_t seed, int threads)
{
    struct features_listener l    = {.ctx = h, .progress = on_progress, .broken = on_broken};
    struct features_plan     plan = {.threads  = threads,
                                     .views    = views,
                                     .augment  = {.min_area = 0.5, .jitter = 0.2},
                                     .seed     = seed,
                                     .cache    = cache,
                                     .listener = &l};
    struct features         *f    = NULL;
    struct err               err  = ERR_INIT;
    *h                            = (struct heard){0};
    if (features_of_images(enc, &plan, paths, N, &f, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(h->done, N);
    assert_int_equal(h->total, N);
    assert_int_equal(h->broken, features_broken(f));
    return f;
}

static bool same_row(const struct features *a, size_t i, int v, const struct features *b, size_t k,
                     int w)
{
    return !memcmp(features_row(a, i, v), features_row(b, k, w),
                   (size_t)features_width(a) * sizeof(uint16_t));
}

static void test_rows_are_the_towers(void **state)
{
    (void)state;
    struct heard                 h;
    struct features             *f     = images(&h, 3, 1, 2);
    struct encoder_feature_sizes sizes = encoder_feature_sizes(enc);
    struct encoder_scratch      *scratch;
    struct image                 picture;
    uint8_t                      pixels[64 * 64 * 3], *bytes;
    size_t                       len;
    float                        want[512], got[512];
    assert_int_equal(h.computed, N);
    assert_int_equal(features_count(f), N);
    assert_int_equal(features_views(f), 3);
    assert_int_equal(features_width(f), sizes.image);
    assert_true(sizes.image <= 512);
    assert_int_equal(file_read(paths[1], 1 << 24, &bytes, &len, NULL), 0);
    struct image_limits      limits = image_limits_default();
    const struct preprocess *pre    = &encoder_info(enc)->preprocess;
    assert_int_equal(
        image_decode(bytes, len, preprocess_min_side(pre), &limits, &picture, NULL, NULL), 0);
    assert_int_equal(encoder_scratch_new(enc, 1, &scratch, NULL), 0);
    for (int v = 0; v < 2; v++) {
        struct image_features out = {.pooled = want};
        assert_int_equal(
            augment_image(v ? AUGMENT_FLIP : AUGMENT_NONE, NULL, pre, &picture, 0, pixels, NULL),
            0);
        assert_int_equal(encoder_image_features(enc, scratch, pixels, 1, &out, NULL), 0);
        half_to_float(got, features_row(f, 1, v), (size_t)sizes.image);
        for (int i = 0; i < sizes.image; i++)
            assert_true(fabsf(got[i] - want[i]) <= 2e-3f * (1 + fabsf(want[i])));
    }
    /* pictures of equal content differ in their crops alone: these go by the name */
    assert_true(same_row(f, 0, 0, f, 2, 0));
    assert_true(same_row(f, 0, 1, f, 2, 1));
    assert_false(same_row(f, 0, 2, f, 2, 2));
    assert_false(same_row(f, 0, 0, f, 0, 1));
    assert_false(same_row(f, 0, 0, f, 1, 0));
    encoder_scratch_free(scratch);
    image_free(&picture);
    free(bytes);
    features_free(f);
}

/* Parts are all crops, of seeds by which others find the same ones, and never taken for
 * the views of a plan that is otherwise the same. */
static void test_parts_are_crops_from_the_first_on(void **state)
{
    (void)state;
    struct heard             h;
    struct features_plan     plan  = {.threads = 1,
                                      .views   = 2,
                                      .parts   = true,
                                      .augment = augment_part,
                                      .seed    = 9,
                                      .cache   = cache};
    struct features         *whole = images(&h, 2, 9, 1), *parts, *again;
    struct err               err   = ERR_INIT;
    struct image_features    out;
    struct encoder_scratch  *scratch;
    struct image             picture;
    const struct preprocess *pre = &encoder_info(enc)->preprocess;
    uint8_t                  pixels[64 * 64 * 3], *bytes;
    size_t                   len;
    float                    want[512], got[512];
    if (features_of_images(enc, &plan, paths, N, &parts, &err) ||
        features_of_images(enc, &plan, paths, N, &again, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(file_read(paths[1], 1 << 24, &bytes, &len, NULL), 0);
    struct image_limits limits = image_limits_default();
    assert_int_equal(image_decode(bytes, len, augment_min_side(&augment_part, pre), &limits,
                                  &picture, NULL, NULL),
                     0);
    assert_int_equal(encoder_scratch_new(enc, 1, &scratch, NULL), 0);
    out = (struct image_features){.pooled = want};
    for (int v = 0; v < 2; v++) {
        assert_int_equal(augment_image(AUGMENT_CROP, &augment_part, pre, &picture,
                                       augment_seed("1.jpg", &picture, 9, v), pixels, NULL),
                         0);
        assert_int_equal(encoder_image_features(enc, scratch, pixels, 1, &out, NULL), 0);
        half_to_float(got, features_row(parts, 1, v), (size_t)features_width(parts));
        for (int i = 0; i < features_width(parts); i++)
            assert_true(fabsf(got[i] - want[i]) <= 2e-3f * (1 + fabsf(want[i])));
        for (size_t i = 0; i < N; i++) {
            assert_false(same_row(parts, i, v, whole, i, v));
            assert_true(same_row(parts, i, v, again, i, v));
        }
    }
    assert_false(same_row(parts, 0, 0, parts, 0, 1));
    encoder_scratch_free(scratch);
    image_free(&picture);
    free(bytes);
    features_free(whole);
    features_free(parts);
    features_free(again);
}

static void test_what_was_computed_is_kept(void **state)
{
    (void)state;
    struct heard     h;
    struct features *first = images(&h, 3, 1, 1);
    struct features *again = images(&h, 3, 1, 2);
    assert_int_equal(h.computed, 0);
    for (size_t i = 0; i < N; i++) {
        for (int v = 0; v < 3; v++)
            assert_true(same_row(first, i, v, again, i, v));
    }
    struct features *seeded = images(&h, 3, 2, 2); /* other crops */
    assert_int_equal(h.computed, N);
    assert_true(same_row(first, 0, 1, seeded, 0, 1));
    assert_false(same_row(first, 0, 2, seeded, 0, 2));
    struct features *fewer = images(&h, 2, 1, 2);
    assert_int_equal(h.computed, N);
    struct features *unseeded = images(&h, 2, 7, 2); /* nothing is drawn: the seed is nothing */
    assert_int_equal(h.computed, 0);
    copy(OTHER, paths[4]); /* another content, or at least another time */
    struct features *changed = images(&h, 2, 1, 2);
    assert_int_equal(h.computed, N);
    assert_true(same_row(changed, 4, 0, changed, 1, 0));
    features_free(first);
    features_free(again);
    features_free(seeded);
    features_free(fewer);
    features_free(unseeded);
    features_free(changed);
}

/* Calls change on each file of the cache. */
static int each_kept(void (*change)(const char *path))
{
    int  n   = 0;
    DIR *dir = opendir(cache);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[400];
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
        change(path);
        n++;
    }
    closedir(dir);
    return n;
}

static void flip_a_bit(const char *path)
{
    struct stat sb;
    FILE       *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &sb), 0);
    assert_int_equal(fseek(f, sb.st_size - 200, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, sb.st_size - 200, SEEK_SET), 0);
    fputc(byte ^ 1, f);
    fclose(f);
}

static void cut_in_half(const char *path)
{
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(truncate(path, sb.st_size / 2), 0);
}

static void remove_it(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void test_damage_is_noticed(void **state)
{
    (void)state;
    struct heard h;
    void (*const damages[])(const char *) = {flip_a_bit, cut_in_half, remove_it};
    struct features *good                 = images(&h, 2, 1, 1);
    for (int d = 0; d < 3; d++) {
        assert_true(each_kept(damages[d]) > 0);
        struct features *f = images(&h, 2, 1, 2);
        assert_int_equal(h.computed, N);
        for (size_t i = 0; i < N; i++)
            assert_true(same_row(f, i, 0, good, i, 0));
        features_free(f);
        features_free(images(&h, 2, 1, 2));
        assert_int_equal(h.computed, 0);
    }
    features_free(good);
}

/* What nobody used for two months goes when something new comes. */
static void test_old_shards_go(void **state)
{
    (void)state;
    struct heard          h;
    char                  old[160];
    const struct timespec times[2] = {{.tv_sec = time(NULL) - 61 * 86400},
                                      {.tv_sec = time(NULL) - 61 * 86400}};
    features_free(images(&h, 2, 1, 1));
    (void)snprintf(old, sizeof old, "%s/old.safetensors", cache);
    assert_int_equal(file_replace(old, "x", 1, NULL), 0);
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    features_free(images(&h, 2, 1, 1));
    assert_true(file_exists(old));
    features_free(images(&h, 4, 77, 1));
    assert_int_equal(h.computed, N);
    assert_false(file_exists(old));
    features_free(images(&h, 2, 1, 1));
    assert_int_equal(h.computed, 0);
}

static void test_broken_pictures_are_told_each_time(void **state)
{
    (void)state;
    struct heard h;
    assert_int_equal(file_replace(paths[2], "no picture", 10, NULL), 0);
    for (int pass = 0; pass < 2; pass++) {
        struct features *f = images(&h, 2, 1, 2);
        assert_int_equal(h.computed, pass == 0 ? N : 0);
        assert_int_equal(features_broken(f), 1);
        assert_non_null(strstr(h.why, paths[2]));
        for (size_t i = 0; i < N; i++)
            assert_int_equal(features_usable(f, i), i != 2);
        for (int i = 0; i < features_width(f); i++)
            assert_int_equal(features_row(f, 2, 1)[i], 0);
        features_free(f);
    }
    assert_int_equal(unlink(paths[2]), 0); /* missing: another reason, another key */
    features_free(images(&h, 2, 1, 2));
    assert_int_equal(h.broken, 1);
    copy(PICTURE, paths[2]);
    features_free(images(&h, 2, 1, 2));
    assert_int_equal(h.broken, 0);
}

static void test_texts(void **state)
{
    (void)state;
    char                    *texts[] = {"a", "a a", "a a a", "a"};
    struct heard             h       = {0};
    struct features         *f[2];
    struct features_plan     plan = {.threads = 2, .views = 1, .cache = cache};
    struct features_listener l    = {.ctx = &h, .progress = on_progress};
    plan.listener                 = &l;
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(features_of_texts(enc, &plan, texts, 4, &f[pass], NULL), 0);
        assert_int_equal(h.computed, pass == 0 ? 4 : 0);
    }
    assert_int_equal(features_width(f[0]), encoder_feature_sizes(enc).text);
    for (size_t i = 0; i < 4; i++)
        assert_true(same_row(f[0], i, 0, f[1], i, 0));
    assert_true(same_row(f[0], 0, 0, f[0], 3, 0));
    assert_false(same_row(f[0], 0, 0, f[0], 1, 0));
    features_free(f[0]);
    features_free(f[1]);
}

static void test_stopping_and_wrong_plans(void **state)
{
    (void)state;
    volatile sig_atomic_t stop = 1;
    struct features      *f    = NULL;
    struct err            err  = ERR_INIT;
    struct features_plan  plan = {.threads = 1, .views = 1, .cache = "", .stop = &stop};
    assert_int_equal(features_of_images(enc, &plan, paths, N, &f, &err), ERR_CANCELLED);
    plan.stop  = NULL;
    plan.views = 0;
    assert_int_equal(features_of_images(enc, &plan, paths, N, &f, &err), ERR_USAGE);
    plan.views = 1;
    assert_int_equal(features_of_images(enc, &plan, paths, 0, &f, &err), 0);
    assert_int_equal(features_count(f), 0);
    features_free(f);
    plan.cache = "/proc/nowhere"; /* cannot be written: computed all the same */
    assert_int_equal(features_of_images(enc, &plan, paths, N, &f, &err), 0);
    assert_int_equal(features_broken(f), 0);
    features_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_the_towers),
        cmocka_unit_test(test_what_was_computed_is_kept),
        cmocka_unit_test(test_damage_is_noticed),
        cmocka_unit_test(test_old_shards_go),
        cmocka_unit_test(test_broken_pictures_are_told_each_time),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stopping_and_wrong_plans),
        cmocka_unit_test(test_parts_are_crops_from_the_first_on),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
