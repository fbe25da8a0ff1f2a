/* Forms with files: see multipart.h. Names are copied, everything else stays in the
 * body; nothing is allocated. */
#include "searchd/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TYPE         "multipart/form-data"
#define MAX_BOUNDARY 70 /* RFC 2046, 5.1.1 */
#define MAX_HEAD     4096

/* What is left of the body. */
struct rest {
    const uint8_t *at;
    size_t         n;
};

bool multipart_is(const char *content_type)
{
    size_t n = sizeof TYPE - 1;
    return content_type && !strncasecmp(content_type, TYPE, n) &&
           (content_type[n] == '\0' || strchr("; \t", content_type[n]));
}

/* The value of a parameter ("boundary", "name") in a header's value: bare or quoted.
 * false when it is missing or longer than cap. */
static bool parameter(const char *header, size_t len, const char *name, char *out, size_t cap)
{
    const char *end    = header + len;
    size_t      name_n = strlen(name);
    for (const char *at = header; (at = memchr(at, ';', (size_t)(end - at)));) {
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if ((size_t)(end - at) <= name_n || strncasecmp(at, name, name_n) != 0 || at[name_n] != '=')
            continue;
        at += name_n + 1;
        bool   quoted = at < end && *at == '"';
        size_t n      = 0;
        for (at += quoted; at < end; at++) {
            if (quoted ? *at == '"' : *at == ';' || *at == ' ' || *at == '\t')
                break;
            if (quoted && *at == '\\' && at + 1 < end)
                at++;
            if (n + 1 >= cap || *at == '\0')
                return false;
            out[n++] = *at;
        }
        out[n] = '\0';
        return n > 0 && (!quoted || at < end);
    }
    return false;
}

static bool has_parameter(const char *header, size_t len, const char *name)
{
    char value[512];
    return parameter(header, len, name, value, sizeof value);
}

static bool starts(const struct rest *r, const char *text, size_t n)
{
    return r->n >= n && !memcmp(r->at, text, n);
}

static void skip(struct rest *r, size_t n)
{
    r->at += n;
    r->n -= n;
}

/* One header line of a part. */
static int part_header(const uint8_t *line, size_t n, struct multipart_part *part, bool *named,
                       struct err *err)
{
    static const char disposition[] = "Content-Disposition:";
    size_t            d             = sizeof disposition - 1;
    const char       *text          = (const char *)line;
    if (n < d || strncasecmp(text, disposition, d) != 0)
        return 0;
    if (*named || !parameter(text + d, n - d, "name", part->name, sizeof part->name))
        return err_set(err, ERR_FORMAT, "a part of the form has no name of 1 to %d bytes",
                       MULTIPART_MAX_NAME - 1);
    part->has_file_name = has_parameter(text + d, n - d, "filename");
    *named              = true;
    return 0;
}

static int part_head(struct rest *r, struct multipart_part *part, struct err *err)
{
    bool           named = false;
    const uint8_t *from  = r->at;
    for (;;) {
        const uint8_t *end = r->n ? memmem(r->at, r->n, "\r\n", 2) : NULL;
        if (!end || end - from > MAX_HEAD)
            return err_set(err, ERR_FORMAT, "a part of the form has no end to its header");
        size_t n  = (size_t)(end - r->at);
        int    rc = n ? part_header(r->at, n, part, &named, err) : 0;
        skip(r, n + 2);
        if (rc)
            return rc;
        if (n == 0)
            return named ? 0 : err_set(err, ERR_FORMAT, "a part of the form says not what it is");
    }
}

int multipart_parse(const char *content_type, const uint8_t *body, size_t len,
                    struct multipart *out, struct err *err)
{
    char        boundary[MAX_BOUNDARY + 1], delimiter[MAX_BOUNDARY + 8];
    struct rest r = {body, len};
    *out          = (struct multipart){.n = 0};
    if (!multipart_is(content_type) ||
        !parameter(content_type, strlen(content_type), "boundary", boundary, sizeof boundary))
        return err_set(err, ERR_FORMAT, "the form's Content-Type names no boundary");
    size_t n = (size_t)snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    if (!starts(&r, delimiter + 2, n - 2))
        return err_set(err, ERR_FORMAT, "the form does not begin with its boundary");
    skip(&r, n - 2);
    while (!starts(&r, "--", 2)) {
        while (r.n && (*r.at == ' ' || *r.at == '\t'))
            skip(&r, 1);
        if (!starts(&r, "\r\n", 2))
            return err_set(err, ERR_FORMAT, "the form's boundary is not alone on its line");
        skip(&r, 2);
        if (out->n == MULTIPART_MAX_PARTS)
            return err_set(err, ERR_LIMIT, "the form has more than %d parts", MULTIPART_MAX_PARTS);
        struct multipart_part *part = &out->parts[out->n];
        int                    rc   = part_head(&r, part, err);
        if (rc)
            return rc;
        const uint8_t *end = r.n ? memmem(r.at, r.n, delimiter, n) : NULL;
        if (!end)
            return err_set(err, ERR_FORMAT, "the form is cut off in its part %zu", out->n + 1);
        part->data = r.at;
        part->len  = (size_t)(end - r.at);
        skip(&r, part->len + n);
        out->n++;
    }
    return 0;
}

const struct multipart_part *multipart_find(const struct multipart *form, const char *name)
{
    for (size_t i = 0; i < form->n; i++)
        if (!strcmp(form->parts[i].name, name))
            return &form->parts[i];
    return NULL;
}
