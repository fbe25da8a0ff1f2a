/* Texts compared without regard to case: see fold.h. */
#include "text/fold.h"

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <string.h>

int text_fold(const char *text, char **out, struct err *err)
{
    struct code_points in = {0}, work = {0}, low = {0};
    size_t             n  = strlen(text);
    int                rc = 0;
    for (size_t i = 0; i < n && !rc;) {
        uint32_t cp;
        i += utf8_decode(text + i, n - i, &cp);
        rc = code_points_add(&in, (int32_t)cp, err);
    }
    if (!rc && in.len)
        rc = unicode_nfc_lower(in.data, in.len, &work, &low, err);
    char *folded = rc ? NULL : mem_array(low.len * 4 + 1, 1), *p = folded;
    if (!rc && !folded)
        rc = err_set(err, ERR_NOMEM, "cannot fold a text: out of memory");
    for (size_t i = 0; i < low.len && p; i++)
        p += utf8_encode((uint32_t)low.data[i], p);
    if (p)
        *p = '\0';
    code_points_release(&in);
    code_points_release(&work);
    code_points_release(&low);
    if (!rc)
        *out = folded;
    return rc;
}
