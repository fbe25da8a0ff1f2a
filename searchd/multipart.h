/* Forms with files (multipart/form-data, RFC 7578), parsed where they lie: parts
 * point into the body. */
#ifndef OSPREY_SEARCHD_MULTIPART_H
#define OSPREY_SEARCHD_MULTIPART_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MULTIPART_MAX_PARTS 32
#define MULTIPART_MAX_NAME  64

struct multipart_part {
    char           name[MULTIPART_MAX_NAME];
    bool           has_file_name;
    const uint8_t *data;
    size_t         len; /* bytes */
};

struct multipart {
    struct multipart_part parts[MULTIPART_MAX_PARTS];
    size_t                n;
};

/* Whether a Content-Type is that of a form with files. */
bool multipart_is(const char *content_type);
/* ERR_FORMAT where the body is no such form. */
int  multipart_parse(const char *content_type, const uint8_t *body, size_t len,
                     struct multipart *out, struct err *err);
/* The part of a name, or NULL. */
const struct multipart_part *multipart_find(const struct multipart *form, const char *name);

#endif
