/* Metadata in JPEG files: APP1 for XMP and EXIF, APP13 for IIM (see container.h).
 *
 * XMP part 3, section 1.1.3: a packet of at most 65,502 bytes; what is longer lies in
 * "extended" segments, which are named in the packet by their digest. Those are read, and
 * stay as they are.
 *
 * Several pictures in one file (CIPA DC-007): the segment that lists them (APP2, MPF) says
 * where they are from itself on, so that what is put before it harms nothing but the size
 * of the first, which is set right. Where the packet lies after it, nothing is written.
 */
#include "meta/container.h"

#include "base/mem.h"
#include "meta/iim.h"
#include "meta/tiff_fields.h"

#include <stdlib.h>
#include <string.h>

#define MARKER_APP0  0xE0
#define MARKER_APP1  0xE1
#define MARKER_APP2  0xE2
#define MARKER_APP13 0xED
#define MOST_SEGMENT 65533              /* bytes after the length */
#define MOST_JOINED  ((size_t)16 << 20) /* bytes of an extended packet, or of APP13s */
#define GUID_BYTES   32
#define MP_ENTRY_TAG 0xB002
#define MP_ENTRY     16 /* bytes: attribute, size, offset, two more */

static const char xmp_id[]       = "http://ns.adobe.com/xap/1.0/";
static const char extended_id[]  = "http://ns.adobe.com/xmp/extension/";
static const char exif_id[]      = "Exif\0";
static const char photoshop_id[] = "Photoshop 3.0";
static const char mpf_id[]       = "MPF";

struct segment {
    int            marker;
    size_t         at, end; /* of all of it in the file, fill bytes before it included */
    const uint8_t *data;    /* (len), after the length */
    size_t         len;
};

/* The segment at *at, before the picture's data; false at those, or at nonsense. */
static bool segment_next(const uint8_t *bytes, size_t n, size_t *at, struct segment *s)
{
    size_t i = *at;
    if (n - i < 4 || bytes[i] != 0xFF)
        return false;
    while (n - i >= 4 && bytes[i + 1] == 0xFF)
        i++;
    if (n - i < 4 || bytes[i + 1] == 0xDA || bytes[i + 1] < 0xC0 ||
        (bytes[i + 1] >= 0xD0 && bytes[i + 1] <= 0xD9)) /* data, or no length follows */
        return false;
    size_t len = (size_t)bytes[i + 2] << 8 | bytes[i + 3];
    if (len < 2 || len > n - i - 2)
        return false;
    *s  = (struct segment){.marker = bytes[i + 1],
                           .at     = *at,
                           .end    = i + 2 + len,
                           .data   = bytes + i + 4,
                           .len    = len - 2};
    *at = s->end;
    return true;
}

/* Whether it begins with id and its NUL; *rest is what follows. */
static bool segment_is(const struct segment *s, int marker, const char *id, size_t id_bytes,
                       struct span *rest)
{
    if (s->marker != marker || s->len < id_bytes || memcmp(s->data, id, id_bytes) != 0)
        return false;
    *rest = (struct span){s->data + id_bytes, s->len - id_bytes};
    return true;
}

/* ---- Reading ---- */

/* Puts the parts of the extended packet together; nothing when one is missing. guid: of
 * the first part that there is. */
static int join_extended(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct segment s;
    struct span    part;
    uint8_t       *whole = NULL;
    const uint8_t *guid  = NULL;
    size_t         size = 0, got = 0;
    for (size_t at = 2; segment_next(bytes, n, &at, &s);) {
        if (!segment_is(&s, MARKER_APP1, extended_id, sizeof extended_id, &part) ||
            part.len < GUID_BYTES + 8 || (guid && memcmp(part.data, guid, GUID_BYTES) != 0))
            continue;
        const uint8_t *head = part.data + GUID_BYTES;
        size_t         full =
            (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        size_t offset =
            (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
        size_t len = part.len - GUID_BYTES - 8;
        if (!guid) {
            if (full == 0 || full > MOST_JOINED)
                return 0;
            guid  = part.data;
            size  = full;
            whole = mem_zeroed(full, 1);
            if (!whole)
                return err_set(err, ERR_NOMEM, "out of memory for XMP");
        }
        if (full != size || offset != got || len > size - offset) /* written in order by all */
            break;
        memcpy(whole + offset, head + 8, len);
        got += len;
    }
    if (got != size || size == 0) {
        free(whole);
        return 0;
    }
    c->owned[0] = whole;
    c->extended = (struct span){whole, size};
    return 0;
}

/* The IIM in Photoshop's resources, which may go on from segment to segment. */
static int join_resources(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct segment s;
    struct span    part;
    size_t         size = 0, got = 0;
    for (size_t at = 2; segment_next(bytes, n, &at, &s);) {
        if (segment_is(&s, MARKER_APP13, photoshop_id, sizeof photoshop_id, &part))
            size += part.len;
    }
    if (size == 0 || size > MOST_JOINED)
        return 0;
    uint8_t *whole = mem_array(size, 1);
    if (!whole)
        return err_set(err, ERR_NOMEM, "out of memory for IPTC data");
    for (size_t at = 2; segment_next(bytes, n, &at, &s);) {
        if (segment_is(&s, MARKER_APP13, photoshop_id, sizeof photoshop_id, &part)) {
            memcpy(whole + got, part.data, part.len);
            got += part.len;
        }
    }
    c->owned[1] = whole;
    c->iim.data = iim_in_resources(whole, size, &c->iim.len);
    return 0;
}

int container_look_jpeg(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct segment s;
    struct span    part;
    for (size_t at = 2; segment_next(bytes, n, &at, &s);) {
        if (!c->xmp.data && segment_is(&s, MARKER_APP1, xmp_id, sizeof xmp_id, &part))
            c->xmp = part;
        if (!c->exif.data && segment_is(&s, MARKER_APP1, exif_id, sizeof exif_id, &part))
            c->exif = part;
    }
    int rc = join_extended(bytes, n, c, err);
    return rc ? rc : join_resources(bytes, n, c, err);
}

/* ---- Writing ---- */

/* Where the size of the first picture stands in an MPF segment, or 0: it lists none. */
static size_t first_size_at(const uint8_t *bytes, const struct span *mpf, struct tiff *t)
{
    struct tiff_field f;
    if (!tiff_open(t, mpf->data, mpf->len) || t->big || !tiff_find(t, t->first, MP_ENTRY_TAG, &f) ||
        f.len < MP_ENTRY)
        return 0;
    return (size_t)(f.value - bytes) + 4;
}

struct places {
    size_t      from, to; /* of the packet's segment, or twice where one belongs */
    struct span mpf;
    size_t      mpf_at;
    bool        has_xmp;
};

static int find_places(const uint8_t *bytes, size_t n, struct places *p, struct err *err)
{
    struct segment s;
    struct span    part;
    bool           leading = true; /* nothing but JFIF and EXIF yet */
    size_t         at      = 2;
    *p                     = (struct places){.from = 2, .to = 2};
    while (segment_next(bytes, n, &at, &s)) {
        if (!p->mpf.data && segment_is(&s, MARKER_APP2, mpf_id, sizeof mpf_id, &part)) {
            p->mpf    = part;
            p->mpf_at = s.at;
        }
        if (!p->has_xmp && segment_is(&s, MARKER_APP1, xmp_id, sizeof xmp_id, &part)) {
            p->has_xmp = true;
            p->from    = s.at;
            p->to      = s.end;
        }
        leading = leading && (s.marker == MARKER_APP0 ||
                              segment_is(&s, MARKER_APP1, exif_id, sizeof exif_id, &part));
        if (leading && !p->has_xmp)
            p->from = p->to = s.end;
    }
    if (n - at < 2 || bytes[at] != 0xFF)
        return err_set(err, ERR_FORMAT,
                       "corrupt after %zu bytes: no segment of a JPEG begins there", at);
    if (p->mpf.data && p->from > p->mpf_at)
        return err_set(
            err, ERR_UNSUPPORTED,
            "its XMP lies behind the list of the pictures in it: write beside it instead "
            "(--write sidecar)");
    return 0;
}

/* A copy of the head of the file in between, with the first picture's size set right. */
static int patch_size(const uint8_t *bytes, const struct places *p, size_t grown, size_t end,
                      struct container_parts *out, struct err *err)
{
    struct tiff t;
    size_t      at = first_size_at(bytes, &p->mpf, &t);
    if (!at || grown == 0) {
        container_part(out, bytes + p->to, end - p->to);
        return 0;
    }
    uint8_t *number = container_own(out, 4);
    if (!number)
        return err_set(err, ERR_NOMEM, "out of memory");
    uint64_t size = tiff_number(&t, bytes + at, 4) + grown; /* modulo 2^32, as for shrinking */
    for (size_t i = 0; i < 4; i++)
        number[i] = (uint8_t)(size >> 8 * (t.big_endian ? 3 - i : i));
    container_part(out, bytes + p->to, at - p->to);
    container_part(out, number, 4);
    container_part(out, bytes + at + 4, end - at - 4);
    return 0;
}

int container_splice_jpeg(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err)
{
    struct places p;
    size_t        len = sizeof xmp_id + packet->len;
    int           rc  = find_places(bytes, n, &p, err);
    if (rc)
        return rc;
    if (packet->len && len > MOST_SEGMENT)
        return err_set(err, ERR_LIMIT,
                       "its XMP would be %zu bytes long, and a JPEG holds %zu: write beside it "
                       "instead (--write sidecar)",
                       packet->len, MOST_SEGMENT - sizeof xmp_id);
    container_part(out, bytes, p.from);
    size_t added = 0;
    if (packet->len) {
        uint8_t *head = container_own(out, 4 + sizeof xmp_id);
        if (!head)
            return err_set(err, ERR_NOMEM, "out of memory");
        head[0] = 0xFF;
        head[1] = MARKER_APP1;
        head[2] = (uint8_t)((len + 2) >> 8);
        head[3] = (uint8_t)(len + 2);
        memcpy(head + 4, xmp_id, sizeof xmp_id);
        container_part(out, head, 4 + sizeof xmp_id);
        container_part(out, packet->data, packet->len);
        added = 4 + len;
    }
    if (p.mpf.data)
        return patch_size(bytes, &p, added - (p.to - p.from), n, out, err);
    container_part(out, bytes + p.to, n - p.to);
    return 0;
}
