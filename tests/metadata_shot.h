/* A picture with metadata in memory, and what lies beside it: made, asked and changed, for
 * tests of core/meta. cmocka.h comes before it.
 */
#ifndef OSPREY_TESTS_METADATA_SHOT_H
#define OSPREY_TESTS_METADATA_SHOT_H

#include "base/mem.h"
#include "meta/container.h"
#include "meta/metadata.h"
#include "meta/xmp.h"
#include "tests/metadata_files.h"

#define RDF_BEGIN                                                                                  \
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF "                                                \
    "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "       \
    "xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmp='http://ns.adobe.com/xap/1.0/' "        \
    "xmlns:lr='http://ns.adobe.com/lightroom/1.0/' "                                               \
    "xmlns:digiKam='http://www.digikam.org/ns/1.0/' "                                              \
    "xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:foo='http://foo/' "                          \
    "xmlns:Iptc4xmpCore='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/'>"
#define RDF_END         "</rdf:Description></rdf:RDF></x:xmpmeta>"
#define LIST(name, all) "<" name "><rdf:Bag>" all "</rdf:Bag></" name ">"
#define ITEM(text)      "<rdf:li>" text "</rdf:li>"
#define TEXT(name, all)                                                                            \
    "<" name "><rdf:Alt><rdf:li xml:lang='x-default'>" all "</rdf:li></rdf:Alt></" name ">"

/* A picture, and what lies beside it. */
struct shot {
    struct buf file, sidecar;
};

static inline struct metadata_files files_of(const struct shot *s)
{
    return (struct metadata_files){.picture   = (const uint8_t *)s->file.data,
                                   .picture_n = s->file.len,
                                   .sidecar   = (const uint8_t *)s->sidecar.data,
                                   .sidecar_n = s->sidecar.len};
}

static inline void put_packet(struct buf *file, const char *packet, size_t len)
{
    struct container_parts parts;
    struct err             err = ERR_INIT;
    struct buf             out;
    buf_init(&out, 4 << 20);
    if (container_splice((const uint8_t *)file->data, file->len, packet, len, &parts, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < parts.n; i++)
        add(&out, parts.part[i].data, parts.part[i].len);
    container_parts_release(&parts);
    buf_release(file);
    *file = out;
}

/* xmp, sidecar: what they hold, or NULL. */
static inline struct shot shot_new(const char *xmp, const char *sidecar)
{
    struct shot s;
    make_jpeg(&s.file, 0, NULL, 0);
    buf_init(&s.sidecar, 4 << 20);
    if (xmp)
        put_packet(&s.file, xmp, strlen(xmp));
    if (sidecar)
        add(&s.sidecar, sidecar, strlen(sidecar));
    return s;
}

static inline void shot_release(struct shot *s)
{
    buf_release(&s->file);
    buf_release(&s->sidecar);
}

/* Tags joined with ";"; people: those that Osprey wrote at a person's word. */
static inline const char *tags_said(const struct shot *s, bool people)
{
    static char           text[4096];
    struct metadata       m;
    struct metadata_files files = files_of(s);
    struct err            err   = ERR_INIT;
    size_t                at    = 0;
    if (metadata_read(&files, &m, &err))
        fail_msg("%s", err.msg);
    text[0]                    = '\0';
    const struct strings *tags = people ? &m.people : &m.tags;
    for (size_t i = 0; i < tags->n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s;", tags->list[i]);
    metadata_release(&m);
    return text;
}

static inline const char *tags_of(const struct shot *s)
{
    return tags_said(s, false);
}

/* tags: up to the first NULL. */
static inline struct metadata_wish wish_of(bool sidecar, const char *const tags[])
{
    struct metadata_wish wish = {.sidecar = sidecar, .set_tags = true};
    for (size_t i = 0; tags && tags[i]; i++)
        assert_int_equal(strings_add(&wish.tags, tags[i], NULL), 0);
    return wish;
}

/* Applies it; what becomes of it, and how many changes that was. */
static inline enum metadata_outcome change(struct shot *s, struct metadata_wish wish,
                                           size_t *changes)
{
    struct metadata_edit  edit;
    struct metadata_files files = files_of(s);
    struct err            err   = ERR_INIT;
    if (metadata_change(&files, &wish, &edit, &err))
        fail_msg("%s", err.msg);
    enum metadata_outcome outcome = edit.outcome;
    *changes                      = edit.changes.n;
    assert_true((outcome == METADATA_PUT) == (edit.packet != NULL));
    if (outcome != METADATA_SAME && wish.sidecar) {
        buf_reset(&s->sidecar);
        if (edit.packet)
            add(&s->sidecar, edit.packet, edit.len);
    } else if (outcome != METADATA_SAME) {
        put_packet(&s->file, edit.packet, edit.len);
    }
    metadata_edit_release(&edit);
    metadata_wish_release(&wish);
    return outcome;
}

static inline bool has(const struct buf *b, const char *text)
{
    return memmem(b->data, b->len, text, strlen(text)) != NULL;
}

static inline struct metadata_wish caption_wish(bool sidecar, const char *caption, const char *alt)
{
    return (struct metadata_wish){.sidecar      = sidecar,
                                  .set_caption  = true,
                                  .set_alt_text = true,
                                  .caption      = caption ? mem_strdup(caption) : NULL,
                                  .alt_text     = alt ? mem_strdup(alt) : NULL};
}

static inline const char *caption_of(const struct shot *s)
{
    static char           text[256];
    struct metadata       m;
    struct metadata_files files = files_of(s);
    assert_int_equal(metadata_read(&files, &m, NULL), 0);
    (void)snprintf(text, sizeof text, "%s", m.caption ? m.caption : "");
    metadata_release(&m);
    return text;
}

#endif
