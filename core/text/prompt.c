/* Prompts: see prompt.h. */
#include "text/prompt.h"

#include "base/buf.h"

#include <string.h>

#define MOST_BYTES ((size_t)1 << 16) /* with the label in it */

char *prompt_fill(const char *prompt, const char *label, struct err *err)
{
    struct buf text;
    int        rc = 0;
    buf_init(&text, MOST_BYTES);
    for (const char *mark; !rc && (mark = strstr(prompt, "{}")); prompt = mark + 2) {
        rc = buf_append(&text, prompt, (size_t)(mark - prompt), err);
        if (!rc)
            rc = buf_append_str(&text, label, err);
    }
    if (!rc)
        rc = buf_append_str(&text, prompt, err);
    char *made = rc ? NULL : buf_steal(&text);
    if (!rc && !made)
        err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&text);
    return made;
}
