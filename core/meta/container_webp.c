/* Metadata in WebP files: the chunks "XMP " and "EXIF" of an extended file (see
 * container.h). WebP container specification (RFC 9649, section 2.7). A plain file becomes
 * an extended one for its packet, and a plain one again without it, as libwebp's mux
 * would have it.
 */
#include "meta/container.h"

#include <string.h>

#define HEADER 12 /* "RIFF", size, "WEBP" */
#define VP8X   18 /* bytes of that chunk */

enum { FLAG_XMP = 0x04, FLAG_ALPHA = 0x10 };

struct chunk {
    size_t         at, end; /* of all of it in the file, padding included */
    const uint8_t *name;
    struct span    data;
};

static size_t little_endian(const uint8_t *p, size_t n)
{
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value |= (size_t)p[i] << 8 * i;
    return value;
}

static void put(uint8_t *p, size_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static bool chunk_next(const uint8_t *bytes, size_t n, size_t *at, struct chunk *c)
{
    if (n - *at < 8)
        return false;
    size_t len = little_endian(bytes + *at + 4, 4);
    if (len > n - *at - 8 || (len & 1 && len == n - *at - 8))
        return false;
    *c  = (struct chunk){.at   = *at,
                         .end  = *at + 8 + len + (len & 1),
                         .name = bytes + *at,
                         .data = {bytes + *at + 8, len}};
    *at = c->end;
    return true;
}

static bool chunk_is(const struct chunk *c, const char name[4])
{
    return !memcmp(c->name, name, 4);
}

/* What RIFF says that the file is, if it is that long. */
static size_t riff_end(const uint8_t *bytes, size_t n)
{
    size_t len = little_endian(bytes + 4, 4);
    return len >= 4 && len <= n - 8 ? 8 + len : n;
}

int container_look_webp(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct chunk chunk;
    (void)err;
    n = riff_end(bytes, n);
    for (size_t at = HEADER; chunk_next(bytes, n, &at, &chunk);) {
        if (!c->xmp.data && chunk_is(&chunk, "XMP "))
            c->xmp = chunk.data;
        if (!c->exif.data && chunk_is(&chunk, "EXIF"))
            c->exif = chunk.data;
    }
    c->exif = container_bare_exif(&c->exif);
    return 0;
}

struct places {
    size_t       from, to; /* of the packet's chunk, or twice where one belongs */
    size_t       end;      /* of the chunks */
    bool         has_xmp;
    struct chunk first, pixels;
    size_t       chunks;
};

static int find_places(const uint8_t *bytes, size_t n, struct places *p, struct err *err)
{
    struct chunk chunk;
    size_t       end = riff_end(bytes, n), at = HEADER;
    *p = (struct places){0};
    while (chunk_next(bytes, end, &at, &chunk)) {
        if (p->chunks++ == 0)
            p->first = chunk;
        if (!p->pixels.name && (chunk_is(&chunk, "VP8 ") || chunk_is(&chunk, "VP8L")))
            p->pixels = chunk;
        if (!p->has_xmp && chunk_is(&chunk, "XMP ")) {
            p->has_xmp = true;
            p->from    = chunk.at;
            p->to      = chunk.end;
        }
    }
    p->end = at;
    if (!p->has_xmp)
        p->from = p->to = at;
    bool extended = p->first.name && chunk_is(&p->first, "VP8X");
    if (at != end || !p->chunks || (extended && p->first.data.len < VP8X - 8) ||
        (!extended && !p->pixels.name))
        return err_set(err, ERR_FORMAT, "corrupt after %zu bytes: no chunk of a WebP is there", at);
    return 0;
}

/* The width and height of a plain file's picture, and whether it may be transparent. */
static int picture_size(const struct chunk *c, size_t *width, size_t *height, bool *alpha,
                        struct err *err)
{
    const uint8_t *p = c->data.data;
    *alpha           = false;
    if (chunk_is(c, "VP8L") && c->data.len >= 5 && p[0] == 0x2F) {
        size_t bits = little_endian(p + 1, 4);
        *width      = (bits & 0x3FFF) + 1;
        *height     = (bits >> 14 & 0x3FFF) + 1;
        *alpha      = bits >> 28 & 1;
        return 0;
    }
    if (chunk_is(c, "VP8 ") && c->data.len >= 10 && p[3] == 0x9D && p[4] == 0x01 && p[5] == 0x2A) {
        *width  = little_endian(p + 6, 2) & 0x3FFF;
        *height = little_endian(p + 8, 2) & 0x3FFF;
        if (*width && *height)
            return 0;
    }
    return err_set(err, ERR_FORMAT, "corrupt: no header of a WebP's picture is there");
}

/* The chunk that an extended file begins with: the one there with its flag set, or one
 * made for a plain file. Empty when the file is plain, or becomes so. */
static int make_first(const struct places *p, bool packet, uint8_t out[VP8X], size_t *len,
                      struct err *err)
{
    size_t width, height;
    bool   alpha, extended = chunk_is(&p->first, "VP8X");
    *len = 0;
    if (!extended && !packet)
        return 0;
    *len = VP8X;
    if (!extended) {
        int rc = picture_size(&p->pixels, &width, &height, &alpha, err);
        memcpy(out, "VP8X", 4);
        put(out + 4, VP8X - 8, 4);
        put(out + 8, FLAG_XMP | (alpha ? FLAG_ALPHA : 0), 4);
        put(out + 12, rc ? 0 : width - 1, 3);
        put(out + 15, rc ? 0 : height - 1, 3);
        return rc;
    }
    memcpy(out, p->first.name, VP8X);
    out[8]    = (uint8_t)(packet ? out[8] | FLAG_XMP : out[8] & ~FLAG_XMP);
    /* Nothing else in it: plain again. */
    bool bare = p->chunks == 3 && p->has_xmp && p->pixels.name && p->first.data.len == VP8X - 8;
    if (packet || !bare || (out[8] & ~FLAG_ALPHA) != 0)
        return 0;
    struct err none = ERR_INIT;
    if (!picture_size(&p->pixels, &width, &height, &alpha, &none) &&
        alpha == ((out[8] & FLAG_ALPHA) != 0) && little_endian(out + 12, 3) == width - 1 &&
        little_endian(out + 15, 3) == height - 1)
        *len = 0;
    return 0;
}

int container_splice_webp(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err)
{
    struct places p;
    size_t        len  = 0;
    uint8_t      *head = container_own(out, HEADER + VP8X), *own = container_own(out, 8);
    if (!head || !own)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = find_places(bytes, n, &p, err);
    if (!rc)
        rc = make_first(&p, packet->len > 0, head + HEADER, &len, err);
    if (rc)
        return rc;
    size_t after = chunk_is(&p.first, "VP8X") ? HEADER + VP8X : HEADER;
    size_t ours  = packet->len ? 8 + packet->len + (packet->len & 1) : 0;
    size_t size  = HEADER - 8 + len + (p.from - after) + ours + (p.end - p.to);
    if (size > UINT32_MAX)
        return err_set(err, ERR_LIMIT, "a WebP cannot be longer than 4 GB");
    memcpy(head, bytes, HEADER);
    put(head + 4, size, 4);
    container_part(out, head, HEADER + len);
    container_part(out, bytes + after, p.from - after);
    if (packet->len) {
        static const uint8_t padding = 0;
        memcpy(own, "XMP ", 4);
        put(own + 4, packet->len, 4);
        container_part(out, own, 8);
        container_part(out, packet->data, packet->len);
        container_part(out, &padding, packet->len & 1);
    }
    container_part(out, bytes + p.to, n - p.to);
    return 0;
}
