/* A model's card: see model_card.h. */
#include "model/model_card.h"

#include "base/file.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CARD ((size_t)4 << 20) /* bytes */

/* Appends the codes in a line: "en", "[en, 'de']", "- en". Comments end it. */
static void add_codes(char *out, const char *line, size_t n)
{
    for (size_t i = 0; i < n && line[i] != '#';) {
        size_t len = 0, have = strlen(out);
        while (i + len < n &&
               (isalnum((unsigned char)line[i + len]) || (len > 0 && strchr("-_", line[i + len]))))
            len++;
        if (len > 0 && have + (have > 0) + len < MODEL_CARD_LANGUAGES) {
            if (have > 0)
                out[have++] = ',';
            memcpy(out + have, line + i, len);
            out[have + len] = '\0';
        }
        i += len ? len : 1;
    }
}

static bool begins(const char *line, size_t n, const char *with)
{
    return n >= strlen(with) && !memcmp(line, with, strlen(with));
}

void model_card_languages(const char *dir, char out[MODEL_CARD_LANGUAGES])
{
    static const char key[] = "language:";
    uint8_t          *data  = NULL;
    size_t            len = 0, lines = 0;
    bool              listing = false; /* below the key */
    char             *path    = path_join(dir, "README.md");
    out[0]                    = '\0';
    int         rc            = path ? file_read(path, MAX_CARD, &data, &len, NULL) : -1;
    const char *at = (const char *)data, *end = rc ? at : at + len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t      n    = (size_t)((stop ? stop : end) - at);
        bool        rule = begins(at, n, "---");
        if (rule != (lines == 0)) /* no first rule, or the second */
            break;
        if (begins(at, n, key)) {
            listing = true;
            add_codes(out, at + sizeof key - 1, n - (sizeof key - 1));
        } else if (listing && n > 0 && strchr("- \t", *at)) {
            add_codes(out, at, n);
        } else if (!rule) {
            listing = false;
        }
        lines++;
        at += n + 1;
    }
    free(data);
    free(path);
}
