/* A whole folder of the default model's family, with towers as narrow as they can
 * be: opened, then one picture and some texts encoded. The head is the zero-shot
 * one or a trained one.
 *
 * Input: a byte, of which 128 asks for the trained head and the rest is n, then n changes of a
 * tensor (2 bytes: which; 1: which dimension, or its dtype, or that it is missing; 2: the value),
 * by which files are made that are sound in themselves; what follows, if anything, is the
 * config.json.
 */
#include "tests/fuzz/fuzz_model.h"

#include "base/mem.h"
#include "model/encoder.h"
#include "model/safetensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TENSORS 400
#define MAX_BYTES   (4u << 20) /* of one file */
#define BLOCKS      16
#define WIDTH       16 /* channels inside each block */
#define FEATURES    16
#define CLASSES     5
#define HIDDEN      8
#define WORDS       13

#define DIM  7 /* of the trained part */
#define WIDE 9

static const char CONFIG[] =
    "{\"model_type\":\"vision-text-dual-encoder\",\"projection_dim\":11,\"vision_config\":{"
    "\"model_type\":\"efficientnet_lite0\",\"image_size\":224,\"hidden_dim\":16,\"num_labels\":5},"
    "\"text_config\":{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":8,"
    "\"intermediate_size\":12,\"layer_norm_eps\":1e-12,\"max_position_embeddings\":20,"
    "\"num_attention_heads\":2,\"num_hidden_layers\":1,\"vocab_size\":13},"
    "\"osprey\":{\"head\":\"conse\",\"temperature\":2.0,\"visual_weight\":0.8,\"max_tokens\":9}}";
static const char TRAINED[] =
    "{\"model_type\":\"vision-text-dual-encoder\",\"projection_dim\":18,\"vision_config\":{"
    "\"model_type\":\"efficientnet_lite0\",\"image_size\":224,\"hidden_dim\":16,\"num_labels\":5},"
    "\"text_config\":{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":8,"
    "\"intermediate_size\":12,\"layer_norm_eps\":1e-12,\"max_position_embeddings\":20,"
    "\"num_attention_heads\":2,\"num_hidden_layers\":1,\"vocab_size\":13},"
    "\"osprey\":{\"head\":\"trained\",\"image_inputs\":[\"pooled:root\",\"classes\"],"
    "\"text_inputs\":[\"mean\",\"first\"],\"mlp\":\"beside\",\"trained_weight\":0.6,"
    "\"class_weight\":0.2,\"visual_weight\":0.2,\"max_tokens\":9,\"distance\":\"manhattan\"}}";
static const char PREPROCESSOR[] =
    "{\"crop_size\":224,\"do_center_crop\":true,\"image_mean\":[0.5,0.5,0.5],"
    "\"image_std\":[0.5,0.5,0.5],\"resample\":3,\"size\":224}";
static const char VOCABULARY[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\nab\n##ab\n!\ndog\n";

struct list {
    struct tensor t[MAX_TENSORS];
    char          names[MAX_TENSORS][96];
    size_t        n, heads; /* the first of heads.safetensors */
};

static void add(struct list *l, const char *name, int n_dims, int64_t a, int64_t b, int64_t c,
                int64_t d)
{
    fuzz_check(l->n < MAX_TENSORS);
    (void)snprintf(l->names[l->n], sizeof l->names[0], "%s", name);
    l->t[l->n] = (struct tensor){.dtype = DTYPE_F32, .n_dims = n_dims, .dims = {a, b, c, d}};
    l->n++;
}

static void add_norm(struct list *l, const char *base, int n)
{
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    char                     name[96];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "vision_model.%s.%s", base, parts[i]);
        add(l, name, 1, n, 0, 0, 0);
    }
}

static void add_conv(struct list *l, const char *base, int out, int in, int k)
{
    char name[96];
    (void)snprintf(name, sizeof name, "vision_model.%s.weight", base);
    add(l, name, 4, out, in, k, k);
}

static void add_vision(struct list *l)
{
    static const int stages[BLOCKS] = {1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 7};
    char             base[64];
    int              in = WIDTH;
    add_conv(l, "_conv_stem", WIDTH, 3, 3);
    add_norm(l, "_bn0", WIDTH);
    for (int i = 0; i < BLOCKS; i++) {
        static const char *const convs[]   = {"expand", "depthwise", "project"};
        const int                size[][3] = {{WIDTH, in, 1}, {WIDTH, 1, 3}, {stages[i], WIDTH, 1}};
        for (int j = i == 0; j < 3; j++) {
            (void)snprintf(base, sizeof base, "_blocks.%d._%s_conv", i, convs[j]);
            add_conv(l, base, size[j][0], size[j][1], size[j][2]);
            (void)snprintf(base, sizeof base, "_blocks.%d._bn%d", i, j);
            add_norm(l, base, size[j][0]);
        }
        in = stages[i];
    }
    add_conv(l, "_conv_head", FEATURES, in, 1);
    add_norm(l, "_bn1", FEATURES);
    add(l, "vision_model._fc.weight", 2, CLASSES, FEATURES, 0, 0);
    add(l, "vision_model._fc.bias", 1, CLASSES, 0, 0, 0);
}

static void add_pair(struct list *l, const char *base, int rows, int cols)
{
    char name[96];
    (void)snprintf(name, sizeof name, "text_model.%s.weight", base);
    add(l, name, cols ? 2 : 1, rows, cols, 0, 0);
    (void)snprintf(name, sizeof name, "text_model.%s.bias", base);
    add(l, name, 1, rows, 0, 0, 0);
}

static void add_text(struct list *l)
{
    add(l, "text_model.embeddings.word_embeddings.weight", 2, WORDS, HIDDEN, 0, 0);
    add(l, "text_model.embeddings.position_embeddings.weight", 2, 20, HIDDEN, 0, 0);
    add(l, "text_model.embeddings.token_type_embeddings.weight", 2, 2, HIDDEN, 0, 0);
    add_pair(l, "embeddings.LayerNorm", HIDDEN, 0);
    add_pair(l, "encoder.layer.0.attention.self.query", HIDDEN, HIDDEN);
    add_pair(l, "encoder.layer.0.attention.self.key", HIDDEN, HIDDEN);
    add_pair(l, "encoder.layer.0.attention.self.value", HIDDEN, HIDDEN);
    add_pair(l, "encoder.layer.0.attention.output.dense", HIDDEN, HIDDEN);
    add_pair(l, "encoder.layer.0.attention.output.LayerNorm", HIDDEN, 0);
    add_pair(l, "encoder.layer.0.intermediate.dense", 12, HIDDEN);
    add_pair(l, "encoder.layer.0.output.dense", HIDDEN, 12);
    add_pair(l, "encoder.layer.0.output.LayerNorm", HIDDEN, 0);
}

static void add_projection(struct list *l, const char *modality, int in)
{
    const struct {
        const char *name;
        int         dims[2];
    } parts[] = {{"mean", {in, 0}},
                 {"scale", {in, 0}},
                 {"linear.weight", {DIM, in}},
                 {"linear.bias", {DIM, 0}},
                 {"mlp.up.weight", {WIDE, in}},
                 {"mlp.up.bias", {WIDE, 0}},
                 {"mlp.down.weight", {DIM, WIDE}},
                 {"norm.weight", {DIM, 0}},
                 {"norm.bias", {DIM, 0}}};
    char name[96];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", modality, parts[i].name);
        add(l, name, parts[i].dims[1] ? 2 : 1, parts[i].dims[0], parts[i].dims[1], 0, 0);
    }
}

/* Applies the changes; the bytes of input that were used. */
static size_t change(struct list *l, const uint8_t *data, size_t size)
{
    size_t at = 1, changes = data[0] & 127;
    for (; changes && at + 5 <= size; changes--, at += 5) {
        struct tensor *t     = &l->t[((size_t)data[at] << 8 | data[at + 1]) % l->n];
        int64_t        value = (int64_t)data[at + 3] << 8 | data[at + 4];
        int            what  = data[at + 2] % 8;
        if (what < 4)
            t->dims[what] = value;
        else if (what == 4)
            t->dtype = (enum dtype)(value % DTYPE_OTHER);
        else if (what == 5)
            t->n_dims = (int)(value % 5);
        else
            l->names[t - l->t][value % 96] = '\0';
    }
    return at;
}

/* Writes tensors from first to last, of ones; false when they are too large or
 * two have one name. */
static bool put_tensors(struct list *l, size_t first, size_t last, const char *file)
{
    static const size_t  sizes[] = {4, 2, 2, 8, 4, 1}; /* by enum dtype */
    static unsigned char ones[MAX_BYTES];
    size_t               total = 0;
    for (size_t i = first; i < last; i++) {
        struct tensor *t = &l->t[i];
        t->name          = l->names[i];
        t->elements      = 1;
        for (int d = 0; d < t->n_dims; d++)
            t->elements = t->elements > MAX_BYTES ? t->elements : t->elements * t->dims[d];
        if (t->elements > MAX_BYTES / 8)
            return false;
        t->bytes = (size_t)t->elements * sizes[t->dtype];
        t->data  = ones;
        total += t->bytes;
    }
    if (total > MAX_BYTES)
        return false;
    if (!ones[1])
        memset(ones, 0x3c, sizeof ones);
    char *path    = fuzz_path(file);
    bool  written = !safetensors_write(path, l->t + first, last - first, NULL, 0, NULL);
    free(path);
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct list l;
    struct encoder    *enc = NULL;
    struct err         err = ERR_INIT;
    if (!size)
        return 0;
    l.n = 0;
    add_vision(&l);
    add_text(&l);
    l.heads = l.n;
    add(&l, "conse.class_embeddings", 2, CLASSES, HIDDEN, 0, 0);
    add(&l, "conse.visual_projection", 2, 3, FEATURES, 0, 0);
    bool trained = data[0] & 128;
    if (trained) {
        add_projection(&l, "image", FEATURES + HIDDEN);
        add_projection(&l, "text", 2 * HIDDEN);
    }
    size_t used = change(&l, data, size);
    if (!put_tensors(&l, 0, l.heads, "dual/model.safetensors") ||
        !put_tensors(&l, l.heads, l.n, "dual/heads.safetensors"))
        return 0;
    if (used < size)
        fuzz_write("dual/config.json", data + used, size - used);
    else
        fuzz_write("dual/config.json", trained ? TRAINED : CONFIG,
                   (trained ? sizeof TRAINED : sizeof CONFIG) - 1);
    fuzz_write("dual/preprocessor_config.json", PREPROCESSOR, sizeof PREPROCESSOR - 1);
    fuzz_write("dual/vocab.txt", VOCABULARY, sizeof VOCABULARY - 1);
    char *cache = fuzz_path("cache");
    fuzz_check(!setenv("XDG_CACHE_HOME", cache, 1));
    char                        *dir     = fuzz_path("dual/");
    const struct encoder_options options = {.precision = data[0] % 3 == 2   ? PRECISION_INT8
                                                         : data[0] % 3 == 1 ? PRECISION_BF16
                                                                            : PRECISION_F32};
    int                          rc      = encoder_open_with(dir, &options, &enc, &err);
    fuzz_check_err(rc, &err);
    fuzz_check(!rc || data[0] & 127 || used < size); /* unchanged, it opens */
    if (!rc)
        fuzz_encode(enc, "b [SEP] 7 \xFF\xC3\xA9 aaaa a a a a a a a", 0);
    encoder_close(enc);
    free(dir);
    free(cache);
    fuzz_empty("cache/osprey/prepared");
    return 0;
}
