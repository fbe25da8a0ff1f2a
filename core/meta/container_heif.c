/* Metadata in HEIF files (HEIC, AVIF): the items that describe the primary picture, EXIF and
 * XMP. ISO/IEC 14496-12, section 8.11 (items, their places and references); ISO/IEC 23008-12,
 * annex A. Other items may describe other pictures of the file, a depth map, say: they say
 * nothing of this one. Our own and not libheif, which is loaded for pixels alone, as a module.
 */
#include "base/mem.h"
#include "meta/boxes.h"
#include "meta/xmp.h"

#include <stdlib.h>
#include <string.h>

#define MOST_TRIED 16 /* items that may be it: files have one or two */
#define MOST_EXIF  ((size_t)64 << 20)

struct heif {
    struct span file, references, places, inside; /* boxes iref, iloc, idat */
    uint32_t    primary;
    size_t      tried;
    struct bits items; /* of the box iloc: its items, one after the other */
    size_t      count;
    unsigned    version;
    size_t      id_bytes, offset_bytes, length_bytes, base_bytes, index_bytes;
    struct err *err;
};

/* ---- Where items lie ---- */

static void open_places(struct heif *h)
{
    struct bits b = {.left = h->places};
    h->version    = (unsigned)bits_number(&b, 1);
    (void)bits_number(&b, 3);
    unsigned sizes  = (unsigned)bits_number(&b, 2);
    h->offset_bytes = sizes >> 12;
    h->length_bytes = sizes >> 8 & 15;
    h->base_bytes   = sizes >> 4 & 15;
    h->index_bytes  = h->version == 1 || h->version == 2 ? sizes & 15 : 0;
    h->id_bytes     = h->version < 2 ? 2 : 4;
    h->count        = (size_t)bits_number(&b, h->id_bytes);
    h->items        = b;
    if (b.short_of || h->version > 2 || h->offset_bytes > 8 || h->length_bytes > 8 ||
        h->base_bytes > 8 || h->index_bytes > 8)
        h->count = 0;
}

struct item_place {
    uint32_t    id;
    bool        inside; /* of the box idat, not of the file */
    uint64_t    base;
    size_t      count; /* of extents, which follow */
    struct bits extents;
};

static bool next_place(const struct heif *h, struct bits *b, struct item_place *p)
{
    p->id           = (uint32_t)bits_number(b, h->id_bytes);
    unsigned method = h->version ? (unsigned)bits_number(b, 2) & 15 : 0;
    unsigned other  = (unsigned)bits_number(b, 2); /* not 0: in another file */
    p->inside       = method == 1;
    p->base         = bits_number(b, h->base_bytes);
    p->count        = (size_t)bits_number(b, 2);
    p->extents      = *b;
    size_t each     = h->index_bytes + h->offset_bytes + h->length_bytes;
    if (b->short_of || (each && p->count > b->left.len / each))
        return false;
    b->left.data += p->count * each;
    b->left.len -= p->count * each;
    if (method > 1 || other)
        p->count = 0;
    return true;
}

/* The next extent; false where it does not lie within its file or box. */
static bool next_extent(const struct heif *h, struct item_place *p, struct span *out)
{
    const struct span *in = p->inside ? &h->inside : &h->file;
    (void)bits_number(&p->extents, h->index_bytes);
    uint64_t offset = bits_number(&p->extents, h->offset_bytes);
    uint64_t length = bits_number(&p->extents, h->length_bytes);
    if (p->extents.short_of || !in->data || p->base > in->len || offset > in->len - p->base)
        return false;
    offset += p->base;
    if (length == 0) /* all that follows */
        length = in->len - offset;
    *out = (struct span){in->data + offset, (size_t)length};
    return length <= in->len - offset;
}

/* An item's bytes: as they lie, or put together in *owned. */
static int item_bytes(const struct heif *h, uint32_t id, size_t most, struct span *out,
                      uint8_t **owned)
{
    struct bits       b = h->items;
    struct item_place p = {0};
    struct span       extent;
    size_t            n = 0, i = 0;
    while (i < h->count && next_place(h, &b, &p) && p.id != id)
        i++;
    if (i == h->count || p.id != id || !p.count || *owned)
        return 0;
    struct item_place again = p;
    for (size_t k = 0; k < p.count; k++) {
        if (!next_extent(h, &p, &extent) || extent.len > most - n)
            return 0;
        n += extent.len;
    }
    if (again.count > 1 && n) {
        if (!(*owned = mem_array(n, 1)))
            return err_set(h->err, ERR_NOMEM, "out of memory for metadata in pieces");
        uint8_t *to = *owned;
        for (size_t k = 0; k < again.count && next_extent(h, &again, &extent); k++) {
            memcpy(to, extent.data, extent.len);
            to += extent.len;
        }
        extent = (struct span){*owned, n};
    }
    if (n)
        *out = extent;
    return 0;
}

/* ---- Which items ---- */

/* Whether an item describes the primary picture; one that describes nothing is taken to. */
static bool describes(const struct heif *h, uint32_t id)
{
    bool         any   = false;
    size_t       wide  = h->references.len && h->references.data[0] == 0 ? 2 : 4;
    struct boxes boxes = boxes_in(&h->references, 4);
    while (boxes_next(&boxes)) {
        struct bits b = {.left = boxes.data};
        if (!boxes_is(&boxes, "cdsc") || bits_number(&b, wide) != id)
            continue;
        size_t n = (size_t)bits_number(&b, 2);
        for (size_t i = 0; i < n && !b.short_of; i++) {
            if (bits_number(&b, wide) == h->primary && !b.short_of)
                return true;
        }
        any = true;
    }
    return !any;
}

static int take_item(struct heif *h, const struct span *entry, struct container *c)
{
    struct bits b       = {.left = *entry};
    unsigned    version = (unsigned)bits_number(&b, 1);
    (void)bits_number(&b, 3);
    uint32_t id = (uint32_t)bits_number(&b, version == 2 ? 2 : 4);
    (void)bits_number(&b, 2);
    uint32_t type = (uint32_t)bits_number(&b, 4);
    bool     exif = type == 0x45786966, mime = type == 0x6D696D65; /* "Exif", "mime" */
    if (version < 2 || b.short_of || (!exif && !mime) || (exif ? c->exif.data : c->xmp.data))
        return 0;
    (void)bits_text(&b);
    if (mime && (strcmp(bits_text(&b), "application/rdf+xml") != 0 || *bits_text(&b)))
        return 0; /* or deflated, as nobody does */
    if (h->tried++ >= MOST_TRIED || !describes(h, id))
        return 0;
    if (mime)
        return item_bytes(h, id, XMP_PACKET_MAX, &c->xmp, &c->owned[0]);
    int rc  = item_bytes(h, id, MOST_EXIF, &c->exif, &c->owned[1]);
    c->exif = container_exif(&c->exif);
    return rc;
}

int container_look_heif(const struct span *file, const struct span *meta, struct container *c,
                        struct err *err)
{
    struct heif h       = {.file       = *file,
                           .references = boxes_find(meta, 4, "iref"),
                           .places     = boxes_find(meta, 4, "iloc"),
                           .inside     = boxes_find(meta, 4, "idat"),
                           .err        = err};
    struct span primary = boxes_find(meta, 4, "pitm"), list = boxes_find(meta, 4, "iinf");
    struct bits b       = {.left = primary};
    unsigned    version = (unsigned)bits_number(&b, 1);
    (void)bits_number(&b, 3);
    h.primary = (uint32_t)bits_number(&b, version == 0 ? 2 : 4);
    open_places(&h);
    struct boxes entries = boxes_in(&list, list.len && list.data[0] == 0 ? 6 : 8);
    int          rc      = 0;
    while (!rc && boxes_next(&entries)) {
        if (boxes_is(&entries, "infe"))
            rc = take_item(&h, &entries.data, c);
    }
    return rc;
}
