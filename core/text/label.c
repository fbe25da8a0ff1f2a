/* Labels: see label.h. */
#include "text/label.h"

#include "base/mem.h"
#include "text/fold.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool has_controls(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}

/* Narrows n bytes from *at to what has no white space around it. */
static size_t trim(const char **at, size_t n)
{
    const char *from = *at, *end = from + n, *last = from; /* after what is no space */
    bool        begun = false;
    while (from < end) {
        uint32_t cp;
        size_t   step = utf8_decode(from, (size_t)(end - from), &cp);
        if (!unicode_is_space((int32_t)cp)) {
            *at   = begun ? *at : from;
            begun = true;
            last  = from + step;
        }
        from += step;
    }
    return begun ? (size_t)(last - *at) : 0;
}

/* Trims each level, in place; false where one has no name. */
static bool tidy_levels(char *label)
{
    char *to = label;
    for (char *level = label, *end; level; level = end ? end + 1 : NULL) {
        const char *name = level;
        end              = strchr(level, LABEL_SEPARATOR);
        size_t n         = trim(&name, end ? (size_t)(end - level) : strlen(level));
        if (n == 0)
            return false;
        memmove(to, name, n);
        to += n;
        *to++ = end ? LABEL_SEPARATOR : '\0';
    }
    return true;
}

int label_tidy(const char *text, size_t longest, char **out, struct err *err)
{
    char *label = NULL;
    if (!utf8_valid(text, strlen(text)))
        return err_set(err, ERR_FORMAT, "the label is not UTF-8");
    if (has_controls(text))
        return err_set(err, ERR_FORMAT, "the label has control characters");
    int rc = text_nfc(text, &label, err);
    if (rc)
        return rc;
    if (!tidy_levels(label))
        rc = err_set(err, ERR_FORMAT,
                     strchr(text, LABEL_SEPARATOR) ? "the label has a level without a name"
                                                   : "the label has no name");
    else if (strlen(label) > longest)
        rc = err_set(err, ERR_FORMAT, "the label has %zu bytes, more than %zu", strlen(label),
                     longest);
    if (rc)
        free(label);
    else
        *out = label;
    return rc;
}
