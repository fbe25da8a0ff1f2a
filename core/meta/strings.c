/* Lists of texts, and cleaning them: see strings.h. */
#include "meta/strings.h"

#include "base/mem.h"
#include "text/fold.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void strings_release(struct strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->list[i]);
    free(s->list);
    *s = (struct strings){0};
}

int strings_add(struct strings *s, const char *text, struct err *err)
{
    if (s->n == STRINGS_MOST)
        return err_set(err, ERR_LIMIT, "more than %d texts in one list", STRINGS_MOST);
    if (s->n == s->room) {
        size_t more = s->room ? s->room * 2 : 16;
        char **list = mem_regrow(s->list, more, sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "out of memory for %zu texts", more);
        s->list = list;
        s->room = more;
    }
    char *copy = mem_strdup(text);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory for a text");
    s->list[s->n++] = copy;
    return 0;
}

bool strings_have(const struct strings *s, const char *text)
{
    for (size_t i = 0; i < s->n; i++) {
        if (text_same(s->list[i], text))
            return true;
    }
    return false;
}

int strings_add_new(struct strings *s, const char *text, struct err *err)
{
    return strings_have(s, text) ? 0 : strings_add(s, text, err);
}

int strings_join(struct strings *a, const struct strings *b, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && !rc; i++)
        rc = strings_add_new(a, b->list[i], err);
    return rc;
}

bool strings_equal(const struct strings *a, const struct strings *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; i < a->n && equal; i++)
        equal = !strcmp(a->list[i], b->list[i]);
    return equal;
}

bool strings_match(const struct strings *a, const struct strings *b)
{
    bool match = a->n == b->n;
    for (size_t i = 0; i < a->n && match; i++)
        match = strings_have(b, a->list[i]);
    return match;
}

char *text_clean(const char *text, size_t n, size_t max)
{
    bool latin = !utf8_valid(text, n);
    if (n > max) {
        n = max;
        while (!latin && n && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
    }
    size_t room = max < 2 * n ? max : 2 * n; /* a byte of Latin-1 becomes two */
    char  *out  = mem_array(room + 1, 1);
    if (out)
        utf8_tidy(text, n, latin, out, room);
    return out;
}
