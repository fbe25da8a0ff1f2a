/* Names of models on a hub: see model_id.h. What passes here is safe as part of
 * a path: no "..", no leading dot, none but plain characters. */
#include "model/model_id.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* One part between slashes. */
static bool part_valid(const char *s, size_t n)
{
    if (n == 0 || s[0] == '.' || s[0] == '-' || s[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_plain(s[i]) || (i > 0 && s[i] == '.' && s[i - 1] == '.'))
            return false;
    }
    return true;
}

static bool name_valid(const char *s, size_t n)
{
    const char *slash = memchr(s, '/', n);
    if (!slash)
        return false;
    size_t org = (size_t)(slash - s);
    for (size_t i = 1; i < n; i++) {
        if (s[i] == '-' && s[i - 1] == '-')
            return false;
    }
    return part_valid(s, org) && s[org - 1] != '-' && part_valid(slash + 1, n - org - 1);
}

static bool revision_valid(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!part_valid(s, n))
            return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

int model_id_parse(const char *text, struct model_id *out, struct err *err)
{
    size_t      n        = strcspn(text, "@");
    const char *revision = text[n] ? text + n + 1 : "";
    if (n >= sizeof out->name || strlen(revision) >= sizeof out->revision || !name_valid(text, n) ||
        (text[n] && !revision_valid(revision)))
        return err_set(err, ERR_USAGE,
                       "\"%.100s\" is not the name of a model on a hub: it looks like ORG/NAME or "
                       "ORG/NAME@REVISION",
                       text);
    *out = (struct model_id){0};
    memcpy(out->name, text, n);
    memcpy(out->revision, revision, strlen(revision));
    return 0;
}

/* Copies with each from as to; room for n bytes and the NUL. */
static void replace(const char *text, const char *from, const char *to, char *out, size_t n)
{
    size_t at = 0;
    while (*text && at + 1 < n) {
        bool        hit   = strncmp(text, from, strlen(from)) == 0;
        const char *piece = hit ? to : text;
        size_t      len   = hit ? strlen(to) : 1;
        if (at + len >= n)
            break;
        memcpy(out + at, piece, len);
        at += len;
        text += hit ? strlen(from) : 1;
    }
    out[at] = '\0';
}

void model_id_folder(const struct model_id *id, char out[MODEL_ID_MAX])
{
    char whole[MODEL_ID_MAX];
    (void)snprintf(whole, sizeof whole, "%s%s%s", id->name, id->revision[0] ? "@" : "",
                   id->revision);
    replace(whole, "/", "--", out, MODEL_ID_MAX);
}

bool model_id_of_folder(const char *folder, char out[MODEL_ID_MAX])
{
    struct model_id id;
    char            again[MODEL_ID_MAX];
    if (strlen(folder) >= MODEL_ID_MAX)
        return false;
    replace(folder, "--", "/", out, MODEL_ID_MAX);
    if (model_id_parse(out, &id, NULL))
        return false;
    model_id_folder(&id, again);
    return strcmp(again, folder) == 0;
}
