/* Unicode behind utf8proc: see unicode.h.
 *
 * Normal form C: Unicode Standard Annex 15. Departure from calling utf8proc for
 * all of it: combining marks are put in order here, by a counting sort, since
 * utf8proc's exchange sort takes quadratic time on long runs of marks. Code
 * points newer than utf8proc's Unicode have no case and no class. The reference's
 * normal forms are those of Unicode 9 (its classes are newer): what came later
 * neither moves nor composes, and stands between what does.
 */
#include "text/unicode.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#define FIRST_UNSTABLE 0x300 /* all below are their own normal form C and combine with nothing */
#define SHORT_RUN      24    /* marks for which an insertion sort is quicker */
#define I_WITH_DOT     0x130 /* the one character whose lower case is two */
#define DOT_ABOVE      0x307

/* Marks, and two parts of a composition, that came after Unicode 9. */
static const struct {
    int32_t first, last;
} NEWER[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

static bool is_newer(int32_t cp)
{
    size_t low = 0, high = sizeof NEWER / sizeof NEWER[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cp < NEWER[middle].first)
            high = middle;
        else if (cp > NEWER[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

enum char_class unicode_class(int32_t cp)
{
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CHAR_NUMBER;
    default:
        return CHAR_OTHER;
    }
}

bool unicode_is_space(int32_t cp)
{
    if (cp <= ' ')
        return cp == ' ' || (cp >= '\t' && cp <= '\r');
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

static int reserve(struct code_points *s, size_t n, struct err *err)
{
    if (n <= s->cap)
        return 0;
    size_t   cap  = n < 64 ? 64 : n + n / 2;
    int32_t *data = mem_regrow(s->data, cap, sizeof *data);
    if (!data)
        return err_set(err, ERR_NOMEM, "cannot tokenize: out of memory for %zu characters", n);
    s->data = data;
    s->cap  = cap;
    return 0;
}

int code_points_add(struct code_points *s, int32_t cp, struct err *err)
{
    int rc = s->len < s->cap ? 0 : reserve(s, s->len + 1, err);
    if (!rc)
        s->data[s->len++] = cp;
    return rc;
}

void code_points_release(struct code_points *s)
{
    free(s->data);
    *s = (struct code_points){0};
}

static int combining(int32_t cp)
{
    if (cp < FIRST_UNSTABLE)
        return 0;
    int class = utf8proc_get_property(cp)->combining_class;
    return class && is_newer(cp) ? 0 : class;
}

/* Stable, by combining class; spare: (n). */
static void order_marks(int32_t *marks, size_t n, int32_t *spare)
{
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            int32_t mark = marks[i];
            int class    = combining(mark);
            size_t at    = i;
            for (; at > 0 && combining(marks[at - 1]) > class; at--)
                marks[at] = marks[at - 1];
            marks[at] = mark;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[combining(marks[i]) + 1]++;
    for (int c = 1; c < 257; c++)
        start[c] += start[c - 1];
    for (size_t i = 0; i < n; i++)
        spare[start[combining(marks[i])]++] = marks[i];
    memcpy(marks, spare, n * sizeof *marks);
}

/* out = the canonical decomposition of in, marks in order. */
static int decompose(const int32_t *in, size_t n, struct code_points *spare,
                     struct code_points *out, struct err *err)
{
    int32_t parts[16];
    out->len = 0;
    for (size_t i = 0; i < n; i++) {
        int              boundary = 0;
        utf8proc_ssize_t count    = 1;
        parts[0]                  = in[i];
        if (in[i] >= 0x80 && !is_newer(in[i]))
            count = utf8proc_decompose_char(in[i], parts, 16, UTF8PROC_DECOMPOSE, &boundary);
        if (count < 1 || count > 16) { /* not a scalar value: as it is */
            count    = 1;
            parts[0] = in[i];
        }
        for (utf8proc_ssize_t p = 0; p < count; p++) {
            int rc = code_points_add(out, parts[p], err);
            if (rc)
                return rc;
        }
    }
    int rc = reserve(spare, out->len, err);
    for (size_t i = 0; i < out->len && !rc;) {
        size_t end = i;
        while (end < out->len && combining(out->data[end]))
            end++;
        if (end - i > 1)
            order_marks(out->data + i, end - i, spare->data);
        i = end + 1;
    }
    return rc;
}

/* Composes what lies between newer characters; returns the new length. */
static int compose(int32_t *cp, size_t n, size_t *composed, struct err *err)
{
    const utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    *composed                       = 0;
    for (size_t i = 0; i < n; i++) {
        size_t start = i;
        while (i < n && !is_newer(cp[i]))
            i++;
        utf8proc_ssize_t len =
            utf8proc_normalize_utf32(cp + start, (utf8proc_ssize_t)(i - start), options);
        if (len < 0)
            return err_set(err, ERR_FORMAT, "cannot tokenize: %s", utf8proc_errmsg(len));
        memmove(cp + *composed, cp + start, (size_t)len * sizeof *cp);
        *composed += (size_t)len;
        if (i < n)
            cp[(*composed)++] = cp[i];
    }
    return 0;
}

/* *cp (*n): the normal form C of in, which is in itself or in work; out is scratch. */
static int nfc(const int32_t *in, size_t n, struct code_points *work, struct code_points *out,
               const int32_t **cp, size_t *len, struct err *err)
{
    bool stable = true;
    for (size_t i = 0; i < n && stable; i++)
        stable = in[i] < FIRST_UNSTABLE;
    *cp  = in;
    *len = n;
    if (stable)
        return 0;
    int rc = decompose(in, n, out, work, err);
    if (!rc)
        rc = compose(work->data, work->len, len, err);
    *cp = work->data;
    return rc;
}

int unicode_nfc(const int32_t *in, size_t n, struct code_points *work, struct code_points *out,
                struct err *err)
{
    const int32_t *cp;
    int            rc = nfc(in, n, work, out, &cp, &n, err);
    out->len          = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = code_points_add(out, cp[i], err);
    return rc;
}

int unicode_nfc_lower(const int32_t *in, size_t n, struct code_points *work,
                      struct code_points *out, struct err *err)
{
    const int32_t *cp;
    int            rc = nfc(in, n, work, out, &cp, &n, err);
    out->len          = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        if (cp[i] == I_WITH_DOT) {
            rc = code_points_add(out, 'i', err);
            if (!rc)
                rc = code_points_add(out, DOT_ABOVE, err);
        } else {
            rc = code_points_add(out, utf8proc_tolower(cp[i]), err);
        }
    }
    return rc;
}
