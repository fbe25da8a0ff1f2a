/* What a picture says of itself: tags, a caption, a rating, a lens, a place, a date. And the
 * other way: what shall be said in it, as an XMP packet that says it.
 *
 * All of it parses bytes from outside, and is done in the worker (decoder.h); what
 * travels are the packed forms of metadata_wire.h. A picture may have a sidecar, NAME.xmp
 * beside it, whose word counts before the file's, property by property, as digiKam and
 * darktable hold it.
 */
#ifndef OSPREY_META_METADATA_H
#define OSPREY_META_METADATA_H

#include "base/err.h"
#include "meta/strings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METADATA_TAGS        512            /* of one picture */
#define METADATA_TAG_MAX     1023           /* bytes of one */
#define METADATA_TEXT_MAX    ((size_t)8192) /* bytes of a caption */
#define METADATA_SIDECAR_MAX ((size_t)8 << 20)

struct metadata {
    struct strings tags;     /* without Osprey's own; a tag below another: "animal|dog" */
    struct strings people;   /* those of them that Osprey wrote at a person's word */
    char          *caption;  /* NULL: none, or Osprey's own */
    char          *alt_text; /* likewise */
    char           lens[96]; /* "" when unknown */
    int            rating;   /* stars, 1 to 5; -1: rejected; 0: none */
    bool           has_place;
    double         latitude, longitude; /* degrees, WGS 84 */
    int64_t taken_at; /* Unix seconds, as in image_info; a coarse date's beginning; 0: none */
    bool    is_made;  /* that is when the file was made, of a print, say: all that is known */
};

/* When it was taken, by all that is known: decoded is image_info's taken_at. */
int64_t metadata_taken_at(const struct metadata *m, int64_t decoded);

/* What follows the name of a picture in that of its sidecar, as digiKam and darktable have
 * it; and the sidecar's mtime in nanoseconds, never 0 or -1, but 0 for what is no regular
 * file. */
#define METADATA_SIDECAR ".xmp"
struct stat;
int64_t metadata_sidecar_ns(const struct stat *st);

void metadata_release(struct metadata *m);

/* The bytes of a picture, and of its sidecar (n 0: none). */
struct metadata_files {
    const uint8_t *picture, *sidecar;
    size_t         picture_n, sidecar_n;
};

/* What cannot be parsed is as good as not there. ERR_NOMEM alone. */
int metadata_read(const struct metadata_files *files, struct metadata *out, struct err *err);

/* What shall be said. Each of the three is left alone unless it is chosen; chosen and
 * empty, what Osprey said before goes. What people said through Osprey stays, whoever asks,
 * until it is named as taken away. */
struct metadata_wish {
    bool           sidecar; /* where: beside the picture, or in it */
    bool           set_tags, set_caption, set_alt_text;
    bool           only_out;     /* nothing is written that isn't there */
    bool           keep_own;     /* what Osprey said before stays, wished or not */
    bool           people_texts; /* caption and alt_text are a person's */
    struct strings tags;         /* Osprey's: "animal|dog" */
    struct strings people;       /* a person's */
    struct strings taken;        /* which that person said once, and took away */
    char          *caption;      /* NULL: none */
    char          *alt_text;     /* NULL: none */
};
void metadata_wish_release(struct metadata_wish *wish);

enum metadata_outcome {
    METADATA_SAME, /* all is as wished already */
    METADATA_PUT,  /* packet takes the place of the one there, or is the first */
    METADATA_DROP  /* nothing is left to be said: the packet, or the sidecar, goes */
};

struct metadata_edit {
    enum metadata_outcome outcome;
    struct strings        changes; /* for people: "+ dc:subject: dog", "- ..." */
    char                 *packet;  /* XML without wrapper; with METADATA_PUT */
    size_t                len;     /* bytes */
};
void metadata_edit_release(struct metadata_edit *edit);

/* What other programs wrote stays, and counts: a tag that is there already is not
 * Osprey's, nor is its caption put in place of another one, and a tag of Osprey's that
 * they took out is not written again. What Osprey puts there it notes in the packet
 * itself, its own and people's apart, so that it finds it again. ERR_FORMAT where the
 * packet there cannot be parsed, ERR_UNSUPPORTED where nothing can be written. */
int metadata_change(const struct metadata_files *files, const struct metadata_wish *wish,
                    struct metadata_edit *out, struct err *err);

#endif
