/* A byte-pair encoder as a run of 32-bit words: see bpe.h. Reading the JSON files
 * takes tens of milliseconds, which a search would pay each time; this takes one.
 *
 * Layout: a header (below), the bytes' ids, the added tokens (id, switch, length,
 * code points), then the table of merges as it is in memory. Restoring believes
 * nothing: every id is checked against the vocabulary, and the table must have an
 * empty slot, on which looking up ends.
 */
#include "base/mem.h"
#include "text/bpe_table.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC, START, END, UNKNOWN, VOCABULARY, N_ADDED, MASK, HEADER };

#define MAGIC_WORD  0x42504531 /* raised with the layout */
#define BYTE_WORDS  512
#define MERGE_WORDS (sizeof(struct bpe_merge) / sizeof(int32_t))
#define MAX_SLOTS   (1u << 24)

size_t bpe_words(const struct bpe *bpe)
{
    size_t n = HEADER + BYTE_WORDS + ((size_t)bpe->mask + 1) * MERGE_WORDS;
    for (int i = 0; i < bpe->n_added; i++)
        n += 3 + bpe->added[i].len;
    return n;
}

void bpe_store(const struct bpe *bpe, int32_t *words)
{
    words[MAGIC]      = MAGIC_WORD;
    words[START]      = bpe->start;
    words[END]        = bpe->end;
    words[UNKNOWN]    = bpe->unknown;
    words[VOCABULARY] = bpe->vocabulary;
    words[N_ADDED]    = bpe->n_added;
    words[MASK]       = (int32_t)bpe->mask;
    words += HEADER;
    memcpy(words, bpe->byte_id, sizeof bpe->byte_id);
    words += BYTE_WORDS;
    for (int i = 0; i < bpe->n_added; i++) {
        const struct bpe_added *a = &bpe->added[i];
        *words++                  = a->id;
        *words++                  = a->normalized;
        *words++                  = (int32_t)a->len;
        memcpy(words, a->text, a->len * sizeof *words);
        words += a->len;
    }
    memcpy(words, bpe->merges, ((size_t)bpe->mask + 1) * sizeof *bpe->merges);
}

static bool is_id(const struct bpe *bpe, int32_t id)
{
    return id >= 0 && id < bpe->vocabulary;
}

static bool restore_header(struct bpe *bpe, const int32_t *words, size_t n)
{
    if (n < HEADER + BYTE_WORDS || words[MAGIC] != MAGIC_WORD || words[N_ADDED] < 0 ||
        words[N_ADDED] > BPE_MAX_ADDED || words[MASK] < 0 || (uint32_t)words[MASK] >= MAX_SLOTS)
        return false;
    bpe->start      = words[START];
    bpe->end        = words[END];
    bpe->unknown    = words[UNKNOWN];
    bpe->vocabulary = words[VOCABULARY];
    bpe->mask       = (uint32_t)words[MASK];
    memcpy(bpe->byte_id, words + HEADER, sizeof bpe->byte_id);
    for (int i = 0; i < BYTE_WORDS; i++) {
        int32_t id = bpe->byte_id[i / 256][i % 256];
        if (id != -1 && !is_id(bpe, id))
            return false;
    }
    return is_id(bpe, bpe->start) && is_id(bpe, bpe->end) &&
           (bpe->unknown == -1 || is_id(bpe, bpe->unknown)) && (bpe->mask & (bpe->mask + 1)) == 0;
}

/* Returns the words used, 0 when they make no sense. */
static size_t restore_added(struct bpe *bpe, const int32_t *words, size_t n)
{
    if (n < 3 || !is_id(bpe, words[0]) || words[2] < 1 || (size_t)words[2] > n - 3)
        return 0;
    struct bpe_added *a = &bpe->added[bpe->n_added];
    a->len              = (size_t)words[2];
    a->text             = mem_array(a->len, sizeof *a->text);
    if (!a->text)
        return 0;
    bpe->n_added++;
    a->id         = words[0];
    a->normalized = words[1] != 0;
    memcpy(a->text, words + 3, a->len * sizeof *a->text);
    return 3 + a->len;
}

static bool restore_merges(struct bpe *bpe, const int32_t *words, size_t n)
{
    size_t slots = (size_t)bpe->mask + 1, empty = 0;
    if (n != slots * MERGE_WORDS)
        return false;
    bpe->merges = mem_array(slots, sizeof *bpe->merges);
    if (!bpe->merges)
        return false;
    memcpy(bpe->merges, words, slots * sizeof *bpe->merges);
    for (size_t i = 0; i < slots; i++) {
        empty += bpe->merges[i].rank < 0;
        if (bpe->merges[i].rank >= 0 && !is_id(bpe, bpe->merges[i].id))
            return false;
    }
    return empty > 0;
}

int bpe_restore(const int32_t *words, size_t n, struct bpe **out, struct err *err)
{
    struct bpe *bpe  = mem_zeroed(1, sizeof *bpe);
    bool        good = bpe && restore_header(bpe, words, n);
    size_t      at   = HEADER + BYTE_WORDS;
    for (int i = 0; good && i < words[N_ADDED]; i++) {
        size_t used = restore_added(bpe, words + at, n - at);
        good        = used > 0;
        at += used;
    }
    good = good && restore_merges(bpe, words + at, n - at);
    if (!good) {
        bpe_free(bpe);
        return err_set(err, ERR_DAMAGED, "the tokenizer as kept makes no sense");
    }
    *out = bpe;
    return 0;
}
