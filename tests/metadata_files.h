/* Small picture files made by hand, for the tests of core/meta. They are whole as
 * containers; what would be pixels is counted bytes.
 */
#ifndef OSPREY_TESTS_METADATA_FILES_H
#define OSPREY_TESTS_METADATA_FILES_H

#include "base/buf.h"
#include "meta/metadata.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void add(struct buf *b, const void *bytes, size_t n)
{
    if (buf_append(b, bytes, n, NULL))
        abort();
}

static inline void add_number(struct buf *b, uint64_t value, size_t n, bool big_endian)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * (big_endian ? n - 1 - i : i));
        add(b, &byte, 1);
    }
}

static inline void add_pixels(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_number(b, i * 7 % 251, 1, true);
}

static inline void add_segment(struct buf *b, int marker, const void *data, size_t n)
{
    add_number(b, 0xFF00U | (unsigned)marker, 2, true);
    add_number(b, n + 2, 2, true);
    add(b, data, n);
}

/* One IIM dataset of record 2. */
static inline void add_iim(struct buf *b, int dataset, const char *text)
{
    add_number(b, 0x1C02, 2, true);
    add_number(b, (unsigned)dataset, 1, true);
    add_number(b, strlen(text), 2, true);
    add(b, text, strlen(text));
}

/* A JPEG of APP0, then segment (NULL: none) and what a picture has. */
static inline void make_jpeg(struct buf *b, int marker, const void *segment, size_t n)
{
    buf_init(b, 1 << 20);
    add(b, "\xFF\xD8", 2);
    add_segment(b, 0xE0, "JFIF\0\1\1\0\0\1\0\1\0\0", 14);
    if (segment)
        add_segment(b, marker, segment, n);
    add_segment(b, 0xDB, "table", 5);
    add_segment(b, 0xDA, "\1\1\0\0\77\0", 6);
    add_pixels(b, 500);
    add(b, "\xFF\xD9trailer", 9);
}

static inline void add_png_chunk(struct buf *b, const char *name, const void *data, size_t n)
{
    add_number(b, n, 4, true);
    add(b, name, 4);
    add(b, data, n);
    add_number(b, 0x12345678, 4, true); /* nobody checks it here */
}

static inline void make_png(struct buf *b)
{
    buf_init(b, 1 << 20);
    add(b, "\x89PNG\r\n\x1A\n", 8);
    add_png_chunk(b, "IHDR", "\0\0\0\1\0\0\0\1\10\2\0\0\0", 13);
    add_png_chunk(b, "tEXt", "Title\0it", 8);
    add_png_chunk(b, "IDAT", "pixels", 6);
    add_png_chunk(b, "IDAT", "more", 4);
    add_png_chunk(b, "IEND", "", 0);
    add(b, "behind", 6);
}

static inline void add_webp_chunk(struct buf *b, const char *name, const void *data, size_t n)
{
    add(b, name, 4);
    add_number(b, n, 4, false);
    add(b, data, n);
    if (n & 1)
        add(b, "", 1);
}

/* kind 0: lossy and plain, 1: lossless with alpha and plain, 2: extended. */
static inline void make_webp(struct buf *b, int kind)
{
    buf_init(b, 1 << 20);
    add(b, "RIFF\0\0\0\0WEBP", 12);
    if (kind == 2) {
        add_webp_chunk(b, "VP8X", "\x20\0\0\0\x3F\1\0\xEF\0\0", 10);
        add_webp_chunk(b, "ICCP", "profile", 7);
    }
    if (kind == 1)
        add_webp_chunk(b, "VP8L", "\x2F\x3F\xC1\x3B\x10more", 9);
    else
        add_webp_chunk(b, "VP8 ", "\x30\1\0\x9D\1\x2A\x40\1\xF0\0more!", 15);
    if (kind == 2)
        add_webp_chunk(b, "EXIF", "II*\0\10\0\0\0\0\0\0\0\0\0", 14);
    for (size_t i = 0; i < 4; i++)
        b->data[4 + i] = (char)((b->len - 8) >> 8 * i);
}

struct tiff_shape {
    bool        big_endian, big, odd; /* odd: a byte more at the end */
    const char *description;          /* field 270, or NULL */
    const void *iim;                  /* field 33723, or NULL */
    size_t      iim_n;
};

/* A TIFF of one directory at its end: width, [270], strip, [33723]. */
static inline void make_tiff(struct buf *b, const struct tiff_shape *s)
{
    size_t   wide = s->big ? 8 : 4, texts = s->description ? strlen(s->description) + 1 : 0;
    bool     be      = s->big_endian;
    size_t   head    = s->big ? 16 : 8;
    uint64_t text_at = head + 400, iim_at = text_at + texts + (texts & 1);
    uint64_t at = iim_at + s->iim_n + (s->iim_n & 1);
    buf_init(b, 1 << 20);
    add(b, be ? "MM" : "II", 2);
    add_number(b, s->big ? 43 : 42, 2, be);
    if (s->big)
        add_number(b, be ? 8 << 16 : 8, 4, be);
    add_number(b, at, wide, be);
    add_pixels(b, 400);
    add(b, s->description ? s->description : "", texts);
    add(b, "", texts & 1);
    add(b, s->iim ? s->iim : "", s->iim_n);
    add(b, "", s->iim_n & 1);
    add_number(b, 2U + (s->description != NULL) + (s->iim != NULL), s->big ? 8 : 2, be);
    add_number(b, 256, 2, be); /* width: a SHORT, inline */
    add_number(b, 3, 2, be);
    add_number(b, 1, wide, be);
    add_number(b, 20, 2, be);
    add_number(b, 0, wide - 2, be);
    if (s->description) {
        add_number(b, 270, 2, be);
        add_number(b, 2, 2, be);
        add_number(b, texts, wide, be);
        add_number(b, text_at, wide, be);
    }
    add_number(b, 273, 2, be); /* the strip */
    add_number(b, 4, 2, be);
    add_number(b, 1, wide, be);
    add_number(b, head, 4, be);
    add_number(b, 0, wide - 4, be);
    if (s->iim) {
        add_number(b, 33723, 2, be);
        add_number(b, 7, 2, be);
        add_number(b, s->iim_n, wide, be);
        add_number(b, iim_at, wide, be);
    }
    add_number(b, 0, wide, be);
    if (s->odd)
        add(b, "", 1);
}

/* EXIF with the dates given (NULL: without), in the order of their tags. */
static inline void make_exif(struct buf *b, const char *taken, const char *made, const char *zone)
{
    const struct {
        int         tag;
        const char *text;
    } fields[]   = {{0x9003, taken}, {0x9004, made}, {0x9011, zone}, {0x9012, zone}};
    size_t count = (taken != NULL) + (made != NULL) + 2U * (zone != NULL);
    size_t at    = 26 + 2 + count * 12 + 4;
    buf_init(b, 1 << 16);
    add(b, "MM\0*\0\0\0\10\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x1A\0\0\0\0", 26);
    add_number(b, count, 2, true);
    for (size_t i = 0; i < 4; i++) {
        size_t n = fields[i].text ? strlen(fields[i].text) + 1 : 0;
        if (!n)
            continue;
        add_number(b, (unsigned)fields[i].tag, 2, true);
        add_number(b, 2, 2, true);
        add_number(b, n, 4, true);
        add_number(b, at, 4, true);
        at += n;
    }
    add_number(b, 0, 4, true);
    for (size_t i = 0; i < 4; i++) {
        if (fields[i].text)
            add(b, fields[i].text, strlen(fields[i].text) + 1);
    }
}

#define PACKET_FORM                                                                                \
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF "                                                \
    "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='' "       \
    "xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:exif='http://ns.adobe.com/exif/1.0/' "         \
    "xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' "                                        \
    "xmp:Rating='%s'%s/></rdf:RDF></x:xmpmeta>"

/* A packet of a rating and attributes; until the next but one. */
static inline const char *packet(const char *rating, const char *more)
{
    static char text[2][1024];
    static int  turn;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], PACKET_FORM, rating, more);
    return text[turn];
}

/* What a file, and the sidecar beside it (or NULL), say. */
static inline struct metadata read_file(const struct buf *file, const char *sidecar)
{
    struct metadata       m;
    struct err            err   = ERR_INIT;
    struct metadata_files files = {.picture   = (const uint8_t *)file->data,
                                   .picture_n = file->len,
                                   .sidecar   = (const uint8_t *)sidecar,
                                   .sidecar_n = sidecar ? strlen(sidecar) : 0};
    if (metadata_read(&files, &m, &err))
        abort();
    return m;
}

#endif
