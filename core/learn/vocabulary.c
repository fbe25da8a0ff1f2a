/* Vocabularies: see vocabulary.h. */
#include "learn/vocabulary.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/shipped.h"
#include "learn/tagger.h"
#include "text/label.h"
#include "text/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)8 << 20)

/* ---- Labels ---- */

static void label_release(struct vocabulary_label *l)
{
    for (size_t i = 0; i < l->n_words; i++)
        free(l->words[i]);
    free(l->words);
    free(l->name);
    *l = (struct vocabulary_label){0};
}

void vocabulary_release(struct vocabulary *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->n; i++)
        label_release(&v->labels[i]);
    free(v->labels);
    *v = (struct vocabulary){0};
}

/* Room for one more, emptied; NULL with err set. */
static struct vocabulary_label *next_label(struct vocabulary *v, struct err *err)
{
    if (v->n == TAGGER_MOST_LABELS) {
        err_set(err, ERR_LIMIT, "a vocabulary has at most %d labels", TAGGER_MOST_LABELS);
        return NULL;
    }
    if ((v->n & (v->n - 1)) == 0) { /* it has doubled */
        size_t                   room = v->n ? 2 * v->n : 1;
        struct vocabulary_label *more = mem_regrow(v->labels, room, sizeof *more);
        if (!more) {
            err_set(err, ERR_NOMEM, "out of memory for %zu labels", room);
            return NULL;
        }
        v->labels = more;
    }
    v->labels[v->n] = (struct vocabulary_label){0};
    return &v->labels[v->n];
}

static int add_label(struct vocabulary *v, const char *name, size_t len, struct err *err)
{
    struct vocabulary_label *l = next_label(v, err);
    if (!l)
        return err ? err->code : ERR_NOMEM;
    if (!(l->name = mem_strndup(name, len)))
        return err_set(err, ERR_NOMEM, "out of memory for labels");
    v->n++;
    return 0;
}

int vocabulary_add(struct vocabulary *v, const char *name, struct err *err)
{
    return add_label(v, name, strlen(name), err);
}

/* By name; of equals the one with words first, then by line. */
static int by_name(const void *a, const void *b)
{
    const struct vocabulary_label *x = a, *y = b;

    int order = strcmp(x->name, y->name);
    if (!order)
        order = (x->n_words < y->n_words) - (x->n_words > y->n_words);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

int vocabulary_settle(struct vocabulary *v, struct err *err)
{
    size_t given = v->n, kept = 0;
    for (size_t i = 0; i < given; i++) {
        const char *name = v->labels[i].name;
        for (const char *bar = name; (bar = strchr(bar, TAGGER_SEPARATOR)); bar++) {
            int rc = add_label(v, name, (size_t)(bar - name), err);
            if (rc)
                return rc;
        }
    }
    if (v->n)
        qsort(v->labels, v->n, sizeof *v->labels, by_name);
    for (size_t i = 0; i < v->n; i++) {
        struct vocabulary_label *l = &v->labels[i];
        if (kept && strcmp(v->labels[kept - 1].name, l->name) == 0)
            label_release(l);
        else if (kept++ != i)
            v->labels[kept - 1] = *l;
    }
    v->n = kept;
    return 0;
}

long vocabulary_find(const struct vocabulary *v, const char *name)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t mid   = low + (high - low) / 2;
        int    order = strcmp(v->labels[mid].name, name);
        if (order == 0)
            return (long)mid;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return -1;
}

/* ---- Reading ---- */

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    size_t len = strlen(s);
    while (len && (s[len - 1] == ' ' || s[len - 1] == '\t' || s[len - 1] == '\r'))
        s[--len] = '\0';
    return s;
}

static int add_word(struct vocabulary_label *l, const char *word, struct err *err)
{
    if (!(l->words[l->n_words] = mem_strdup(word)))
        return err_set(err, ERR_NOMEM, "out of memory for words");
    l->n_words++;
    return 0;
}

static int parse_line(struct vocabulary *v, char *line, const char *what, size_t number,
                      struct err *err)
{
    char *synonyms = strchr(line, '\t');
    if (synonyms)
        *synonyms++ = '\0';
    char *name = NULL;
    int   rc   = label_tidy(line, VOCABULARY_LONGEST, &name, err);
    if (rc)
        return err_prefix(err, "cannot read %s: line %zu", what, number);
    rc = vocabulary_add(v, name, err);
    free(name);
    if (rc)
        return rc;
    struct vocabulary_label *l   = &v->labels[v->n - 1];
    const char              *bar = strrchr(l->name, TAGGER_SEPARATOR);
    l->line                      = number;
    l->words                     = mem_array(VOCABULARY_MOST_WORDS, sizeof *l->words);
    if (!l->words)
        return err_set(err, ERR_NOMEM, "out of memory for words");
    rc = add_word(l, bar ? bar + 1 : l->name, err);
    for (char *word = synonyms, *end; !rc && word; word = end) {
        end = strchr(word, ',');
        if (end)
            *end++ = '\0';
        word = trim(word);
        if (!*word)
            continue;
        if (l->n_words == VOCABULARY_MOST_WORDS)
            return err_set(err, ERR_LIMIT, "cannot read %s: line %zu has more than %d words", what,
                           number, VOCABULARY_MOST_WORDS);
        rc = add_word(l, word, err);
    }
    return rc;
}

static int check_twice(const struct vocabulary *v, const char *what, struct err *err)
{
    for (size_t i = 1; i < v->n; i++)
        if (strcmp(v->labels[i - 1].name, v->labels[i].name) == 0)
            return err_set(err, ERR_FORMAT,
                           "cannot read %s: the label %.200s stands there twice, in lines %zu and "
                           "%zu",
                           what, v->labels[i].name, v->labels[i - 1].line, v->labels[i].line);
    return 0;
}

int vocabulary_parse(char *text, size_t len, const char *what, struct vocabulary *out,
                     struct err *err)
{
    size_t number = 0;
    int    rc     = 0;
    *out          = (struct vocabulary){0};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* some editors' mark */
        text += 3;
        len -= 3;
    }
    size_t faulty = utf8_faulty_line(text, len);
    if (faulty)
        return err_set(err, ERR_FORMAT, "cannot read %s: line %zu is not text in UTF-8", what,
                       faulty);
    for (char *line = text, *end; line && !rc; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        for (size_t n = strlen(line); n && line[n - 1] == '\r'; n--)
            line[n - 1] = '\0';
        number++;
        size_t blank = strspn(line, " \t\r");
        if (line[blank] && line[blank] != '#')
            rc = parse_line(out, line, what, number, err);
    }
    if (!rc && out->n == 0)
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it has no labels", what);
    if (!rc) {
        qsort(out->labels, out->n, sizeof *out->labels, by_name);
        rc = check_twice(out, what, err);
    }
    if (!rc)
        rc = vocabulary_settle(out, err);
    if (rc)
        vocabulary_release(out);
    return rc;
}

int vocabulary_read(const char *name, struct vocabulary *out, struct err *err)
{
    char    *path = NULL;
    uint8_t *text = NULL;
    size_t   len  = 0;
    *out          = (struct vocabulary){0};
    int rc        = shipped_find("vocab", name, "vocabulary", &path, err);
    if (!rc)
        rc = file_read(path, MOST_BYTES, &text, &len, err);
    if (!rc)
        rc = vocabulary_parse((char *)text, len, path, out, err);
    free(text);
    free(path);
    return rc;
}
