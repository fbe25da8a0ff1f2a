/* Boxes of media files: see boxes.h. */
#include "meta/boxes.h"

#include <string.h>

#define MOST_BOXES 100000 /* on one level; a film in fragments has one for each second or so */

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

struct boxes boxes_in(const struct span *all, size_t skip)
{
    return (struct boxes){.all = *all, .at = skip < all->len ? skip : all->len};
}

bool boxes_next(struct boxes *b)
{
    size_t left = b->all.len - b->at, head = 8;
    if (left < head || b->seen++ >= MOST_BOXES)
        return false;
    const uint8_t *box  = b->all.data + b->at;
    uint64_t       size = big_endian(box, 4);
    if (size == 1) {
        head = 16;
        size = left >= head ? big_endian(box + 8, 8) : 0;
    } else if (size == 0) { /* up to the end */
        size = left;
    }
    if (size < head || size > left)
        return false;
    b->name = (const char *)box + 4;
    b->data = (struct span){box + head, (size_t)size - head};
    b->at += (size_t)size;
    return true;
}

bool boxes_is(const struct boxes *b, const char name[4])
{
    return !memcmp(b->name, name, 4);
}

struct span boxes_find(const struct span *all, size_t skip, const char name[4])
{
    struct boxes b = boxes_in(all, skip);
    while (boxes_next(&b)) {
        if (boxes_is(&b, name))
            return b.data;
    }
    return (struct span){0};
}

uint64_t bits_number(struct bits *b, size_t bytes)
{
    if (bytes > b->left.len) {
        b->short_of = true;
        b->left.len = 0;
        return 0;
    }
    uint64_t value = big_endian(b->left.data, bytes);
    b->left.data += bytes;
    b->left.len -= bytes;
    return value;
}

const char *bits_text(struct bits *b)
{
    const uint8_t *end = b->left.len ? memchr(b->left.data, 0, b->left.len) : NULL;
    if (!end) {
        b->short_of = true;
        b->left.len = 0;
        return "";
    }
    const char *text = (const char *)b->left.data;
    b->left.len -= (size_t)(end - b->left.data) + 1;
    b->left.data = end + 1;
    return text;
}
