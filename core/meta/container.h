/* Where metadata lies in a picture's file, and the file with another XMP packet in it.
 *
 * JPEG, PNG, WebP and TIFF, each in its own file. They touch nothing but the packet and
 * what must tell of it (a size, a flag, an offset): every other byte comes out as it went
 * in. HEIC, AVIF, JPEG XL, MP4 and QuickTime are for reading alone. XMP specification part 3
 * (storage in files), 2016. Not for pixels.
 */
#ifndef OSPREY_META_CONTAINER_H
#define OSPREY_META_CONTAINER_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const uint8_t *data; /* NULL: not there */
    size_t         len;  /* bytes */
};

enum container_kind {
    CONTAINER_OTHER, /* nothing is found there, and nothing can be put */
    CONTAINER_JPEG,
    CONTAINER_PNG,
    CONTAINER_WEBP,
    CONTAINER_TIFF,
    CONTAINER_BOXES /* HEIC, AVIF, JPEG XL, MP4, QuickTime: nothing can be put there */
};

/* Points into the file's bytes, but for what is owned. */
struct container {
    enum container_kind kind;
    struct span         xmp;
    struct span         extended; /* of a JPEG whose packet is in two parts */
    struct span         exif;     /* a TIFF structure; a TIFF file is one itself */
    struct span         iim;
    bool                has_place; /* of a film that tells it outside XMP */
    double              latitude, longitude;
    uint8_t            *owned[2];
};

enum container_kind container_kind_of(const uint8_t *bytes, size_t n);
/* ERR_NOMEM alone: what is broken is not there. */
int  container_look(const uint8_t *bytes, size_t n, struct container *out, struct err *err);
void container_release(struct container *c);
bool container_unpacks(void); /* what JPEG XL compressed: where the build has libbrotlidec */

#define CONTAINER_PARTS 8

/* A file in pieces, in order; they point into the old file's bytes, the packet and owned. */
struct container_parts {
    struct file_part part[CONTAINER_PARTS];
    size_t           n;
    uint8_t         *owned[CONTAINER_PARTS];
    size_t           n_owned;
};
void container_parts_release(struct container_parts *parts);

/* The file with this packet (XML without a wrapper) in place of the one there, or without
 * one (packet NULL). ERR_UNSUPPORTED: another kind of file, or one that cannot hold it;
 * ERR_FORMAT: broken; ERR_LIMIT: the packet is too long for it. */
int container_splice(const uint8_t *bytes, size_t n, const char *packet, size_t len,
                     struct container_parts *out, struct err *err);

/* The packet in its wrapper, which is what lies in files (XMP part 1, section 7.3). */
#define XMP_WRAPPER_BEGIN "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
#define XMP_WRAPPER_END   "\n<?xpacket end=\"w\"?>"
#define XMP_WRAPPER_BYTES (sizeof XMP_WRAPPER_BEGIN - 1 + sizeof XMP_WRAPPER_END - 1)

/* ---- For the container_*.c files alone ---- */

int  container_look_jpeg(const uint8_t *bytes, size_t n, struct container *c, struct err *err);
int  container_look_png(const uint8_t *bytes, size_t n, struct container *c, struct err *err);
int  container_look_webp(const uint8_t *bytes, size_t n, struct container *c, struct err *err);
int  container_look_tiff(const uint8_t *bytes, size_t n, struct container *c, struct err *err);
int  container_look_boxes(const uint8_t *bytes, size_t n, struct container *c, struct err *err);
/* meta, movie: the contents of the boxes "meta" and "moov". */
int  container_look_heif(const struct span *file, const struct span *meta, struct container *c,
                         struct err *err);
void container_look_film(const struct span *movie, struct container *c);

/* A block of EXIF without the "Exif\0\0" of JPEG that some write elsewhere, too; and without
 * what comes before that in boxes. Empty when there is nothing else. */
struct span container_bare_exif(const struct span *block);
struct span container_exif(const struct span *block);

/* packet: in its wrapper, or of len 0. */
int container_splice_jpeg(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err);
int container_splice_png(const uint8_t *bytes, size_t n, const struct span *packet,
                         struct container_parts *out, struct err *err);
int container_splice_webp(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err);
int container_splice_tiff(const uint8_t *bytes, size_t n, const struct span *packet,
                          struct container_parts *out, struct err *err);

/* Adds a piece, unless it is empty. There is always room for what a format needs. */
void     container_part(struct container_parts *out, const void *data, size_t len);
/* A piece of its own, for the caller to fill; NULL when out of memory. */
uint8_t *container_own(struct container_parts *out, size_t len);

#endif
