/* The formats that Osprey reads, in one table: what they are called, how their
 * files end, which library each needs. Decoders are not known here (decode.c).
 *
 * JPEG, PNG, BMP and PNM are always there. Each other format is a module of ours
 * over one library (modules.h), which a build may lack, and so may a system that
 * was built on another.
 */
#ifndef OSPREY_IMAGE_FORMATS_H
#define OSPREY_IMAGE_FORMATS_H

#include "image/image.h"

#include <stdbool.h>

struct format {
    const char *name;       /* "JPEG XL" */
    const char *extensions; /* in lower case, each between spaces: " .tif .tiff " */
    const char *mime;
    const char *module;  /* the file that decodes it; NULL: linked in */
    const char *library; /* what that needs, as its authors call it */
    bool        built;   /* whether this build has it */
};

/* kind: from IMAGE_JPEG on; of another, what is said of the unknown. */
const struct format *format_of(enum image_kind kind);

/* "image/tiff" by a format's name, as catalogues keep it. */
const char *format_mime(const char *name);

/* Whether a file of this name is to be looked at: by its ending, in any case. Also
 * where the format is not built: then looking at it says so. */
bool format_is_candidate(const char *name);

/* Whether it is found by frames, which have times. */
static inline bool format_is_video(enum image_kind kind)
{
    return kind >= IMAGE_MP4 && kind <= IMAGE_AVI;
}

/* Whether a file of the format of this name may have more than one picture to be found:
 * pages, frames. */
bool format_has_parts(const char *name);

/* Whether the format of this name is a video's. */
bool format_names_video(const char *name);

/* Sets of kinds: bits 1 << kind. */
static inline unsigned format_bit(enum image_kind kind)
{
    return 1u << kind;
}

/* The kinds that a word means, in any case: a format's name ("JPEG XL", "raw"), how its files
 * end ("jpg"), or "video" for all of them. 0: none. */
unsigned format_kinds(const char *word);
/* Whether a format's name is one of a set's. */
bool     format_is_among(const char *name, unsigned kinds);

#endif
