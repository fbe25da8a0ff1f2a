/* Metadata in files of boxes (see container.h): in HEIF's items (container_heif.c), in boxes
 * of their own in JPEG XL (ISO/IEC 18181-2, sections 9.7 to 9.9; compressed ones through
 * libbrotlidec), and in films (container_film.c). XMP in a box of Adobe's number: XMP
 * specification part 3, section 1.2.7.1.
 */
#include "base/mem.h"
#include "meta/boxes.h"
#include "meta/xmp.h"

#ifdef OSPREY_HAVE_BROTLI
#include <brotli/decode.h>
#endif
#include <stdlib.h>
#include <string.h>

/* "Exif" comes with how many bytes there are before the TIFF header; some write none. */
struct span container_exif(const struct span *block)
{
    struct span b = *block;
    if (b.len >= 4 && memcmp(b.data, "II*\0", 4) != 0 && memcmp(b.data, "MM\0*", 4) != 0) {
        size_t skip =
            (size_t)b.data[0] << 24 | (size_t)b.data[1] << 16 | (size_t)b.data[2] << 8 | b.data[3];
        b = skip < b.len - 4 ? (struct span){b.data + 4 + skip, b.len - 4 - skip}
                             : (struct span){0};
    }
    return container_bare_exif(&b);
}

#ifdef OSPREY_HAVE_BROTLI
bool container_unpacks(void)
{
    return true;
}

#define MOST_EXIF  ((size_t)4 << 20)
#define FIRST_ROOM ((size_t)64 << 10)

/* A compressed box, in *owned; broken, or longer than most, it is not there. */
static int unpack(const struct span *packed, size_t most, struct span *out, uint8_t **owned,
                  struct err *err)
{
    if (*owned) /* another such box, that said nothing */
        return 0;
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    const uint8_t      *from  = packed->data;
    size_t              left = packed->len, n = 0, room = 0;
    uint8_t            *bytes  = NULL;
    BrotliDecoderResult result = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
    int                 rc     = state ? 0 : ERR_NOMEM;
    while (!rc && result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && room < most) {
        room          = room ? room * 2 : FIRST_ROOM;
        room          = room < most ? room : most;
        uint8_t *more = mem_regrow(bytes, room, 1);
        if (!more) {
            rc = ERR_NOMEM;
            break;
        }
        bytes           = more;
        uint8_t *to     = bytes + n;
        size_t   unused = room - n;
        result          = BrotliDecoderDecompressStream(state, &left, &from, &unused, &to, NULL);
        n               = room - unused;
    }
    if (!rc && result == BROTLI_DECODER_RESULT_SUCCESS && n) {
        *out   = (struct span){bytes, n};
        *owned = bytes;
        bytes  = NULL;
    }
    free(bytes);
    BrotliDecoderDestroyInstance(state);
    return rc ? err_set(err, rc, "out of memory for compressed metadata") : 0;
}

static int take_packed(const struct span *box, struct container *c, struct err *err)
{
    struct span packed = {box->data + 4, box->len - 4};
    if (!c->xmp.data && !memcmp(box->data, "xml ", 4))
        return unpack(&packed, XMP_PACKET_MAX, &c->xmp, &c->owned[0], err);
    if (c->exif.data || memcmp(box->data, "Exif", 4) != 0)
        return 0;
    int rc  = unpack(&packed, MOST_EXIF, &c->exif, &c->owned[1], err);
    c->exif = container_exif(&c->exif);
    return rc;
}
#else
bool container_unpacks(void)
{
    return false;
}

static int take_packed(const struct span *box, struct container *c, struct err *err)
{
    (void)box;
    (void)c;
    (void)err;
    return 0;
}
#endif

int container_look_boxes(const uint8_t *bytes, size_t n, struct container *c, struct err *err)
{
    static const uint8_t xmp_number[16] = {0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8,
                                           0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC};
    struct span          file           = {bytes, n};
    struct boxes         b              = boxes_in(&file, 0);
    bool                 jxl            = n >= 8 && !memcmp(bytes + 4, "JXL ", 4);
    int                  rc             = 0;
    while (!rc && boxes_next(&b)) {
        if (!jxl && boxes_is(&b, "meta") && b.data.len > 4)
            rc = container_look_heif(&file, &b.data, c, err);
        else if (!jxl && boxes_is(&b, "moov"))
            container_look_film(&b.data, c);
        else if (!c->xmp.data && boxes_is(&b, "uuid") && b.data.len > sizeof xmp_number &&
                 !memcmp(b.data.data, xmp_number, sizeof xmp_number))
            c->xmp = (struct span){b.data.data + sizeof xmp_number, b.data.len - sizeof xmp_number};
        else if (jxl && !c->xmp.data && boxes_is(&b, "xml "))
            c->xmp = b.data;
        else if (jxl && !c->exif.data && boxes_is(&b, "Exif"))
            c->exif = container_exif(&b.data);
        else if (jxl && boxes_is(&b, "brob") && b.data.len > 4)
            rc = take_packed(&b.data, c, err);
    }
    return rc;
}
