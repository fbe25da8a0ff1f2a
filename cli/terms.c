/* The terms of a search, as they stand on the command line (terms.h). */
#include "cli/terms.h"

#include "base/buf.h"
#include "base/mem.h"
#include "storage/query.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES ((size_t)1 << 20)

/* The term that is being put together. */
struct draft {
    struct buf  words;
    bool        has_words;
    const char *sign;   /* the "+" or "-" that began it, or NULL */
    const char *scale;  /* the argument that held its weight, or NULL */
    double      weight; /* without the sign */
};

static void draft_reset(struct draft *d)
{
    buf_reset(&d->words);
    d->has_words = false;
    d->sign      = NULL;
    d->scale     = NULL;
    d->weight    = 1;
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n\v\f")] == '\0';
}

static int add_word(struct draft *d, const char *word, struct err *err)
{
    int rc = d->has_words ? buf_append_str(&d->words, " ", err) : 0;
    if (!rc)
        rc = buf_append_str(&d->words, word, err);
    d->has_words = true;
    return rc;
}

static int terms_add(struct terms *out, const struct draft *d, bool is_image, const char *text,
                     struct err *err)
{
    if (out->n == QUERY_MAX_TERMS)
        return err_set(err, ERR_USAGE, "a search has at most %d terms", QUERY_MAX_TERMS);
    char *copy = mem_strdup(text);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory");
    double sign          = d->sign && *d->sign == '-' ? -1 : 1;
    out->items[out->n++] = (struct term){(float)(sign * d->weight), is_image, copy};
    return 0;
}

static bool draft_begun(const struct draft *d)
{
    return !d->has_words && (d->sign || d->scale);
}

/* Ends the term in d: a text or, if may_be_file, a picture. */
static int draft_end(struct draft *d, bool may_be_file, bool (*is_file)(const char *),
                     struct terms *out, struct err *err)
{
    const char *text = buf_str(&d->words);
    if (!d->has_words && !draft_begun(d))
        return 0; /* nothing was there, and nothing announced it */
    if (is_blank(text)) {
        if (d->scale)
            return err_set(err, ERR_USAGE, "nothing follows the weight %s", d->scale);
        if (d->sign)
            return err_set(err, ERR_USAGE, "nothing follows the sign %s", d->sign);
        return err_set(err, ERR_USAGE, "a term of the search is empty");
    }
    bool image = may_be_file && strchr(text, '/') && is_file(text);
    int  rc    = terms_add(out, d, image, text, err);
    draft_reset(d);
    return rc;
}

/* The length of a weight ("2:", "0.5:", ".5:") at the start of word, 0 if there
 * is none. */
static size_t weight_length(const char *word)
{
    size_t whole = strspn(word, "0123456789");
    size_t n     = whole;
    size_t part  = 0;
    if (word[n] == '.') {
        part = strspn(word + n + 1, "0123456789");
        n += 1 + part;
    }
    return whole + part > 0 && word[n] == ':' ? n + 1 : 0;
}

/* A word before `--`: a sign, a weight with or without a word, or a word. */
static int take_word(struct draft *d, const char *word, bool (*is_file)(const char *),
                     struct terms *out, struct err *err)
{
    if (strcmp(word, "+") == 0 || strcmp(word, "-") == 0) {
        int rc  = draft_end(d, true, is_file, out, err);
        d->sign = word;
        return rc;
    }
    size_t n = d->has_words || d->scale ? 0 : weight_length(word);
    if (n) {
        d->scale  = word;
        d->weight = strtod(word, NULL);
        if (!(d->weight <= QUERY_MAX_WEIGHT))
            return err_set(err, ERR_USAGE, "the weight %s is too large", word);
        word += n;
        if (!*word)
            return 0;
    }
    return add_word(d, word, err);
}

static int take_image(struct draft *d, const char *path, struct terms *out, struct err *err)
{
    if (draft_begun(d)) {
        int rc = terms_add(out, d, true, path, err);
        draft_reset(d);
        return rc;
    }
    const struct draft wanted = {.weight = 1};
    return terms_add(out, &wanted, true, path, err);
}

int terms_parse(const struct args *args, bool (*is_file)(const char *path), struct terms *out,
                struct err *err)
{
    struct draft d;
    bool         literal = false;
    int          rc      = 0;
    out->n               = 0;
    out->items           = mem_array(QUERY_MAX_TERMS, sizeof *out->items);
    buf_init(&d.words, TEXT_MAX_BYTES);
    draft_reset(&d);
    if (!out->items)
        rc = err_set(err, ERR_NOMEM, "out of memory");

    for (size_t i = 0; !rc && i < args->n; i++) {
        const struct arg *a = &args->items[i];
        switch (a->kind) {
        case ARG_WORD:
            rc = take_word(&d, a->text, is_file, out, err);
            break;
        case ARG_IMAGE:
            rc = take_image(&d, a->text, out, err);
            break;
        case ARG_END:
            if (!draft_begun(&d))
                rc = draft_end(&d, true, is_file, out, err);
            literal = true;
            break;
        case ARG_LITERAL:
            rc = add_word(&d, a->text, err);
            break;
        }
    }
    if (!rc)
        rc = draft_end(&d, !literal, is_file, out, err);
    if (!rc && out->n == 0)
        rc = err_set(err, ERR_USAGE, "nothing to search for");
    buf_release(&d.words);
    if (rc)
        terms_release(out);
    return rc;
}

void terms_release(struct terms *terms)
{
    if (!terms)
        return;
    for (size_t i = 0; i < terms->n; i++)
        free(terms->items[i].text);
    free(terms->items);
    terms->items = NULL;
    terms->n     = 0;
}

int terms_literal(const struct args *args, char **text, struct err *err)
{
    struct draft d;
    int          rc = 0;
    buf_init(&d.words, TEXT_MAX_BYTES);
    draft_reset(&d);
    for (size_t i = 0; !rc && i < args->n; i++) {
        if (args->items[i].kind == ARG_WORD || args->items[i].kind == ARG_LITERAL)
            rc = add_word(&d, args->items[i].text, err);
    }
    if (!rc && is_blank(buf_str(&d.words)))
        rc = err_set(err, ERR_USAGE, "no text was given");
    if (!rc) {
        *text = buf_steal(&d.words);
        if (!*text)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    buf_release(&d.words);
    return rc;
}
