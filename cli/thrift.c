/* Thrift's compact protocol: see thrift.h. */
#include "cli/thrift.h"

#define MOST_DEEP 32 /* structs and lists within one another, in what is skipped */

void thrift_fail(struct thrift *t, const char *why)
{
    if (!t->why)
        t->why = why;
    t->at = t->end;
}

static uint8_t next_byte(struct thrift *t)
{
    if (t->at < t->end)
        return *t->at++;
    thrift_fail(t, "it is cut off");
    return 0;
}

uint64_t thrift_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = next_byte(t);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return t->why ? 0 : value;
    }
    thrift_fail(t, "a number is too long");
    return 0;
}

/* 0, -1, 1, -2 ... */
static int64_t zigzag(struct thrift *t)
{
    uint64_t v = thrift_varint(t);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static void pass(struct thrift *t, uint64_t n)
{
    if (n > (uint64_t)(t->end - t->at))
        thrift_fail(t, "it is cut off");
    else
        t->at += n;
}

bool thrift_next(struct thrift *t, struct thrift_field *f)
{
    uint8_t head = next_byte(t);
    if (t->why || (head & 0x0F) == THRIFT_STOP)
        return false;
    int64_t id = head >> 4 ? f->id + (head >> 4) : zigzag(t);
    if (!t->why && (id < INT16_MIN || id > INT16_MAX || (head & 0x0F) > THRIFT_UUID))
        thrift_fail(t, "a field is none of Thrift's");
    f->id   = t->why ? 0 : (int)id;
    f->type = head & 0x0F;
    return !t->why;
}

static bool is(struct thrift *t, bool good)
{
    if (!good)
        thrift_fail(t, "a field has another type than its number says");
    return good && !t->why;
}

int64_t thrift_int(struct thrift *t, const struct thrift_field *f)
{
    if (!is(t, f->type >= THRIFT_I8 && f->type <= THRIFT_I64))
        return 0;
    return f->type == THRIFT_I8 ? (int8_t)next_byte(t) : zigzag(t);
}

bool thrift_bool(struct thrift *t, const struct thrift_field *f)
{
    return is(t, f->type == THRIFT_TRUE || f->type == THRIFT_FALSE) && f->type == THRIFT_TRUE;
}

void thrift_bytes(struct thrift *t, const struct thrift_field *f, const char **s, size_t *n)
{
    *s           = "";
    *n           = 0;
    uint64_t len = is(t, f->type == THRIFT_BINARY) ? thrift_varint(t) : 0;
    if (t->why)
        return;
    const uint8_t *begin = t->at;
    pass(t, len);
    if (t->why)
        return;
    *s = (const char *)begin;
    *n = (size_t)len;
}

/* Each element takes a byte at least, so that there are not more of them than bytes. */
static size_t count(struct thrift *t, uint64_t n)
{
    if (!t->why && n > (uint64_t)(t->end - t->at))
        thrift_fail(t, "a list is longer than what holds it");
    return t->why ? 0 : (size_t)n;
}

static size_t list_head(struct thrift *t, enum thrift_type *of)
{
    uint8_t head = next_byte(t);
    *of          = head & 0x0F;
    return count(t, head >> 4 == 15 ? thrift_varint(t) : head >> 4);
}

size_t thrift_list(struct thrift *t, const struct thrift_field *f, enum thrift_type of)
{
    enum thrift_type found;
    size_t           n = is(t, f->type == THRIFT_LIST) ? list_head(t, &found) : 0;
    if (n > 0 && found != of)
        thrift_fail(t, "a list has elements of another type than its number says");
    return t->why ? 0 : n;
}

void thrift_struct(struct thrift *t, const struct thrift_field *f)
{
    is(t, f->type == THRIFT_STRUCT);
}

static void skip(struct thrift *t, enum thrift_type type, bool element, int deep);

static void skip_many(struct thrift *t, size_t n, enum thrift_type a, enum thrift_type b, int deep)
{
    for (size_t i = 0; i < n && !t->why; i++) {
        skip(t, a, true, deep);
        if (b != THRIFT_STOP)
            skip(t, b, true, deep);
    }
}

static void skip_map(struct thrift *t, int deep)
{
    size_t n = count(t, thrift_varint(t));
    if (n == 0)
        return;
    uint8_t types = next_byte(t);
    if (!(types >> 4) || !(types & 0x0F))
        thrift_fail(t, "a map has elements of no type");
    skip_many(t, n, types >> 4, types & 0x0F, deep);
}

static void skip(struct thrift *t, enum thrift_type type, bool element, int deep)
{
    struct thrift_field f = {0};
    enum thrift_type    of;
    size_t              n;
    if (deep > MOST_DEEP) {
        thrift_fail(t, "it is nested too deeply");
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        pass(t, element);
        break;
    case THRIFT_I8:
        pass(t, 1);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        thrift_varint(t);
        break;
    case THRIFT_DOUBLE:
        pass(t, 8);
        break;
    case THRIFT_UUID:
        pass(t, 16);
        break;
    case THRIFT_BINARY:
        pass(t, thrift_varint(t));
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        n = list_head(t, &of);
        skip_many(t, n, of, THRIFT_STOP, deep + 1);
        break;
    case THRIFT_MAP:
        skip_map(t, deep + 1);
        break;
    case THRIFT_STRUCT:
        while (thrift_next(t, &f))
            skip(t, f.type, false, deep + 1);
        break;
    case THRIFT_STOP:
    default:
        thrift_fail(t, "a field is none of Thrift's");
    }
}

void thrift_skip(struct thrift *t, const struct thrift_field *f)
{
    if (!t->why)
        skip(t, f->type, false, 0);
}
