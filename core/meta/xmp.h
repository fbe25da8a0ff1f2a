/* XMP packets in memory: parsed, looked at, changed, and made into text again.
 *
 * libexempi (Adobe's XMP toolkit) stands behind it, of which only the part that knows
 * no files is used. It keeps every property of the packet, known to it or not; what it
 * does to their form (comments go, an author alone becomes a list) is within what the
 * XMP specification (ISO 16684-1) calls equal. Where the build has no libexempi, xmp_is_here
 * is false, a packet has nothing to say and cannot be changed.
 */
#ifndef OSPREY_META_XMP_H
#define OSPREY_META_XMP_H

#include "base/err.h"
#include "meta/strings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XMP_PACKET_MAX ((size_t)16 << 20) /* bytes */

/* Properties that are lists of texts. Each has two twins in Osprey's own namespace: which
 * of its items are Osprey's, and which it wrote at a person's word. */
enum xmp_list { XMP_SUBJECT, XMP_HIERARCHY, XMP_TAGS_LIST, XMP_LISTS };
enum xmp_whose { XMP_ALL, XMP_OWN, XMP_PEOPLE }; /* the list itself, or a twin */
/* Properties that are a text in several languages, of which the default one counts;
 * with a twin that holds the text, where it is Osprey's. */
enum xmp_text { XMP_DESCRIPTION, XMP_ALT_TEXT, XMP_TEXTS };
/* Simple ones, to be read. */
enum xmp_simple {
    XMP_RATING,
    XMP_LENS_EX,
    XMP_LENS_AUX,
    XMP_LATITUDE,
    XMP_LONGITUDE,
    XMP_TAKEN, /* the date of what is shown, by photoshop:, and */
    XMP_TAKEN_EXIF,
    XMP_MADE, /* the date of the file that was made of it */
    XMP_MADE_EXIF,
    XMP_EXTENDED, /* the digest of an extended packet in a JPEG */
    XMP_SIMPLES
};

const char *xmp_list_name(enum xmp_list list); /* "dc:subject" */
const char *xmp_text_name(enum xmp_text text);

bool xmp_is_here(void);
/* What else would happen at the first packet: for a process that shuts itself in. */
void xmp_warm_up(void);

struct xmp;

/* n 0: an empty one. ERR_FORMAT for what is no XMP. */
int  xmp_open(const void *packet, size_t n, struct xmp **out, struct err *err);
void xmp_close(struct xmp *x); /* NULL-safe */

/* *is_there (may be NULL): also where it is empty. Items that are no
 * plain texts are passed over. */
int  xmp_list_get(struct xmp *x, enum xmp_list list, enum xmp_whose whose, struct strings *out,
                  bool *is_there, struct err *err);
/* Replaces a twin, which goes when there are none. */
int  xmp_list_put_twin(struct xmp *x, enum xmp_list list, enum xmp_whose whose,
                       const struct strings *items, struct err *err);
int  xmp_list_add(struct xmp *x, enum xmp_list list, const char *item, struct err *err);
/* The last one with this text; the list goes with its last item. */
int  xmp_list_remove(struct xmp *x, enum xmp_list list, const char *item, struct err *err);
/* NULL in *out where there is none; freed by the caller. *foreign: it is there in
 * another language, or form, alone. */
int  xmp_text_get(struct xmp *x, enum xmp_text text, char **out, bool *foreign, struct err *err);
int  xmp_text_get_own(struct xmp *x, enum xmp_text text, char **out, struct err *err);
/* value NULL: takes it out. Both leave other languages alone. */
int  xmp_text_put(struct xmp *x, enum xmp_text text, const char *value, struct err *err);
int  xmp_text_put_own(struct xmp *x, enum xmp_text text, const char *value, struct err *err);
/* False where there is none. */
bool xmp_simple_get(struct xmp *x, enum xmp_simple simple, char *out, size_t size);

bool xmp_is_empty(struct xmp *x); /* not one property */
/* Whether bytes that may be broken can hold a word of Osprey's: it writes no packet that
 * does not name its namespace. */
bool xmp_names_osprey(const void *packet, size_t n);
/* As XML, without the packet's wrapper; freed by the caller. ERR_FORMAT where that could not be
 * parsed again. */
int  xmp_text_of(struct xmp *x, char **out, size_t *n, struct err *err);

#endif
