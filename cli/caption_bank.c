/* A bank of sentences (caption_bank.h). */
#include "cli/caption_bank.h"

#include "base/buf.h"
#include "base/cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/shipped.h"
#include "cli/eval_encode.h"
#include "cli/output.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)256 << 20)
#define LONGEST    2000  /* bytes of a sentence */
#define FLAT_MAX   20000 /* sentences up to which each is looked at */
#define LEAST_LOOK 64    /* nearest sentences that are judged by their matches */

void caption_bank_release(struct caption_bank *bank)
{
    vindex_free(bank->index);
    free(bank->matches);
    free(bank->sentences);
    free(bank->text);
    *bank = (struct caption_bank){0};
}

/* ---- The file ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_place(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    return (x > y) - (x < y);
}

/* Each sentence once, in the order of the file. */
static void keep_once(struct caption_bank *bank)
{
    size_t kept = 0;
    qsort(bank->sentences, bank->n, sizeof *bank->sentences, by_text);
    for (size_t i = 0; i < bank->n; i++)
        if (kept == 0 || strcmp(bank->sentences[kept - 1], bank->sentences[i]) != 0)
            bank->sentences[kept++] = bank->sentences[i];
    bank->n = kept;
    qsort(bank->sentences, bank->n, sizeof *bank->sentences, by_place);
}

/* The line without blanks at its ends; NULL: nothing that counts. */
static char *trim(char *line)
{
    line += strspn(line, " \t\r");
    size_t n = strlen(line);
    while (n > 0 && strchr(" \t\r", line[n - 1]))
        line[--n] = '\0';
    return n == 0 || *line == '#' ? NULL : line;
}

int caption_bank_parse(char *text, size_t len, const char *what, struct caption_bank *out,
                       struct err *err)
{
    size_t room = 1, number = 0;
    int    rc     = 0;
    *out          = (struct caption_bank){.text = text};
    size_t faulty = utf8_faulty_line(text, len);
    if (faulty)
        rc =
            err_set(err, ERR_FORMAT, "cannot read %s: line %zu is not text in UTF-8", what, faulty);
    for (size_t i = 0; i < len && !rc; i++)
        room += text[i] == '\n';
    if (!rc && !(out->sentences = mem_array(room, sizeof *out->sentences)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu sentences", room);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* some editors' mark */
        text += 3;
    for (char *line = text, *end; line && !rc; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        number++;
        char *sentence = trim(line);
        if (!sentence)
            continue;
        if (strlen(sentence) > LONGEST)
            rc = err_set(err, ERR_LIMIT, "%s, line %zu: a sentence has at most %d bytes", what,
                         number, LONGEST);
        else if (out->n == CAPTION_SENTENCES)
            rc = err_set(err, ERR_LIMIT, "%s has more than %d sentences", what, CAPTION_SENTENCES);
        else
            out->sentences[out->n++] = sentence;
    }
    if (!rc && out->n == 0)
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it has no sentences", what);
    if (rc)
        caption_bank_release(out);
    else
        keep_once(out);
    return rc;
}

/* ---- Its index ---- */

/* What the index depends on, in a file's name; NULL where there is no place for it. stamp:
 * part of the same hash. */
static char *cache_path(const struct encoder_info *info, const struct caption_bank *bank,
                        int64_t *stamp)
{
    struct buf all;
    uint8_t    hash[HASH_BYTES];
    char       name[2 * HASH_BYTES + 8];
    buf_init(&all, MOST_BYTES + 1024);
    int rc = buf_appendf(&all, NULL, "1\n%s\n%s\n", info->hash, info->precision);
    for (size_t i = 0; i < bank->n && !rc; i++)
        rc = buf_appendf(&all, NULL, "%s\n", bank->sentences[i]);
    hash_bytes(buf_str(&all), all.len, hash);
    memcpy(stamp, hash, sizeof *stamp);
    hash_hex(hash, name);
    snprintf(name + sizeof name - 8, 8, ".faiss");
    char *dir  = rc ? NULL : cache_dir("captions");
    char *path = dir ? path_join(dir, name) : NULL;
    buf_release(&all);
    free(dir);
    return path;
}

static bool cache_read(const char *path, const struct encoder_info *info, int64_t stamp, size_t n,
                       struct vindex **out)
{
    if (!path || vindex_open(path, false, out, NULL))
        return false;
    const struct vindex_info *have = vindex_info(*out);
    bool sound = have->dim == info->dim && have->stamp == stamp && have->count == (int64_t)n &&
                 strcmp(have->model_hash, info->hash) == 0;
    if (!sound) {
        vindex_free(*out);
        *out = NULL;
    } else {
        cache_touch(path);
    }
    return sound;
}

/* One that cannot be written costs only time. */
static void cache_write(const char *path, struct vindex *ix, const struct encoder_info *info,
                        int64_t stamp)
{
    char *dir = path ? mem_strndup(path, (size_t)(path_base(path) - path)) : NULL;
    if (dir) {
        cache_remove_unused(dir);
        (void)vindex_write(ix, path, 1, stamp, info->hash, NULL);
    }
    free(dir);
}

static int make_index(struct session *s, struct caption_bank *bank, struct err *err)
{
    const struct encoder_info *info = encoder_info(s->enc);
    size_t                     dim  = (size_t)info->dim;
    bool                       sums = info->distance == DISTANCE_MANHATTAN;
    float                     *x    = mem_array(bank->n * dim, sizeof *x);
    int64_t                   *ids  = mem_array(bank->n, sizeof *ids);
    int rc = x && ids ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu sentences", bank->n);
    if (!rc && bank->n > FLAT_MAX)
        note(s->common, "encoding %zu sentences, once", bank->n);
    if (!rc)
        rc = encode_texts(s, bank->sentences, bank->n, x, err);
    for (size_t i = 0; i < bank->n && !rc; i++)
        ids[i] = (int64_t)i;
    if (!rc)
        rc = vindex_new(bank->n > FLAT_MAX && !sums ? VINDEX_HNSW : VINDEX_FLAT,
                        sums ? VINDEX_MANHATTAN : VINDEX_PRODUCT, info->dim, (int64_t)bank->n,
                        &bank->index, err);
    if (!rc)
        rc = vindex_add(bank->index, bank->n, ids, x, err);
    free(x);
    free(ids);
    return rc;
}

/* A sentence as a query over the library: how its scores scatter there. The picture is given
 * and the sentence is chosen, so the best of unrelated ones is that of the bank's. */
static int measure(struct session *s, struct caption_bank *bank, struct err *err)
{
    size_t dim    = (size_t)vindex_info(bank->index)->dim;
    float *x      = mem_array(bank->n * dim, sizeof *x);
    bank->matches = mem_zeroed(bank->n, sizeof *bank->matches);
    int rc        = x && bank->matches
                        ? vindex_vectors(bank->index, 0, (int64_t)bank->n, x, err)
                        : err_set(err, ERR_NOMEM, "out of memory for %zu sentences", bank->n);
    for (size_t i = 0; i < bank->n && !rc; i++) {
        rc = library_match_begin(s->lib, x + i * dim, LIBRARY_QUERY_TEXT, &bank->matches[i], err);
        bank->matches[i].images = (double)(bank->n > 2 ? bank->n : 2);
    }
    free(x);
    return rc;
}

int caption_bank_open(struct session *s, const char *name, struct caption_bank *out,
                      struct err *err)
{
    char    *path = NULL, *cached = NULL;
    uint8_t *text  = NULL;
    size_t   len   = 0;
    int64_t  stamp = 0;
    *out           = (struct caption_bank){0};
    int rc         = shipped_find("captions", name, "bank of sentences", &path, err);
    if (!rc)
        rc = file_read(path, MOST_BYTES, &text, &len, err);
    if (!rc) {
        rc = caption_bank_parse((char *)text, len, path, out, err);
    }
    if (!rc)
        rc = session_library(s, err);
    if (!rc)
        rc = session_library_encoder(s, err);
    if (!rc) {
        const struct encoder_info *info = encoder_info(s->enc);
        cached                          = cache_path(info, out, &stamp);
        if (!cache_read(cached, info, stamp, out->n, &out->index)) {
            rc = make_index(s, out, err);
            if (!rc)
                cache_write(cached, out->index, info, stamp);
        }
    }
    if (!rc)
        rc = measure(s, out, err);
    free(path);
    free(cached);
    if (rc)
        caption_bank_release(out);
    return rc;
}

/* ---- Asking it ---- */

static bool better(const struct caption *a, const struct caption *b)
{
    return a->match > b->match || (a->match == b->match && a->sentence < b->sentence);
}

int caption_bank_find(const struct caption_bank *bank, enum distance distance,
                      const float *pictures, size_t n, size_t k, struct caption *out,
                      size_t *counts, struct err *err)
{
    size_t   fetch  = 2 * k > LEAST_LOOK ? 2 * k : LEAST_LOOK;
    int64_t *ids    = mem_array(n * fetch + 1, sizeof *ids);
    float   *scores = mem_array(n * fetch + 1, sizeof *scores);
    int      rc     = ids && scores
                          ? vindex_search_many(bank->index, pictures, n, fetch, 1, ids, scores, err)
                          : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", n);
    for (size_t i = 0; i < n && !rc; i++) {
        struct caption *best = out + i * k;
        size_t          kept = 0;
        for (size_t j = 0; j < fetch && ids[i * fetch + j] >= 0; j++) {
            size_t at           = (size_t)ids[i * fetch + j];
            float  near         = distance_score(distance, scores[i * fetch + j]);
            struct caption this = {at, library_match_of(&bank->matches[at], near)};
            size_t to           = kept < k ? kept++ : k;
            while (to > 0 && better(&this, &best[to - 1])) {
                if (to < k)
                    best[to] = best[to - 1];
                to--;
            }
            if (to < k)
                best[to] = this;
        }
        counts[i] = kept;
    }
    free(ids);
    free(scores);
    return rc;
}
