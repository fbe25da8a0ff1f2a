/* Metadata in TIFF files: fields of the first directory (see container.h). XMP part 3,
 * section 1.1.6; field 33723 for IIM, 34377 for Photoshop's resources.
 *
 * Offsets lead everywhere in a TIFF, and not all are known to be such. So nothing in it is
 * moved: the packet, a note, and a copy of the first directory that knows the packet are
 * appended, and the header points to that copy. The note says where the directory was,
 * and how long the file: what is written a second time takes the place of the first, and
 * when the packet goes the file is again what it was, to the byte.
 */
#include "meta/container.h"

#include "meta/iim.h"
#include "meta/tiff_fields.h"

#include <string.h>

#define NOTE 24 /* bytes: a name, the first directory's offset, the file's length */

static const char note_name[8] = {'O', 's', 'p', 'r', 'e', 'y', '0', '1'};

int container_look_tiff(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    struct tiff       t;
    struct tiff_field f;
    (void)err;
    if (!tiff_open(&t, bytes, n))
        return 0;
    c->exif = (struct span){bytes, n};
    if (tiff_find(&t, t.first, TIFF_XMP, &f))
        c->xmp = (struct span){f.value, f.len};
    if (tiff_find(&t, t.first, TIFF_IPTC, &f))
        c->iim = (struct span){f.value, f.len};
    else if (tiff_find(&t, t.first, TIFF_PHOTOSHOP, &f))
        c->iim.data = iim_in_resources(f.value, f.len, &c->iim.len);
    return 0;
}

static void put(const struct tiff *t, uint8_t *at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[t->big_endian ? n - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static uint64_t even(uint64_t at)
{
    return at + (at & 1);
}

/* The first directory, and what was appended last time. */
struct state {
    struct tiff    t;
    const uint8_t *entries;
    size_t         count, wide;   /* wide: bytes of an offset */
    const uint8_t *next;          /* the offset of the second directory */
    uint64_t       first, length; /* of the file before anything was appended */
    bool           appended;
};

static size_t head_bytes(const struct tiff *t)
{
    return t->big ? 8 : 2;
}

static int read_state(const uint8_t *bytes, size_t n, struct state *s, struct err *err)
{
    struct tiff_field f;
    if (!tiff_open(&s->t, bytes, n) || !tiff_directory(&s->t, s->t.first, &s->entries, &s->count))
        return err_set(err, ERR_FORMAT, "corrupt: no directory of a TIFF is where it says");
    s->wide        = s->t.big ? 8 : 4;
    s->next        = s->entries + s->count * tiff_entry_bytes(&s->t);
    s->first       = s->t.first;
    s->length      = n;
    s->appended    = false;
    size_t at_next = (size_t)(s->next - bytes);
    if (n - at_next < s->wide)
        return err_set(err, ERR_FORMAT, "truncated within its directory");
    if (at_next + s->wide != n || !tiff_find(&s->t, s->t.first, TIFF_XMP, &f))
        return 0;
    uint64_t at   = (uint64_t)(f.value - bytes);
    uint64_t note = even(at + f.len);
    if (note + NOTE != s->t.first || memcmp(bytes + note, note_name, sizeof note_name) != 0)
        return 0;
    struct tiff plain  = {0}; /* little-endian whatever the file is */
    uint64_t    first  = tiff_number(&plain, bytes + note + 8, 8);
    uint64_t    length = tiff_number(&plain, bytes + note + 16, 8);
    if (even(length) == at && first < length && length >= 16) {
        s->first    = first;
        s->length   = length;
        s->appended = true;
    }
    return 0;
}

/* Copies the entries but XMP's; *to is moved on. */
static size_t copy_entries(const struct state *s, uint8_t *to, size_t *before)
{
    size_t bytes = tiff_entry_bytes(&s->t), n = 0;
    *before = 0;
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *entry = s->entries + i * bytes;
        uint64_t       tag   = tiff_number(&s->t, entry, 2);
        if (tag == TIFF_XMP)
            continue;
        if (tag < TIFF_XMP)
            *before = n + 1;
        memcpy(to + n++ * bytes, entry, bytes);
    }
    return n;
}

/* Whether the directory that was the first is what the present one is without XMP. */
static bool was_the_same(const struct state *s, const uint8_t *others, size_t n)
{
    const uint8_t *old;
    size_t         count, bytes = tiff_entry_bytes(&s->t);
    return tiff_directory(&s->t, s->first, &old, &count) && count == n &&
           s->first + head_bytes(&s->t) + n * bytes + s->wide <= s->length &&
           !memcmp(old, others, n * bytes) && !memcmp(old + n * bytes, s->next, s->wide);
}

/* The header, then everything up to length, pointing to a directory at first. */
static int begin(const struct state *s, uint64_t first, uint64_t length,
                 struct container_parts *out, struct err *err)
{
    size_t   n    = s->t.big ? 16 : 8;
    uint8_t *head = container_own(out, n);
    if (!head)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(head, s->t.data, n);
    put(&s->t, head + n - s->wide, first, s->wide);
    container_part(out, head, n);
    container_part(out, s->t.data + n, (size_t)length - n);
    return 0;
}

int container_splice_tiff(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err)
{
    static const uint8_t zero = 0;
    struct state         s;
    size_t               before;
    int                  rc = read_state(bytes, n, &s, err);
    if (rc)
        return rc;
    /* Room for one entry more, and then some: the directory is made in place. */
    size_t   entry = tiff_entry_bytes(&s.t), head = head_bytes(&s.t);
    uint8_t *tail = container_own(out, NOTE + head + (s.count + 1) * entry + s.wide);
    if (!tail)
        return err_set(err, ERR_NOMEM, "out of memory");
    uint8_t *entries = tail + NOTE + head;
    size_t   count   = copy_entries(&s, entries, &before);
    if (!packet->len && s.appended && was_the_same(&s, entries, count))
        return begin(&s, s.first, s.length, out, err);
    if (!packet->len && count == s.count) { /* there is none */
        container_part(out, bytes, n);
        return 0;
    }
    if (!packet->len && count == 0)
        return err_set(err, ERR_FORMAT, "corrupt: its directory has nothing but XMP");
    uint64_t at    = even(s.length);
    uint64_t first = even(at + packet->len) + NOTE;
    if (packet->len) {
        memmove(entries + (before + 1) * entry, entries + before * entry, (count - before) * entry);
        uint8_t *mine = entries + before * entry;
        put(&s.t, mine, TIFF_XMP, 2);
        put(&s.t, mine + 2, 1, 2); /* BYTE */
        put(&s.t, mine + 4, packet->len, s.wide);
        put(&s.t, mine + 4 + s.wide, at, s.wide);
        count++;
    }
    if (!s.t.big && (count > UINT16_MAX || first > UINT32_MAX - 2 - count * entry - 4))
        return err_set(err, ERR_LIMIT, "a TIFF of this kind cannot be longer than 4 GB");
    struct tiff plain = {0};
    memcpy(tail, note_name, sizeof note_name);
    put(&plain, tail + 8, s.first, 8);
    put(&plain, tail + 16, s.length, 8);
    put(&s.t, tail + NOTE, count, head);
    memcpy(entries + count * entry, s.next, s.wide);
    rc = begin(&s, first, s.length, out, err);
    container_part(out, &zero, s.length & 1);
    container_part(out, packet->data, packet->len);
    container_part(out, &zero, packet->len & 1);
    container_part(out, tail, NOTE + head + count * entry + s.wide);
    return rc;
}
