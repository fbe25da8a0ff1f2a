/* Fields of a TIFF structure: see tiff_fields.h. */
#include "meta/tiff_fields.h"

#define MOST_ENTRIES 65535 /* a directory of a classic file has no more */

uint64_t tiff_number(const struct tiff *t, const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[t->big_endian ? i : bytes - 1 - i];
    return value;
}

bool tiff_open(struct tiff *t, const uint8_t *bytes, size_t n)
{
    *t = (struct tiff){.data = bytes, .n = n};
    if (n < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M'))
        return false;
    t->big_endian    = bytes[0] == 'M';
    uint64_t version = tiff_number(t, bytes + 2, 2);
    t->big           = version == 43;
    if (!t->big) {
        t->first = tiff_number(t, bytes + 4, 4);
        return version == 42;
    }
    if (n < 16 || tiff_number(t, bytes + 4, 2) != 8 || tiff_number(t, bytes + 6, 2) != 0)
        return false;
    t->first = tiff_number(t, bytes + 8, 8);
    return true;
}

size_t tiff_entry_bytes(const struct tiff *t)
{
    return t->big ? 20 : 12;
}

bool tiff_directory(const struct tiff *t, uint64_t at, const uint8_t **entries, size_t *count)
{
    size_t head = t->big ? 8 : 2;
    if (at < 8 || at > t->n || t->n - at < head)
        return false;
    uint64_t n = tiff_number(t, t->data + at, head);
    if (n == 0 || n > MOST_ENTRIES || (t->n - at - head) / tiff_entry_bytes(t) < n)
        return false;
    *entries = t->data + at + head;
    *count   = (size_t)n;
    return true;
}

static size_t type_bytes(uint16_t type)
{
    static const uint8_t bytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};
    return type < sizeof bytes ? bytes[type] : 0;
}

static bool field_fill(const struct tiff *t, const uint8_t *entry, struct tiff_field *out)
{
    size_t wide = t->big ? 8 : 4;
    out->tag    = (uint16_t)tiff_number(t, entry, 2);
    out->type   = (uint16_t)tiff_number(t, entry + 2, 2);
    out->count  = tiff_number(t, entry + 4, wide);
    size_t each = type_bytes(out->type);
    if (each == 0 || out->count > t->n / each)
        return false;
    out->len   = (size_t)out->count * each;
    out->value = entry + 4 + wide;
    if (out->len <= wide)
        return true;
    uint64_t at = tiff_number(t, out->value, wide);
    if (at > t->n || t->n - at < out->len)
        return false;
    out->value = t->data + at;
    return true;
}

bool tiff_find(const struct tiff *t, uint64_t directory, uint16_t tag, struct tiff_field *out)
{
    const uint8_t *entries;
    size_t         n;
    if (!tiff_directory(t, directory, &entries, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *entry = entries + i * tiff_entry_bytes(t);
        if (tiff_number(t, entry, 2) == tag)
            return field_fill(t, entry, out);
    }
    return false;
}

uint64_t tiff_integer(const struct tiff *t, const struct tiff_field *f, uint64_t i)
{
    bool integer = f->type == 1 || f->type == 3 || f->type == 4 || f->type == 13 || f->type == 16 ||
                   f->type == 18;
    size_t each = type_bytes(f->type);
    return integer && i < f->count ? tiff_number(t, f->value + i * each, each) : 0;
}

bool tiff_rational(const struct tiff *t, const struct tiff_field *f, uint64_t i, double *out)
{
    if (f->type != 5 || i >= f->count)
        return false;
    uint64_t over  = tiff_number(t, f->value + i * 8, 4);
    uint64_t under = tiff_number(t, f->value + i * 8 + 4, 4);
    *out           = under ? (double)over / (double)under : 0;
    return under != 0;
}

uint64_t tiff_directory_at(const struct tiff *t, uint16_t tag)
{
    struct tiff_field f;
    return tiff_find(t, t->first, tag, &f) ? tiff_integer(t, &f, 0) : 0;
}
