/* Prompts: see prompts.h. */
#include "cli/prompts.h"

#include "cli/eval_encode.h"

#include "base/file.h"
#include "base/mem.h"
#include "nn/ops.h"
#include "text/prompt.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PROMPTS_FILE ((size_t)1 << 20) /* bytes */

/* Common phrasings of captions: photos near and far, good and bad, one and many,
 * and pictures that are no photos. */
static const char *const usual[] = {"a photo of a {}",        "a photo of the {}",
                                    "a photo of many {}",     "a close-up photo of a {}",
                                    "a blurry photo of a {}", "a photo of a {} in the distance",
                                    "a picture of a {}",      "a drawing of a {}"};
#define USUAL (sizeof usual / sizeof *usual)

static int parse_prompts(char *text, const char *path, struct prompts *out, struct err *err)
{
    size_t line = 0;
    for (char *at = text, *end; at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        if (end)
            *end = '\0';
        line++;
        size_t len = strlen(at);
        if (len > 0 && at[len - 1] == '\r')
            at[--len] = '\0';
        if (len == 0)
            continue;
        if (!strstr(at, "{}"))
            return err_set(err, ERR_FORMAT, "cannot read %s: line %zu has no {} for the label",
                           path, line);
        if (out->n == MAX_PROMPTS)
            return err_set(err, ERR_LIMIT, "cannot read %s: more than %d prompts", path,
                           MAX_PROMPTS);
        out->list[out->n++] = at;
    }
    return out->n ? 0 : err_set(err, ERR_FORMAT, "cannot read %s: it has no prompts", path);
}

int prompts_read(const char *path, struct prompts *out, struct err *err)
{
    size_t len = 0;
    if (!path) {
        memcpy(out->list, usual, sizeof usual);
        out->n = USUAL;
        return 0;
    }
    int    rc     = file_read(path, MAX_PROMPTS_FILE, &out->file, &len, err);
    size_t faulty = rc ? 0 : utf8_faulty_line((const char *)out->file, len);
    if (faulty)
        rc =
            err_set(err, ERR_FORMAT, "cannot read %s: line %zu is not text in UTF-8", path, faulty);
    return rc ? rc : parse_prompts((char *)out->file, path, out, err);
}

void prompts_release(struct prompts *p)
{
    if (p)
        free(p->file);
}

int prompt_encode(struct session *s, const char *prompt, const char *const *labels, size_t n,
                  float *out, struct err *err)
{
    char **texts = mem_zeroed(n, sizeof *texts);
    int    rc    = texts ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu labels", n);
    for (size_t i = 0; !rc && i < n; i++)
        if (!(texts[i] = prompt_fill(prompt, labels[i], err)))
            rc = err ? err->code : ERR_FAILED;
    if (!rc)
        rc = encode_texts(s, (const char *const *)texts, n, out, err);
    for (size_t i = 0; texts && i < n; i++)
        free(texts[i]);
    free(texts);
    return rc;
}

void rows_normalise(float *rows, size_t n, size_t dim)
{
    for (size_t i = 0; i < n; i++)
        ops_l2_normalize(rows + i * dim, (int)dim);
}
