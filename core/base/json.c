/* JSON in and out, behind jansson: see json.h. A jnode is a json_t. */
#include "base/json.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/mem.h"
#include "text/utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *to_jansson(const struct jnode *node)
{
    return (json_t *)(uintptr_t)node;
}

static struct jnode *from_jansson(json_t *json)
{
    return (struct jnode *)json;
}

int jnode_parse(const char *text, size_t len, const char *what, struct jnode **out, struct err *err)
{
    json_error_t why;
    json_t      *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!json)
        return err_set(err, ERR_FORMAT, "cannot read %s as JSON: line %d: %s", what, why.line,
                       why.text);
    *out = from_jansson(json);
    return 0;
}

int jnode_parse_file(const char *path, size_t max_bytes, struct jnode **out, struct err *err)
{
    uint8_t *data = NULL;
    size_t   len  = 0;
    int      rc   = file_read(path, max_bytes, &data, &len, err);
    if (!rc)
        rc = jnode_parse((const char *)data, len, path, out, err);
    free(data);
    return rc;
}

void jnode_free(struct jnode *node)
{
    json_decref(to_jansson(node));
}

const struct jnode *jnode_get(const struct jnode *object, const char *key)
{
    return from_jansson(json_object_get(to_jansson(object), key));
}

const struct jnode *jnode_at(const struct jnode *array, size_t i)
{
    return from_jansson(json_array_get(to_jansson(array), i));
}

size_t jnode_len(const struct jnode *node)
{
    if (jnode_is_array(node))
        return json_array_size(to_jansson(node));
    return jnode_is_object(node) ? json_object_size(to_jansson(node)) : 0;
}

bool jnode_is_object(const struct jnode *node)
{
    return json_is_object(to_jansson(node));
}

bool jnode_is_array(const struct jnode *node)
{
    return json_is_array(to_jansson(node));
}

bool jnode_is_null(const struct jnode *node)
{
    return json_is_null(to_jansson(node));
}

bool jnode_to_str(const struct jnode *node, const char **out)
{
    const char *s = json_string_value(to_jansson(node));
    if (s)
        *out = s;
    return s != NULL;
}

bool jnode_to_int(const struct jnode *node, int64_t *out)
{
    const json_t *json = to_jansson(node);
    if (json_is_integer(json)) {
        *out = json_integer_value(json);
        return true;
    }
    double value;
    if (!jnode_to_double(node, &value) || value != floor(value) || fabs(value) > 9e15)
        return false;
    *out = (int64_t)value;
    return true;
}

bool jnode_to_double(const struct jnode *node, double *out)
{
    if (!json_is_number(to_jansson(node)))
        return false;
    *out = json_number_value(to_jansson(node));
    return true;
}

bool jnode_to_bool(const struct jnode *node, bool *out)
{
    if (!json_is_boolean(to_jansson(node)))
        return false;
    *out = json_is_true(to_jansson(node));
    return true;
}

bool jnode_next(const struct jnode *object, void **it, const char **key, const struct jnode **value)
{
    json_t *json = to_jansson(object);
    *it          = *it ? json_object_iter_next(json, *it) : json_object_iter(json);
    if (!*it)
        return false;
    *key   = json_object_iter_key(*it);
    *value = from_jansson(json_object_iter_value(*it));
    return true;
}

struct jnode *jnode_object(void)
{
    return from_jansson(json_object());
}

struct jnode *jnode_array(void)
{
    return from_jansson(json_array());
}

/* A string value of any bytes; what is not UTF-8 becomes U+FFFD. */
static json_t *string_value(const char *value, size_t len)
{
    json_t *json = json_stringn(value, len);
    if (json)
        return json;
    size_t clean_len;
    char  *clean = utf8_replace_invalid(value, len, &clean_len);
    if (!clean)
        return NULL;
    json = json_stringn(clean, clean_len);
    free(clean);
    return json;
}

static json_t *real_value(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

int jnode_set(struct jnode *object, const char *key, struct jnode *child)
{
    return json_object_set_new(to_jansson(object), key, to_jansson(child));
}

int jnode_set_str(struct jnode *object, const char *key, const char *value)
{
    if (!value)
        return json_object_set_new(to_jansson(object), key, json_null());
    return jnode_set_strn(object, key, value, strlen(value));
}

int jnode_set_strn(struct jnode *object, const char *key, const char *value, size_t len)
{
    return json_object_set_new(to_jansson(object), key, string_value(value, len));
}

int jnode_set_path(struct jnode *object, const char *key, const char *path)
{
    size_t n  = strlen(path);
    int    rc = jnode_set_strn(object, key, path, n);
    if (rc || utf8_valid(path, n))
        return rc;
    size_t key_n     = strlen(key);
    char  *bytes_key = mem_array(key_n + sizeof "_bytes", 1);
    char  *encoded   = base64_encode(path, n);
    rc               = -1;
    if (bytes_key && encoded) {
        memcpy(bytes_key, key, key_n);
        memcpy(bytes_key + key_n, "_bytes", sizeof "_bytes");
        rc = jnode_set_str(object, bytes_key, encoded);
    }
    free(bytes_key);
    free(encoded);
    return rc;
}

int jnode_set_int(struct jnode *object, const char *key, int64_t value)
{
    return json_object_set_new(to_jansson(object), key, json_integer(value));
}

int jnode_set_real(struct jnode *object, const char *key, double value)
{
    return json_object_set_new(to_jansson(object), key, real_value(value));
}

int jnode_set_bool(struct jnode *object, const char *key, bool value)
{
    return json_object_set_new(to_jansson(object), key, json_boolean(value));
}

int jnode_push(struct jnode *array, struct jnode *child)
{
    return json_array_append_new(to_jansson(array), to_jansson(child));
}

int jnode_push_str(struct jnode *array, const char *value)
{
    return json_array_append_new(to_jansson(array), string_value(value, strlen(value)));
}

int jnode_push_int(struct jnode *array, int64_t value)
{
    return json_array_append_new(to_jansson(array), json_integer(value));
}

int jnode_push_real(struct jnode *array, double value)
{
    return json_array_append_new(to_jansson(array), real_value(value));
}

char *jnode_write(const struct jnode *node)
{
    return json_dumps(to_jansson(node), JSON_COMPACT | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
}
