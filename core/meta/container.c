/* Metadata in files: see container.h. */
#include "meta/container.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum container_kind container_kind_of(const uint8_t *bytes, size_t n)
{
    static const uint8_t png[8]  = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const uint8_t jxl[12] = {0, 0, 0, 12, 'J', 'X', 'L', ' ', '\r', '\n', 0x87, '\n'};
    if (n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF)
        return CONTAINER_JPEG;
    if (n >= sizeof png && !memcmp(bytes, png, sizeof png))
        return CONTAINER_PNG;
    if (n >= 16 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4))
        return CONTAINER_WEBP;
    if (n >= 8 && (!memcmp(bytes, "II*\0", 4) || !memcmp(bytes, "MM\0*", 4) ||
                   !memcmp(bytes, "II+\0", 4) || !memcmp(bytes, "MM\0+", 4)))
        return CONTAINER_TIFF;
    if (n >= 12 && (!memcmp(bytes, jxl, sizeof jxl) || !memcmp(bytes + 4, "ftyp", 4) ||
                    !memcmp(bytes + 4, "moov", 4) || !memcmp(bytes + 4, "wide", 4) ||
                    !memcmp(bytes + 4, "mdat", 4))) /* QuickTime before there was ftyp */
        return CONTAINER_BOXES;
    return CONTAINER_OTHER;
}

int container_look(const uint8_t *bytes, size_t n, struct container *out, struct err *err)
{
    *out = (struct container){.kind = container_kind_of(bytes, n)};
    switch (out->kind) {
    case CONTAINER_JPEG:
        return container_look_jpeg(bytes, n, out, err);
    case CONTAINER_PNG:
        return container_look_png(bytes, n, out, err);
    case CONTAINER_WEBP:
        return container_look_webp(bytes, n, out, err);
    case CONTAINER_TIFF:
        return container_look_tiff(bytes, n, out, err);
    case CONTAINER_BOXES:
        return container_look_boxes(bytes, n, out, err);
    case CONTAINER_OTHER:
    default:
        return 0;
    }
}

void container_release(struct container *c)
{
    for (size_t i = 0; i < sizeof c->owned / sizeof *c->owned; i++)
        free(c->owned[i]);
    *c = (struct container){0};
}

struct span container_bare_exif(const struct span *block)
{
    bool headed = block->len > 6 && !memcmp(block->data, "Exif\0\0", 6);
    return headed ? (struct span){block->data + 6, block->len - 6} : *block;
}

/* ---- Putting a packet in ---- */

void container_part(struct container_parts *out, const void *data, size_t len)
{
    if (len)
        out->part[out->n++] = (struct file_part){.data = data, .len = len};
}

uint8_t *container_own(struct container_parts *out, size_t len)
{
    uint8_t *bytes = mem_array(len, 1);
    if (bytes)
        out->owned[out->n_owned++] = bytes;
    return bytes;
}

void container_parts_release(struct container_parts *parts)
{
    for (size_t i = 0; i < parts->n_owned; i++)
        free(parts->owned[i]);
    *parts = (struct container_parts){0};
}

int container_splice(const uint8_t *bytes, size_t n, const char *packet, size_t len,
                     struct container_parts *out, struct err *err)
{
    struct span         whole = {0};
    enum container_kind kind  = container_kind_of(bytes, n);
    uint8_t            *wrapped;
    int                 rc;
    *out = (struct container_parts){0};
    if (kind == CONTAINER_OTHER || kind == CONTAINER_BOXES)
        return err_set(err, ERR_UNSUPPORTED,
                       "XMP can be put into JPEG, PNG, TIFF and WebP files: write it beside this "
                       "one instead (--write sidecar)");
    if (packet) {
        whole.len = XMP_WRAPPER_BYTES + len;
        if (!(wrapped = container_own(out, whole.len)))
            return err_set(err, ERR_NOMEM, "out of memory for XMP");
        memcpy(wrapped, XMP_WRAPPER_BEGIN, sizeof XMP_WRAPPER_BEGIN - 1);
        memcpy(wrapped + sizeof XMP_WRAPPER_BEGIN - 1, packet, len);
        memcpy(wrapped + sizeof XMP_WRAPPER_BEGIN - 1 + len, XMP_WRAPPER_END,
               sizeof XMP_WRAPPER_END - 1);
        whole.data = wrapped;
    }
    if (kind == CONTAINER_JPEG)
        rc = container_splice_jpeg(bytes, n, &whole, out, err);
    else if (kind == CONTAINER_PNG)
        rc = container_splice_png(bytes, n, &whole, out, err);
    else if (kind == CONTAINER_WEBP)
        rc = container_splice_webp(bytes, n, &whole, out, err);
    else
        rc = container_splice_tiff(bytes, n, &whole, out, err);
    if (rc)
        container_parts_release(out);
    return rc;
}
