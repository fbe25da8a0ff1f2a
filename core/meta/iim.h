/* IPTC-IIM: keywords and the caption that programs wrote before there was XMP, and some
 * still write; and dates. IPTC-NAA Information Interchange Model 4.1 (datasets 2:25, 2:120,
 * 2:55 and 2:60, 2:62 and 2:63), inside Photoshop's image resources (0x0404) in JPEG. For
 * reading alone.
 */
#ifndef OSPREY_META_IIM_H
#define OSPREY_META_IIM_H

#include "meta/strings.h"

#include <stddef.h>
#include <stdint.h>

/* The IIM data within a run of Photoshop's resources; NULL when there are none. */
const uint8_t *iim_in_resources(const uint8_t *bytes, size_t n, size_t *len);

/* Adds to keywords, and fills *caption (NULL: none; freed by the caller) if it is NULL.
 * Stops at the first thing that is no dataset. ERR_NOMEM alone. */
int iim_read(const uint8_t *bytes, size_t n, struct strings *keywords, char **caption,
             struct err *err);

/* When the picture was taken, and made a file of: the datasets of the days, with the times. */
enum iim_date { IIM_CREATED = 55, IIM_DIGITIZED = 62 };
#define IIM_DATE 24 /* bytes */
/* As base/moment.h reads it; "" without one. */
void iim_date(const uint8_t *bytes, size_t n, enum iim_date which, char out[IIM_DATE]);

#endif
