/* WordPiece tokenizer: see wordpiece.h.
 *
 * Follows Hugging Face's tokenizers (normalizers/bert.rs, pre_tokenizers/bert.rs,
 * models/wordpiece) in this order: special tokens are found in the raw text;
 * what lies between is cleaned, CJK set apart, decomposed (NFD), rid of
 * nonspacing marks, lower-cased code point by code point, split at white space
 * and around punctuation, and matched greedily against the vocabulary.
 *
 * Departure: the text is worked through in pieces that end at ASCII white space,
 * which no step reaches across, so that a long text is left off once enough ids
 * are there. Bytes that are not UTF-8 never touch ASCII ones, so that pieces and
 * special tokens can be found before decoding.
 */
#include "text/wordpiece.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/utf8.h"
#include "text/wordpiece_tables.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#define MAX_VOCAB_BYTES (64u << 20)
#define MAX_WORD        100 /* characters; longer words are [UNK] */
#define MAX_DECOMPOSED  8   /* code points that one can become; 4 in Unicode */

struct slot {
    uint32_t text; /* offset in the vocabulary's text */
    uint32_t len;  /* bytes, 0 in an empty slot */
    int32_t  id;
    bool     inside; /* a "##" piece, stored without the "##" */
};

enum special { CLS, SEP, UNK, MASK, PAD, N_SPECIAL };
static const char *const SPECIAL[N_SPECIAL] = {"[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]"};

struct wordpiece {
    char        *text;  /* the vocabulary file */
    struct slot *slots; /* (mask + 1), open addressing */
    size_t       mask;
    int          size;               /* lines */
    size_t       longest;            /* bytes of the longest token */
    int32_t      special[N_SPECIAL]; /* -1 where the vocabulary lacks it */
};

/* The ids so far and the room that one piece's work needs. */
struct job {
    const struct wordpiece *wp;
    int32_t                *ids;
    int                     n, max;
    uint64_t               *marked; /* code points with class and place: see mark() */
    char                   *word;   /* UTF-8 */
    size_t                  cap;    /* code points that both have room for */
};

static bool in_ranges(uint32_t cp, const struct char_range *ranges, size_t n)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cp > ranges[middle].last)
            low = middle + 1;
        else if (cp < ranges[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}
#define IN(cp, table) in_ranges(cp, table, sizeof table / sizeof table[0])

static bool is_space(uint32_t cp)
{
    static const struct char_range spaces[] = {
        {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
        {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
    return IN(cp, spaces);
}

static bool is_dropped(uint32_t cp)
{
    if (cp < 0x80)
        return (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r') || cp == 0x7F;
    return IN(cp, DROPPED);
}

static bool is_cjk(uint32_t cp)
{
    /* 0x2B920, not 0x2B820: as the reference has it */
    static const struct char_range cjk[] = {
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
        {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    return cp >= 0x3400 && IN(cp, cjk);
}

static bool is_punctuation(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
               (cp >= 123 && cp <= 126);
    return IN(cp, PUNCTUATION);
}

static bool is_nonspacing(uint32_t cp)
{
    return cp >= 0x300 && IN(cp, NONSPACING);
}

/* FNV-1a. */
static uint64_t hash_of(const char *s, size_t len, bool inside)
{
    uint64_t h = inside ? 0x84222325CBF29CE4u : 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

/* The slot that holds the token, or the empty one where it would go. */
static struct slot *slot_for(const struct wordpiece *wp, const char *s, size_t len, bool inside)
{
    for (size_t i = (size_t)hash_of(s, len, inside);; i++) {
        struct slot *slot = &wp->slots[i & wp->mask];
        if (slot->len == 0 || (slot->len == len && slot->inside == inside &&
                               memcmp(wp->text + slot->text, s, len) == 0))
            return slot;
    }
}

static void insert(struct wordpiece *wp, size_t at, size_t len, int32_t id)
{
    if (len == 0)
        return;
    *slot_for(wp, wp->text + at, len, false) =
        (struct slot){.text = (uint32_t)at, .len = (uint32_t)len, .id = id};
    if (len > 2 && memcmp(wp->text + at, "##", 2) == 0)
        *slot_for(wp, wp->text + at + 2, len - 2, true) = (struct slot){
            .text = (uint32_t)at + 2, .len = (uint32_t)len - 2, .id = id, .inside = true};
    if (len > wp->longest)
        wp->longest = len;
}

static int fill_table(struct wordpiece *wp, size_t len, const char *path, struct err *err)
{
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += wp->text[i] == '\n';
    size_t size = 1024;
    while (size < 4 * lines) /* a line takes up to two slots */
        size *= 2;
    wp->mask  = size - 1;
    wp->slots = mem_zeroed(size, sizeof *wp->slots);
    if (!wp->slots)
        return err_set(err, ERR_NOMEM, "cannot read %s: out of memory", path);
    int32_t id = 0;
    for (size_t at = 0; at < len; id++) {
        const char *end          = memchr(wp->text + at, '\n', len - at);
        size_t      next         = end ? (size_t)(end - wp->text) : len;
        size_t      size_of_line = next - at;
        if (size_of_line && wp->text[next - 1] == '\r')
            size_of_line--;
        insert(wp, at, size_of_line, id);
        at = next + 1;
    }
    wp->size = id;
    for (int s = 0; s < N_SPECIAL; s++) {
        const struct slot *slot = slot_for(wp, SPECIAL[s], strlen(SPECIAL[s]), false);
        wp->special[s]          = slot->len ? slot->id : -1;
        if (s <= UNK && !slot->len)
            return err_set(err, ERR_FORMAT, "%s has no line %s: it is not a BERT vocabulary", path,
                           SPECIAL[s]);
    }
    return 0;
}

int wordpiece_load(const char *vocab_path, struct wordpiece **out, struct err *err)
{
    struct wordpiece *wp = mem_zeroed(1, sizeof *wp);
    if (!wp)
        return err_set(err, ERR_NOMEM, "cannot read %s: out of memory", vocab_path);
    size_t len;
    int    rc = file_read(vocab_path, MAX_VOCAB_BYTES, (uint8_t **)&wp->text, &len, err);
    if (!rc)
        rc = fill_table(wp, len, vocab_path, err);
    if (rc) {
        wordpiece_free(wp);
        return rc;
    }
    *out = wp;
    return 0;
}

void wordpiece_free(struct wordpiece *wp)
{
    if (!wp)
        return;
    free(wp->text);
    free(wp->slots);
    free(wp);
}

int wordpiece_size(const struct wordpiece *wp)
{
    return wp->size;
}

/* True while there is room, the last place being kept for [SEP]. */
static bool emit(struct job *job, int32_t id)
{
    if (job->n >= job->max - 1)
        return false;
    job->ids[job->n++] = id;
    return job->n < job->max - 1;
}

/* Greedy longest match; [UNK] for the whole word where any part has none. */
static bool match_word(struct job *job, const char *word, size_t len, size_t characters)
{
    const struct wordpiece *wp     = job->wp;
    int                     before = job->n;
    bool                    room   = true;
    if (characters > MAX_WORD)
        return emit(job, wp->special[UNK]);
    /* ids past the room are still matched: a later part may turn it all to [UNK] */
    for (size_t at = 0; at < len;) {
        size_t             end  = len - at > wp->longest ? at + wp->longest : len;
        const struct slot *slot = NULL;
        for (; end > at; end--) {
            if (end < len && ((uint8_t)word[end] & 0xC0) == 0x80)
                continue; /* within a character */
            slot = slot_for(wp, word + at, end - at, at > 0);
            if (slot->len)
                break;
        }
        if (end == at) {
            job->n = before;
            return emit(job, wp->special[UNK]);
        }
        room = emit(job, slot->id) && room;
        at   = end;
    }
    return room;
}

/* Splits normalised code points at white space and around punctuation. */
static bool split_words(struct job *job, const uint64_t *cps, size_t n)
{
    size_t len = 0, characters = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp    = (uint32_t)cps[i] & 0xFFFFFFu;
        bool     punct = is_punctuation(cp);
        bool     space = is_space(cp);
        if ((punct || space) && len) {
            if (!match_word(job, job->word, len, characters))
                return false;
            len = characters = 0;
        }
        if (space)
            continue;
        len += utf8_encode(cp, job->word + len);
        characters++;
        if (punct) {
            if (!match_word(job, job->word, len, 1))
                return false;
            len = characters = 0;
        }
    }
    return len ? match_word(job, job->word, len, characters) : true;
}

/* The code point with its canonical combining class and its place above it, so
 * that sorting numbers is the stable sort that canonical ordering asks for. A
 * mark that is younger than the reference's tables has the class 0 there. */
static uint64_t mark(uint32_t cp, size_t place)
{
    uint64_t class = 0;
    if (cp >= 0x300) {
        const utf8proc_property_t *property = utf8proc_get_property((utf8proc_int32_t)cp);
        if (property->category != UTF8PROC_CATEGORY_MN || is_nonspacing(cp))
            class = (uint8_t)property->combining_class;
    }
    return class << 56 | (uint64_t)(place & 0xFFFFFFFFu) << 24 | cp;
}

static int compare_marks(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void order_marks(uint64_t *cps, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t start   = i;
        bool   ordered = true;
        for (; i < n && cps[i] >> 56; i++)
            ordered = ordered && (i == start || cps[i - 1] <= cps[i]);
        if (!ordered)
            qsort(cps + start, i - start, sizeof *cps, compare_marks);
        i += i == start;
    }
}

/* Canonical decomposition of one code point into out; how many. */
static size_t decompose(uint32_t cp, utf8proc_int32_t *out)
{
    out[0] = (utf8proc_int32_t)cp;
    if (cp < 0xC0 || cp == 0x11938) /* the latter is younger than the reference */
        return 1;
    int              boundclass = 0;
    utf8proc_ssize_t n          = utf8proc_decompose_char((utf8proc_int32_t)cp, out, MAX_DECOMPOSED,
                                                          UTF8PROC_DECOMPOSE, &boundclass);
    if (n >= 1 && n <= MAX_DECOMPOSED)
        return (size_t)n;
    out[0] = (utf8proc_int32_t)cp;
    return 1;
}

/* Room for all that len bytes can become. */
static int reserve(struct job *job, size_t len, struct err *err)
{
    size_t want;
    if (!size_mul(len, MAX_DECOMPOSED + 2, &want))
        return err_set(err, ERR_LIMIT, "cannot tokenize %zu bytes", len);
    if (want <= job->cap)
        return 0;
    uint64_t *marked = mem_regrow(job->marked, want, sizeof *marked);
    if (marked)
        job->marked = marked;
    char *word = mem_regrow(job->word, want, 4);
    if (word)
        job->word = word;
    if (!marked || !word)
        return err_set(err, ERR_NOMEM, "cannot tokenize %zu bytes: out of memory", len);
    job->cap = want;
    return 0;
}

/* Text without special tokens. 1: go on, 0: enough ids. */
static int encode_plain(struct job *job, const char *s, size_t len, struct err *err)
{
    int rc = reserve(job, len, err);
    if (rc)
        return rc;
    size_t n = 0;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        at += utf8_decode(s + at, len - at, &cp);
        if (is_dropped(cp))
            continue;
        bool cjk = is_cjk(cp);
        if (cjk)
            job->marked[n++] = ' ';
        utf8proc_int32_t parts[MAX_DECOMPOSED];
        size_t           n_parts = is_space(cp) ? 0 : decompose(cp, parts);
        for (size_t i = 0; i < n_parts; i++, n++)
            job->marked[n] = mark((uint32_t)parts[i], n);
        if (cjk || !n_parts)
            job->marked[n++] = ' ';
    }
    order_marks(job->marked, n);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp = (uint32_t)job->marked[i] & 0xFFFFFFu;
        if (!is_nonspacing(cp))
            job->marked[kept++] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    }
    return split_words(job, job->marked, kept);
}

/* The special token that s begins with, or N_SPECIAL. */
static int special_at(const struct wordpiece *wp, const char *s, size_t len)
{
    for (int k = 0; k < N_SPECIAL; k++) {
        size_t n = strlen(SPECIAL[k]);
        if (len >= n && wp->special[k] >= 0 && memcmp(s, SPECIAL[k], n) == 0)
            return k;
    }
    return N_SPECIAL;
}

/* Text without ASCII white space. 1: go on, 0: enough ids. */
static int encode_piece(struct job *job, const char *s, size_t len, struct err *err)
{
    size_t start = 0;
    int    go_on = 1;
    for (size_t at = 0; at < len && go_on == 1;) {
        int special = s[at] == '[' ? special_at(job->wp, s + at, len - at) : N_SPECIAL;
        if (special == N_SPECIAL) {
            at++;
            continue;
        }
        if (at > start)
            go_on = encode_plain(job, s + start, at - start, err);
        if (go_on == 1)
            go_on = emit(job, job->wp->special[special]);
        at += strlen(SPECIAL[special]);
        start = at;
    }
    return go_on == 1 && start < len ? encode_plain(job, s + start, len - start, err) : go_on;
}

static bool ends_piece(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int wordpiece_encode(const struct wordpiece *wp, const char *text, size_t len, int32_t *ids,
                     int max_ids, struct err *err)
{
    if (max_ids < 2)
        return err_set(err, ERR_USAGE, "cannot tokenize into %d ids: [CLS] and [SEP] alone are two",
                       max_ids);
    struct job job   = {.wp = wp, .ids = ids, .max = max_ids};
    int        go_on = emit(&job, wp->special[CLS]);
    for (size_t at = 0; at < len && go_on == 1;) {
        size_t start = at;
        while (at < len && !ends_piece(text[at]))
            at++;
        if (at > start)
            go_on = encode_piece(&job, text + start, at - start, err);
        at++;
    }
    free(job.marked);
    free(job.word);
    if (go_on < 0)
        return go_on;
    ids[job.n++] = wp->special[SEP];
    return job.n;
}
