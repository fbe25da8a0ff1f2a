/* What the readers of captions files make, for core/learn/captions*.c alone. */
#ifndef OSPREY_LEARN_CAPTIONS_ROWS_H
#define OSPREY_LEARN_CAPTIONS_ROWS_H

#include "base/err.h"
#include "base/json.h"

#include <stddef.h>

/* One caption. The strings belong to what was read. */
struct row {
    const char *folder; /* before file, or NULL */
    const char *file;
    const char *text;
    int         image; /* filled once all are there */
};

struct rows {
    struct row *data;
    size_t      n, cap;
};

int  rows_push(struct rows *rows, struct row row, struct err *err);
/* Nothing but white space. */
bool text_is_blank(const char *text);

/* Both forms of JSON; path names the file in messages. */
int captions_parse_json(const struct jnode *root, const char *path, const char *split,
                        struct rows *rows, struct err *err);

#endif
