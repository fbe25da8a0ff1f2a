/* Loading a byte-pair encoder: see bpe.h.
 *
 * Two layouts: tokenizer.json as the tokenizers library writes it (merges as
 * "a b" or as ["a", "b"]), which wins where both are there, as in transformers;
 * vocab.json (token to id) with merges.txt (a pair a line, best first). Of
 * tokenizer.json the vocabulary, the merges and the added tokens are read; the
 * rest must be what CLIPTokenizer does, since that is what is implemented.
 */
#include "text/bpe.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/bpe_table.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE   (256u << 20) /* bytes */
#define MAX_MERGES (1u << 22)
#define MAX_ID     (1 << 24)
#define MAX_TOKEN  4096 /* bytes */

#define START "<|startoftext|>"
#define END   "<|endoftext|>"

struct loader {
    struct bpe         *bpe;
    const struct jnode *vocab;
    const char         *path; /* what is being read, for messages */
    int32_t             rank; /* of the next merge */
    struct err         *err;
};

static int bad(struct loader *l, const char *what, const char *token)
{
    return err_set(l->err, ERR_FORMAT, "cannot read the tokenizer %s: %s%s%.100s%s", l->path, what,
                   token ? " \"" : "", token ? token : "", token ? "\"" : "");
}

/* The id of a token, -1 where there is none. */
static int32_t id_of(const struct loader *l, const char *token)
{
    int64_t id = -1;
    if (!jnode_to_int(jnode_get(l->vocab, token), &id) || id < 0 || id >= MAX_ID)
        return -1;
    return (int32_t)id;
}

/* The character that stands for a byte in a vocabulary (GPT-2): itself where it
 * is printable Latin-1, else one from U+0100 on. */
static uint32_t byte_character(int byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
        return (uint32_t)byte;
    if (byte <= 32)
        return 0x100u + (uint32_t)byte;
    return byte == 173 ? 0x143u : 0x121u + (uint32_t)(byte - 127);
}

static int read_vocab(struct loader *l)
{
    void               *it = NULL;
    const char         *token;
    const struct jnode *value;
    if (!jnode_is_object(l->vocab) || !jnode_len(l->vocab))
        return bad(l, "it has no vocabulary", NULL);
    while (jnode_next(l->vocab, &it, &token, &value)) {
        int64_t id;
        if (!jnode_to_int(value, &id) || id < 0 || id >= MAX_ID)
            return bad(l, "no id from 0 to 16777215 for the token", token);
        if (id >= l->bpe->vocabulary)
            l->bpe->vocabulary = (int32_t)id + 1;
    }
    for (int b = 0; b < 256; b++) {
        char   token_of[12];
        size_t n              = utf8_encode(byte_character(b), token_of);
        token_of[n]           = '\0';
        l->bpe->byte_id[0][b] = id_of(l, token_of);
        memcpy(token_of + n, "</w>", 5);
        l->bpe->byte_id[1][b] = id_of(l, token_of);
    }
    return 0;
}

static int reserve_merges(struct loader *l, size_t n)
{
    if (n > MAX_MERGES)
        return bad(l, "it has more than 4194304 merges", NULL);
    size_t slots = 64;
    while (slots < 2 * n)
        slots *= 2;
    l->bpe->merges = mem_zeroed(slots, sizeof *l->bpe->merges);
    if (!l->bpe->merges)
        return err_set(l->err, ERR_NOMEM, "cannot read the tokenizer %s: out of memory", l->path);
    l->bpe->mask = (uint32_t)slots - 1;
    for (size_t i = 0; i < slots; i++)
        l->bpe->merges[i].rank = -1;
    return 0;
}

/* The id of two strings as one token. */
static int32_t id_of_both(const struct loader *l, const char *a, size_t a_len, const char *b,
                          size_t b_len)
{
    char token[MAX_TOKEN + 1];
    memcpy(token, a, a_len);
    memcpy(token + a_len, b, b_len);
    token[a_len + b_len] = '\0';
    return id_of(l, token);
}

/* The table has room: reserve_merges counted. A pair given twice has its last
 * rank, as in the reference. */
static int add_merge(struct loader *l, const char *left, size_t left_len, const char *right,
                     size_t right_len)
{
    if (!left_len || !right_len || left_len > MAX_TOKEN / 2 || right_len > MAX_TOKEN / 2)
        return bad(l, "a merge is not made of two tokens", NULL);
    int32_t left_id  = id_of_both(l, left, left_len, "", 0);
    int32_t right_id = id_of_both(l, right, right_len, "", 0);
    int32_t id       = id_of_both(l, left, left_len, right, right_len);
    if (left_id < 0 || right_id < 0 || id < 0) {
        char merge[100];
        (void)snprintf(merge, sizeof merge, "%.*s %.*s", (int)left_len, left, (int)right_len,
                       right);
        return bad(l, "the vocabulary lacks what takes part in the merge", merge);
    }
    uint64_t pair = bpe_pair(left_id, right_id);
    uint32_t s    = bpe_slot(pair, l->bpe->mask);
    while (l->bpe->merges[s].rank >= 0 && l->bpe->merges[s].pair != pair)
        s = (s + 1) & l->bpe->mask;
    l->bpe->merges[s] = (struct bpe_merge){.pair = pair, .rank = l->rank++, .id = id};
    return 0;
}

/* "left right" */
static int add_merge_line(struct loader *l, const char *line, size_t len)
{
    const char *space = memchr(line, ' ', len);
    if (!space || memchr(space + 1, ' ', len - (size_t)(space + 1 - line)))
        return bad(l, "a merge is not made of two tokens", NULL);
    return add_merge(l, line, (size_t)(space - line), space + 1, len - (size_t)(space + 1 - line));
}

static int add_token(struct loader *l, const char *text, int32_t id, bool normalized)
{
    struct bpe *bpe = l->bpe;
    for (int i = 0; i < bpe->n_added; i++) {
        if (bpe->added[i].id == id) {
            bpe->added[i].normalized = normalized;
            return 0;
        }
    }
    size_t len = strlen(text);
    if (bpe->n_added == BPE_MAX_ADDED)
        return bad(l, "it has more than 64 added tokens", NULL);
    if (!len || len > MAX_TOKEN)
        return bad(l, "an added token is empty or longer than 4096 bytes", NULL);
    struct bpe_added *a = &bpe->added[bpe->n_added];
    a->text             = mem_array(len, sizeof *a->text);
    if (!a->text)
        return err_set(l->err, ERR_NOMEM, "cannot read the tokenizer %s: out of memory", l->path);
    bpe->n_added++;
    a->id         = id;
    a->normalized = normalized;
    for (size_t at = 0; at < len;) {
        uint32_t cp;
        at += utf8_decode(text + at, len - at, &cp);
        if (unicode_is_space((int32_t)cp))
            return bad(l, "white space is not supported in the added token", text);
        a->text[a->len++] = (int32_t)cp;
    }
    if (id >= bpe->vocabulary)
        bpe->vocabulary = id + 1;
    return 0;
}

/* Special tokens: from the vocabulary, whatever else is said of them. */
static int find_specials(struct loader *l)
{
    struct bpe *bpe = l->bpe;
    bpe->start      = id_of(l, START);
    bpe->end        = id_of(l, END);
    if (bpe->start < 0 || bpe->end < 0)
        return bad(l, "this is not CLIP's: the vocabulary lacks", bpe->start < 0 ? START : END);
    int rc = add_token(l, START, bpe->start, false);
    return rc ? rc : add_token(l, END, bpe->end, false);
}

static int read_added(struct loader *l, const struct jnode *tokens)
{
    for (size_t i = 0; i < jnode_len(tokens); i++) {
        const struct jnode *token = jnode_at(tokens, i);
        const char         *text;
        int64_t             id;
        bool                flag, normalized = false;
        if (!jnode_to_str(jnode_get(token, "content"), &text) ||
            !jnode_to_int(jnode_get(token, "id"), &id) || id < 0 || id >= MAX_ID)
            return bad(l, "an added token has no content or no id", NULL);
        for (const char *const *key =
                 (const char *const[]){"single_word", "lstrip", "rstrip", NULL};
             *key; key++) {
            if (jnode_to_bool(jnode_get(token, *key), &flag) && flag)
                return err_set(l->err, ERR_UNSUPPORTED,
                               "cannot read the tokenizer %s: the added token \"%.100s\" has the "
                               "switch %s, which is not supported",
                               l->path, text, *key);
        }
        jnode_to_bool(jnode_get(token, "normalized"), &normalized);
        int rc = add_token(l, text, (int32_t)id, normalized);
        if (rc)
            return rc;
    }
    return 0;
}

static int check_model(struct loader *l, const struct jnode *model)
{
    const char *type = "BPE", *suffix = "", *prefix = "";
    jnode_to_str(jnode_get(model, "type"), &type);
    jnode_to_str(jnode_get(model, "end_of_word_suffix"), &suffix);
    jnode_to_str(jnode_get(model, "continuing_subword_prefix"), &prefix);
    if (strcmp(type, "BPE") != 0)
        return bad(l, "CLIP's is of type BPE, this one of type", type);
    if (strcmp(suffix, "</w>") != 0)
        return bad(l, "CLIP's has the end_of_word_suffix \"</w>\", this one", suffix);
    if (*prefix)
        return bad(l, "CLIP's has no continuing_subword_prefix, this one", prefix);
    return 0;
}

static int read_tokenizer_json(struct loader *l, const struct jnode *root)
{
    const struct jnode *model  = jnode_get(root, "model");
    const struct jnode *merges = jnode_get(model, "merges");
    const char         *unknown;
    l->vocab = jnode_get(model, "vocab");
    int rc   = check_model(l, model);
    if (!rc)
        rc = read_vocab(l);
    if (!rc)
        rc = find_specials(l);
    if (!rc && jnode_to_str(jnode_get(model, "unk_token"), &unknown))
        l->bpe->unknown = id_of(l, unknown);
    if (!rc)
        rc = read_added(l, jnode_get(root, "added_tokens"));
    if (!rc)
        rc = reserve_merges(l, jnode_len(merges));
    for (size_t i = 0; i < jnode_len(merges) && !rc; i++) {
        const struct jnode *merge = jnode_at(merges, i);
        const char         *text, *right;
        if (jnode_to_str(merge, &text))
            rc = add_merge_line(l, text, strlen(text));
        else if (jnode_len(merge) == 2 && jnode_to_str(jnode_at(merge, 0), &text) &&
                 jnode_to_str(jnode_at(merge, 1), &right))
            rc = add_merge(l, text, strlen(text), right, strlen(right));
        else
            rc = bad(l, "a merge is not made of two tokens", NULL);
    }
    return rc;
}

static int read_merges(struct loader *l, const char *data, size_t len)
{
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += data[i] == '\n';
    int rc = reserve_merges(l, lines);
    for (size_t at = 0; at < len && !rc;) {
        const char *line = data + at, *end = memchr(line, '\n', len - at);
        size_t      n = end ? (size_t)(end - line) : len - at;
        at += n + 1;
        if (n && line[n - 1] == '\r')
            n--;
        if (n && !(n >= 8 && memcmp(line, "#version", 8) == 0))
            rc = add_merge_line(l, line, n);
    }
    return rc;
}

static int load_pair(struct loader *l, const char *vocab_path, const char *merges_path)
{
    struct jnode *vocab = NULL;
    uint8_t      *data  = NULL;
    size_t        len   = 0;
    l->path             = vocab_path;
    int rc              = jnode_parse_file(vocab_path, MAX_FILE, &vocab, l->err);
    l->vocab            = vocab;
    if (!rc)
        rc = read_vocab(l);
    if (!rc)
        rc = find_specials(l);
    if (!rc) {
        l->bpe->unknown = l->bpe->end;
        l->path         = merges_path;
        rc              = file_read(merges_path, MAX_FILE, &data, &len, l->err);
    }
    if (!rc)
        rc = read_merges(l, (const char *)data, len);
    free(data);
    jnode_free(vocab);
    return rc;
}

int bpe_load(const char *dir, struct bpe **out, struct err *err)
{
    struct bpe   *bpe    = mem_zeroed(1, sizeof *bpe);
    char         *whole  = path_join(dir, "tokenizer.json");
    char         *vocab  = path_join(dir, "vocab.json");
    char         *merges = path_join(dir, "merges.txt");
    struct jnode *root   = NULL;
    struct loader l      = {.bpe = bpe, .err = err};
    int           rc     = 0;
    if (!bpe || !whole || !vocab || !merges) {
        rc = err_set(err, ERR_NOMEM, "cannot read a tokenizer: out of memory");
        goto out;
    }
    bpe->unknown = -1;
    if (file_exists(whole)) {
        l.path = whole;
        rc     = jnode_parse_file(whole, MAX_FILE, &root, err);
        if (!rc)
            rc = read_tokenizer_json(&l, root);
    } else if (file_exists(vocab) && file_exists(merges)) {
        rc = load_pair(&l, vocab, merges);
    } else {
        rc = err_set(err, ERR_NOTFOUND,
                     "%s has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt",
                     dir);
    }
    if (!rc) {
        *out = bpe;
        bpe  = NULL;
    }
out:
    jnode_free(root);
    free(merges);
    free(vocab);
    free(whole);
    bpe_free(bpe);
    return rc;
}
