/* Where a film was taken, and its XMP: what MP4 and QuickTime files say of themselves in their
 * box moov. QuickTime File Format (user data "\251xyz" and "XMP_", metadata keys of Apple's),
 * 3GPP TS 26.244, section 8 ("loci"), ISO 6709 for the text of a place. When it was taken, and
 * by what camera, its decoder tells. Matroska and AVI have no such places.
 */
#include "meta/boxes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_TEXT 64 /* bytes of "+52.5200+013.4050+034.000/", and to spare */

/* Degrees, degrees and minutes, or also seconds, the last with a fraction: by how many
 * digits there are before the point. Some write fewer for degrees alone. */
static bool angle(const char **at, size_t degree_digits, double *out)
{
    const char *s      = *at;
    size_t      digits = *s == '+' || *s == '-' ? strspn(s + 1, "0123456789") : 0;
    char       *end    = NULL;
    size_t      more   = digits > degree_digits ? digits - degree_digits : 0;
    if (!digits || more % 2 || more > 4)
        return false;
    double value = strtod(s + 1, &end), minutes = 0;
    if (end != s + 1 + strspn(s + 1, "0123456789.")) /* "0x1", "1e5" */
        return false;
    if (more == 4) { /* seconds, as a part of a minute */
        double seconds = fmod(value, 100);
        value          = floor(value / 100) + seconds / 60;
    }
    if (more) {
        minutes = fmod(value, 100);
        value   = floor(value / 100);
    }
    value += minutes / 60;
    *out = *s == '-' ? -value : value;
    *at  = end;
    return true;
}

static void take_text(const struct span *text, struct container *c)
{
    char        copy[PLACE_TEXT];
    const char *at = copy;
    double      latitude, longitude;
    if (c->has_place || !text->len || text->len >= sizeof copy)
        return;
    memcpy(copy, text->data, text->len);
    copy[text->len] = '\0';
    if (!angle(&at, 2, &latitude) || !angle(&at, 3, &longitude))
        return;
    c->has_place = true;
    c->latitude  = latitude;
    c->longitude = longitude;
}

/* 3GPP's: language, a name in UTF-8 or UTF-16, a role, numbers of 16 and 16 bits. */
static void take_loci(const struct span *box, struct container *c)
{
    struct bits b = {.left = *box};
    (void)bits_number(&b, 6);
    if (b.left.len >= 2 &&
        (!memcmp(b.left.data, "\xFE\xFF", 2) || !memcmp(b.left.data, "\xFF\xFE", 2))) {
        while (bits_number(&b, 2) != 0 && !b.short_of)
            ;
    } else {
        (void)bits_text(&b);
    }
    (void)bits_number(&b, 1);
    int32_t longitude = (int32_t)(uint32_t)bits_number(&b, 4);
    int32_t latitude  = (int32_t)(uint32_t)bits_number(&b, 4);
    if (c->has_place || b.short_of)
        return;
    c->has_place = true;
    c->latitude  = latitude / 65536.0;
    c->longitude = longitude / 65536.0;
}

/* "\251xyz" has texts with their lengths and languages, of which the first is taken. */
static void take_user_data(const struct span *user, struct container *c)
{
    struct boxes b = boxes_in(user, 0);
    while (boxes_next(&b)) {
        if (boxes_is(&b, "\251xyz") && b.data.len > 4) {
            size_t      len  = (size_t)b.data.data[0] << 8 | b.data.data[1];
            struct span text = {b.data.data + 4, b.data.len - 4};
            text.len         = len < text.len ? len : text.len;
            take_text(&text, c);
        } else if (boxes_is(&b, "loci")) {
            take_loci(&b.data, c);
        } else if (!c->xmp.data && boxes_is(&b, "XMP_") && b.data.len) {
            c->xmp = b.data;
        }
    }
}

/* The number, from 1, of a key in a box "keys"; 0 without it. */
static uint32_t key_number(const struct span *keys, const char *name)
{
    struct boxes b = boxes_in(keys, 8);
    for (uint32_t i = 1; boxes_next(&b); i++) {
        if (b.data.len == strlen(name) && !memcmp(b.data.data, name, b.data.len))
            return i;
    }
    return 0;
}

/* A box "meta" of QuickTime is none of ISO's: it may have no version before its boxes. */
static void take_keys(const struct span *meta, struct container *c)
{
    size_t       skip = meta->len >= 8 && !memcmp(meta->data + 4, "hdlr", 4) ? 0 : 4;
    struct span  keys = boxes_find(meta, skip, "keys"), items = boxes_find(meta, skip, "ilst");
    uint32_t     wanted = key_number(&keys, "com.apple.quicktime.location.ISO6709");
    struct boxes b      = boxes_in(&items, 0);
    while (wanted && boxes_next(&b)) {
        struct bits name = {.left = {(const uint8_t *)b.name, 4}};
        if (bits_number(&name, 4) != wanted)
            continue;
        struct span data = boxes_find(&b.data, 0, "data");
        if (data.len > 8) { /* type and language first */
            struct span text = {data.data + 8, data.len - 8};
            take_text(&text, c);
        }
    }
}

void container_look_film(const struct span *movie, struct container *c)
{
    struct span meta = boxes_find(movie, 0, "meta"), user = boxes_find(movie, 0, "udta");
    take_keys(&meta, c);
    take_user_data(&user, c);
    if (!meta.data) { /* others' place for the keys */
        meta = boxes_find(&user, 0, "meta");
        take_keys(&meta, c);
    }
}
