/* Metadata in PNG files: the chunks iTXt (XMP) and eXIf (see container.h). PNG
 * specification, third edition, section 11.3; XMP part 3, section 1.1.5. A packed iTXt
 * is read, and replaced by a plain one, which every program finds.
 */
#include "meta/container.h"

#include "base/mem.h"

#include <string.h>
#include <zlib.h>

#define SIGNATURE  8
#define OVERHEAD   12 /* bytes of a chunk beside its data: length, name, checksum */
#define INFLATED   ((size_t)16 << 20)
#define RATIO_MOST 1100 /* of deflate, and a little */

static const char keyword[] = "XML:com.adobe.xmp";

struct chunk {
    size_t         at, end; /* of all of it in the file */
    const uint8_t *name;
    struct span    data;
};

static size_t big_endian(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static bool chunk_next(const uint8_t *bytes, size_t n, size_t *at, struct chunk *c)
{
    if (n - *at < OVERHEAD)
        return false;
    size_t len = big_endian(bytes + *at);
    if (len > n - *at - OVERHEAD)
        return false;
    *c  = (struct chunk){.at   = *at,
                         .end  = *at + OVERHEAD + len,
                         .name = bytes + *at + 4,
                         .data = {bytes + *at + 8, len}};
    *at = c->end;
    return true;
}

static bool chunk_is(const struct chunk *c, const char name[4])
{
    return !memcmp(c->name, name, 4);
}

/* Whether it holds XMP; *text is that, packed or not. */
static bool chunk_is_xmp(const struct chunk *c, struct span *text, bool *packed)
{
    if (!chunk_is(c, "iTXt") || c->data.len < sizeof keyword + 2 ||
        memcmp(c->data.data, keyword, sizeof keyword) != 0)
        return false;
    const uint8_t *p = c->data.data + sizeof keyword, *end = c->data.data + c->data.len;
    *packed = *p == 1;
    p += 2; /* whether, and how, it is packed; then the language and a translated keyword */
    for (int i = 0; i < 2; i++) {
        p = memchr(p, 0, (size_t)(end - p));
        if (!p++)
            return false;
    }
    *text = (struct span){p, (size_t)(end - p)};
    return true;
}

/* Nothing where it is broken, or too long. */
static int unpack(const struct span *packed, struct container *c, struct err *err)
{
    size_t   room = packed->len < INFLATED / RATIO_MOST ? packed->len * RATIO_MOST : INFLATED;
    uLongf   len  = (uLongf)room;
    uint8_t *text = mem_array(room, 1);
    if (!text)
        return err_set(err, ERR_NOMEM, "out of memory for XMP");
    c->owned[0] = text;
    if (uncompress(text, &len, packed->data, (uLong)packed->len) == Z_OK)
        c->xmp = (struct span){text, (size_t)len};
    return 0;
}

int container_look_png(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct chunk chunk;
    struct span  text;
    bool         packed, found = false;
    int          rc = 0;
    for (size_t at = SIGNATURE; !rc && chunk_next(bytes, n, &at, &chunk);) {
        if (!c->exif.data && chunk_is(&chunk, "eXIf"))
            c->exif = chunk.data;
        if (found || !chunk_is_xmp(&chunk, &text, &packed))
            continue;
        found = true;
        if (packed)
            rc = unpack(&text, c, err);
        else
            c->xmp = text;
    }
    return rc;
}

/* The packet's chunk, where there is one, or twice the place where one belongs: before
 * the first pixels. */
static int find_place(const uint8_t *bytes, size_t n, size_t *from, size_t *to, struct err *err)
{
    struct chunk chunk;
    struct span  text;
    bool         packed, pixels = false;
    size_t       at = SIGNATURE;
    while (chunk_next(bytes, n, &at, &chunk)) {
        if (chunk_is_xmp(&chunk, &text, &packed)) {
            *from = chunk.at;
            *to   = chunk.end;
            return 0;
        }
        if (chunk_is(&chunk, "IDAT") && !pixels) {
            pixels = true;
            *from = *to = chunk.at;
        }
        if (chunk_is(&chunk, "IEND") && pixels)
            return 0;
    }
    return err_set(err, ERR_FORMAT, "corrupt after %zu bytes: no chunk of a PNG is there", at);
}

int container_splice_png(const uint8_t *bytes, size_t n, const struct span *packet,
                         struct container_parts *out, struct err *err)
{
    size_t from = 0, to = 0;
    int    rc = find_place(bytes, n, &from, &to, err);
    if (rc)
        return rc;
    container_part(out, bytes, from);
    if (packet->len) {
        /* Not packed, no language, no other keyword. */
        size_t   before = sizeof keyword + 4, len = before + packet->len;
        uint8_t *head = container_own(out, 8 + before), *sum = container_own(out, 4);
        if (!head || !sum)
            return err_set(err, ERR_NOMEM, "out of memory");
        for (size_t i = 0; i < 4; i++)
            head[i] = (uint8_t)(len >> 8 * (3 - i));
        memcpy(head + 4, "iTXt", 4);
        memcpy(head + 8, keyword, sizeof keyword);
        memset(head + 8 + sizeof keyword, 0, 4);
        uLong crc = crc32_z(0, head + 4, 4 + before);
        crc       = crc32_z(crc, packet->data, packet->len);
        for (size_t i = 0; i < 4; i++)
            sum[i] = (uint8_t)(crc >> 8 * (3 - i));
        container_part(out, head, 8 + before);
        container_part(out, packet->data, packet->len);
        container_part(out, sum, 4);
    }
    container_part(out, bytes + to, n - to);
    return 0;
}
