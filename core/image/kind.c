/* Which format a file has, by its first bytes, and for a TIFF by what its
 * directories say: a camera's raw files are TIFFs too, and whoever decodes them as
 * such sees a thumbnail at best.
 *
 * Signatures: each format's specification; ISO/IEC 14496-12 (ftyp) for HEIF, AVIF
 * and CR3; TIFF 6.0, section 2, and DNG 1.6 for the tags. Nothing is believed that
 * is not within the file, and the work is bounded.
 */
#include "image/image.h"

#include <stdbool.h>
#include <string.h>

#define MOST_BRANDS      32
#define MOST_DIRECTORIES 16
#define MOST_ENTRIES     512
#define MOST_SUB         8

static bool begins(const uint8_t *bytes, size_t n, size_t at, const char *with, size_t len)
{
    return n >= at + len && !memcmp(bytes + at, with, len);
}
#define BEGINS(at, with) begins(bytes, n, at, with, sizeof(with) - 1)

/* ---- ISO base media ---- */

static enum image_kind kind_of_brand(const uint8_t *brand)
{
    static const struct {
        char            brand[5];
        enum image_kind kind;
    } known[] = {
        {"avif", IMAGE_AVIF}, {"avis", IMAGE_AVIF}, {"crx ", IMAGE_RAW},  {"heic", IMAGE_HEIC},
        {"heix", IMAGE_HEIC}, {"heim", IMAGE_HEIC}, {"heis", IMAGE_HEIC}, {"hevc", IMAGE_HEIC},
        {"hevx", IMAGE_HEIC}, {"mif1", IMAGE_HEIC}, {"msf1", IMAGE_HEIC}, {"qt  ", IMAGE_MOV},
        {"M4V ", IMAGE_MP4},  {"mp41", IMAGE_MP4},  {"mp42", IMAGE_MP4},  {"avc1", IMAGE_MP4},
        {"3gp4", IMAGE_MP4},  {"3gp5", IMAGE_MP4},  {"3gp6", IMAGE_MP4},  {"3g2a", IMAGE_MP4},
        {"dash", IMAGE_MP4},  {"MSNV", IMAGE_MP4},  {"isom", IMAGE_MP4},  {"iso2", IMAGE_MP4},
        {"iso4", IMAGE_MP4},  {"iso5", IMAGE_MP4},  {"iso6", IMAGE_MP4},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!memcmp(brand, known[i].brand, 4))
            return known[i].kind;
    }
    return IMAGE_UNKNOWN;
}

static enum image_kind kind_of_media(const uint8_t *bytes, size_t n)
{
    size_t size =
        (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    enum image_kind kind = IMAGE_UNKNOWN;
    if (size > n)
        size = n;
    for (size_t at = 8, i = 0; at + 4 <= size && i < MOST_BRANDS; at += at == 8 ? 8 : 4, i++) {
        enum image_kind one   = kind_of_brand(bytes + at);
        bool            vague = kind == IMAGE_HEIC && one == IMAGE_AVIF;   /* mif1 says neither */
        bool            still = kind == IMAGE_MP4 && one != IMAGE_UNKNOWN; /* isom says little */
        if (kind == IMAGE_UNKNOWN || vague || still)
            kind = one;
    }
    return kind;
}

/* ---- Matroska ---- */

/* WebM says so in its header (RFC 8794, DocType), which lies at the beginning. */
static enum image_kind kind_of_matroska(const uint8_t *bytes, size_t n)
{
    for (size_t at = 4; at + 7 <= n && at < 64; at++) {
        if (!memcmp(bytes + at, "\x42\x82\x84webm", 7))
            return IMAGE_WEBM;
    }
    return IMAGE_MATROSKA;
}

/* ---- TIFF ---- */

struct tiff {
    const uint8_t *bytes;
    size_t         n;
    bool           little;
};

static uint32_t number(const struct tiff *t, size_t at, int size)
{
    uint32_t value = 0;
    if (at > t->n || (size_t)size > t->n - at)
        return 0;
    for (int i = 0; i < size; i++)
        value = value << 8 | t->bytes[at + (size_t)(t->little ? size - 1 - i : i)];
    return value;
}

enum {
    TAG_PHOTOMETRIC    = 262,
    TAG_SUB_IFDS       = 330,
    TAG_DNG_VERSION    = 50706,
    PHOTOMETRIC_CFA    = 32803,
    PHOTOMETRIC_LINEAR = 34892,
    TYPE_SHORT         = 3
};

/* Directories that are still to be looked at. */
struct directories {
    uint32_t at[MOST_DIRECTORIES];
    int      n;
};

static void directories_add(struct directories *d, uint32_t at)
{
    if (at && d->n < MOST_DIRECTORIES)
        d->at[d->n++] = at;
}

static bool directory_is_raw(const struct tiff *t, size_t at, struct directories *more)
{
    uint32_t entries = number(t, at, 2);
    if (entries > MOST_ENTRIES)
        return false;
    for (uint32_t i = 0; i < entries; i++) {
        size_t   entry = at + 2 + 12 * (size_t)i;
        uint32_t tag = number(t, entry, 2), type = number(t, entry + 2, 2);
        uint32_t count = number(t, entry + 4, 4);
        uint32_t value = number(t, entry + 8, type == TYPE_SHORT ? 2 : 4);
        if (tag == TAG_DNG_VERSION)
            return true;
        if (tag == TAG_PHOTOMETRIC && (value == PHOTOMETRIC_CFA || value == PHOTOMETRIC_LINEAR))
            return true;
        if (tag == TAG_SUB_IFDS && count == 1)
            directories_add(more, value);
        for (uint32_t k = 0; tag == TAG_SUB_IFDS && count > 1 && k < count && k < MOST_SUB; k++)
            directories_add(more, number(t, (size_t)value + 4 * (size_t)k, 4));
    }
    directories_add(more, number(t, at + 2 + 12 * (size_t)entries, 4));
    return false;
}

static bool tiff_is_raw(const uint8_t *bytes, size_t n)
{
    struct tiff        t    = {.bytes = bytes, .n = n, .little = bytes[0] == 'I'};
    struct directories list = {0};
    if (BEGINS(8, "CR\2")) /* CR2 */
        return true;
    directories_add(&list, number(&t, 4, 4));
    for (int i = 0; i < list.n; i++) {
        if (directory_is_raw(&t, list.at[i], &list))
            return true;
    }
    return false;
}

/* ---- All ---- */

static bool is_pnm(const uint8_t *bytes, size_t n)
{
    return n >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
           (bytes[2] == ' ' || bytes[2] == '#' || (bytes[2] >= '\t' && bytes[2] <= '\r'));
}

static bool is_raw(const uint8_t *bytes, size_t n)
{
    return BEGINS(0, "FUJIFILMCCD-RAW") || BEGINS(0, "IIRO") || BEGINS(0, "IIRS") ||
           BEGINS(0, "MMOR") || BEGINS(0, "IIU\0") || BEGINS(0, "FOVb") || BEGINS(0, "\0MRM") ||
           BEGINS(6, "HEAPCCDR");
}

enum image_kind image_kind_of(const uint8_t *bytes, size_t n)
{
    if (BEGINS(0, "\xFF\xD8\xFF"))
        return IMAGE_JPEG;
    if (BEGINS(0, "\x89PNG\r\n\x1A\n"))
        return IMAGE_PNG;
    if (BEGINS(0, "RIFF") && BEGINS(8, "WEBP"))
        return IMAGE_WEBP;
    if (BEGINS(0, "GIF87a") || BEGINS(0, "GIF89a"))
        return IMAGE_GIF;
    if (BEGINS(0, "II*\0") || BEGINS(0, "MM\0*"))
        return tiff_is_raw(bytes, n) ? IMAGE_RAW : IMAGE_TIFF;
    if (BEGINS(0, "II+\0") || BEGINS(0, "MM\0+"))
        return IMAGE_TIFF;
    if (BEGINS(4, "ftyp") && n >= 12)
        return kind_of_media(bytes, n);
    if (BEGINS(4, "moov") || BEGINS(4, "wide") || BEGINS(4, "mdat"))
        return IMAGE_MOV; /* of before there was ftyp */
    if (BEGINS(0, "\x1A\x45\xDF\xA3"))
        return kind_of_matroska(bytes, n);
    if (BEGINS(0, "RIFF") && BEGINS(8, "AVI "))
        return IMAGE_AVI;
    if (BEGINS(0, "\xFF\x0A") || BEGINS(0, "\0\0\0\x0CJXL \r\n\x87\n"))
        return IMAGE_JXL;
    if (is_raw(bytes, n))
        return IMAGE_RAW;
    if (BEGINS(0, "BM") && n >= 18)
        return IMAGE_BMP;
    return is_pnm(bytes, n) ? IMAGE_PNM : IMAGE_UNKNOWN;
}
