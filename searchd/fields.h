/* Named values of a request, from its query or a JSON object, into a struct of the
 * handler: one table says what there is, of which kind, and within which bounds.
 *
 * Unknown names, wrong kinds, values out of bounds and names given twice are
 * ERR_USAGE, with a message that names the field.
 */
#ifndef OSPREY_SEARCHD_FIELDS_H
#define OSPREY_SEARCHD_FIELDS_H

#include "base/err.h"
#include "base/json.h"
#include "searchd/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_TEXT,  /* const char *, never NULL once seen */
    FIELD_INT,   /* int64_t */
    FIELD_REAL,  /* double */
    FIELD_SINCE, /* int64_t Unix seconds: a number, 2024, 2024-05, 2024-05-01 or
                    2024-05-01T12:30:00Z */
    FIELD_UNTIL, /* the same; a day, month or year means its last second */
    FIELD_FLAG,  /* bool: in a query 1, true, 0 or false */
    FIELD_TEXTS, /* struct field_texts: in a query given again and again, in JSON an array too */
    FIELD_NODE   /* const struct jnode *: in JSON alone */
};

#define FIELD_MAX_TEXTS 64

struct field_texts {
    const char *items[FIELD_MAX_TEXTS];
    size_t      n;
};

struct field {
    const char     *name;
    enum field_kind kind;
    double          low, high; /* of numbers; 0 and 0: any */
    size_t          offset;    /* in the struct to fill; two of one offset are one field with
                                  two names */
};

struct fields {
    const struct field *table; /* (n), n <= 64 */
    size_t              n;
    void               *into;
    uint64_t            seen;    /* bit i: table[i] was given */
    bool                lenient; /* unknown names are passed over */
};

int  fields_take_text(struct fields *fields, const char *name, const char *value, struct err *err);
/* All of a request's query, but for `library`, which the routes know. */
int  fields_take_query(struct fields *fields, const struct http_request *request, struct err *err);
/* With lenient, null counts as not given. */
int  fields_take_json(struct fields *fields, const struct jnode *object, struct err *err);
/* Whether a field of the table was given, by any of its names. */
bool fields_has(const struct fields *fields, const char *name);

/* A date as FIELD_SINCE and FIELD_UNTIL read it. */
bool fields_parse_time(const char *text, bool until, int64_t *out);

#endif
