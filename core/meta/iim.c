/* IPTC-IIM: see iim.h. */
#include "meta/iim.h"

#include "meta/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_APPLICATION = 2, DATASET_KEYWORD = 25, DATASET_CAPTION = 120 };

static size_t big_endian(const uint8_t *at, size_t n)
{
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | at[i];
    return value;
}

const uint8_t *iim_in_resources(const uint8_t *bytes, size_t n, size_t *len)
{
    size_t at = 0;
    /* "8BIM", number, a name of odd or even length with its own, size, data; all even. */
    while (n - at >= 12 && !memcmp(bytes + at, "8BIM", 4)) {
        size_t number = big_endian(bytes + at + 4, 2);
        size_t name   = ((size_t)bytes[at + 6] + 2) & ~(size_t)1;
        if (n - at - 6 < name + 4)
            return NULL;
        size_t data = at + 6 + name + 4;
        size_t size = big_endian(bytes + at + 6 + name, 4);
        if (size > n - data)
            return NULL;
        if (number == 0x0404) {
            *len = size;
            return bytes + data;
        }
        at = data + size + (size & 1);
        if (at > n)
            return NULL;
    }
    return NULL;
}

static int take(int dataset, const uint8_t *data, size_t len, struct strings *keywords,
                char **caption, struct err *err)
{
    bool keyword = dataset == DATASET_KEYWORD;
    if (!keyword && (dataset != DATASET_CAPTION || *caption))
        return 0;
    char *text =
        text_clean((const char *)data, len, keyword ? METADATA_TAG_MAX : METADATA_TEXT_MAX);
    if (!text)
        return err_set(err, ERR_NOMEM, "out of memory for a text");
    int rc = 0;
    if (*text && keyword && keywords->n < METADATA_TAGS)
        rc = strings_add_new(keywords, text, err);
    if (*text && !keyword) {
        *caption = text;
        return 0;
    }
    free(text);
    return rc;
}

struct dataset {
    int            record, number;
    const uint8_t *data;
    size_t         len;
};

/* False at the first thing that is none. */
static bool next(const uint8_t *bytes, size_t n, size_t *at, struct dataset *d)
{
    if (n - *at < 5 || bytes[*at] != 0x1C)
        return false;
    size_t len = big_endian(bytes + *at + 3, 2), head = 5;
    if (len & 0x8000) { /* the length of the length */
        size_t wide = len & 0x7FFF;
        if (wide > 4 || n - *at - 5 < wide)
            return false;
        len = big_endian(bytes + *at + 5, wide);
        head += wide;
    }
    if (len > n - *at - head)
        return false;
    d->record = bytes[*at + 1];
    d->number = bytes[*at + 2];
    d->data   = bytes + *at + head;
    d->len    = len;
    *at += head + len;
    return true;
}

int iim_read(const uint8_t *bytes, size_t n, struct strings *keywords, char **caption,
             struct err *err)
{
    struct dataset d;
    size_t         at = 0;
    int            rc = 0;
    while (!rc && next(bytes, n, &at, &d)) {
        if (d.record == RECORD_APPLICATION)
            rc = take(d.number, d.data, d.len, keywords, caption, err);
    }
    return rc;
}

/* The first dataset with this number; "" without one, or when it is longer than that. */
static void find(const uint8_t *bytes, size_t n, int number, char *out, size_t size)
{
    struct dataset d;
    size_t         at = 0;
    *out              = '\0';
    while (next(bytes, n, &at, &d)) {
        if (d.record != RECORD_APPLICATION || d.number != number)
            continue;
        if (d.len < size) {
            memcpy(out, d.data, d.len);
            out[d.len] = '\0';
        }
        return;
    }
}

void iim_date(const uint8_t *bytes, size_t n, enum iim_date which, char out[IIM_DATE])
{
    char day[9], hour[12];
    find(bytes, n, (int)which, day, sizeof day);
    find(bytes, n, which == IIM_CREATED ? 60 : 63, hour, sizeof hour);
    (void)snprintf(out, IIM_DATE, "%s%s%s", day, *day && *hour ? "T" : "", *day ? hour : "");
}
