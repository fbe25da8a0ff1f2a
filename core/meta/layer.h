/* What one place says, the file or its sidecar: for core/meta/metadata_*.c alone. */
#ifndef OSPREY_META_LAYER_H
#define OSPREY_META_LAYER_H

#include "meta/container.h"
#include "meta/metadata.h"
#include "meta/xmp.h"

struct layer {
    struct strings list[XMP_LISTS], own[XMP_LISTS], people[XMP_LISTS];
    bool           has_list[XMP_LISTS];
    char          *text[XMP_TEXTS]; /* NULL: none, or Osprey's own */
    /* Dates as they stand there: of what is shown, of the file made of it. */
    char           taken[40], taken_exif[40], made[40], made_exif[40];
    char           rating[16], lens[96], latitude[32], longitude[32]; /* "" when absent */
};

/* Adds what a packet says to a layer; what is there already counts more. Broken XMP says
 * nothing. ERR_NOMEM alone. */
int  layer_read(struct layer *layer, const struct span *packet, struct err *err);
void layer_release(struct layer *layer);

/* What of a list is not Osprey's; noted: that alone which Osprey wrote at a person's word. */
int layer_others(const struct layer *layer, enum xmp_list list, bool noted, struct strings *out,
                 struct err *err);

/* Adds a tag as a list has it: its last level, all of it, or with slashes between levels,
 * in which a slash within one is a backslash, as digiKam makes of it. */
int layer_item(enum xmp_list list, const char *tag, struct strings *to, struct err *err);

/* The part of a packet that Osprey's parser is to see: without zeros at its end. */
struct span packet_trim(struct span packet);

#endif
