/* Named values of a request: see fields.h. */
#include "searchd/fields.h"

#include "storage/filter_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Seconds in the years 1 to 9999, so that nothing overflows. */
#define TIME_LOW  (-62135596800.0)
#define TIME_HIGH 253402300799.0

/* Rows of one place are one field under several names. */
static bool is_seen(const struct fields *fields, const struct field *f)
{
    for (size_t i = 0; i < fields->n; i++)
        if (fields->seen >> i & 1 && fields->table[i].offset == f->offset)
            return true;
    return false;
}

static const struct field *find(struct fields *fields, const char *name, struct err *err)
{
    for (size_t i = 0; i < fields->n; i++) {
        const struct field *f = &fields->table[i];
        if (strcmp(f->name, name) != 0)
            continue;
        if (f->kind != FIELD_TEXTS && is_seen(fields, f)) {
            err_set(err, ERR_USAGE, "%s is given twice%s", name,
                    fields->seen >> i & 1 ? "" : ", by its other name");
            return NULL;
        }
        fields->seen |= (uint64_t)1 << i;
        return f;
    }
    if (!fields->lenient)
        err_set(err, ERR_USAGE, "unknown parameter: %.100s", name);
    return NULL;
}

bool fields_has(const struct fields *fields, const char *name)
{
    for (size_t i = 0; i < fields->n; i++)
        if (!strcmp(fields->table[i].name, name))
            return is_seen(fields, &fields->table[i]);
    return false;
}

static bool parse_int(const char *text, int64_t *out)
{
    char *end;
    errno           = 0;
    long long value = strtoll(text, &end, 10);
    if (!(isdigit((unsigned char)text[0]) || (text[0] == '-' && text[1])) || *end || errno)
        return false;
    *out = value;
    return true;
}

bool fields_parse_time(const char *text, bool until, int64_t *out)
{
    if (strlen(text) != 4 && parse_int(text, out)) /* four digits are a year */
        return (double)*out >= TIME_LOW && (double)*out <= TIME_HIGH;
    return filter_text_is_date(text, until, out);
}

static int wrong(const struct field *f, struct err *err)
{
    switch (f->kind) {
    case FIELD_TEXT:
        return err_set(err, ERR_USAGE, "%s must be a text", f->name);
    case FIELD_INT:
        return f->low == 0 && f->high == 0
                   ? err_set(err, ERR_USAGE, "%s must be a whole number", f->name)
                   : err_set(err, ERR_USAGE, "%s must be a whole number from %.0f to %.0f", f->name,
                             f->low, f->high);
    case FIELD_REAL:
        return err_set(err, ERR_USAGE, "%s must be a number from %g to %g", f->name, f->low,
                       f->high);
    case FIELD_SINCE:
    case FIELD_UNTIL:
        return err_set(err, ERR_USAGE,
                       "%s must be a date (2024, 2024-05, 2024-05-01, 2024-05-01T12:30:00Z) or "
                       "Unix seconds",
                       f->name);
    case FIELD_FLAG:
        return err_set(err, ERR_USAGE, "%s must be true or false", f->name);
    case FIELD_TEXTS:
        return err_set(err, ERR_USAGE, "%s must be a text, or an array of at most %d", f->name,
                       FIELD_MAX_TEXTS);
    case FIELD_NODE:
    default:
        return err_set(err, ERR_USAGE, "%s is taken from a JSON body alone", f->name);
    }
}

static bool within(const struct field *f, double value)
{
    return isfinite(value) &&
           ((f->low == 0 && f->high == 0) || (value >= f->low && value <= f->high));
}

static void *place(const struct fields *fields, const struct field *f)
{
    return (char *)fields->into + f->offset;
}

static int set_int(const struct fields *fields, const struct field *f, int64_t value,
                   struct err *err)
{
    if (!within(f, (double)value))
        return wrong(f, err);
    *(int64_t *)place(fields, f) = value;
    return 0;
}

static int set_real(const struct fields *fields, const struct field *f, double value,
                    struct err *err)
{
    if (!within(f, value))
        return wrong(f, err);
    *(double *)place(fields, f) = value;
    return 0;
}

static int add_text(const struct fields *fields, const struct field *f, const char *value,
                    struct err *err)
{
    struct field_texts *texts = place(fields, f);
    if (texts->n == FIELD_MAX_TEXTS)
        return wrong(f, err);
    texts->items[texts->n++] = value;
    return 0;
}

static int set_flag(const struct fields *fields, const struct field *f, const char *value,
                    struct err *err)
{
    bool yes = !strcmp(value, "1") || !strcmp(value, "true");
    if (!yes && strcmp(value, "0") != 0 && strcmp(value, "false") != 0)
        return wrong(f, err);
    *(bool *)place(fields, f) = yes;
    return 0;
}

static int set_text(const struct fields *fields, const struct field *f, const char *value,
                    struct err *err)
{
    int64_t number;
    double  real;
    char   *end;
    switch (f->kind) {
    case FIELD_TEXT:
        *(const char **)place(fields, f) = value;
        return 0;
    case FIELD_INT:
        return parse_int(value, &number) ? set_int(fields, f, number, err) : wrong(f, err);
    case FIELD_REAL:
        real = strtod(value, &end);
        return *value && !isspace((unsigned char)*value) && !*end ? set_real(fields, f, real, err)
                                                                  : wrong(f, err);
    case FIELD_SINCE:
    case FIELD_UNTIL:
        return fields_parse_time(value, f->kind == FIELD_UNTIL, place(fields, f)) ? 0
                                                                                  : wrong(f, err);
    case FIELD_FLAG:
        return set_flag(fields, f, value, err);
    case FIELD_TEXTS:
        return add_text(fields, f, value, err);
    case FIELD_NODE:
    default:
        return wrong(f, err);
    }
}

int fields_take_text(struct fields *fields, const char *name, const char *value, struct err *err)
{
    struct err          e = ERR_INIT;
    const struct field *f = find(fields, name, &e);
    if (e.code)
        return err_set(err, e.code, "%s", e.msg);
    return f ? set_text(fields, f, value, err) : 0;
}

int fields_take_query(struct fields *fields, const struct http_request *request, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < request->n_params && !rc; i++)
        if (strcmp(request->params[i].name, "library") != 0)
            rc = fields_take_text(fields, request->params[i].name, request->params[i].value, err);
    return rc;
}

static int add_texts(const struct fields *fields, const struct field *f, const struct jnode *array,
                     struct err *err)
{
    const char *text;
    int         rc = jnode_is_array(array) ? 0 : wrong(f, err);
    for (size_t i = 0; i < jnode_len(array) && !rc; i++)
        rc = jnode_to_str(jnode_at(array, i), &text) ? add_text(fields, f, text, err)
                                                     : wrong(f, err);
    return rc;
}

static int set_node(const struct fields *fields, const struct field *f, const struct jnode *value,
                    struct err *err)
{
    const char *text;
    int64_t     number;
    double      real;
    switch (f->kind) {
    case FIELD_TEXT:
        return jnode_to_str(value, &text) ? set_text(fields, f, text, err) : wrong(f, err);
    case FIELD_INT:
        return jnode_to_int(value, &number) ? set_int(fields, f, number, err) : wrong(f, err);
    case FIELD_REAL:
        return jnode_to_double(value, &real) ? set_real(fields, f, real, err) : wrong(f, err);
    case FIELD_SINCE:
    case FIELD_UNTIL:
        if (jnode_to_str(value, &text))
            return set_text(fields, f, text, err);
        if (!jnode_to_int(value, &number) || (double)number < TIME_LOW ||
            (double)number > TIME_HIGH)
            return wrong(f, err);
        *(int64_t *)place(fields, f) = number;
        return 0;
    case FIELD_FLAG:
        return jnode_to_bool(value, place(fields, f)) ? 0 : wrong(f, err);
    case FIELD_TEXTS:
        return jnode_to_str(value, &text) ? add_text(fields, f, text, err)
                                          : add_texts(fields, f, value, err);
    case FIELD_NODE:
    default:
        *(const struct jnode **)place(fields, f) = value;
        return 0;
    }
}

int fields_take_json(struct fields *fields, const struct jnode *object, struct err *err)
{
    void               *it = NULL;
    const char         *name;
    const struct jnode *value;
    int                 rc = 0;
    if (!jnode_is_object(object))
        return err_set(err, ERR_USAGE, "the body must be a JSON object");
    while (!rc && jnode_next(object, &it, &name, &value)) {
        struct err          e = ERR_INIT;
        const struct field *f;
        if (jnode_is_null(value) && fields->lenient)
            continue;
        f = find(fields, name, &e);
        if (e.code)
            return err_set(err, e.code, "%s", e.msg);
        if (f)
            rc = set_node(fields, f, value, err);
    }
    return rc;
}
