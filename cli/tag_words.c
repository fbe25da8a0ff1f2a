/* The words of a vocabulary as embeddings: see tag_words.h. A cached file is the
 * embeddings, labels then references, and the hash of these bytes; its name is the hash
 * of everything that they depend on. */
#include "cli/tag_words.h"

#include "cli/eval_encode.h"

#include "base/buf.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "storage/library_match.h"

#include <stdlib.h>
#include <string.h>

#define VERSION   "1"
#define MOST_TEXT ((size_t)64 << 20)

void tag_words_release(struct tag_words *w)
{
    free(w->labels);
    free(w->refs);
    *w = (struct tag_words){0};
}

/* ---- Encoding ---- */

/* The words of all labels in one list: (*n) pointers into v, freed by the caller. */
static const char **list_words(const struct vocabulary *v, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < v->n; i++)
        *n += v->labels[i].n_words;
    const char **list = mem_array(*n, sizeof *list);
    for (size_t i = 0, at = 0; list && i < v->n; i++)
        for (size_t w = 0; w < v->labels[i].n_words; w++)
            list[at++] = v->labels[i].words[w];
    return list;
}

static int encode_labels(struct session *s, const struct vocabulary *v,
                         const struct prompts *prompts, float *out, struct err *err)
{
    size_t       n = 0, dim = (size_t)encoder_info(s->enc)->dim;
    const char **words = list_words(v, &n);
    float       *some  = mem_array(n * dim, sizeof *some);
    int          rc = words && some ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu words", n);
    for (size_t p = 0; !rc && p < prompts->n; p++) {
        rc = prompt_encode(s, prompts->list[p], words, n, some, err);
        for (size_t i = 0, at = 0; !rc && i < v->n; i++)
            for (size_t w = 0; w < v->labels[i].n_words; w++, at++)
                for (size_t d = 0; d < dim; d++)
                    out[i * dim + d] += some[at * dim + d];
    }
    if (!rc)
        rows_normalise(out, v->n, dim);
    free(words);
    free(some);
    return rc;
}

/* ---- Keeping what was encoded ---- */

/* Everything that the embeddings depend on, hashed into a file's name; NULL where there
 * is no place to keep them. */
static char *cache_path(const struct session *s, const struct vocabulary *v,
                        const struct prompts *prompts)
{
    const struct encoder_info *info = encoder_info(s->enc);
    struct buf                 all;
    uint8_t                    hash[HASH_BYTES];
    char                       name[2 * HASH_BYTES + 1];
    buf_init(&all, MOST_TEXT);
    int rc = buf_appendf(&all, NULL, VERSION "\n%s\n%s\n", info->hash, info->precision);
    for (size_t p = 0; p < prompts->n && !rc; p++)
        rc = buf_appendf(&all, NULL, "%s\n", prompts->list[p]);
    for (size_t i = 0; i < v->n && !rc; i++) {
        rc = buf_appendf(&all, NULL, "\n%zu", v->labels[i].n_words);
        for (size_t w = 0; w < v->labels[i].n_words && !rc; w++)
            rc = buf_appendf(&all, NULL, "\t%s", v->labels[i].words[w]);
    }
    char *dir = rc ? NULL : cache_dir("labels");
    hash_bytes(buf_str(&all), all.len, hash);
    hash_hex(hash, name);
    char *path = dir ? path_join(dir, name) : NULL;
    buf_release(&all);
    free(dir);
    return path;
}

static bool cache_read(const char *path, float *labels, size_t n_labels, float *refs, size_t n_refs)
{
    struct file_map map;
    uint8_t         hash[HASH_BYTES];
    size_t          bytes = (n_labels + n_refs) * sizeof *labels;
    if (!path || file_map(&map, path, NULL))
        return false;
    bool sound = map.len == bytes + HASH_BYTES;
    if (sound) {
        hash_bytes(map.data, bytes, hash);
        sound = memcmp(hash, map.data + bytes, HASH_BYTES) == 0;
    }
    if (sound) {
        memcpy(labels, map.data, n_labels * sizeof *labels);
        memcpy(refs, map.data + n_labels * sizeof *labels, n_refs * sizeof *refs);
        cache_touch(path);
    }
    file_unmap(&map);
    return sound;
}

/* One that cannot be written costs only time. */
static void cache_write(const char *path, const float *labels, size_t n_labels, const float *refs,
                        size_t n_refs)
{
    size_t   a = n_labels * sizeof *labels, b = n_refs * sizeof *refs;
    uint8_t *bytes = path ? mem_array(a + b + HASH_BYTES, 1) : NULL;
    if (bytes) {
        char *dir = mem_strndup(path, (size_t)(path_base(path) - path));
        memcpy(bytes, labels, a);
        memcpy(bytes + a, refs, b);
        hash_bytes(bytes, a + b, bytes + a + b);
        if (dir)
            cache_remove_unused(dir);
        (void)file_replace(path, bytes, a + b + HASH_BYTES, NULL);
        free(dir);
    }
    free(bytes);
}

int tag_words_encode(struct session *s, const struct vocabulary *v, const struct prompts *prompts,
                     struct tag_words *out, struct err *err)
{
    size_t dim  = (size_t)encoder_info(s->enc)->dim;
    char  *path = cache_path(s, v, prompts);
    *out        = (struct tag_words){.n_refs = library_match_n_sentences(),
                                     .labels = mem_zeroed(v->n * dim, sizeof *out->labels)};
    out->refs   = mem_array(out->n_refs * dim, sizeof *out->refs);
    int rc      = out->labels && out->refs
                      ? 0
                      : err_set(err, ERR_NOMEM, "out of memory for %zu labels", v->n);
    if (!rc && !cache_read(path, out->labels, v->n * dim, out->refs, out->n_refs * dim)) {
        memset(out->labels, 0, v->n * dim * sizeof *out->labels);
        free(out->refs);
        out->refs = NULL;
        rc        = library_match_sentences(s->enc, &out->refs, &out->n_refs, err);
        if (!rc)
            rc = encode_labels(s, v, prompts, out->labels, err);
        if (!rc)
            cache_write(path, out->labels, v->n * dim, out->refs, out->n_refs * dim);
    }
    free(path);
    if (rc)
        tag_words_release(out);
    return rc;
}
