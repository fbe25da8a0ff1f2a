/* BERT text encoder: see bert.h.
 *
 * Formulas: Devlin et al. 2019 with the post-norm blocks of Vaswani et al. 2017;
 * tensor names are those of transformers' BertModel. Departures: query, key and
 * value are one product; positions and the token type 0 (a text alone has no
 * other) are one table; the pooler ([CLS] through a tanh layer) is left out,
 * since Sentence-Transformers pools by the mean.
 */
#include "model/bert.h"

#include "base/mem.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS    256
#define MAX_SIZE      65536   /* hidden or intermediate */
#define MAX_POSITIONS 1048576 /* and rows of the vocabulary, 16 times that */
#define FEW_TOKENS    32      /* one text a query: threads cost more to wake than they save */
#define MIN_WORK      200000  /* multiply-adds of attention for which threads pay */

struct norm {
    const float *weight, *bias; /* (hidden) */
};

struct layer {
    struct linear qkv;    /* (3 * hidden, hidden) */
    struct linear out;    /* (hidden, hidden) */
    struct linear widen;  /* (intermediate, hidden) */
    struct linear narrow; /* (hidden, intermediate) */
    struct norm   after_attention, after_mlp;
};

struct bert {
    int                  hidden, layers, heads, intermediate, positions, vocab;
    float                eps;
    int64_t              parameters;
    struct tensor        words;     /* (vocab, hidden), in the checkpoint's mapping */
    const float         *placement; /* (positions, hidden): position plus token type 0 */
    struct norm          embedded;
    struct layer        *layer; /* (layers) */
    struct linear_kernel linear;
    attention_kernel     attention;
};

/* What loading passes around. */
struct loader {
    struct bert              *bert;
    const struct safetensors *st;
    const char               *prefix;
    struct prepared          *prepared;
    float                    *scratch; /* the largest tensor, while building */
    size_t                    scratch_floats;
    struct err               *err;
};

static int read_size(const struct jnode *config, const char *key, int max, int *out,
                     struct err *err)
{
    int64_t value = 0;
    if (!jnode_to_int(jnode_get(config, key), &value) || value < 1 || value > max)
        return err_set(err, ERR_FORMAT, "config.json: text_config.%s is not a number from 1 to %d",
                       key, max);
    *out = (int)value;
    return 0;
}

/* A key that, where present, must have the one value that this code does. */
static int require_str(const struct jnode *config, const char *key, const char *want,
                       struct err *err)
{
    const char *value = want;
    jnode_to_str(jnode_get(config, key), &value);
    if (strcmp(value, want) != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "config.json: text_config.%s is \"%.80s\"; only \"%s\" is supported", key,
                       value, want);
    return 0;
}

static int read_config(struct bert *b, const struct jnode *config, struct err *err)
{
    double eps = 1e-12;
    int    rc  = read_size(config, "hidden_size", MAX_SIZE, &b->hidden, err);
    if (!rc)
        rc = read_size(config, "num_hidden_layers", MAX_LAYERS, &b->layers, err);
    if (!rc)
        rc = read_size(config, "num_attention_heads", MAX_SIZE, &b->heads, err);
    if (!rc)
        rc = read_size(config, "intermediate_size", MAX_SIZE, &b->intermediate, err);
    if (!rc)
        rc = read_size(config, "max_position_embeddings", MAX_POSITIONS, &b->positions, err);
    if (!rc)
        rc = read_size(config, "vocab_size", 16 * MAX_POSITIONS, &b->vocab, err);
    if (!rc)
        rc = require_str(config, "hidden_act", "gelu", err);
    if (!rc)
        rc = require_str(config, "position_embedding_type", "absolute", err);
    if (!rc && b->hidden % b->heads != 0)
        rc = err_set(err, ERR_FORMAT,
                     "config.json: text_config.hidden_size (%d) is no multiple of "
                     "num_attention_heads (%d)",
                     b->hidden, b->heads);
    jnode_to_double(jnode_get(config, "layer_norm_eps"), &eps);
    b->eps = (float)eps;
    return rc;
}

/* Finds a tensor by the names of transformers and counts its parameters. cols 0:
 * a vector. */
static int find(struct loader *l, const char *name, int rows, int cols, const struct tensor **out)
{
    char          full[512];
    const int64_t dims[2] = {rows, cols};
    (void)snprintf(full, sizeof full, "%s%s", l->prefix, name);
    int rc = safetensors_require(l->st, full, cols ? 2 : 1, dims, out, l->err);
    if (!rc)
        l->bert->parameters += (*out)->elements;
    return rc;
}

/* Reads a tensor into scratch of the loader, or straight into to. */
static int read_floats(struct loader *l, const struct tensor *t, float *to)
{
    int rc = tensor_to_f32(t, to, l->err);
    return rc ? err_prefix(l->err, "cannot read %s", safetensors_path(l->st)) : 0;
}

static int scratch_for(struct loader *l, size_t floats)
{
    if (floats <= l->scratch_floats)
        return 0;
    free(l->scratch);
    l->scratch        = mem_array(floats, sizeof *l->scratch);
    l->scratch_floats = l->scratch ? floats : 0;
    return l->scratch ? 0 : err_set(l->err, ERR_NOMEM, "cannot prepare a model: out of memory");
}

static int prepare(struct loader *l, const char *name, size_t n, float **out)
{
    char full[512];
    (void)snprintf(full, sizeof full, "%s%s", l->prefix, name);
    return prepared_floats(l->prepared, full, n, out, l->err);
}

/* A linear layer made of one or three tensors that lie one below the other. */
static int load_linear(struct loader *l, const char *as, const char *const *names, int n_names,
                       int rows, int cols, struct linear *out)
{
    char                 name[256];
    const struct tensor *w[3], *b[3];
    float               *weight, *bias;
    int                  n = rows * n_names, rc = 0;
    size_t               each      = (size_t)rows * (size_t)cols;
    enum precision       precision = l->bert->linear.precision;
    /* all of them, before memory of the size that they should have is asked for */
    for (int i = 0; i < n_names && !rc; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", names[i]);
        rc = find(l, name, rows, cols, &w[i]);
        (void)snprintf(name, sizeof name, "%s.bias", names[i]);
        if (!rc)
            rc = find(l, name, rows, 0, &b[i]);
    }
    (void)snprintf(name, sizeof name, "%s.packed", as);
    if (!rc)
        rc = prepare(l, name, linear_packed_bytes(precision, n, cols) / sizeof *weight, &weight);
    (void)snprintf(name, sizeof name, "%s.bias", as);
    if (!rc)
        rc = prepare(l, name, (size_t)n, &bias);
    if (!rc && prepared_building(l->prepared))
        rc = scratch_for(l, each * (size_t)n_names);
    for (int i = 0; i < n_names && !rc && prepared_building(l->prepared); i++) {
        rc = read_floats(l, w[i], l->scratch + each * (size_t)i);
        if (!rc)
            rc = read_floats(l, b[i], bias + (size_t)rows * (size_t)i);
    }
    if (rc)
        return rc;
    if (prepared_building(l->prepared))
        linear_pack(precision, l->scratch, n, cols, weight);
    *out = (struct linear){.weight = weight, .bias = bias, .n = n, .k = cols};
    return 0;
}

/* A vector as it is in the checkpoint, but aligned and in single precision. */
static int load_vector(struct loader *l, const char *name, const float **out)
{
    const struct tensor *t;
    float               *to;
    int                  rc = find(l, name, l->bert->hidden, 0, &t);
    if (!rc)
        rc = prepare(l, name, (size_t)l->bert->hidden, &to);
    if (!rc && prepared_building(l->prepared))
        rc = read_floats(l, t, to);
    if (!rc)
        *out = to;
    return rc;
}

static int load_norm(struct loader *l, const char *name, struct norm *out)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    int rc = load_vector(l, full, &out->weight);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    return rc ? rc : load_vector(l, full, &out->bias);
}

static int load_embeddings(struct loader *l)
{
    struct bert         *b = l->bert;
    const struct tensor *words, *positions, *types;
    float               *sum;
    size_t               n       = (size_t)b->positions * (size_t)b->hidden;
    int64_t              n_types = 0;
    char                 full[512];
    (void)snprintf(full, sizeof full, "%sembeddings.token_type_embeddings.weight", l->prefix);
    const struct tensor *t = safetensors_find(l->st, full);
    if (t && t->n_dims == 2 && t->dims[0] >= 1 && t->dims[0] <= MAX_SIZE)
        n_types = t->dims[0];
    int rc = find(l, "embeddings.word_embeddings.weight", b->vocab, b->hidden, &words);
    if (!rc)
        rc = find(l, "embeddings.position_embeddings.weight", b->positions, b->hidden, &positions);
    if (!rc)
        rc = find(l, "embeddings.token_type_embeddings.weight", n_types ? (int)n_types : 2,
                  b->hidden, &types);
    if (!rc && words->dtype != DTYPE_F32 && words->dtype != DTYPE_F16 &&
        words->dtype != DTYPE_BF16) {
        rc = err_set(l->err, ERR_UNSUPPORTED, "%s: tensor %s is not of F32, F16 or BF16",
                     safetensors_path(l->st), words->name);
    }
    if (!rc)
        rc = prepare(l, "embeddings.placement", n, &sum);
    if (!rc && prepared_building(l->prepared)) {
        rc = scratch_for(l, (size_t)types->elements);
        if (!rc)
            rc = read_floats(l, types, l->scratch);
        if (!rc)
            rc = read_floats(l, positions, sum);
        for (size_t i = 0; i < n && !rc; i++)
            sum[i] += l->scratch[i % (size_t)b->hidden];
    }
    if (rc)
        return rc;
    b->words     = *words;
    b->placement = sum;
    return load_norm(l, "embeddings.LayerNorm", &b->embedded);
}

static int load_layer(struct loader *l, int i, struct layer *layer)
{
    struct bert *b = l->bert;
    char         base[64], as[96], name[5][160];
    (void)snprintf(base, sizeof base, "encoder.layer.%d.", i);
    (void)snprintf(name[0], sizeof name[0], "%sattention.self.query", base);
    (void)snprintf(name[1], sizeof name[1], "%sattention.self.key", base);
    (void)snprintf(name[2], sizeof name[2], "%sattention.self.value", base);
    (void)snprintf(as, sizeof as, "%sattention.self.qkv", base);
    const char *names[3] = {name[0], name[1], name[2]};
    int         rc       = load_linear(l, as, names, 3, b->hidden, b->hidden, &layer->qkv);

    struct {
        const char    *what;
        int            rows, cols;
        struct linear *to;
    } linears[] = {{"attention.output.dense", b->hidden, b->hidden, &layer->out},
                   {"intermediate.dense", b->intermediate, b->hidden, &layer->widen},
                   {"output.dense", b->hidden, b->intermediate, &layer->narrow}};
    for (int k = 0; k < 3 && !rc; k++) {
        (void)snprintf(name[3], sizeof name[3], "%s%s", base, linears[k].what);
        names[0] = name[3];
        rc = load_linear(l, name[3], names, 1, linears[k].rows, linears[k].cols, linears[k].to);
    }
    (void)snprintf(name[4], sizeof name[4], "%sattention.output.LayerNorm", base);
    if (!rc)
        rc = load_norm(l, name[4], &layer->after_attention);
    (void)snprintf(name[4], sizeof name[4], "%soutput.LayerNorm", base);
    return rc ? rc : load_norm(l, name[4], &layer->after_mlp);
}

int bert_load(const struct safetensors *st, const char *prefix, const struct jnode *config,
              struct prepared *p, struct cpu cpu, enum precision precision, struct bert **out,
              struct err *err)
{
    struct bert *b = mem_zeroed(1, sizeof *b);
    if (!b)
        return err_set(err, ERR_NOMEM, "cannot load a text tower: out of memory");
    struct loader l = {.bert = b, .st = st, .prefix = prefix, .prepared = p, .err = err};
    b->linear       = linear_kernel_for(cpu, precision);
    b->attention    = attention_kernel_for(cpu);
    int rc          = read_config(b, config, err);
    if (!rc) {
        b->layer = mem_zeroed((size_t)b->layers, sizeof *b->layer);
        rc       = b->layer ? load_embeddings(&l)
                            : err_set(err, ERR_NOMEM, "cannot load a text tower: out of memory");
    }
    for (int i = 0; i < b->layers && !rc; i++)
        rc = load_layer(&l, i, &b->layer[i]);
    free(l.scratch);
    if (rc) {
        bert_free(b);
        return rc;
    }
    *out = b;
    return 0;
}

void bert_free(struct bert *b)
{
    if (!b)
        return;
    free(b->layer);
    free(b);
}

int bert_hidden(const struct bert *b)
{
    return b->hidden;
}

int bert_max_tokens(const struct bert *b)
{
    return b->positions;
}

int bert_vocabulary(const struct bert *b)
{
    return b->vocab;
}

int64_t bert_parameters(const struct bert *b)
{
    return b->parameters;
}

/* Where a call's scratch lies; all parts begin at multiples of 64 bytes. */
struct work {
    float *x;       /* (tokens, hidden): the states */
    float *y;       /* (tokens, hidden): attention's output, or x before a norm */
    float *wide;    /* (tokens, max(3 * hidden, intermediate)) */
    float *low;     /* activations in reduced precision */
    float *threads; /* attention's, for each thread */
    size_t each;    /* floats a thread */
    size_t floats;  /* in all */
};

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static struct work lay_out(const struct bert *b, int tokens, int threads, float *base)
{
    int         wide    = 3 * b->hidden > b->intermediate ? 3 * b->hidden : b->intermediate;
    int         longest = tokens < b->positions ? tokens : b->positions;
    size_t      narrow  = whole_lines((size_t)tokens * (size_t)b->hidden);
    size_t      broad   = whole_lines((size_t)tokens * (size_t)wide);
    struct work w       = {.each = whole_lines(attention_scratch(longest, b->hidden / b->heads))};
    size_t      most    = (size_t)(b->hidden > b->intermediate ? b->hidden : b->intermediate);
    size_t      low     = linear_scratch(&b->linear, tokens, (int)most) / sizeof(float);
    w.floats            = 2 * narrow + broad + low + w.each * (size_t)(threads < 1 ? 1 : threads);
    if (base) {
        w.x       = base;
        w.y       = w.x + narrow;
        w.wide    = w.y + narrow;
        w.low     = w.wide + broad;
        w.threads = w.low + low;
    }
    return w;
}

size_t bert_scratch_size(const struct bert *b, int total_tokens, int threads)
{
    return lay_out(b, total_tokens, threads, NULL).floats * sizeof(float);
}

/* x = norm(word + position + type) */
static void embed(const struct bert *b, const int32_t *ids, const int *starts, int n, float *x)
{
    size_t        row_bytes = b->words.bytes / (size_t)b->vocab;
    struct tensor row       = b->words;
    row.elements            = b->hidden;
    row.bytes               = row_bytes;
    for (int i = 0; i < n; i++) {
        for (int t = starts[i]; t < starts[i + 1]; t++) {
            float       *to = x + (ptrdiff_t)t * b->hidden;
            const float *at = b->placement + (ptrdiff_t)(t - starts[i]) * b->hidden;
            row.data        = (const char *)b->words.data + row_bytes * (size_t)ids[t];
            (void)tensor_to_f32(&row, to, NULL); /* its dtype was checked at loading */
            for (int d = 0; d < b->hidden; d++)
                to[d] += at[d];
        }
    }
    ops_layernorm(x, starts[n] - starts[0], b->hidden, b->embedded.weight, b->embedded.bias, b->eps,
                  x);
}

static void apply(const struct bert *b, const struct linear *l, int tokens, const float *a,
                  const float *residual, float *c, enum act act, void *low, int threads)
{
    struct linear_call call = {.rows     = tokens,
                               .a        = a,
                               .lda      = l->k,
                               .residual = residual,
                               .ldr      = l->n,
                               .c        = c,
                               .ldc      = l->n,
                               .act      = act,
                               .scratch  = low};
    linear_run(&b->linear, l, &call, threads);
}

static void attend_one(const struct bert *b, const int *starts, int item, const struct work *w,
                       float *scratch)
{
    int              text = item / b->heads;
    struct attention a    = {.tokens   = starts[text + 1] - starts[text],
                             .heads    = b->heads,
                             .head_dim = b->hidden / b->heads,
                             .qkv      = w->wide + (ptrdiff_t)starts[text] * 3 * b->hidden,
                             .ld       = 3 * b->hidden,
                             .out      = w->y + (ptrdiff_t)starts[text] * b->hidden,
                             .ldo      = b->hidden};
    b->attention(&a, item % b->heads, scratch);
}

/* Every head of every text, from w->wide into w->y. */
static void attend(const struct bert *b, const int *starts, int n, int threads,
                   const struct work *w)
{
    int64_t most = 0; /* multiply-adds */
    for (int i = 0; i < n; i++) {
        int64_t tokens = starts[i + 1] - starts[i];
        most += 2 * tokens * tokens * b->hidden;
    }
    threads = most / MIN_WORK < threads ? (int)(most / MIN_WORK) : threads;
    if (threads <= 1) {
        for (int item = 0; item < n * b->heads; item++)
            attend_one(b, starts, item, w, w->threads);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int part = 0; part < threads; part++) {
        float *scratch = w->threads + w->each * (size_t)part;
        for (int item = part; item < n * b->heads; item += threads)
            attend_one(b, starts, item, w, scratch);
    }
}

static void see(const struct bert_tap *tap, const char *stage, int number, const float *data,
                int rows, int hidden)
{
    char name[32];
    if (!tap)
        return;
    if (number >= 0)
        (void)snprintf(name, sizeof name, "%s%d", stage, number);
    tap->see(tap->ctx, number >= 0 ? name : stage, data, rows, hidden);
}

static void pool(const float *x, const int *starts, int n, int hidden, float *pooled)
{
    for (int i = 0; i < n; i++)
        ops_mean_rows(x + (ptrdiff_t)starts[i] * hidden, starts[i + 1] - starts[i], hidden,
                      pooled + (ptrdiff_t)i * hidden);
}

void bert_forward(const struct bert *b, const int32_t *ids, const int *starts, int n, int threads,
                  void *scratch, float *pooled, float *first, float *states,
                  const struct bert_tap *tap)
{
    if (n < 1)
        return;
    int tokens = starts[n];
    /* A team meets dozens of times in one pass; beside a busy indexer each
     * meeting may wait for a time slice. */
    if (tokens < FEW_TOKENS)
        threads = 1;
    struct work w = lay_out(b, tokens, threads, scratch);
    embed(b, ids, starts, n, w.x);
    see(tap, "embeddings", -1, w.x, tokens, b->hidden);
    if (first)
        pool(w.x, starts, n, b->hidden, first);
    for (int i = 0; i < b->layers; i++) {
        const struct layer *l = &b->layer[i];
        apply(b, &l->qkv, tokens, w.x, NULL, w.wide, ACT_NONE, w.low, threads);
        attend(b, starts, n, threads, &w);
        apply(b, &l->out, tokens, w.y, w.x, w.x, ACT_NONE, w.low, threads);
        ops_layernorm(w.x, tokens, b->hidden, l->after_attention.weight, l->after_attention.bias,
                      b->eps, w.x);
        apply(b, &l->widen, tokens, w.x, NULL, w.wide, ACT_GELU, w.low, threads);
        apply(b, &l->narrow, tokens, w.wide, w.x, w.x, ACT_NONE, w.low, threads);
        ops_layernorm(w.x, tokens, b->hidden, l->after_mlp.weight, l->after_mlp.bias, b->eps, w.x);
        see(tap, "layer", i, w.x, tokens, b->hidden);
    }
    pool(w.x, starts, n, b->hidden, pooled);
    see(tap, "pooled", -1, pooled, n, b->hidden);
    if (states)
        memcpy(states, w.x, (size_t)tokens * (size_t)b->hidden * sizeof *states);
}
