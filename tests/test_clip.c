/* Unit tests of core/model/clip and checkpoint: embeddings of seven small models
 * against transformers and OpenCLIP (tools/goldens/clip.py), with every kernel,
 * batch and thread count; folders that must be refused. With $OSPREY_CLIP_DIR
 * the same for the models in that folder. */
#include "model/clip.h"

#include "base/file.h"
#include "base/mem.h"
#include "nn/attention.h"
#include "scratch_folder.h"

#include <dirent.h>
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

#define SMALL     TEST_DATA "/clip"
#define TOLERANCE 2e-5f

static const char *const models[] = {
    "quick_p32_f16",   "gelu_p8_f32",  "new_p14_bf16",       "legacy_p8_f32",
    "sharded_p16_f16", "open_p16_f16", "open_custom_p8_f32",
};
#define N_MODELS (sizeof models / sizeof models[0])

static const struct cpu cpus[] = {
    {.level = CPU_PORTABLE}, {.level = CPU_AVX2}, {.level = CPU_AVX512}};

struct model {
    struct checkpoint *checkpoint;
    struct prepared   *prepared;
    struct clip       *clip;
};

static void close_model(struct model *m)
{
    clip_free(m->clip);
    prepared_close(m->prepared);
    checkpoint_close(m->checkpoint);
    *m = (struct model){0};
}

static int open_model(const char *dir, struct cpu cpu, struct model *m, struct err *err)
{
    struct clip_config config;
    struct preprocess  preprocess = {.rescale = 1.0f / 255,
                                     .mean    = {0.48145466f, 0.4578275f, 0.40821073f},
                                     .std     = {0.26862954f, 0.26130258f, 0.27577711f}};
    struct jnode      *root       = NULL;
    const char        *files[64];
    char              *path = path_join(dir, "open_clip_config.json");
    bool               open = file_exists(path);
    if (!open) {
        free(path);
        path = path_join(dir, "config.json");
    }
    *m     = (struct model){0};
    int rc = jnode_parse_file(path, 1 << 20, &root, err);
    if (!rc)
        rc = open ? clip_config_parse_open(root, path, &config, err)
                  : clip_config_parse(root, path, &config, err);
    if (!rc && open)
        rc = clip_preprocess_parse_open(root, path, &config, &preprocess, err);
    if (!rc)
        rc = checkpoint_open(dir, open ? CHECKPOINT_OPEN_CLIP : CHECKPOINT_HUGGING_FACE,
                             &m->checkpoint, err);
    for (size_t i = 0; !rc && i < checkpoint_files(m->checkpoint); i++)
        files[i] = checkpoint_file(m->checkpoint, i);
    if (!rc)
        rc = prepared_open(files, checkpoint_files(m->checkpoint), &m->prepared, err);
    if (!rc)
        rc = clip_load(m->checkpoint, &config, &preprocess, m->prepared, cpu, PRECISION_F32,
                       &m->clip, err);
    if (!rc)
        rc = prepared_finish(m->prepared, err);
    jnode_free(root);
    free(path);
    if (rc)
        close_model(m);
    return rc;
}

static struct model must_open(const char *dir, struct cpu cpu)
{
    struct model m;
    struct err   err = ERR_INIT;
    if (open_model(dir, cpu, &m, &err))
        fail_msg("%s", err.msg);
    return m;
}

/* The reference's inputs and outputs for one model. */
struct golden {
    struct safetensors  *file;
    const struct tensor *pixels, *ids, *starts, *image, *text;
    int                  images, texts;
};

static struct golden open_golden(const char *dir)
{
    struct golden g;
    struct err    err  = ERR_INIT;
    char         *path = path_join(dir, "golden.safetensors");
    if (safetensors_open(path, &g.file, &err))
        fail_msg("%s", err.msg);
    free(path);
    g.pixels = safetensors_find(g.file, "pixels");
    g.ids    = safetensors_find(g.file, "ids");
    g.starts = safetensors_find(g.file, "starts");
    g.image  = safetensors_find(g.file, "image");
    g.text   = safetensors_find(g.file, "text");
    assert_true(g.pixels && g.ids && g.starts && g.image && g.text);
    g.images = (int)g.pixels->dims[0];
    g.texts  = (int)g.starts->dims[0] - 1;
    assert_true(g.images > 1 && g.texts > 1);
    return g;
}

/* The tensor's values in memory that is aligned for them. */
static void *copy_of(const struct tensor *t)
{
    void *copy = mem_aligned(t->bytes, 1);
    memcpy(copy, t->data, t->bytes);
    return copy;
}

static float largest; /* difference seen */

static void close_to(const float *got, const float *want, int n, const char *what)
{
    float worst = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(got[i]))
            fail_msg("%s: not a number", what);
        worst = fmaxf(worst, fabsf(got[i] - want[i]));
    }
    largest = fmaxf(largest, worst);
    if (worst > TOLERANCE)
        fail_msg("%s: differs by %g", what, (double)worst);
}

/* Each call's scratch has exactly the size asked for, so that a sanitizer sees
 * what lies past it. */
static void check_images(const struct clip *clip, const struct golden *g, int batch, int threads,
                         const char *what)
{
    int      dim  = clip_config_of(clip)->dim;
    int      side = clip_config_of(clip)->image_size;
    float   *want = copy_of(g->image);
    uint8_t *in   = mem_array((size_t)batch * (size_t)side * (size_t)side, 3);
    float   *out  = mem_array((size_t)(batch * dim), sizeof *out);
    void    *work = mem_aligned(clip_images_scratch(clip, batch, threads), 1);
    size_t   each = (size_t)side * (size_t)side * 3;
    assert_int_equal(g->pixels->bytes, each * (size_t)g->images);
    assert_int_equal(g->image->elements, g->images * dim);
    for (int i = 0; i < batch; i++)
        memcpy(in + (size_t)i * each,
               (const uint8_t *)g->pixels->data + (size_t)(i % g->images) * each, each);
    clip_images(clip, in, batch, threads, work, out);
    for (int i = 0; i < batch; i++)
        close_to(out + (ptrdiff_t)i * dim, want + (ptrdiff_t)(i % g->images) * dim, dim, what);
    free(work);
    free(out);
    free(in);
    free(want);
}

static void check_texts(const struct clip *clip, const struct golden *g, int repeat, int threads,
                        const char *what)
{
    int      dim    = clip_config_of(clip)->dim;
    int      n      = repeat * g->texts;
    int     *once   = copy_of(g->starts);
    int      tokens = once[g->texts];
    float   *want   = copy_of(g->text);
    int32_t *ids    = mem_array((size_t)(repeat * tokens), sizeof *ids);
    int     *starts = mem_array((size_t)n + 1, sizeof *starts);
    float   *out    = mem_array((size_t)(n * dim), sizeof *out);
    void    *work   = mem_aligned(clip_texts_scratch(clip, n, repeat * tokens, threads), 1);
    for (int r = 0; r < repeat; r++) {
        memcpy(ids + (ptrdiff_t)r * tokens, g->ids->data, g->ids->bytes);
        for (int i = 0; i <= g->texts; i++)
            starts[r * g->texts + i] = r * tokens + once[i];
    }
    clip_texts(clip, ids, starts, n, threads, work, out);
    for (int i = 0; i < n; i++)
        close_to(out + (ptrdiff_t)i * dim, want + (ptrdiff_t)(i % g->texts) * dim, dim, what);
    clip_texts(clip, ids, starts, 1, threads, work, out);
    close_to(out, want, dim, what);
    free(work);
    free(out);
    free(starts);
    free(ids);
    free(want);
    free(once);
}

static void check_model(const char *parent, const char *name, struct cpu cpu, bool quick)
{
    char          what[300];
    char         *dir = path_join(parent, name);
    struct model  m   = must_open(dir, cpu);
    struct golden g   = open_golden(dir);
    for (int threads = 1; threads <= (quick ? 3 : 2); threads++) {
        (void)snprintf(what, sizeof what, "%s, %s, %d threads", name, cpu_level_name(cpu.level),
                       threads);
        check_images(m.clip, &g, 1, threads, what);
        check_images(m.clip, &g, quick ? 7 : 3, threads, what);
        if (quick)
            check_images(m.clip, &g, clip_image_batch(m.clip) + 1, threads, what);
        check_texts(m.clip, &g, 1, threads, what);
        check_texts(m.clip, &g, 20, threads, what);
    }
    safetensors_close(g.file);
    close_model(&m);
    free(dir);
}

static void embeddings_equal_the_reference(void **state)
{
    (void)state;
    struct cpu best = cpu_detect();
    for (size_t i = 0; i < N_MODELS; i++) {
        for (size_t level = 0; level < 3 && cpus[level].level <= best.level; level++)
            check_model(SMALL, models[i], cpus[level], true);
    }
}

static void full_size_embeddings_equal_the_reference(void **state)
{
    (void)state;
    const char    *dir   = getenv("OSPREY_CLIP_DIR");
    int            found = 0;
    struct dirent *entry;
    if (!dir)
        skip();
    DIR *d = opendir(dir);
    assert_non_null(d);
    while ((entry = readdir(d))) {
        char golden[1024];
        (void)snprintf(golden, sizeof golden, "%s/%s/golden.safetensors", dir, entry->d_name);
        if (!file_exists(golden))
            continue;
        largest = 0;
        check_model(dir, entry->d_name, cpu_detect(), false);
        print_message("%s differs by at most %.2g\n", entry->d_name, (double)largest);
        found++;
    }
    (void)closedir(d);
    assert_true(found > 0);
}

static void facts_are_those_of_the_files(void **state)
{
    (void)state;
    struct model m = must_open(SMALL "/legacy_p8_f32", cpu_detect());
    assert_int_equal(clip_config_of(m.clip)->eos, CLIP_EOS_LARGEST);
    assert_int_equal(clip_config_of(m.clip)->text.width, 16);
    assert_true(fabsf(clip_scale(m.clip) - 100.0f) < 0.01f);
    /* by hand: patches 192, class 1, positions 26, two norms, two layers, then
     * the text tower's, two projections and the scale */
    int64_t layer40 = 2 * 32 + 4 * (16 * 16 + 16) + 2 * 16 * 40 + 40 + 16;
    int64_t layer32 = 2 * 32 + 4 * (16 * 16 + 16) + 2 * 16 * 32 + 32 + 16;
    int64_t vision  = 16 * (192 + 1 + 26) + 2 * 32 + 2 * layer40;
    int64_t text    = 16 * (128 + 77) + 32 + layer32;
    assert_int_equal(clip_parameters(m.clip), vision + text + 2 * 16 * 16 + 1);
    close_model(&m);
    m = must_open(SMALL "/sharded_p16_f16", cpu_detect());
    assert_true(checkpoint_files(m.checkpoint) > 2);
    assert_int_equal(clip_config_of(m.clip)->eos, 127);
    close_model(&m);
}

/* Rows of random queries, keys and values under a causal mask, in ranges. */
static void masked_attention_equals_the_reference(void **state)
{
    (void)state;
    struct cpu best   = cpu_detect();
    unsigned   seed   = 7;
    const int  dims[] = {3, 16, 20, 64};
    for (int n = 1; n < 40; n += n < 6 ? 1 : 11) {
        for (int k = 0; k < 4; k++) {
            int    dim = dims[k], row = 2 * dim; /* two heads */
            size_t size = (size_t)(n * row);
            float *qkv  = mem_array(3 * size, sizeof *qkv);
            float *want = mem_array(size, sizeof *want);
            float *got  = mem_array(size, sizeof *got);
            float *work = mem_aligned(attention_scratch(n, dim), sizeof *work);
            for (size_t i = 0; i < 3 * size; i++)
                qkv[i] = (float)(seed = seed * 1664525u + 1013904223u) / 2147483648.0f - 1.0f;
            struct attention a = {
                .tokens = n, .heads = 2, .head_dim = dim, .qkv = qkv, .ld = 3 * row, .ldo = row};
            for (int causal = 0; causal < 2; causal++) {
                a.causal = causal;
                for (a.first = 0; a.first < n; a.first += 1 + n / 5) {
                    a.queries = 1 + (n - a.first - 1) / 2;
                    for (int head = 0; head < 2; head++) {
                        a.out = want;
                        attention_ref(&a, head, work);
                        for (size_t level = 1; level < 3 && cpus[level].level <= best.level;
                             level++) {
                            a.out = got;
                            attention_kernel_for(cpus[level])(&a, head, work);
                            for (int i = 0; i < a.queries; i++)
                                close_to(got + i * row + head * dim, want + i * row + head * dim,
                                         dim, "attention");
                        }
                    }
                }
            }
            free(work);
            free(got);
            free(want);
            free(qkv);
        }
    }
}

/* A causal mask by hand: the first token sees itself alone, so the answer is its
 * value; the second weighs both alike. */
static void a_causal_mask_hides_what_follows(void **state)
{
    (void)state;
    float            qkv[2][3] = {{5, 1, 10}, {0, 2, 30}};
    float            out[2]    = {0, 0}, work[32];
    struct attention a         = {.tokens   = 2,
                                  .heads    = 1,
                                  .head_dim = 1,
                                  .qkv      = qkv[0],
                                  .ld       = 3,
                                  .out      = out,
                                  .ldo      = 1,
                                  .causal   = true};
    attention_ref(&a, 0, work);
    assert_true(out[0] == 10.0f && out[1] == 20.0f);
}

static char *in_folder(const char *name)
{
    return path_join(folder, name);
}

static void take_away(const char *name)
{
    char *path = in_folder(name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void put_copy(const char *from, const char *name)
{
    uint8_t   *data;
    size_t     len;
    struct err err = ERR_INIT;
    if (file_read(from, 1 << 24, &data, &len, &err))
        fail_msg("%s", err.msg);
    put(name, data, len);
    free(data);
}

static void refused(enum err_code code, const char *part, const char *other)
{
    struct model m;
    struct err   err = ERR_INIT;
    int          rc  = open_model(folder, cpu_detect(), &m, &err);
    if (rc != (int)code || !strstr(err.msg, part) || !strstr(err.msg, other))
        fail_msg("%d \"%s\" does not say \"%s\" and \"%s\"", rc, err.msg, part, other);
}

static void folders_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    uint8_t   *data;
    size_t     len;
    struct err err = ERR_INIT;
    put_copy(SMALL "/legacy_p8_f32/config.json", "config.json");
    refused(ERR_NOTFOUND, "has no weights", "model.safetensors");
    put_text("pytorch_model.bin", "pickle");
    refused(ERR_UNSUPPORTED, "pytorch_model.bin", "save_pretrained");
    put_copy(SMALL "/gelu_p8_f32/model.safetensors", "model.safetensors");
    refused(ERR_FORMAT, "patch_embedding.weight has the shape (20, 3, 8, 8)", "(16, 3, 8, 8)");
    put_copy(SMALL "/open_p16_f16/open_clip_model.safetensors", "model.safetensors");
    refused(ERR_FORMAT, "has no tensor vision_model.embeddings.patch_embedding.weight",
            "model.safetensors");
    assert_int_equal(
        file_read(SMALL "/legacy_p8_f32/model.safetensors", 1 << 24, &data, &len, &err), 0);
    put("model.safetensors", data, len - 1);
    refused(ERR_FORMAT, "truncated", "model.safetensors");
    put("model.safetensors", data, 100);
    refused(ERR_FORMAT, "truncated", "model.safetensors");
    free(data);
    take_away("model.safetensors");
    take_away("pytorch_model.bin");
}

static void bad_indexes_are_refused(void **state)
{
    (void)state;
    const char *const index = "model.safetensors.index.json";
    put_text(index, "{\"weight_map\":{\"a\":\"../x.safetensors\"}}");
    refused(ERR_FORMAT, "plain file name", index);
    put_text(index, "{\"weight_map\":{\"a\":3}}");
    refused(ERR_FORMAT, "plain file name", index);
    put_text(index, "{\"weight_map\":[]}");
    refused(ERR_FORMAT, "no weight_map", index);
    put_text(index, "{\"weight_map\":{\"a\":\"missing.safetensors\"}}");
    refused(ERR_NOTFOUND, "missing.safetensors", "No such file");
    put_copy(SMALL "/legacy_p8_f32/model.safetensors", "part.safetensors");
    put_text(index, "{\"weight_map\":{\"a\":\"part.safetensors\"}}");
    refused(ERR_FORMAT, "says that part.safetensors holds the tensor a", index);
    put_text(index, "{\"weight_map\":{\"logit_scale\":\"part.safetensors\"}}");
    struct model m = must_open(folder, cpu_detect());
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_equal_the_reference),
        cmocka_unit_test(full_size_embeddings_equal_the_reference),
        cmocka_unit_test(facts_are_those_of_the_files),
        cmocka_unit_test(masked_attention_equals_the_reference),
        cmocka_unit_test(a_causal_mask_hides_what_follows),
        cmocka_unit_test(folders_that_do_not_fit_are_refused),
        cmocka_unit_test(bad_indexes_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
