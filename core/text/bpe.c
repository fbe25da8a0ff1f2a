/* Encoding with byte pairs: see bpe.h; loading is in bpe_load.c.
 *
 * White space ends pieces, is never part of one, and neither composes nor
 * reorders with its neighbours; so a text is worked through a word at a time,
 * and a long one only as far as its ids are wanted. Merging follows the
 * reference: of all adjacent pairs the one of lowest rank, the leftmost of
 * several, until none is left; a heap keeps that from being quadratic.
 */
#include "text/bpe.h"

#include "base/mem.h"
#include "text/bpe_table.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct symbol {
    int32_t id; /* -1 once it was merged into the one before */
    int32_t prev, next;
};

/* A pair that could be merged, in a heap ordered by rank, then by place. */
struct candidate {
    int32_t rank, at;
    int32_t id; /* of the merged symbol: tells pairs that have changed since */
};

struct job {
    const struct bpe  *bpe;
    int32_t           *ids;
    int                n, max; /* max leaves room for the end token */
    struct code_points word, work, plain;
    struct symbol     *symbols;
    struct candidate  *heap;
    size_t             symbols_cap, n_heap;
    struct err        *err;
};

/* 1: go on, 0: enough ids. */
static int emit(struct job *job, int32_t id)
{
    if (job->n >= job->max)
        return 0;
    job->ids[job->n++] = id;
    return job->n < job->max;
}

static const struct bpe_merge *find_merge(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = bpe_pair(left, right);
    for (uint32_t s = bpe_slot(pair, bpe->mask);; s = (s + 1) & bpe->mask) {
        const struct bpe_merge *m = &bpe->merges[s];
        if (m->rank < 0)
            return NULL;
        if (m->pair == pair)
            return m;
    }
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct job *job, struct candidate c)
{
    size_t i = job->n_heap++;
    while (i > 0 && before(&c, &job->heap[(i - 1) / 2])) {
        job->heap[i] = job->heap[(i - 1) / 2];
        i            = (i - 1) / 2;
    }
    job->heap[i] = c;
}

static struct candidate heap_pop(struct job *job)
{
    struct candidate top = job->heap[0], last = job->heap[--job->n_heap];
    size_t           i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= job->n_heap)
            break;
        if (child + 1 < job->n_heap && before(&job->heap[child + 1], &job->heap[child]))
            child++;
        if (!before(&job->heap[child], &last))
            break;
        job->heap[i] = job->heap[child];
        i            = child;
    }
    job->heap[i] = last;
    return top;
}

static void consider(struct job *job, int32_t at)
{
    const struct symbol *s = &job->symbols[at];
    if (s->next < 0)
        return;
    const struct bpe_merge *m = find_merge(job->bpe, s->id, job->symbols[s->next].id);
    if (m)
        heap_push(job, (struct candidate){.rank = m->rank, .at = at, .id = m->id});
}

static void merge_all(struct job *job, size_t n)
{
    job->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++)
        consider(job, (int32_t)i);
    while (job->n_heap) {
        struct candidate c    = heap_pop(job);
        struct symbol   *left = &job->symbols[c.at];
        if (left->id < 0 || left->next < 0)
            continue;
        struct symbol          *right = &job->symbols[left->next];
        const struct bpe_merge *m     = find_merge(job->bpe, left->id, right->id);
        if (!m || m->id != c.id)
            continue;
        left->id   = c.id;
        right->id  = -1;
        left->next = right->next;
        if (right->next >= 0)
            job->symbols[right->next].prev = c.at;
        if (left->prev >= 0)
            consider(job, left->prev);
        consider(job, c.at);
    }
}

/* Room for a piece of n bytes. A heap holds at most the n - 1 first pairs and
 * two for each of n - 1 merges. */
static int reserve(struct job *job, size_t n)
{
    if (n <= job->symbols_cap)
        return 0;
    size_t            cap     = n < 64 ? 64 : n;
    struct symbol    *symbols = mem_regrow(job->symbols, cap, sizeof *symbols);
    struct candidate *heap    = NULL;
    if (symbols) {
        job->symbols = symbols;
        heap         = mem_regrow(job->heap, cap, 3 * sizeof *heap);
    }
    if (!heap)
        return err_set(job->err, ERR_NOMEM, "cannot tokenize: out of memory for %zu bytes", n);
    job->heap        = heap;
    job->symbols_cap = cap;
    return 0;
}

/* One piece of the pattern. */
static int encode_piece(struct job *job, const int32_t *cp, size_t n)
{
    if (!n)
        return 1;
    size_t  bytes = 0;
    uint8_t last  = 0;
    char    utf8[4];
    for (size_t i = 0; i < n; i++)
        bytes += utf8_encode((uint32_t)cp[i], utf8);
    int rc = reserve(job, bytes);
    if (rc)
        return rc;
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = utf8_encode((uint32_t)cp[i], utf8);
        for (size_t b = 0; b < len; b++) {
            last                  = (uint8_t)utf8[b];
            job->symbols[bytes++] = (struct symbol){.id = job->bpe->byte_id[0][last]};
        }
    }
    job->symbols[bytes - 1].id = job->bpe->byte_id[1][last];
    size_t kept                = 0;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = job->symbols[i].id < 0 ? job->bpe->unknown : job->symbols[i].id;
        if (id < 0)
            continue; /* no token and no unknown one: the reference drops it as well */
        job->symbols[kept] =
            (struct symbol){.id = id, .prev = (int32_t)kept - 1, .next = (int32_t)kept + 1};
        kept++;
    }
    if (!kept)
        return 1;
    job->symbols[kept - 1].next = -1;
    merge_all(job, kept);
    int go_on = 1;
    for (int32_t i = 0; i >= 0 && go_on == 1; i = job->symbols[i].next)
        go_on = emit(job, job->symbols[i].id);
    return go_on;
}

static bool starts_with(const int32_t *cp, size_t n, const char *what, size_t len)
{
    if (n < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (cp[i] != what[i])
            return false;
    }
    return true;
}

/* The length of the piece that cp begins with. */
static size_t piece_length(const int32_t *cp, size_t n)
{
    static const char *const contractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    if (cp[0] == '\'') {
        for (size_t i = 0; i < sizeof contractions / sizeof contractions[0]; i++) {
            size_t len = strlen(contractions[i]);
            if (starts_with(cp, n, contractions[i], len))
                return len;
        }
    }
    enum char_class class = unicode_class(cp[0]);
    size_t len            = 1;
    while (class != CHAR_NUMBER && len < n && unicode_class(cp[len]) == class)
        len++;
    return len;
}

/* Normalised text without white space and without added tokens. */
static int encode_plain(struct job *job, const int32_t *cp, size_t n)
{
    static const char *const specials[] = {"<|startoftext|>", "<|endoftext|>"};
    int                      go_on      = 1;
    for (size_t at = 0; at < n && go_on == 1;) {
        size_t special = 0;
        for (int s = 0; s < 2 && cp[at] == '<' && !special; s++) {
            size_t len = strlen(specials[s]);
            special    = starts_with(cp + at, n - at, specials[s], len) ? len : 0;
        }
        if (!special) {
            size_t len = piece_length(cp + at, n - at);
            go_on      = encode_piece(job, cp + at, len);
            at += len;
            continue;
        }
        /* What only looks like a special token (as "<|EndOfText|>" does once it
         * is in lower case) is cut off from its neighbours, then into three. */
        go_on = encode_piece(job, cp + at, 2);
        if (go_on == 1)
            go_on = encode_piece(job, cp + at + 2, special - 4);
        if (go_on == 1)
            go_on = encode_piece(job, cp + at + special - 2, 2);
        at += special;
    }
    return go_on;
}

/* The longest added token that cp begins with, or NULL. */
static const struct bpe_added *added_at(const struct bpe *bpe, bool normalized, const int32_t *cp,
                                        size_t n)
{
    const struct bpe_added *best = NULL;
    for (int i = 0; i < bpe->n_added; i++) {
        const struct bpe_added *a = &bpe->added[i];
        if (a->normalized == normalized && a->len <= n && (!best || a->len > best->len) &&
            memcmp(a->text, cp, a->len * sizeof *cp) == 0)
            best = a;
    }
    return best;
}

static int encode_between(struct job *job, bool normalized, const int32_t *cp, size_t n);

/* Looks for added tokens, hands on what lies between them. */
static int encode_added(struct job *job, bool normalized, const int32_t *cp, size_t n)
{
    int    go_on = 1;
    size_t start = 0;
    for (size_t at = 0; at < n && go_on == 1;) {
        const struct bpe_added *a = added_at(job->bpe, normalized, cp + at, n - at);
        if (!a) {
            at++;
            continue;
        }
        if (at > start)
            go_on = encode_between(job, normalized, cp + start, at - start);
        if (go_on == 1)
            go_on = emit(job, a->id);
        at += a->len;
        start = at;
    }
    return go_on == 1 && start < n ? encode_between(job, normalized, cp + start, n - start) : go_on;
}

static int encode_between(struct job *job, bool normalized, const int32_t *cp, size_t n)
{
    if (normalized)
        return encode_plain(job, cp, n);
    int rc = unicode_nfc_lower(cp, n, &job->work, &job->plain, job->err);
    return rc ? rc : encode_added(job, true, job->plain.data, job->plain.len);
}

int bpe_encode(const struct bpe *bpe, const char *text, size_t len, int32_t *ids, int max_ids,
               struct err *err)
{
    if (max_ids < 2)
        return err_set(err, ERR_USAGE,
                       "cannot tokenize into %d ids: start and end token alone are two", max_ids);
    if (len > BPE_MAX_TEXT)
        return err_set(err, ERR_LIMIT, "cannot tokenize a text of %zu bytes: the limit is %u", len,
                       BPE_MAX_TEXT);
    struct job job   = {.bpe = bpe, .ids = ids, .max = max_ids - 1, .err = err};
    int        go_on = emit(&job, bpe->start);
    for (size_t at = 0; at < len && go_on == 1;) {
        uint32_t cp;
        job.word.len = 0;
        while (at < len && go_on == 1) {
            at += utf8_decode(text + at, len - at, &cp);
            if (unicode_is_space((int32_t)cp))
                break;
            int rc = code_points_add(&job.word, (int32_t)cp, err);
            if (rc)
                go_on = rc;
        }
        if (go_on == 1 && job.word.len)
            go_on = encode_added(&job, false, job.word.data, job.word.len);
    }
    code_points_release(&job.word);
    code_points_release(&job.work);
    code_points_release(&job.plain);
    free(job.symbols);
    free(job.heap);
    if (go_on < 0)
        return go_on;
    ids[job.n++] = bpe->end;
    return job.n;
}

int bpe_vocabulary(const struct bpe *bpe)
{
    return bpe->vocabulary;
}

int32_t bpe_end(const struct bpe *bpe)
{
    return bpe->end;
}

void bpe_free(struct bpe *bpe)
{
    if (!bpe)
        return;
    for (int i = 0; i < bpe->n_added; i++)
        free(bpe->added[i].text);
    free(bpe->merges);
    free(bpe);
}
