/* Texts that mean the same: see fold.h. */
#include "text/fold.h"

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef int (*form)(const int32_t *in, size_t n, struct code_points *work, struct code_points *out,
                    struct err *err);

static int in_form(form make, const char *text, char **out, struct err *err)
{
    struct code_points in = {0}, work = {0}, made = {0};
    size_t             n  = strlen(text);
    int                rc = 0;
    for (size_t i = 0; i < n && !rc;) {
        uint32_t cp;
        i += utf8_decode(text + i, n - i, &cp);
        rc = code_points_add(&in, (int32_t)cp, err);
    }
    if (!rc && in.len)
        rc = make(in.data, in.len, &work, &made, err);
    char *to = rc ? NULL : mem_array(made.len * 4 + 1, 1), *p = to;
    if (!rc && !to)
        rc = err_set(err, ERR_NOMEM, "cannot compare a text: out of memory");
    for (size_t i = 0; i < made.len && p; i++)
        p += utf8_encode((uint32_t)made.data[i], p);
    if (p)
        *p = '\0';
    code_points_release(&in);
    code_points_release(&work);
    code_points_release(&made);
    if (!rc)
        *out = to;
    return rc;
}

int text_fold(const char *text, char **out, struct err *err)
{
    return in_form(unicode_nfc_lower, text, out, err);
}

bool text_is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

int text_nfc(const char *text, char **out, struct err *err)
{
    if (!text_is_ascii(text) && utf8_valid(text, strlen(text)))
        return in_form(unicode_nfc, text, out, err);
    *out = mem_strdup(text);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory for a text");
}

bool text_same(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    if (strcmp(a, b) == 0)
        return true;
    if (text_is_ascii(a) && text_is_ascii(b))
        return false;
    bool same = !text_nfc(a, &x, NULL) && !text_nfc(b, &y, NULL) && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}
