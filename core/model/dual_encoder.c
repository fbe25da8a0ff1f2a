/* The family "vision-text-dual-encoder": an image tower, a text tower and a head, as
 * osprey-small has them. Towers: EfficientNet-Lite0 and BERT. dual_load.c opens it.
 */
#include "model/dual_model.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_TOKENS 512 /* tokens encoded together: their states stay in the caches */
#define CHUNK_TEXTS  128

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Memory of a call for some pictures; parts begin at multiples of 64 bytes. */
struct image_work {
    char  *tower;
    float *pooled; /* (most, features) */
    float *stages; /* (most, stages) */
    float *logits; /* (most, classes) */
    char  *head;
};

static int image_work_reserve(const struct dual *d, struct encoder_scratch *scratch, int most,
                              struct image_work *w, struct err *err)
{
    size_t features = (size_t)effnet_features(d->vision),
           classes  = (size_t)effnet_classes(d->vision);
    size_t tower    = whole_lines(effnet_scratch_size(d->vision, most, scratch->threads));
    size_t pooled   = whole_lines((size_t)most * features * sizeof(float));
    size_t stages   = whole_lines((size_t)most * (size_t)effnet_stages(d->vision) * sizeof(float));
    size_t logits   = whole_lines((size_t)most * classes * sizeof(float));
    size_t head     = head_scratch_size(d->head, most);
    int    rc = encoder_scratch_reserve(scratch, tower + pooled + stages + logits + head, err);
    w->tower  = scratch->memory;
    w->pooled = (float *)(void *)(w->tower + tower);
    w->stages = (float *)(void *)(w->tower + tower + pooled);
    w->logits = (float *)(void *)(w->tower + tower + pooled + stages);
    w->head   = w->tower + tower + pooled + stages + logits;
    return rc;
}

static int dual_image_features(const void *model, struct encoder_scratch *scratch,
                               const uint8_t *pixels, int n, const struct image_features *out,
                               struct err *err)
{
    const struct dual *d        = model;
    ptrdiff_t          features = effnet_features(d->vision), classes = effnet_classes(d->vision);
    ptrdiff_t          size = effnet_image_size(d->vision), grid = effnet_grid(d->vision);
    ptrdiff_t          stages = effnet_stages(d->vision);
    int                most   = n < DUAL_IMAGE_BATCH ? n : DUAL_IMAGE_BATCH;
    struct image_work  w;
    int                rc = n < 1 ? 0 : image_work_reserve(d, scratch, most, &w, err);
    for (int i = 0; !rc && i < n; i += most) {
        int                count  = n - i < most ? n - i : most;
        float             *logits = out->logits || out->embedding ? w.logits : NULL;
        bool               early  = out->stages || (out->embedding && head_takes_stages(d->head));
        struct effnet_seen seen   = {.pooled = w.pooled,
                                     .logits = logits,
                                     .grid = out->regions ? out->regions + i * grid * grid * features
                                                          : NULL,
                                     .stages = early ? w.stages : NULL};
        effnet_forward(d->vision, pixels + i * size * size * 3, count, scratch->threads, w.tower,
                       &seen, NULL);
        if (out->pooled)
            memcpy(out->pooled + i * features, w.pooled,
                   (size_t)(count * features) * sizeof *w.pooled);
        if (out->stages)
            memcpy(out->stages + i * stages, w.stages, (size_t)(count * stages) * sizeof *w.stages);
        if (out->logits)
            memcpy(out->logits + i * classes, w.logits,
                   (size_t)(count * classes) * sizeof *w.logits);
        if (out->embedding) /* overwrites the logits */
            head_images(
                d->head,
                &(struct head_seen){.pooled = w.pooled, .stages = w.stages, .logits = w.logits},
                count, scratch->threads, w.head, out->embedding + (ptrdiff_t)i * head_dim(d->head));
    }
    return rc;
}

static int dual_images(const void *model, struct encoder_scratch *scratch, const uint8_t *pixels,
                       int n, float *out, struct err *err)
{
    return dual_image_features(model, scratch, pixels, n,
                               &(struct image_features){.embedding = out}, err);
}

/* One chunk's tokens. */
struct chunk {
    int32_t *ids;    /* (CHUNK_TOKENS + max_tokens) */
    int     *starts; /* (CHUNK_TEXTS + 1) */
    float   *pooled; /* (CHUNK_TEXTS, hidden) */
    float   *first;  /* (CHUNK_TEXTS, hidden) */
    void    *tower;
};

/* Tokenizes from text i on until the chunk is full; how many texts, or an error. */
static int fill_chunk(const struct dual *d, const struct chunk *c, const char *const *texts, int n,
                      struct err *err)
{
    int count    = 0;
    c->starts[0] = 0;
    while (count < n && count < CHUNK_TEXTS && c->starts[count] < CHUNK_TOKENS) {
        int got = wordpiece_encode(d->wordpiece, texts[count], strlen(texts[count]),
                                   c->ids + c->starts[count], d->max_tokens, err);
        if (got < 0)
            return got;
        c->starts[count + 1] = c->starts[count] + got;
        count++;
    }
    return count;
}

/* Tokenizes texts until a chunk is full, and sees to scratch memory for it and its
 * tower; how many texts, or an error. */
static int take_chunk(const struct dual *d, struct encoder_scratch *scratch,
                      const char *const *texts, int n, struct chunk *c, struct err *err)
{
    size_t hidden = (size_t)bert_hidden(d->text);
    int    most   = CHUNK_TOKENS + d->max_tokens; /* the last text may reach past the limit */
    size_t ids    = whole_lines((size_t)most * sizeof(int32_t));
    size_t starts = whole_lines((CHUNK_TEXTS + 1) * sizeof(int));
    size_t pooled = whole_lines(CHUNK_TEXTS * hidden * sizeof(float));
    size_t fixed  = ids + starts + 2 * pooled;
    /* one short query is the common case: its tower needs far less */
    for (size_t need = fixed;;) {
        int rc = encoder_scratch_reserve(scratch, need, err);
        if (rc)
            return rc;
        char *base = scratch->memory;
        c->ids     = (int32_t *)(void *)base;
        c->starts  = (int *)(void *)(base + ids);
        c->pooled  = (float *)(void *)(base + ids + starts);
        c->first   = (float *)(void *)(base + ids + starts + pooled);
        c->tower   = base + fixed;
        int count  = fill_chunk(d, c, texts, n, err);
        if (count < 0)
            return count;
        need = fixed + larger(bert_scratch_size(d->text, c->starts[count], scratch->threads),
                              head_scratch_size(d->head, count));
        if (need <= scratch->bytes)
            return count;
        /* the tokens are lost with the old memory */
    }
}

static int dual_text_features(const void *model, struct encoder_scratch *scratch,
                              const char *const *texts, int n, const struct text_features *out,
                              struct err *err)
{
    const struct dual *d      = model;
    ptrdiff_t          hidden = bert_hidden(d->text);
    struct chunk       c;
    for (int i = 0, count; i < n; i += count) {
        count = take_chunk(d, scratch, texts + i, n - i, &c, err);
        if (count < 0)
            return count;
        ptrdiff_t from = out->states ? out->starts[i] : 0;
        if (out->states && c.starts[count] > out->capacity - from)
            return err_set(err, ERR_LIMIT, "%d texts have more than %d tokens", n, out->capacity);
        float *pooled = out->pooled ? out->pooled + i * hidden : c.pooled;
        float *first  = out->first ? out->first + i * hidden : c.first;
        bert_forward(d->text, c.ids, c.starts, count, scratch->threads, c.tower, pooled, first,
                     out->states ? out->states + from * hidden : NULL, NULL);
        if (out->embedding)
            head_texts(d->head, &(struct head_read){.pooled = pooled, .first = first}, count,
                       scratch->threads, c.tower,
                       out->embedding + (ptrdiff_t)i * head_dim(d->head));
        for (int t = 1; out->states && t <= count; t++)
            out->starts[i + t] = (int)from + c.starts[t];
    }
    return 0;
}

static int dual_texts(const void *model, struct encoder_scratch *scratch, const char *const *texts,
                      int n, float *out, struct err *err)
{
    return dual_text_features(model, scratch, texts, n, &(struct text_features){.embedding = out},
                              err);
}

static int dual_tokens(const void *model, struct encoder_scratch *scratch, const int32_t *ids,
                       const int32_t *starts, int n, float *out, struct err *err)
{
    const struct dual *d      = model;
    size_t             hidden = (size_t)bert_hidden(d->text);
    size_t             pooled = whole_lines(2 * hidden * sizeof(float));
    for (int i = 0; i < n; i++) {
        int ends[] = {0, starts[i + 1] - starts[i]};
        int rc     = encoder_scratch_reserve(
                scratch,
                pooled + larger(bert_scratch_size(d->text, ends[1], scratch->threads),
                                head_scratch_size(d->head, 1)),
                err);
        if (rc)
            return rc;
        float *x = scratch->memory;
        bert_forward(d->text, ids + starts[i], ends, 1, scratch->threads,
                     (char *)scratch->memory + pooled, x, x + hidden, NULL, NULL);
        head_texts(d->head, &(struct head_read){.pooled = x, .first = x + hidden}, 1,
                   scratch->threads, (char *)scratch->memory + pooled,
                   out + (ptrdiff_t)i * head_dim(d->head));
    }
    return 0;
}

static void dual_as_names(const void *model, float *texts, int n)
{
    head_as_names(((const struct dual *)model)->head, texts, n);
}

static int dual_parts(const void *model, struct encoder_part **parts, size_t *n, struct err *err)
{
    const struct dual *d = model;
    return dual_files_parts(&d->files, prepared_hash(d->towers_kept), parts, n, err);
}

static void dual_feature_sizes(const void *model, struct encoder_feature_sizes *out)
{
    const struct dual *d = model;
    out->image           = effnet_features(d->vision);
    out->stages          = effnet_stages(d->vision);
    out->classes         = effnet_classes(d->vision);
    out->grid            = effnet_grid(d->vision);
    out->region          = out->image;
    out->text            = bert_hidden(d->text);
    out->first           = out->text;
    out->named           = head_classes_dim(d->head);
    out->hash            = prepared_hash(d->towers_kept);
}

static int dual_named_classes(const void *model, float *logits, int n, int threads, float *out,
                              struct err *err)
{
    const struct dual *d       = model;
    float             *scratch = mem_array((size_t)effnet_classes(d->vision), sizeof *scratch);
    if (!scratch)
        return err_set(err, ERR_NOMEM, "out of memory");
    head_classes(d->head, logits, n, threads, scratch, out);
    free(scratch);
    return 0;
}

const struct encoder_family dual_encoder_family = {
    .model_type     = "vision-text-dual-encoder",
    .open           = dual_open,
    .close          = dual_close,
    .images         = dual_images,
    .texts          = dual_texts,
    .tokens         = dual_tokens,
    .as_names       = dual_as_names,
    .feature_sizes  = dual_feature_sizes,
    .named_classes  = dual_named_classes,
    .image_features = dual_image_features,
    .text_features  = dual_text_features,
    .parts          = dual_parts,
};
